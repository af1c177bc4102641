//! What waits to be written to one client.
//!
//! Replies and events share one queue, so that their order on the wire is the order in which they were sent. An event is
//! encoded once, however many subscribers it has: each queue holds a reference to the same bytes.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use verger_wire::{Notification, RequestId, ServerRequest, notification_at, server_request};

use crate::clock::Clock;
use crate::replier::Slot;

/// Events that may wait for a client, in bytes of their text. A client that has taken nothing for [`PATIENCE`] while
/// more than this waits is cut, and can come back by `thread/resume`. Replies never count against it.
const EVENT_LIMIT: usize = 4 << 20;

/// As [`EVENT_LIMIT`], for a client that does take something, but less than comes, and for one on stdio or a Unix socket,
/// which is waited for. An item may be as large as a frame, and is told twice: as started and as completed.
const EVENT_MAX: usize = 48 << 20;

/// How long a client may take nothing while much waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Replies that may wait, in bytes of their text, before no more of the client's requests are read.
const REPLY_LIMIT: usize = 4 << 20;

/// Answers that may be large and are made at once for one client.
const LARGE_ANSWERS: usize = 2;

/// An encoded notification or question, ready for any number of outboxes.
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
    clock: Clock,
    /// Rung when something came, or the queue closed. Only the writer waits for it.
    ready: Notify,
    /// Bytes of replies that wait; none once the queue is closed.
    replies: watch::Sender<usize>,
    /// Held while an answer that may be large is made.
    large: Semaphore,
    /// Cancelled when the client is cut for not keeping up.
    cut: CancellationToken,
    /// The client may take nothing for as long as it likes: see [`EVENT_MAX`].
    is_waited_for: bool,
    /// Methods that the client does not want to hear of; set by `initialize`, and unset before it.
    opted_out: OnceLock<HashSet<String>>,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    event_bytes: usize,
    /// When the writer last took something, by the server's clock.
    last_taken: Duration,
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

    /// Encodes a question to the client.
    pub(crate) fn question(id: &RequestId, request: &ServerRequest) -> Self {
        Self { method: request.method(), text: server_request(id, request).into() }
    }
}

impl Outbox {
    /// The outbox of a client that is cut when it does not keep up, or of one that is waited for.
    pub(crate) fn new(clock: Clock, is_waited_for: bool) -> Self {
        Self(Arc::new(Shared {
            queue: Mutex::default(),
            clock,
            ready: Notify::new(),
            replies: watch::Sender::new(0),
            large: Semaphore::new(LARGE_ANSWERS),
            cut: CancellationToken::new(),
            is_waited_for,
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

    /// Whether both are the same client's.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the client finished its handshake.
    pub(crate) fn is_initialized(&self) -> bool {
        self.0.opted_out.get().is_some()
    }

    /// Queues the answer to a request. The request's slot, if it has one, is free once the answer is being written.
    pub(crate) fn reply(&self, text: String, slot: Option<Slot>) {
        let mut queue = self.queue();
        if queue.closed.is_none() {
            self.0.replies.send_modify(|bytes| *bytes += text.len());
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
        let is_stalled = || {
            let is_late = self.0.clock.uptime().saturating_sub(queue.last_taken) > PATIENCE;
            (is_late && !self.0.is_waited_for) || queue.event_bytes > EVENT_MAX
        };
        if queue.event_bytes > EVENT_LIMIT && is_stalled() {
            drop(queue);
            return self.close(Closed::Slow);
        }
        if queue.frames.is_empty() {
            // Until now there was nothing to take.
            queue.last_taken = self.0.clock.uptime();
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
        self.0.replies.send_replace(0);
    }

    /// Resolves when the client has taken enough of its replies to be heard again.
    pub(crate) async fn room(&self) {
        // The sender is `self`, so that there is no error.
        self.0.replies.subscribe().wait_for(|bytes| *bytes <= REPLY_LIMIT).await.ok();
    }

    /// Resolves when an answer that may be large should be made: few at a time, and only for a client that takes them.
    pub(crate) async fn room_for_large(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        let permit = self.0.large.acquire().await.ok();
        self.room().await;
        permit
    }

    /// The next text to write; an error when there will be none. One writer at a time.
    pub(crate) async fn next(&self) -> Result<Utf8Bytes, Closed> {
        loop {
            {
                let mut queue = self.queue();
                queue.last_taken = self.0.clock.uptime();
                match (queue.frames.pop_front(), queue.closed) {
                    (Some(Frame::Reply(text, _slot)), _) => {
                        self.0.replies.send_modify(|bytes| *bytes = bytes.saturating_sub(text.len()));
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
