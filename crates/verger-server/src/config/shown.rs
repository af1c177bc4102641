//! The configuration as `config/read` shows it: everything in force and where it came from, without secrets.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::key::Key;
use super::unknown::SCHEMA;

/// Stands for a value that is not shown.
const HIDDEN: &str = "(hidden)";

/// The configuration without its secrets.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Everything in force, laid out as in the file; `null` where nothing is set.
    pub(crate) config: Map<String, Value>,
    /// What it was put together from, the one that wins first.
    pub(crate) layers: Vec<Layer>,
}

/// One source of settings.
#[derive(Debug)]
pub(crate) struct Layer {
    /// As clients name it.
    pub(crate) name: Value,
    /// Changes when the settings do.
    pub(crate) version: String,
    /// What it sets.
    pub(crate) config: Map<String, Value>,
}

impl Layer {
    /// What flags and variables set.
    pub(super) fn of_overrides(config: Value) -> Self {
        Self::new(json!({ "type": "sessionFlags" }), config)
    }

    /// What the file sets; it need not exist.
    pub(super) fn of_file(path: &Path, config: Value) -> Self {
        Self::new(json!({ "type": "user", "file": path, "profile": null }), config)
    }

    fn new(name: Value, config: Value) -> Self {
        // Not of what is shown: a changed secret is a change.
        let mut hasher = DefaultHasher::new();
        config.to_string().hash(&mut hasher);
        Self { name, version: format!("{:016x}", hasher.finish()), config: without_secrets(config) }
    }
}

impl Shown {
    pub(super) fn new(config: Value, layers: Vec<Layer>) -> Self {
        Self { config: without_secrets(config), layers }
    }

    /// Where each key has its value from, by dotted key.
    pub(crate) fn origins(&self) -> Map<String, Value> {
        let mut origins = Map::new();
        for layer in self.layers.iter().rev() {
            let origin = json!({ "name": layer.name, "version": layer.version });
            for (name, value) in &layer.config {
                note(&Key::default().join(name), value, &origin, &mut origins);
            }
        }
        origins
    }
}

fn note(key: &Key, value: &Value, origin: &Value, origins: &mut Map<String, Value>) {
    match value {
        Value::Object(table) => {
            table.iter().for_each(|(name, value)| note(&key.join(name), value, origin, origins));
        }
        _ => {
            origins.insert(key.to_string(), origin.clone());
        }
    }
}

/// Takes the secrets out of a configuration that is laid out like the file.
fn without_secrets(config: Value) -> Map<String, Value> {
    match clean(config, &SCHEMA) {
        Value::Object(config) => config,
        _ => Map::new(),
    }
}

fn clean(value: Value, schema: &Value) -> Value {
    let is = |mark: &str| schema.get(mark).and_then(Value::as_bool).unwrap_or(false);
    match value {
        Value::Null => Value::Null,
        value if is("x-secret") => hide(value),
        Value::String(address) if is("x-address") => Value::String(without_credentials(&address)),
        // Of the wrong type: what of it is an address, nobody knows.
        value if is("x-address") => hide(value),
        Value::Object(table) => {
            let of =
                |name: &str| schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
            let cleaned = table.into_iter().map(|(name, value)| {
                // What no type describes could be anything.
                let value = match of(&name) {
                    Some(schema) => clean(value, schema),
                    None => hide(value),
                };
                (name, value)
            });
            Value::Object(cleaned.collect())
        }
        // Where a table should be: it may be any part of it.
        value if schema.get("properties").is_some() => hide(value),
        value => value,
    }
}

/// Keeps the names in a table, so that people see what is set.
fn hide(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (name, hide(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(hide).collect()),
        _ => HIDDEN.into(),
    }
}

/// `https://user:password@host/path?key=x` as `https://host/path`.
pub(crate) fn without_credentials(address: &str) -> String {
    let plain = address.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned() };
    let host_at = rest.split('/').next().and_then(|authority| authority.rfind('@')).map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host_at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_what_may_be_secret() {
        for (address, shown) in [
            ("https://u:p@host:1/v1?key=x#y", "https://host:1/v1"),
            ("http://host/a@b", "http://host/a@b"),
            ("http://host?u@x", "http://host"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(address), shown);
        }
    }
}
