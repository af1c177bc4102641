//! `thread/inject_items`: items of the Responses API that a client puts into the model's history, and what they are to a
//! model of any kind.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use verger_core::ids::Ticket;
use verger_core::thread::Event;
use verger_model::{InputItem, Part, Reasoning};
use verger_wire::RpcError;

use super::owner::{Asker, Owner};
use crate::replier::Replier;

/// What is understood of an item, by its type.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Raw {
    Message {
        role: Role,
        content: Vec<Piece>,
    },
    FunctionCall {
        call_id: String,
        #[serde(default)]
        namespace: Option<String>,
        name: String,
        arguments: String,
    },
    FunctionCallOutput {
        call_id: String,
        output: Output,
    },
    Reasoning {
        id: String,
        #[serde(default)]
        summary: Vec<Piece>,
        #[serde(default)]
        encrypted_content: Option<String>,
    },
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
    /// Many models take these at the beginning alone: they are told as a user's words.
    Developer,
    System,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece {
    #[serde(alias = "output_text", alias = "summary_text")]
    InputText { text: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Output {
    Text(String),
    Pieces(Vec<Piece>),
}

impl Owner {
    pub(super) async fn inject(&mut self, ticket: Ticket, replier: Replier, items: Vec<Value>) {
        match check(&items) {
            Err((at, why)) => replier.refuse(&RpcError::invalid_params(&format!("items[{at}]"), why)),
            Ok(()) if items.is_empty() => {
                replier.refuse(&RpcError::invalid_params("items", "none are there"))
            }
            Ok(()) => {
                self.tickets.insert(ticket, Asker::Plain(replier));
                self.handle(Event::Inject { ticket, items }).await;
            }
        }
    }
}

/// Refuses what could not be told to a model; the error says which item, and why.
fn check(items: &[Value]) -> Result<(), (usize, String)> {
    let mut open = BTreeSet::new();
    for (at, item) in items.iter().enumerate() {
        match understood(item).map_err(|why| (at, why))? {
            InputItem::ToolCall { call_id, .. } => drop(open.insert((call_id, at))),
            InputItem::ToolOutput { call_id, .. } => {
                let call = open.iter().find(|(id, _)| *id == call_id).cloned();
                let call =
                    call.ok_or_else(|| (at, format!("answers no function_call '{call_id}' before it")))?;
                open.remove(&call);
            }
            _ => {}
        }
    }
    match open.first() {
        None => Ok(()),
        Some((id, at)) => Err((
            *at,
            format!("no function_call_output for '{id}' follows, and models refuse a call without one"),
        )),
    }
}

/// The item in a model's terms.
pub(super) fn understood(item: &Value) -> Result<InputItem, String> {
    Ok(match Raw::deserialize(item).map_err(|error| error.to_string())? {
        Raw::Message { role: Role::Assistant, content } => {
            InputItem::AssistantMessage { text: joined(content) }
        }
        Raw::Message { role: Role::User | Role::Developer | Role::System, content } => {
            InputItem::UserMessage { content: parts(content) }
        }
        Raw::FunctionCall { call_id, namespace, name, arguments } => {
            InputItem::ToolCall { call_id, namespace, name, arguments }
        }
        Raw::FunctionCallOutput { call_id, output } => {
            let output = match output {
                Output::Text(text) => vec![Part::Text(text)],
                Output::Pieces(pieces) => parts(pieces),
            };
            InputItem::ToolOutput { call_id, output }
        }
        Raw::Reasoning { id, summary, encrypted_content } => {
            let summary = summary.into_iter().map(text).collect();
            InputItem::Reasoning(Reasoning { id, summary, content: Vec::new(), encrypted_content })
        }
    })
}

fn parts(pieces: Vec<Piece>) -> Vec<Part> {
    pieces.into_iter().map(|piece| Part::Text(text(piece))).collect()
}

fn joined(pieces: Vec<Piece>) -> String {
    pieces.into_iter().map(text).collect::<Vec<_>>().join("\n")
}

fn text(piece: Piece) -> String {
    let Piece::InputText { text } = piece;
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(role: &str, kind: &str, text: &str) -> Value {
        json!({ "type": "message", "role": role, "content": [{ "type": kind, "text": text }] })
    }

    #[test]
    fn what_can_be_told_to_a_model_is_taken() {
        let call =
            json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": "fc" });
        let output = json!({ "type": "function_call_output", "call_id": "c", "output": "done" });
        let pieces = json!({ "type": "function_call_output", "call_id": "c", "output": [{ "type": "input_text", "text": "done" }] });
        let items =
            [said("user", "input_text", "hi"), said("assistant", "output_text", "ho"), call.clone(), output];
        assert_eq!(check(&items), Ok(()));
        assert_eq!(understood(&items[0]), Ok(InputItem::user("hi")));
        assert_eq!(understood(&items[1]), Ok(InputItem::AssistantMessage { text: "ho".into() }));
        assert_eq!(understood(&items[3]), understood(&pieces));
        assert_eq!(check(&[call, pieces, said("developer", "input_text", "be kind")]), Ok(()));
    }

    #[test]
    fn what_cannot_is_refused_by_its_place() {
        let call = json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" });
        let output = json!({ "type": "function_call_output", "call_id": "c", "output": "done" });
        let hi = said("user", "input_text", "hi");
        for (items, at, why) in [
            (vec![hi.clone(), json!({ "type": "web_search_call" })], 1, "unknown variant"),
            (vec![json!("hi")], 0, "expected"),
            (vec![said("nobody", "input_text", "hi")], 0, "unknown variant `nobody`"),
            (vec![json!({ "type": "message", "role": "user" })], 0, "missing field `content`"),
            (vec![hi.clone(), call.clone()], 1, "no function_call_output for 'c'"),
            (vec![hi, output.clone()], 1, "answers no function_call 'c'"),
            (vec![output, call], 0, "answers no function_call 'c'"),
        ] {
            let refused = check(&items).expect_err("refused");
            assert_eq!(refused.0, at, "{items:?}");
            assert!(refused.1.contains(why), "{items:?}: {}", refused.1);
        }
    }
}
