//! Whether the schema says of each message what serde does with it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use verger_wire::{ClientRequest, Method, Notification, ServerRequest};

use crate::examples;
use crate::schema::judge;

/// Takes a message as the crate would: whether it is understood.
type Takes<'a> = &'a dyn Fn(&Value) -> bool;

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|cause| panic!("{cause}: {text}"))
}

/// Hands each example to `check`, with the definition that it must fit and the type that it was made of.
fn each_example(mut check: impl FnMut(&str, &Value, Takes<'_>)) {
    let result_of = |table: &[Method], method: &str| {
        let row = table.iter().find(|row| row.name == method).expect("the enum and its table are one");
        row.result.map_or("Empty", |shape| shape.name())
    };
    for example in examples::requests() {
        check("ClientRequest", &parse(&example.asked), &|message| {
            let params = serde_json::value::to_raw_value(&message["params"]).expect("a Value encodes");
            message["method"].as_str().is_some_and(|name| ClientRequest::decode(name, Some(&params)).is_ok())
        });
        check(
            result_of(ClientRequest::TABLE, example.method),
            &parse(&example.answered)["result"],
            &example.takes,
        );
    }
    for example in examples::questions() {
        check("ServerRequest", &parse(&example.asked), &|message| {
            serde_json::from_value::<ServerRequest>(message.clone()).is_ok()
        });
        check(
            result_of(ServerRequest::TABLE, example.method),
            &parse(&example.answered)["result"],
            &example.takes,
        );
    }
    for (_, text) in examples::notifications() {
        check("ServerNotification", &parse(&text), &|message| {
            serde_json::from_value::<Notification>(message.clone()).is_ok()
        });
    }
}

#[test]
fn every_method_has_an_example() {
    let asked = examples::requests();
    let questions = examples::questions();
    let told = examples::notifications();
    let shown: BTreeSet<&str> = asked
        .iter()
        .chain(&questions)
        .map(|example| example.method)
        .chain(told.iter().map(|(method, _)| *method))
        .collect();
    let all = [ClientRequest::TABLE, ServerRequest::TABLE, Notification::TABLE];
    let missing: Vec<&str> =
        all.into_iter().flatten().map(|method| method.name).filter(|name| !shown.contains(name)).collect();
    assert!(missing.is_empty(), "no example in tests/protocol/examples: {missing:?}");
}

#[test]
fn every_example_fits_its_schema() {
    each_example(|name, message, takes| {
        if name != "Empty" {
            judge().require(name, message);
        }
        assert!(takes(message), "{name}: serde does not read back {message}");
    });
}

#[test]
fn json_rpc_s_own_messages_fit_theirs() {
    let error = verger_wire::error(None, &verger_wire::RpcError::shutting_down());
    judge().require("JSONRPCError", &parse(&error));
    judge().require("JSONRPCMessage", &parse(&error));
    for example in examples::requests() {
        judge().require("JSONRPCRequest", &parse(&example.asked));
        judge().require("JSONRPCResponse", &parse(&example.answered));
    }
    judge().require("ClientNotification", &json!({ "method": "initialized" }));
    assert!(judge().check("ClientNotification", &json!({ "method": "initialised" })).is_err());
}

/// Every member and element of every example, left out, nulled and replaced: what the schema then says must be what
/// serde then does. So an optional member is optional, a nullable one nullable, and no type is wider than it is said to be.
#[test]
fn the_schema_takes_what_serde_takes_and_refuses_the_rest() {
    let (mut tried, mut lies) = (0, BTreeSet::new());
    each_example(|name, message, takes| {
        if name == "Empty" {
            return;
        }
        for (what, changed) in changes(message) {
            tried += 1;
            let (said, done) = (judge().check(name, &changed).is_ok(), takes(&changed));
            if said != done {
                let about = message["method"].as_str().unwrap_or(name);
                lies.insert(format!("{about}: {what}: schema {said}, serde {done}"));
            }
        }
    });
    assert!(tried > 5_000, "only {tried} changes were tried");
    let lies: Vec<String> = lies.into_iter().collect();
    assert!(lies.is_empty(), "{} of {tried}:\n{}", lies.len(), lies.join("\n"));
}

/// `message` with one thing changed, in every place and way.
fn changes(message: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    collect_places(message, String::new(), &mut places);
    let mut changed = Vec::new();
    for place in places {
        // The envelope is JSON-RPC's, and read by another hand than serde's.
        if matches!(place.as_str(), "/id" | "/method" | "/params" | "/emittedAtMs") {
            continue;
        }
        let was = message.pointer(&place).expect("it was collected a moment ago");
        for with in
            [json!(null), json!(true), json!(7), json!(-1), json!(1.5), json!("x"), json!([]), json!({})]
        {
            // serde fills a struct from an array too, by position. No schema says so, and no client should know.
            if with == *was || (with.is_array() && !was.is_array()) {
                continue;
            }
            let mut copy = message.clone();
            *copy.pointer_mut(&place).expect("the copy has it too") = with.clone();
            changed.push((format!("{place} = {with}"), copy));
        }
        let mut copy = message.clone();
        let (parent, name) = place.rsplit_once('/').expect("a pointer begins with a slash");
        if let Some(Value::Object(members)) = copy.pointer_mut(parent) {
            members.remove(&name.replace("~1", "/").replace("~0", "~"));
            changed.push((format!("without {place}"), copy));
        }
    }
    changed
}

fn collect_places(value: &Value, at: String, places: &mut Vec<String>) {
    let parts: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, part)| (format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), part))
            .collect(),
        Value::Array(parts) => {
            parts.iter().enumerate().map(|(n, part)| (format!("{at}/{n}"), part)).collect()
        }
        _ => Vec::new(),
    };
    for (place, part) in parts {
        places.push(place.clone());
        collect_places(part, place, places);
    }
}
