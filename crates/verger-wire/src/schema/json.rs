//! JSON Schema: every definition once, and the files that are cut from them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::messages::messages;
use super::{File, MARK, layout, shapes};

const DIALECT: &str = "http://json-schema.org/draft-07/schema#";

/// The file that holds everything, under the name and title by which generators of clients know it.
const BUNDLE: (&str, &str) = ("codex_app_server_protocol.v2.schemas.json", "CodexAppServerProtocolV2");

/// Definitions by name, and files by path with the definition that each is about.
pub(super) fn definitions() -> (Map<String, Value>, BTreeMap<String, String>) {
    let mut definitions = Map::new();
    let mut files = BTreeMap::new();
    for described in shapes() {
        let name = described.shape.name();
        files.insert(layout::json(name), name.to_owned());
        add(&mut definitions, name, described.json());
    }
    for (name, schema) in messages() {
        files.insert(format!("{name}.json"), name.to_owned());
        add(&mut definitions, name, schema);
    }
    (definitions, files)
}

/// Puts a schema that stands alone, and what it brought along, among the others.
fn add(definitions: &mut Map<String, Value>, name: &str, mut schema: Value) {
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        if let Some(Value::Object(brought)) = object.remove("definitions") {
            definitions.extend(brought);
        }
    }
    definitions.insert(name.to_owned(), schema);
}

/// The files: each stands alone, with all that it refers to.
pub(super) fn files(definitions: &Map<String, Value>, paths: &BTreeMap<String, String>) -> Vec<File> {
    let (bundle, title) = BUNDLE;
    let everything = json!({ "title": title, "type": "object", "definitions": definitions });
    let one_by_one = paths.iter().filter_map(|(path, name)| {
        let mut schema = definitions.get(name)?.clone();
        let mut parts = Map::new();
        collect(&schema, definitions, &mut parts);
        if !parts.is_empty() {
            schema["definitions"] = parts.into();
        }
        Some(file(path, schema))
    });
    one_by_one.chain([file(bundle, everything)]).collect()
}

fn file(path: &str, mut schema: Value) -> File {
    schema["$schema"] = DIALECT.into();
    schema["$comment"] = MARK.into();
    File { path: format!("json/{path}"), text: format!("{schema:#}\n") }
}

/// Finds what `schema` refers to, directly or not.
fn collect(schema: &Value, definitions: &Map<String, Value>, found: &mut Map<String, Value>) {
    match schema {
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, definitions, found)),
        Value::Object(members) => {
            let name = members.get("$ref").and_then(Value::as_str);
            if let Some(name) = name.and_then(|path| path.strip_prefix("#/definitions/"))
                && !found.contains_key(name)
                && let Some(definition) = definitions.get(name)
            {
                found.insert(name.to_owned(), definition.clone());
                collect(definition, definitions, found);
            }
            members.values().for_each(|member| collect(member, definitions, found));
        }
        _ => {}
    }
}
