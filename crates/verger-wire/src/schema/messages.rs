//! Whole messages: JSON-RPC's own four, and the protocol's by who sends them.

use serde_json::{Value, json};

use super::titles::capitalized;
use super::{Shape, plain};
use crate::error::RpcError;
use crate::frame::RequestId;
use crate::methods::Method;
use crate::{ClientRequest, Notification, ServerRequest};

/// Their schemas by name; what they refer to is elsewhere.
pub(super) fn messages() -> Vec<(&'static str, Value)> {
    let id = reference("RequestId");
    let maybe_id = json!({ "anyOf": [id, { "type": "null" }] });
    let text = json!({ "type": "string" });
    let anything = json!({});
    let error = reference("JSONRPCErrorError");
    let four = [
        object("JSONRPCRequest", &[("id", &id, true), ("method", &text, true), ("params", &anything, false)]),
        object("JSONRPCNotification", &[("method", &text, true), ("params", &anything, false)]),
        object("JSONRPCResponse", &[("id", &id, true), ("result", &anything, true)]),
        object("JSONRPCError", &[("id", &maybe_id, true), ("error", &error, true)]),
    ];
    let any: Vec<Value> = four.iter().map(|(name, _)| reference(name)).collect();
    let mut messages = vec![
        ("RequestId", Shape::of::<RequestId>("RequestId").json()),
        ("JSONRPCErrorError", Shape::of::<RpcError>("JSONRPCErrorError").json()),
        ("JSONRPCMessage", json!({ "title": "JSONRPCMessage", "anyOf": any })),
        ("ClientRequest", one_of("ClientRequest", "A request of the client.", ClientRequest::TABLE)),
        ("ServerRequest", one_of("ServerRequest", "A request of the server.", ServerRequest::TABLE)),
        ("ServerNotification", server_notification()),
        ("ClientNotification", client_notification()),
    ];
    messages.extend(four);
    messages
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// An object; each member with its schema and whether it must be there.
fn object(title: &'static str, members: &[(&str, &Value, bool)]) -> (&'static str, Value) {
    let properties: serde_json::Map<String, Value> =
        members.iter().map(|(name, schema, _)| ((*name).to_owned(), (*schema).clone())).collect();
    let required: Vec<&str> = members.iter().filter(|(.., must)| *must).map(|(name, ..)| *name).collect();
    let schema = json!({ "title": title, "type": "object", "properties": properties, "required": required });
    (title, schema)
}

fn one_of(title: &str, doc: &str, table: &[Method]) -> Value {
    let variants: Vec<Value> = table.iter().map(variant).collect();
    json!({ "title": title, "description": doc, "oneOf": variants })
}

/// One method's message.
fn variant(method: &Method) -> Value {
    let kind = if method.result.is_some() { "Request" } else { "Notification" };
    // Generators of clients name classes by titles: these are the peer's.
    let title = capitalized(method.name) + kind;
    let params = match method.params.name() {
        "Empty" => json!({ "type": ["object", "null"] }),
        name => reference(name),
    };
    let name = json!({ "type": "string", "enum": [method.name], "title": format!("{title}Method") });
    let mut properties = json!({ "method": name, "params": params });
    let mut required = vec!["method"];
    if method.result.is_some() {
        properties["id"] = reference("RequestId");
        required.insert(0, "id");
    }
    if method.needs_params() {
        required.push("params");
    }
    json!({
        "title": title, "description": plain(method.doc), "type": "object", "properties": properties,
        "required": required,
    })
}

fn server_notification() -> Value {
    let mut schema = one_of("ServerNotification", "What the server tells.", Notification::TABLE);
    let doc = "When the server sent it, in Unix milliseconds.";
    schema["properties"] =
        json!({ "emittedAtMs": { "description": doc, "type": "integer", "format": "int64" } });
    schema
}

/// The one notification that clients send. Verger waits for it no more than the peer does.
fn client_notification() -> Value {
    let title = "InitializedNotification";
    let name = json!({ "type": "string", "enum": ["initialized"], "title": format!("{title}Method") });
    let variant =
        json!({ "title": title, "type": "object", "properties": { "method": name }, "required": ["method"] });
    json!({ "title": "ClientNotification", "description": "What a client tells.", "oneOf": [variant] })
}
