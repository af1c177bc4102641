//! What waits to be written to one client.
//!
//! Replies and events share one queue, so that their order on the wire is the order in which they were sent. An event is
//! encoded once, however many subscribers it has: each queue holds a reference to the same bytes.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use verger_wire::{Notification, notification_at};

use crate::replier::Slot;

/// Events that may wait for a client that does not read, in bytes of their text. When more come while so much waits, the
/// client is cut, and can come back by `thread/resume`. Replies never count against it.
const EVENT_LIMIT: usize = 4 << 20;

/// Replies that may wait, in bytes of their text, before no more of the client's requests are read.
const REPLY_LIMIT: usize = 4 << 20;

/// An encoded notification, ready for any number of outboxes.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    method: &'static str,
    text: Utf8Bytes,
}

/// The sending side of one connection. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Rung when something came, or the queue closed. Only the writer waits for it.
    ready: Notify,
    /// Rung when a reply was taken, or the queue closed. Only the reader waits for it.
    taken: Notify,
    /// Cancelled when the client is cut for not keeping up.
    cut: CancellationToken,
    /// Methods that the client does not want to hear of; set by `initialize`, and unset before it.
    opted_out: OnceLock<HashSet<String>>,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    event_bytes: usize,
    reply_bytes: usize,
    closed: Option<Closed>,
}

#[derive(Debug)]
enum Frame {
    Reply(Utf8Bytes, Option<Slot>),
    Event(Utf8Bytes),
}

/// Why nothing more is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The client is gone, or the server is leaving: what is queued is still written.
    Done,
    /// The client did not keep up: what is queued is dropped.
    Slow,
}

impl Event {
    /// Encodes a notification.
    pub(crate) fn new(notification: &Notification, at_ms: i64) -> Self {
        Self { method: notification.method(), text: notification_at(notification, at_ms, None).into() }
    }
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            queue: Mutex::default(),
            ready: Notify::new(),
            taken: Notify::new(),
            cut: CancellationToken::new(),
            opted_out: OnceLock::new(),
        }))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The lock is held for a push or a pop only, neither of which can panic half-way.
        self.0.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets events through, all but those of the named methods. `false` when this was said before.
    pub(crate) fn initialize(&self, opted_out: HashSet<String>) -> bool {
        self.0.opted_out.set(opted_out).is_ok()
    }

    /// Whether the client finished its handshake.
    pub(crate) fn is_initialized(&self) -> bool {
        self.0.opted_out.get().is_some()
    }

    /// Queues the answer to a request. The request's slot, if it has one, is free once the answer is being written.
    pub(crate) fn reply(&self, text: String, slot: Option<Slot>) {
        let mut queue = self.queue();
        if queue.closed.is_none() {
            queue.reply_bytes += text.len();
            queue.frames.push_back(Frame::Reply(text.into(), slot));
            drop(queue);
            self.0.ready.notify_one();
        }
    }

    /// Queues an event, unless the client did not want it.
    pub(crate) fn event(&self, event: &Event) {
        let Some(opted_out) = self.0.opted_out.get() else { return };
        if opted_out.contains(event.method) {
            return;
        }
        let mut queue = self.queue();
        if queue.closed.is_some() {
            return;
        }
        // What counts is what waited already: one event may be larger than the limit, and is no sign of slowness.
        if queue.event_bytes > EVENT_LIMIT {
            drop(queue);
            return self.close(Closed::Slow);
        }
        queue.event_bytes += event.text.len();
        queue.frames.push_back(Frame::Event(event.text.clone()));
        drop(queue);
        self.0.ready.notify_one();
    }

    /// Takes nothing more.
    pub(crate) fn close(&self, why: Closed) {
        let mut queue = self.queue();
        if queue.closed.is_none() {
            queue.closed = Some(why);
            if why == Closed::Slow {
                queue.frames = VecDeque::new();
                self.0.cut.cancel();
            }
        }
        drop(queue);
        self.0.ready.notify_one();
        self.0.taken.notify_one();
    }

    /// Resolves when the client has taken enough of its replies to be heard again.
    pub(crate) async fn room(&self) {
        loop {
            {
                let queue = self.queue();
                if queue.reply_bytes <= REPLY_LIMIT || queue.closed.is_some() {
                    return;
                }
            }
            self.0.taken.notified().await;
        }
    }

    /// The next text to write; an error when there will be none. One writer at a time.
    pub(crate) async fn next(&self) -> Result<Utf8Bytes, Closed> {
        loop {
            {
                let mut queue = self.queue();
                match (queue.frames.pop_front(), queue.closed) {
                    (Some(Frame::Reply(text, _slot)), _) => {
                        queue.reply_bytes -= text.len();
                        self.0.taken.notify_one();
                        return Ok(text);
                    }
                    (Some(Frame::Event(text)), _) => {
                        queue.event_bytes -= text.len();
                        return Ok(text);
                    }
                    (None, Some(closed)) => return Err(closed),
                    (None, None) => {}
                }
            }
            self.0.ready.notified().await;
        }
    }

    /// Resolves when the client was cut for not keeping up.
    pub(crate) async fn cut(&self) {
        self.0.cut.cancelled().await;
    }
}
