//! What travels, as the protocol's own JSON Schema has it: a method or field that is added is thrown at the daemon too.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::{Value, json};
use verger_wire::{ClientRequest, Method, Notification, ServerRequest};

use crate::round_trip;
use crate::values::{Maker, id};

/// What travels.
#[derive(Debug)]
pub struct Shapes {
    /// What clients ask.
    requests: Vec<Shape>,
    /// What they hear.
    others: Vec<Shape>,
    /// Every name and fixed word of all of them.
    words: Vec<String>,
}

#[derive(Debug)]
struct Shape {
    kind: Kind,
    /// The method, or the type of an answer.
    name: &'static str,
    schema: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Notification,
    Answer,
}

impl Default for Shapes {
    fn default() -> Self {
        let called = |kind, row: &Method| Shape { kind, name: row.name, schema: row.params.json() };
        let requests: Vec<_> = ClientRequest::TABLE.iter().map(|row| called(Kind::Request, row)).collect();
        let results = ClientRequest::TABLE.iter().filter_map(|row| row.result);
        let answers =
            results.map(|shape| Shape { kind: Kind::Answer, name: shape.name(), schema: shape.json() });
        let events = Notification::TABLE.iter().map(|row| called(Kind::Notification, row));
        let questions = ServerRequest::TABLE.iter().map(|row| called(Kind::Request, row));
        let others: Vec<_> = answers.chain(events).chain(questions).collect();
        let mut words = BTreeSet::new();
        for shape in requests.iter().chain(&others) {
            words.insert(shape.name.to_owned());
            collect_words(&shape.schema, &mut words);
        }
        Self { requests, others, words: words.into_iter().collect() }
    }
}

/// The names of members, and what may stand where only some texts may.
fn collect_words(schema: &Value, words: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            words.extend(
                members
                    .get("properties")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                    .map(|(n, _)| n.clone()),
            );
            let fixed = members.get("enum").and_then(Value::as_array).into_iter().flatten();
            words.extend(fixed.filter_map(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect_words(member, words));
        }
        Value::Array(parts) => parts.iter().for_each(|part| collect_words(part, words)),
        _ => {}
    }
}

impl Shapes {
    /// What a client asks.
    #[must_use]
    pub fn request(&self, rng: &mut Rng) -> Value {
        self.requests[rng.usize(..self.requests.len())].message(rng)
    }

    /// Any message, from either side.
    #[must_use]
    pub fn message(&self, rng: &mut Rng) -> Value {
        match rng.bool() {
            true => self.request(rng),
            false => self.others[rng.usize(..self.others.len())].message(rng),
        }
    }

    /// A name or word that means something somewhere.
    #[must_use]
    pub fn word(&self, rng: &mut Rng) -> &str {
        &self.words[rng.usize(..self.words.len())]
    }
}

impl Shape {
    fn message(&self, rng: &mut Rng) -> Value {
        let mut value = || Maker { definitions: &self.schema["definitions"] }.value(&self.schema, "", 0, rng);
        match self.kind {
            Kind::Notification => json!({ "method": self.name, "params": value() }),
            Kind::Answer => json!({ "id": round_trip::id_for(self.name), "result": value() }),
            Kind::Request => {
                let mut request = json!({ "method": self.name, "params": value() });
                if !self.schema["required"].is_array() && rng.bool() {
                    request["params"].take();
                }
                request["id"] = id(rng);
                request
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn every_method_is_asked_for_rightly_and_wrongly() {
        let (shapes, mut rng) = (Shapes::default(), Rng::with_seed(7));
        let (mut right, mut wrong) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..20_000 {
            let request = shapes.request(&mut rng);
            let method = request["method"].as_str().unwrap();
            let params = request.get("params").map(|params| to_raw_value(params).unwrap());
            match ClientRequest::decode(method, params.as_deref()) {
                Ok(_) => right.insert(method.to_owned()),
                Err(_) => wrong.insert(method.to_owned()),
            };
        }
        let all: BTreeSet<String> = ClientRequest::METHODS.iter().map(|&method| method.to_owned()).collect();
        assert_eq!((&right, &wrong), (&all, &all));
    }
}
