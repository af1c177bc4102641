//! Values of a shape: mostly such as a client would send, sometimes not.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// One value in so many is of another type than its shape says.
const WRONG_ONE_IN: u32 = 40;

/// One optional member in so many is there.
const OPTIONAL_ONE_IN: u32 = 4;

/// How deep values go: beyond it, nothing optional is there.
const DEPTH: usize = 6;

/// Texts that mean something to some part of the daemon, and some that mean trouble.
const WORDS: [&str; 22] = [
    "",
    "x",
    "/",
    "/tmp",
    "relative/path",
    "offline",
    "m",
    "never",
    "on-request",
    "hello",
    "hello\n/call s t {}",
    "/call",
    "/call s t {\"a\":",
    "$t0",
    "$u0",
    "\u{0}",
    "\u{1F600}\u{202E}",
    "verger/replay",
    "turn/started",
    "thread/started",
    "mcp_servers.s.enabled",
    "sandbox_mode",
];

/// Numbers at the borders of types.
const NUMBERS: [i64; 12] =
    [0, 1, 2, 3, 10, -1, 255, 65_536, 4_294_967_295, 4_294_967_296, i64::MAX, i64::MIN];

/// Makes values after a schema.
pub(crate) struct Maker<'a> {
    /// What references in the schema refer to.
    pub(crate) definitions: &'a Value,
}

/// Few ids, so that some come twice.
pub(crate) fn id(rng: &mut Rng) -> Value {
    match rng.u32(..20) {
        0 => anything(rng),
        1 => json!(WORDS[rng.usize(..WORDS.len())]),
        2 => json!(NUMBERS[rng.usize(..NUMBERS.len())]),
        _ => json!(rng.u32(..50)),
    }
}

/// A value of no shape.
pub(crate) fn anything(rng: &mut Rng) -> Value {
    match rng.u32(..9) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 => json!(NUMBERS[rng.usize(..NUMBERS.len())]),
        3 => json!(rng.f64() * 1e6),
        4 => json!([]),
        5 => json!({}),
        6 => (0..rng.u32(1..60)).fold(json!(0), |inner, _| json!([inner])),
        7 => json!("long ".repeat(rng.usize(..200))),
        _ => json!(WORDS[rng.usize(..WORDS.len())]),
    }
}

impl Maker<'_> {
    /// A value of `shape`, which is that of the member `name`.
    pub(crate) fn value(&self, shape: &Value, name: &str, depth: usize, rng: &mut Rng) -> Value {
        if rng.u32(..WRONG_ONE_IN) == 0 {
            return anything(rng);
        }
        if let Some(path) = shape["$ref"].as_str() {
            let definition = path.rsplit('/').next().map(|last| &self.definitions[last]);
            return definition.map_or(Value::Null, |shape| self.value(shape, name, depth, rng));
        }
        if let Some(values) = shape["enum"].as_array().filter(|values| !values.is_empty()) {
            return values[rng.usize(..values.len())].clone();
        }
        let choices = ["anyOf", "oneOf", "allOf"].iter().find_map(|word| shape[*word].as_array());
        let chosen = choices.filter(|choices| !choices.is_empty()).map(|c| &c[rng.usize(..c.len())]);
        let chosen = chosen.map(|chosen| self.value(chosen, name, depth, rng));
        match (chosen, shape["properties"].is_object()) {
            // Members that go with whatever was chosen.
            (Some(Value::Object(chosen)), true) => {
                let mut all = self.members(shape, depth, rng);
                all.extend(chosen);
                all.into()
            }
            (Some(chosen), _) => chosen,
            (None, _) => self.of_type(shape, name, depth, rng),
        }
    }

    fn of_type(&self, shape: &Value, name: &str, depth: usize, rng: &mut Rng) -> Value {
        let kind = match &shape["type"] {
            Value::Array(kinds) if !kinds.is_empty() => &kinds[rng.usize(..kinds.len())],
            kind => kind,
        };
        match kind.as_str() {
            Some("object") => self.members(shape, depth, rng).into(),
            Some("array") => {
                let length = if depth < DEPTH { rng.usize(..4) } else { 0 };
                (0..length).map(|_| self.value(&shape["items"], name, depth + 1, rng)).collect()
            }
            Some("string") => text(name, rng),
            Some("integer") => json!(NUMBERS[rng.usize(..NUMBERS.len())]),
            Some("number") => json!(rng.f64() * 100.0),
            Some("boolean") => json!(rng.bool()),
            Some("null") => Value::Null,
            _ => anything(rng),
        }
    }

    fn members(&self, shape: &Value, depth: usize, rng: &mut Rng) -> Map<String, Value> {
        let required: Vec<&str> =
            shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut members = Map::new();
        for (name, shape) in shape["properties"].as_object().into_iter().flatten() {
            let is_there = match required.contains(&name.as_str()) {
                true => rng.u32(..WRONG_ONE_IN) != 0,
                false => depth < DEPTH && rng.u32(..OPTIONAL_ONE_IN) == 0,
            };
            if is_there {
                members.insert(name.clone(), self.value(shape, name, depth + 1, rng));
            }
        }
        if let Some(shape) = shape.get("additionalProperties").filter(|_| depth < DEPTH && rng.bool()) {
            members.insert(WORDS[rng.usize(..WORDS.len())].to_owned(), self.value(shape, "", depth + 1, rng));
        }
        members
    }
}

/// A text for the member `name`: names of threads and turns are such as there are, as a rule.
fn text(name: &str, rng: &mut Rng) -> Value {
    // The first ones exist the most often.
    let index = rng.u32(..10).min(rng.u32(..10)).min(rng.u32(..10));
    let lower = name.to_ascii_lowercase();
    match rng.u32(..20) {
        0 => json!(WORDS[rng.usize(..WORDS.len())]),
        _ if lower.contains("thread") => json!(format!("$t{index}")),
        _ if lower.contains("turn") => json!(format!("$u{index}")),
        _ if lower.contains("cursor") => json!(format!("$c{index}")),
        1 => json!("word ".repeat(rng.usize(..50))),
        _ => json!(WORDS[rng.usize(..WORDS.len())]),
    }
}
