//! Titles for the variants of enums: generators of clients name classes by them, as they do for the peer.

use serde_json::Value;

/// Titles the variants of `schema`, called `name`, and of its definitions.
pub(super) fn add(name: &str, schema: &mut Value) {
    for list in ["oneOf", "anyOf"] {
        for variant in schema.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(title) = tag(variant).map(|tag| capitalized(tag) + name) {
                variant["title"] = title.into();
            }
        }
    }
    for (name, definition) in
        schema.get_mut("definitions").and_then(Value::as_object_mut).into_iter().flatten()
    {
        add(name, definition);
    }
}

/// What tells an object apart from the other variants: the one value that a member may have, or else its only member.
fn tag(variant: &Value) -> Option<&str> {
    let mut required = variant.get("required")?.as_array()?.iter().filter_map(Value::as_str);
    let only_value = |member: &str| match variant["properties"][member]["enum"].as_array()?.as_slice() {
        [Value::String(only)] => Some(only.as_str()),
        _ => None,
    };
    required.clone().find_map(only_value).or_else(|| required.next())
}

/// With its first letter as a capital.
pub(super) fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
