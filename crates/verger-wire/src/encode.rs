//! Messages as they leave: one line of JSON each, without the `jsonrpc` member and without a line end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::error::RpcError;
use crate::frame::RequestId;
use crate::notifications::Notification;
use crate::server_requests::ServerRequest;

/// Room that a message may have to spare, in bytes.
const WASTE: usize = 4 << 10;

/// Where a notification stands in its thread's stream. Goes to clients that opted in, as `params._stream`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum StreamPosition {
    /// A durable event.
    Durable {
        /// The lineage of the thread's log; a cursor of another lineage means nothing.
        log_epoch: String,
        /// Dense per thread, from 1.
        seq: u64,
        /// The thread's owner at that time. Later ones, also after a restart, have larger numbers.
        r#gen: u64,
    },
    /// A piece of an item in flight.
    Delta {
        /// The item.
        item_id: String,
        /// Bytes of the item's text before this piece.
        off: u64,
        /// The thread's owner at that time.
        r#gen: u64,
    },
}

/// `{"id":..,"result":..}`. A result that cannot be written as JSON becomes an internal error under the same id, so
/// that the client is never left without an answer.
#[must_use]
pub fn reply(id: &RequestId, result: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Reply<'a, T> {
        id: &'a RequestId,
        result: &'a T,
    }
    serde_json::to_string(&Reply { id, result }).unwrap_or_else(|cause| {
        error(Some(id), &RpcError::internal(format!("result not encodable: {cause}")))
    })
}

/// `{"error":..,"id":..}`; the id is `null` when the request's own could not be read.
#[must_use]
pub fn error(id: Option<&RequestId>, error: &RpcError) -> String {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a RpcError,
        id: Option<&'a RequestId>,
    }
    serde_json::to_string(&Refusal { error, id })
        .expect("an RpcError holds a number, a string and a JSON value, which always encode")
}

/// `{"method":..,"params":..}`.
#[must_use]
pub fn notification(notification: &Notification) -> String {
    serde_json::to_string(notification)
        .expect("notifications hold strings, numbers and JSON values under string keys, which always encode")
}

/// As [`notification`], with `emittedAtMs` (Unix milliseconds) as the peer sends it, and the position for clients
/// that opted in to `verger/replay`.
#[must_use]
pub fn notification_at(
    event: &Notification,
    emitted_at_ms: i64,
    position: Option<&StreamPosition>,
) -> String {
    // Spliced rather than re-parsed: this runs for every delta. Each params type is an object with members, so the
    // text ends in `}}` and a comma is right.
    let mut text = notification(event);
    text.truncate(text.len() - 1);
    if let Some(position) = position {
        text.truncate(text.len() - 1);
        text.push_str(r#","_stream":"#);
        text.push_str(
            &serde_json::to_string(position)
                .expect("a position holds strings and numbers, which always encode"),
        );
        text.push('}');
    }
    text.push_str(r#","emittedAtMs":"#);
    text.push_str(&emitted_at_ms.to_string());
    text.push('}');
    // It may wait for its readers, and a buffer that doubles is up to half empty.
    if text.capacity() - text.len() > WASTE {
        text.shrink_to_fit();
    }
    text
}

/// `{"method":..,"id":..,"params":..}`: a question to the client, answered by an
/// [`Incoming::Response`](crate::Incoming::Response) or [`Incoming::Error`](crate::Incoming::Error) under `id`.
#[must_use]
pub fn server_request(id: &RequestId, request: &ServerRequest) -> String {
    #[derive(Serialize)]
    struct Question<'a> {
        id: &'a RequestId,
        #[serde(flatten)]
        request: &'a ServerRequest,
    }
    serde_json::to_string(&Question { id, request }).expect(
        "server requests hold strings, numbers and JSON values under string keys, which always encode",
    )
}
