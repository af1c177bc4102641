//! What clients are told without having asked: encoded once, however many they are, and not before the first needs it.

use std::sync::{Arc, OnceLock};

use axum::extract::ws::Utf8Bytes;
use verger_wire::{Notification, RequestId, ServerRequest, StreamPosition, notification_at, server_request};

/// A notification or a question, ready for any number of outboxes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Event(Arc<Body>);

#[derive(Debug)]
struct Body {
    what: What,
    /// For clients that know nothing of positions.
    plain: OnceLock<Utf8Bytes>,
    /// For those that asked for them.
    positioned: OnceLock<Utf8Bytes>,
}

#[derive(Debug)]
enum What {
    Notification {
        notification: Box<Notification>,
        /// Unix milliseconds.
        at: i64,
        /// Where it stands in its thread's stream, if it belongs to one.
        position: Option<StreamPosition>,
    },
    Question {
        id: RequestId,
        request: Box<ServerRequest>,
    },
}

impl Event {
    /// What belongs to no thread's stream.
    pub(crate) fn notice(notification: Notification, at: i64) -> Self {
        Self::placed(notification, at, None)
    }

    /// What stands somewhere in its thread's stream.
    pub(crate) fn placed(notification: Notification, at: i64, position: Option<StreamPosition>) -> Self {
        Self::new(What::Notification { notification: Box::new(notification), at, position })
    }

    /// A question to the client.
    pub(crate) fn question(id: RequestId, request: ServerRequest) -> Self {
        Self::new(What::Question { id, request: Box::new(request) })
    }

    fn new(what: What) -> Self {
        Self(Arc::new(Body { what, plain: OnceLock::new(), positioned: OnceLock::new() }))
    }

    /// What clients may opt out of.
    pub(crate) fn method(&self) -> &'static str {
        match &self.0.what {
            What::Notification { notification, .. } => notification.method(),
            What::Question { request, .. } => request.method(),
        }
    }

    /// The message, with its position for who wants to know it.
    pub(crate) fn text(&self, with_position: bool) -> &Utf8Bytes {
        match &self.0.what {
            What::Question { id, request } => self.0.plain.get_or_init(|| server_request(id, request).into()),
            What::Notification { notification, at, position: position @ Some(_) } if with_position => {
                let encode = || notification_at(notification, *at, position.as_ref()).into();
                self.0.positioned.get_or_init(encode)
            }
            What::Notification { notification, at, .. } => {
                self.0.plain.get_or_init(|| notification_at(notification, *at, None).into())
            }
        }
    }
}
