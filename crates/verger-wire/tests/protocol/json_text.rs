//! JSON for people: members in the order in which they were written, as many to a line as fit.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Columns that a line may take.
const WIDTH: usize = 110;

/// JSON that remembers the order of its members; serde_json's own sorts them.
pub(crate) enum Json {
    /// Anything without parts.
    Leaf(Value),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

// === impl Json ===

impl Json {
    /// What an encoder of the crate wrote.
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|cause| panic!("{cause} in {text}"))
    }

    /// Without members that are `null`: as a client writes it who has nothing to say there.
    pub(crate) fn without_nulls(self) -> Self {
        match self {
            Self::Object(members) => {
                let told = members.into_iter().filter(|(_, value)| !matches!(value, Self::Leaf(Value::Null)));
                Self::Object(told.map(|(name, value)| (name, value.without_nulls())).collect())
            }
            Self::List(parts) => Self::List(parts.into_iter().map(Self::without_nulls).collect()),
            leaf => leaf,
        }
    }

    /// On one line.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Leaf(value) => value.to_string(),
            Self::List(parts) => format!("[{}]", join(parts.iter().map(Self::line))),
            Self::Object(members) if members.is_empty() => "{}".to_owned(),
            Self::Object(members) => format!("{{ {} }}", join(members.iter().map(member))),
        }
    }

    /// On as many lines as it takes.
    pub(crate) fn lines(&self) -> String {
        self.indented(0, 0)
    }

    /// `used` columns of its first line are taken.
    fn indented(&self, depth: usize, used: usize) -> String {
        let line = self.line();
        if used + line.chars().count() <= WIDTH {
            return line;
        }
        let (open, parts, close): (_, Vec<(String, &Self)>, _) = match self {
            Self::Leaf(_) => return line,
            Self::List(parts) => ('[', parts.iter().map(|part| (String::new(), part)).collect(), ']'),
            Self::Object(members) => (
                '{',
                members.iter().map(|(name, value)| (format!("{}: ", quoted(name)), value)).collect(),
                '}',
            ),
        };
        let margin = "  ".repeat(depth + 1);
        let mut rows: Vec<String> = Vec::new();
        let mut last_is_open = false;
        for (at, (name, part)) in parts.iter().enumerate() {
            let comma = if at + 1 == parts.len() { "" } else { "," };
            let text = name.clone() + &part.indented(depth + 1, margin.len() + name.len()) + comma;
            let is_small = !text.contains('\n') && part.is_plain();
            match rows.last_mut() {
                // Small ones share a line; what has parts of its own begins one.
                Some(row) if is_small && last_is_open && row.len() + 1 + text.len() <= WIDTH => {
                    *row += " ";
                    *row += &text;
                }
                _ => rows.push(margin.clone() + &text),
            }
            last_is_open = is_small;
        }
        format!("{open}\n{}\n{}{close}", rows.join("\n"), "  ".repeat(depth))
    }

    fn is_plain(&self) -> bool {
        match self {
            Self::Leaf(_) => true,
            Self::List(parts) => parts.is_empty(),
            Self::Object(members) => members.is_empty(),
        }
    }
}

fn member((name, value): &(String, Json)) -> String {
    format!("{}: {}", quoted(name), value.line())
}

fn quoted(name: &str) -> String {
    Value::from(name).to_string()
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Leaf(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Leaf(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Leaf(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(part) = parts.next_element()? {
            list.push(part);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Json::Object(object))
    }
}
