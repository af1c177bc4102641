//! One message as it arrives: which of the four kinds it is, under which id, with its body still unparsed.

use std::fmt;

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;
use ts_rs::TS;

use crate::error::RpcError;

/// Deepest nesting of arrays and objects that is accepted. serde_json itself refuses 128: what came in must still
/// be readable when it is stored and sent again inside an item, a turn, a thread and a reply.
pub const MAX_DEPTH: usize = 96;

/// Longest string accepted as a request id, in bytes: an id is echoed, kept and logged.
pub const MAX_ID_BYTES: usize = 512;

/// The name that the sender of a request gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, TS)]
#[serde(untagged)]
pub enum RequestId {
    /// A whole number, signed 64 bits.
    Integer(i64),
    /// A string of at most [`MAX_ID_BYTES`] bytes.
    String(String),
}

/// A message, told apart by its members.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// `id` and `method`: wants an answer.
    Request {
        /// The client's name for it.
        id: RequestId,
        /// What to do.
        method: String,
        /// Absent when the member is missing or `null`.
        params: Option<Box<RawValue>>,
    },
    /// `method` without `id`: wants none.
    Notification {
        /// What happened.
        method: String,
        /// Absent when the member is missing or `null`.
        params: Option<Box<RawValue>>,
    },
    /// The client's answer to a request of the server.
    Response {
        /// The server's name for the request.
        id: RequestId,
        /// The answer, `null` included.
        result: Box<RawValue>,
    },
    /// The client's refusal of a request of the server.
    Error {
        /// The server's name for the request.
        id: RequestId,
        /// Why.
        error: RpcError,
    },
}

/// A frame that is none of the four kinds.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{fault}")]
pub struct DecodeError {
    /// The request's id, when the frame was a request and its id could be read. The answer goes out under it.
    pub id: Option<RequestId>,
    /// What is wrong with it.
    #[source]
    pub fault: Fault,
}

/// What can be wrong with a frame.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// A binary frame or line that is not text.
    #[error("the frame is not UTF-8 (at byte {0}): send one JSON object as text")]
    NotUtf8(usize),
    /// Text that is not one JSON value.
    #[error("the frame is not JSON: {0}")]
    NotJson(String),
    /// A line of more bytes than this.
    #[error("the line is longer than {0} bytes")]
    TooLong(usize),
    /// JSON nested deeper than [`MAX_DEPTH`].
    #[error("the frame is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// JSON that is no JSON-RPC message.
    #[error("not a JSON-RPC message: {0}")]
    NotAMessage(String),
}

/// Tells what kind of message `text` is. Bodies stay raw; they are parsed by whoever knows their type.
///
/// Members of other names may hold anything, half of a surrogate pair too, and `jsonrpc` is one of them: clients say 2.0, other
/// numbers, or nothing, and mean the same.
///
/// # Errors
/// [`DecodeError`], which turns into the JSON-RPC error to answer with: `RpcError::from(&error.fault)`.
pub fn decode(text: &str) -> Result<Incoming, DecodeError> {
    if deeper_than(text, MAX_DEPTH) {
        return Err(DecodeError { id: None, fault: Fault::TooDeep });
    }
    let not_json =
        |cause: serde_json::Error| DecodeError { id: None, fault: Fault::NotJson(cause.to_string()) };
    // serde would fill the members from an array too, by position.
    if text.trim_ascii_start().starts_with('[') {
        serde_json::from_str::<IgnoredAny>(text).map_err(not_json)?;
        let fault = not_a_message("batches are not served: send one message per frame");
        return Err(DecodeError { id: None, fault });
    }
    let members: Members<'_> = serde_json::from_str(text).map_err(|cause| match cause.classify() {
        Category::Data => DecodeError { id: None, fault: Fault::NotAMessage(cause.to_string()) },
        _ => not_json(cause),
    })?;
    members.into_incoming()
}

/// As [`decode`], for a frame that may not be text.
///
/// # Errors
/// As [`decode`], and [`Fault::NotUtf8`].
pub fn decode_bytes(bytes: &[u8]) -> Result<Incoming, DecodeError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|cause| DecodeError { id: None, fault: Fault::NotUtf8(cause.valid_up_to()) })?;
    decode(text)
}

/// The members that matter, each still raw so that one bad member does not hide the others. serde refuses a member
/// that comes twice, so no second id can slip past the first.
#[derive(Deserialize)]
#[serde(expecting = "one JSON object")]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Keeps `null` apart from a missing member.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

// === impl Members ===

impl Members<'_> {
    fn into_incoming(self) -> Result<Incoming, DecodeError> {
        let id = self.id.map(read_id).transpose();
        if let Some(method) = self.method {
            let id = id.map_err(|fault| DecodeError { id: None, fault })?;
            let Ok(method) = serde_json::from_str::<String>(method.get()) else {
                return Err(DecodeError { id, fault: not_a_message("`method` is not a string") });
            };
            let params = self.params.filter(|raw| raw.get() != "null").map(ToOwned::to_owned);
            return Ok(match id {
                Some(id) => Incoming::Request { id, method, params },
                None => Incoming::Notification { method, params },
            });
        }
        // An answer that cannot be read is never answered under its id: that id is the server's own.
        let unnamed = |fault| DecodeError { id: None, fault };
        match (id.map_err(unnamed)?, self.result, self.error) {
            (Some(id), Some(result), None) => Ok(Incoming::Response { id, result: result.to_owned() }),
            (Some(id), None, Some(error)) => serde_json::from_str(error.get())
                .map(|error| Incoming::Error { id, error })
                .map_err(|cause| unnamed(not_a_message(&format!("`error`: {cause}")))),
            (Some(_), Some(_), Some(_)) => Err(unnamed(not_a_message("both `result` and `error`"))),
            (None, Some(_), _) | (None, _, Some(_)) => Err(unnamed(not_a_message("an answer without `id`"))),
            (id, None, None) => Err(DecodeError { id, fault: not_a_message("no `method`") }),
        }
    }
}

fn not_a_message(why: &str) -> Fault {
    Fault::NotAMessage(why.to_owned())
}

fn read_id(raw: &RawValue) -> Result<RequestId, Fault> {
    if raw.get().len() > MAX_ID_BYTES {
        return Err(Fault::NotAMessage(format!("`id` is longer than {MAX_ID_BYTES} bytes")));
    }
    serde_json::from_str(raw.get())
        .map_err(|_| not_a_message("`id` is neither a string nor a whole number of 64 bits"))
}

/// One pass over the text, before anything recursive sees it. Whether it is JSON at all is decided elsewhere.
fn deeper_than(text: &str, limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

// === impl RequestId ===

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::String(text) => write!(f, "{text:?}"),
        }
    }
}

impl From<i64> for RequestId {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for RequestId {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl DecodeError {
    /// The frame to answer with, under the request's id where it could be read and `null` otherwise.
    #[must_use]
    pub fn reply(&self) -> String {
        crate::encode::error(self.id.as_ref(), &RpcError::from(&self.fault))
    }
}
