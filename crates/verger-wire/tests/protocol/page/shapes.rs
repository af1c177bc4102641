//! Schemas in words: members of an object, values of an enum, and the section of all types.

use std::collections::BTreeMap;

use serde_json::Value;
use verger_wire::schema::Shape;
use verger_wire::{ClientRequest, McpToolApprovalMeta, Notification, ServerRequest};

use super::{anchor, cell, line};

/// A row for each member of an object, those that must be there first; then what else it may hold.
pub(super) fn members(out: &mut String, schema: &Value) {
    let is_required = |name: &str| {
        schema["required"].as_array().is_some_and(|all| all.iter().any(|required| required == name))
    };
    if let Some(properties) = schema["properties"].as_object() {
        *out += "| member | type | |\n| --- | --- | --- |\n";
        let (must, may): (Vec<_>, Vec<_>) = properties.iter().partition(|(name, _)| is_required(name));
        for (name, property) in must.into_iter().chain(may) {
            let mark = if is_required(name) { "" } else { "?" };
            let doc = property["description"].as_str().unwrap_or_default();
            line(out, format_args!("| `{name}`{mark} | {} | {} |", type_of(property), cell(doc)));
        }
    }
    variants(out, schema);
}

/// A bullet for each variant of an enum.
fn variants(out: &mut String, schema: &Value) {
    let lists = ["oneOf", "anyOf"].into_iter().filter_map(|list| schema[list].as_array());
    let all: Vec<&Value> = lists.flatten().collect();
    if all.is_empty() {
        return;
    }
    let also = if schema.get("properties").is_some() { "\nand one of\n\n" } else { "One of\n\n" };
    *out += also;
    for variant in all {
        let doc = variant["description"].as_str().unwrap_or_default();
        line(out, format_args!("- {}: {doc}", headline(variant)));
        // `{"httpConnectionFailed": {..}}`: the members worth telling are those of the member.
        let content = only_member(variant).map_or(variant, |(_, content)| content);
        for (name, property) in content["properties"].as_object().into_iter().flatten() {
            if tag(property).is_none() {
                let must = content["required"].as_array().is_some_and(|all| all.iter().any(|r| r == name));
                let mark = if must { "" } else { "?" };
                let doc = property["description"].as_str().unwrap_or_default();
                line(out, format_args!("  - `{name}`{mark}, {}: {doc}", type_of(property)));
            }
        }
        let inner = ["oneOf", "anyOf"].into_iter().filter_map(|list| variant[list].as_array()).flatten();
        let either: Vec<String> = inner.map(one_of_several).collect();
        if !either.is_empty() {
            line(out, format_args!("  - either {}", either.join(", or ")));
        }
    }
}

/// What a variant may hold in place of something else.
fn one_of_several(choice: &Value) -> String {
    let members = choice["properties"].as_object().into_iter().flatten();
    let told = members.map(|(name, property)| {
        let doc = property["description"].as_str().unwrap_or_default().trim_end_matches('.');
        format!("`{name}`, {} ({doc})", type_of(property))
    });
    told.collect::<Vec<_>>().join(" and ")
}

/// What tells a variant apart.
fn headline(variant: &Value) -> String {
    let tagged = variant["properties"].as_object().into_iter().flatten();
    let mut tags = tagged.filter_map(|(name, property)| Some(format!("`{name}: {}`", tag(property)?)));
    tags.next().unwrap_or_else(|| match only_member(variant) {
        Some((name, content)) if content.get("$ref").is_some() => format!("`{name}`: {}", type_of(content)),
        Some((name, _)) => format!("`{name}`: an object"),
        None => type_of(variant),
    })
}

/// The member of a variant that has but one, when its name tells the variant apart.
fn only_member(variant: &Value) -> Option<(&String, &Value)> {
    let members = variant["properties"].as_object()?;
    (members.len() == 1)
        .then(|| members.iter().next())
        .flatten()
        .filter(|(_, content)| tag(content).is_none())
}

/// The one value that a member may have.
fn tag(property: &Value) -> Option<&Value> {
    match property["enum"].as_array()?.as_slice() {
        [only] => Some(only),
        _ => None,
    }
}

/// A schema in a few words.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or(name);
        return format!("[{name}](#{})", anchor(name));
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or ");
    }
    let alternatives = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|list| schema[list].as_array());
    let alternatives: Vec<String> = alternatives.flatten().map(type_of).collect();
    if !alternatives.is_empty() {
        return alternatives.join(" or ");
    }
    let one = |name: &str| match name {
        "array" => match schema["items"].as_array() {
            Some(fixed) => format!("list ({})", fixed.iter().map(type_of).collect::<Vec<_>>().join(", ")),
            None => format!("list of {}", type_of(&schema["items"])),
        },
        "object" => match &schema["additionalProperties"] {
            Value::Object(_) => format!("object, each member {}", type_of(&schema["additionalProperties"])),
            _ => "object".to_owned(),
        },
        other => other.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => one(name),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).map(one).collect::<Vec<_>>().join(" or ")
        }
        _ => "anything".to_owned(),
    }
}

/// Every type that has no section yet: what parameters and answers are made of.
pub(super) fn types(out: &mut String) {
    *out += include_str!("prose/types.md");
    let requests = || ClientRequest::TABLE.iter();
    let questions = || ServerRequest::TABLE.iter();
    let told = Notification::TABLE.iter().map(|method| method.params);
    let by_server =
        requests().filter_map(|method| method.result).chain(questions().map(|method| method.params));
    let by_client =
        requests().map(|method| method.params).chain(questions().filter_map(|method| method.result));
    // What both write is shown as clients may write it.
    let mut parts: BTreeMap<String, Value> = BTreeMap::new();
    by_server.chain(told).for_each(|shape| parts.extend(definitions(shape.json_as_written())));
    by_client.for_each(|shape| parts.extend(definitions(shape.json())));
    let approval = Shape::of::<McpToolApprovalMeta>("McpToolApprovalMeta").json_as_written();
    parts.extend(definitions(approval.clone()));
    parts.insert("McpToolApprovalMeta".to_owned(), approval);
    for (name, schema) in parts {
        line(out, format_args!("\n### {name}\n\n{}\n", schema["description"].as_str().unwrap_or_default()));
        members(out, &schema);
    }
}

fn definitions(mut schema: Value) -> impl Iterator<Item = (String, Value)> {
    let definitions = schema["definitions"].take();
    let Value::Object(definitions) = definitions else { return serde_json::Map::new().into_iter() };
    definitions.into_iter()
}
