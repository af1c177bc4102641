//! `docs/config.md`, made of the comments, defaults and examples of the configuration's types.

use std::fmt::Write as _;

use serde_json::Value;

use super::foreign::{FOREIGN, Loss};
use super::key::Key;
use super::overrides::variable_of_key;
use super::unknown::SCHEMA;

const HEAD: &str = "\
# Configuration

<!-- Made by `cargo xtask docs` from the comments in crates/verger-server/src/config. -->

`config.toml` is TOML. It is looked for in `$VERGER_HOME`, else in `$XDG_CONFIG_HOME/verger`, else in `~/.config/verger`.
No file at all is a valid configuration.

Every key can also be set for one run of the server. What stands first here wins:

1. `--config KEY=VALUE` of `verger serve` and `verger app-server`, before or after that word, as often as needed; of two
   for one key the later one. `KEY` is dotted, as in `threads.orphan_grace`.
2. A variable of the environment: `VERGER_` and the key in capitals, with `__` for each dot, as in
   `VERGER_THREADS__ORPHAN_GRACE`. Keys with capitals or dashes in them have no variable. An empty variable counts as not
   set. `VERGER_HOME` (the folder of everything), `VERGER_LOG` (how much is logged), `VERGER_BIN`, `VERGER_RUN_TOKEN`,
   `VERGER_REAL_SERVERS` and whatever begins with `VERGER_TEST_` are no keys.
3. The file.
4. The default.

The value of a flag or a variable is TOML (`true`, `3`, `[\"a\", \"b\"]`, `{ A = \"b\" }`), or a string where it is none
(`--config model=gpt-oss`). One that is a table takes the place of the whole table.

`config/mcpServer/reload` reads the file again; flags and variables stay as they were at the start. A value of the wrong
type, or one that means nothing, is an error that names file, line and key, or the flag or the variable: the server does
not start, or the reload changes nothing. A key that nothing reads is a warning: in the log, and to each client as
`configWarning`. So is a job that is wrong.

`config/read` shows a client what is in force. Values that may be secret (environment, headers, query parameters, tokens)
are hidden, and addresses are shown without user and query; arguments of commands are shown as they are.

*Codex* marks keys that mean in a Codex configuration what they mean here.
";

const FOREIGN_HEAD: &str = "
## Codex keys without effect

Tables `[mcp_servers.NAME]` and `[model_providers.NAME]` of a Codex configuration can be pasted whole. These of their keys
have no effect here; a warning says so where that can be missed.

| key | warned of | instead |
| --- | --- | --- |
";

/// The text of `docs/config.md`.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    section(&mut text, "## Top level", &SCHEMA, &Key::default());
    for (name, schema) in tables(&SCHEMA) {
        let (title, entry, key) = match schema.get("additionalProperties") {
            Some(entry) => (format!("## `[{name}.NAME]`"), entry, Key::from([name, "NAME"])),
            None => (format!("## `[{name}]`"), schema, Key::from([name])),
        };
        section(&mut text, &title, entry, &key);
    }
    text.push_str(FOREIGN_HEAD);
    for foreign in FOREIGN {
        let warned = match foreign.loss {
            Loss::None => "no".to_owned(),
            Loss::Some { unless: "" } => "yes".to_owned(),
            Loss::Some { unless } => format!("unless `\"{unless}\"`"),
            Loss::Remote => "without `url`".to_owned(),
        };
        line(
            &mut text,
            &format!("| `{}.NAME.{}` | {warned} | {} |", foreign.table, foreign.key, foreign.instead),
        );
    }
    text
}

fn section(text: &mut String, title: &str, schema: &Value, at: &Key) {
    line(text, &format!("\n{title}\n"));
    if !at.0.is_empty() {
        line(text, &format!("{}\n", prose(schema)));
    }
    for (name, key) in keys(schema) {
        let mut facts = vec![kind(key)];
        facts.extend(default(key).map(|default| format!("default `{default}`")));
        facts.extend(
            key.get("examples").and_then(|all| all.get(0)).map(|e| format!("e.g. `{name} = {}`", toml(e))),
        );
        facts.extend(
            variable_of_key(&at.join(name))
                .filter(|_| !at.0.contains(&"NAME".to_owned()))
                .map(|v| format!("`{v}`")),
        );
        facts.extend(key.get("x-codex").map(|_| "*Codex*".to_owned()));
        line(text, &format!("- **`{name}`** ({})  \n  {}", facts.join("; "), prose(key)));
    }
    // The tables of the file itself are sections of their own.
    for (name, schema) in tables(schema).filter(|_| !at.0.is_empty()) {
        let (entry, key) = match schema.get("additionalProperties") {
            Some(entry) => (entry, at.join(name).join("NAME")),
            None => (schema, at.join(name)),
        };
        section(text, &format!("### `[{}]`", key.0.join(".")), entry, &key);
    }
}

/// The keys of a table that are not tables with keys of their own.
fn keys(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    properties(schema).filter(|(_, key)| !is_section(key))
}

fn tables(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    properties(schema).filter(|(_, key)| is_section(key))
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema["properties"].as_object().into_iter().flatten().map(|(name, key)| (name.as_str(), key))
}

fn is_section(schema: &Value) -> bool {
    schema.get("properties").is_some() || schema["additionalProperties"].get("properties").is_some()
}

/// A type in a person's words.
fn kind(schema: &Value) -> String {
    let name = match &schema["type"] {
        Value::String(name) => name.as_str(),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any")
        }
        _ => "string",
    };
    let name = match (name, schema["format"].as_str(), schema["x-unit"].as_str()) {
        (_, Some("duration"), _) => "duration",
        (_, Some("size"), _) => "size",
        ("integer" | "number", _, Some(unit)) => unit,
        ("array", ..) => "array of strings",
        ("object", ..) if schema.get("additionalProperties").is_none() => "table",
        ("object", ..) => "table of strings",
        (name, ..) => name,
    };
    let choices: Vec<_> = choices(schema).map(toml).collect();
    if choices.is_empty() { name.to_owned() } else { format!("`{}`", choices.join("` or `")) }
}

/// The values of a key that has but a few, whether it may be left out or not.
fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    std::iter::once(schema).chain(list(schema, "anyOf")).flat_map(|schema| {
        let described = list(schema, "oneOf").iter().filter_map(|one| one.get("const"));
        // `null` is how it is left out, which TOML does not write.
        list(schema, "enum").iter().filter(|value| !value.is_null()).chain(described)
    })
}

fn list<'a>(schema: &'a Value, key: &str) -> &'a [Value] {
    schema[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A default that says something.
fn default(schema: &Value) -> Option<String> {
    let value = schema.get("default")?;
    let says_nothing = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(table) => table.is_empty(),
        _ => false,
    };
    (!says_nothing).then(|| toml(value))
}

/// A value as the file has it.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let pairs: Vec<_> = table
                .iter()
                .map(|(name, value)| format!("{} = {}", Key::from([name.as_str()]), toml(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        // A JSON string, number or boolean is a TOML one, too.
        plain => plain.to_string(),
    }
}

fn prose(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}
