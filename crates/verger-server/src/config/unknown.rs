//! Keys that nothing reads, found by laying the configuration beside the schema of its types.

use std::sync::LazyLock;

use serde_json::Value;
use toml::de::DeTable;

use super::file::File;
use super::foreign;
use super::key::Key;

/// The JSON Schema of the file.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<File>().into()
});

/// A key without effect.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) key: Key,
    pub(super) reason: String,
}

/// Every key without effect, in the order of the tables.
pub(super) fn unread(document: &DeTable<'_>) -> Vec<Unread> {
    let mut found = Vec::new();
    walk(document, &SCHEMA, &Key::default(), &mut found);
    found
}

fn walk(table: &DeTable<'_>, schema: &Value, at: &Key, found: &mut Vec<Unread>) {
    for (name, value) in table {
        let key = at.join(name.get_ref());
        let reason = match child(schema, name.get_ref()) {
            Some(child) => {
                if let Some(table) = value.get_ref().as_table().filter(|_| is_table(child)) {
                    walk(table, child, &key, found);
                }
                continue;
            }
            None => match at.0.as_slice() {
                [table_name, _] => foreign::find(table_name, name.get_ref())
                    .map(|foreign| foreign.warning(value.get_ref(), table)),
                _ => None,
            },
        };
        let reason = match reason {
            // Codex's, and nobody misses it.
            Some(None) => continue,
            Some(Some(reason)) => reason,
            None => match nearest(name.get_ref(), schema) {
                Some(nearest) => format!("unknown key, without effect; did you mean {nearest}?"),
                None => "unknown key, without effect; docs/config.md lists those that have one".to_owned(),
            },
        };
        found.push(Unread { key, reason });
    }
}

/// The schema of a table's key.
fn child<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    schema["properties"]
        .get(name)
        .or_else(|| schema.get("additionalProperties").filter(|any| any.is_object()))
}

/// Whether a schema says which keys there are.
fn is_table(schema: &Value) -> bool {
    schema.get("properties").is_some() || schema.get("additionalProperties").is_some()
}

/// The key that was meant, perhaps: one of the same table that is spelled nearly so, or one of this name elsewhere.
fn nearest(name: &str, schema: &Value) -> Option<String> {
    let names: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(|keys| keys.keys().map(String::as_str))
        .collect();
    nearest_key(name, &names).map(str::to_owned).or_else(|| elsewhere(name, &SCHEMA, ""))
}

/// The one of `names` that is spelled most nearly as `name`, if any is spelled nearly so.
pub(crate) fn nearest_key<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let tolerated = (name.chars().count() / 3).max(1);
    let near = names.iter().map(|known| (strsim::damerau_levenshtein(name, known), *known));
    near.filter(|(distance, _)| *distance <= tolerated).min().map(|(_, known)| known)
}

fn elsewhere(name: &str, schema: &Value, at: &str) -> Option<String> {
    let keys = schema["properties"].as_object()?;
    if keys.contains_key(name) {
        return Some(format!("{at}{name}"));
    }
    keys.iter().find_map(|(table, schema)| {
        elsewhere(name, schema, &format!("{at}{table}."))
            .or_else(|| elsewhere(name, &schema["additionalProperties"], &format!("{at}{table}.NAME.")))
    })
}
