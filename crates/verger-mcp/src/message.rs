//! JSON-RPC messages of a helper, decoded without losing anything of a result.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// One message from the helper.
#[derive(Debug, PartialEq)]
pub(crate) enum Incoming {
    /// The answer to our request `id`.
    Answer { id: u64, outcome: Result<Value, ServerError> },
    /// An error that names no request of ours: the helper could not read one.
    Complaint(ServerError),
    /// A request of the helper's own. The id is echoed as it came.
    Request { id: Value, method: String, params: Value },
    /// Something that the helper wants known.
    Notification { method: String, params: Value },
}

/// The `error` member of an answer, as far as it could be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServerError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
}

#[derive(Deserialize)]
struct Envelope {
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    error: Option<Value>,
}

/// Tells `"result": null` from no result at all.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The messages of one line: one, or several in a batch, which MCP had in 2025-03-26. Nothing when the line is no
/// JSON-RPC: a log line, a banner, half a message.
pub(crate) fn decode(line: &[u8]) -> Option<Vec<Incoming>> {
    if line.trim_ascii_start().first() == Some(&b'[') {
        let batch: Vec<Envelope> = serde_json::from_slice(line).ok()?;
        return batch.into_iter().map(Envelope::open).collect();
    }
    let envelope: Envelope = serde_json::from_slice(line).ok()?;
    envelope.open().map(|message| vec![message])
}

impl Envelope {
    fn open(self) -> Option<Incoming> {
        Some(match (self.method, self.id) {
            (Some(method), None) => Incoming::Notification { method, params: self.params },
            (Some(method), Some(id)) => Incoming::Request { id, method, params: self.params },
            (None, id) => {
                let outcome = match (self.error, self.result) {
                    (Some(error), _) => Err(ServerError::read(error)),
                    (None, Some(result)) => Ok(result),
                    (None, None) => return None,
                };
                match (id.as_ref().and_then(our_id), outcome) {
                    (Some(id), outcome) => Incoming::Answer { id, outcome },
                    (None, Err(error)) => Incoming::Complaint(error),
                    (None, Ok(_)) => return None,
                }
            }
        })
    }
}

/// Our ids are numbers; some servers give them back as text.
fn our_id(id: &Value) -> Option<u64> {
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

impl ServerError {
    /// Takes what is there: servers leave out the message, or send a bare text.
    fn read(error: Value) -> Self {
        const INTERNAL_ERROR: i64 = rmcp::model::ErrorCode::INTERNAL_ERROR.0 as i64;
        Self {
            code: error["code"].as_i64().unwrap_or(INTERNAL_ERROR),
            message: error["message"].as_str().or(error.as_str()).unwrap_or_default().to_owned(),
            data: error.get("data").cloned(),
        }
    }
}

/// A message of ours. Borrowed, so that big arguments are written once and copied never.
#[derive(Serialize)]
struct Outgoing<'a, Id: Serialize> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Value>,
}

impl<Id: Serialize> Outgoing<'_, Id> {
    const EMPTY: Self =
        Self { jsonrpc: "2.0", id: None, method: None, params: None, result: None, error: None };

    fn into_line(self) -> Vec<u8> {
        let mut line = serde_json::to_vec(&self).expect("JSON values always serialize, and into memory");
        line.push(b'\n');
        line
    }
}

/// A request of ours, with its newline.
pub(crate) fn request(id: u64, method: &str, params: &Value) -> Vec<u8> {
    Outgoing { id: Some(id), method: Some(method), params: Some(params), ..Outgoing::EMPTY }.into_line()
}

/// A notification of ours, with its newline.
pub(crate) fn notification(method: &str, params: Option<&Value>) -> Vec<u8> {
    Outgoing::<u64> { method: Some(method), params, ..Outgoing::EMPTY }.into_line()
}

/// The answer to the helper's request `id`, with its newline.
pub(crate) fn reply(id: &Value, outcome: Result<&Value, &ServerError>) -> Vec<u8> {
    match outcome {
        Ok(result) => Outgoing { id: Some(id), result: Some(result), ..Outgoing::EMPTY }.into_line(),
        Err(ServerError { code, message, data: _ }) => {
            let error = json!({ "code": code, "message": message });
            Outgoing { id: Some(id), error: Some(&error), ..Outgoing::EMPTY }.into_line()
        }
    }
}

/// What a helper is told that asks for something that was not offered to it.
pub(crate) fn not_offered(method: &str) -> ServerError {
    let message = format!("verger does not offer '{method}': it was not among the client's capabilities");
    ServerError { code: rmcp::model::ErrorCode::METHOD_NOT_FOUND.0.into(), message, data: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Option<Incoming> {
        decode(text.as_bytes()).map(|mut messages| {
            assert_eq!(messages.len(), 1);
            messages.remove(0)
        })
    }

    #[test]
    fn answers_keep_every_member_of_their_result() {
        let result = json!({ "content": [], "structuredContent": { "a": 1 }, "_meta": { "x/y": [2] }, "unheard": null });
        let text = json!({ "jsonrpc": "2.0", "id": 3, "result": result }).to_string();
        assert_eq!(one(&text), Some(Incoming::Answer { id: 3, outcome: Ok(result) }));
    }

    #[test]
    fn errors_may_lack_anything() {
        let error = |code, message: &str| ServerError { code, message: message.into(), data: None };
        let bare = |text| match one(text) {
            Some(Incoming::Answer { id: 1, outcome: Err(error) }) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(bare(r#"{"id":1,"error":{"code":-32001,"message":""}}"#), error(-32001, ""));
        assert_eq!(bare(r#"{"id":1,"error":{}}"#), error(-32603, ""));
        assert_eq!(bare(r#"{"id":"1","error":"broken"}"#), error(-32603, "broken"));
        let complaint = one(r#"{"id":null,"error":{"code":-32700,"message":"parse"}}"#);
        assert_eq!(complaint, Some(Incoming::Complaint(error(-32700, "parse"))));
    }

    #[test]
    fn what_is_no_message_is_nothing() {
        for text in [
            "hello",
            "42",
            "\"x\"",
            "{}",
            r#"{"level":30,"msg":"up"}"#,
            r#"{"jsonrpc":"2.0","id":"#,
            "\u{1}",
            "[1]",
        ] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(decode(b"\xff\xfe"), None);
    }

    #[test]
    fn a_batch_is_its_messages() {
        let batch = decode(br#"[{"id":1,"result":null},{"method":"ping","id":"p"}]"#);
        let ping = Incoming::Request { id: json!("p"), method: "ping".into(), params: Value::Null };
        assert_eq!(batch, Some(vec![Incoming::Answer { id: 1, outcome: Ok(Value::Null) }, ping]));
    }
}
