//! What the decoder promises of any bytes at all.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;
use verger_wire::{
    ClientRequest, DecodeError, Incoming, MAX_ID_BYTES, RequestId, code, decode, decode_bytes,
};

use crate::cost::{Counting, in_proportion};
use crate::round_trip;

/// Longest error message: a client's own words are quoted back, but never at length.
const MAX_MESSAGE: usize = 4 * 700;

/// Decodes a frame, as far as it goes, and holds every step to its word.
///
/// # Panics
/// When a step does not keep it.
pub fn check(allocator: &'static Counting, frame: &[u8]) {
    let decoded = in_proportion(allocator, frame.len(), || decode_bytes(frame));
    let text = std::str::from_utf8(frame);
    if let Ok(text) = text {
        assert_eq!(format!("{:?}", decode(text)), format!("{decoded:?}"), "{text}");
    }
    match (decoded, text) {
        (Ok(message), Ok(text)) => {
            round_trip::frame(text, &message);
            about(allocator, text, &message);
        }
        (Ok(message), Err(_)) => panic!("bytes that are no text became {message:?}"),
        (Err(error), text) => refused(&error, text.ok()),
    }
}

/// The second step: what the message is about.
fn about(allocator: &'static Counting, text: &str, message: &Incoming) {
    match message {
        Incoming::Request { id, method, params } => {
            let asked =
                in_proportion(allocator, text.len(), || ClientRequest::decode(method, params.as_deref()));
            match asked {
                Ok(asked) => round_trip::request(id, &asked),
                Err(error) => {
                    let is_known = ClientRequest::METHODS.contains(&method.as_str());
                    let expected = if is_known { code::INVALID_PARAMS } else { code::METHOD_NOT_FOUND };
                    assert_eq!(error.code, expected, "{text}");
                    assert!(error.message.len() <= MAX_MESSAGE, "{} bytes of message", error.message.len());
                    is_error_reply(&verger_wire::error(Some(id), &error), Some(id));
                }
            }
            round_trip::question(id, text);
        }
        Incoming::Notification { .. } => round_trip::notification(text),
        Incoming::Response { id, result } => round_trip::answer(id, result),
        Incoming::Error { .. } => {}
    }
}

/// A frame that is no message is answered in a form that every client understands, under the id that it came with.
fn refused(error: &DecodeError, text: Option<&str>) {
    let reply = error.reply();
    assert!(reply.len() <= MAX_MESSAGE + 6 * MAX_ID_BYTES, "{} bytes of reply", reply.len());
    is_error_reply(&reply, error.id.as_ref());
    let Some(id) = &error.id else { return };
    // Read as mere JSON, its members raw: a number may be too large for any type of ours.
    let text = text.expect("an id was read");
    let frame: HashMap<String, &RawValue> = serde_json::from_str(text).expect("an id was read");
    let read = serde_json::from_str::<RequestId>(frame["id"].get()).expect("it was read");
    assert_eq!(read, *id, "{text}");
    let is_answer = frame.contains_key("result") && !frame.contains_key("method");
    assert!(!is_answer, "an answer is not answered: {text}");
}

fn is_error_reply(reply: &str, id: Option<&RequestId>) {
    let read: Value = serde_json::from_str(reply).unwrap_or_else(|error| panic!("{reply}: {error}"));
    assert_eq!(read["id"], serde_json::to_value(id).expect("an id always encodes"), "{reply}");
    assert!(read["error"]["code"].is_i64() && read["error"]["message"].is_string(), "{reply}");
    // What our own clients make of it: one whose id is null is an answer to nothing that they asked.
    match (decode(reply), id) {
        (Ok(Incoming::Error { id: read, .. }), Some(id)) => assert_eq!(read, *id, "{reply}"),
        (Err(_), None) => {}
        (read, _) => panic!("{reply}\nis read as {read:?}"),
    }
}
