//! What waits to be written to one client.
//!
//! Replies and events share one queue, so that their order on the wire is the order in which they were sent. Of events it
//! holds little: who follows a thread and has no room left is no queue any more but a cursor, which the thread's owner
//! moves on once what waits has been taken.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit, oneshot, watch};
use tokio_util::sync::CancellationToken;
use verger_wire::{Notification, WarningNotification};

use crate::clock::Clock;
use crate::event::Event;
use crate::replier::Slot;

/// Events that may wait before their followers become cursors, in bytes of their text. One event more may come on top, as
/// large as it is.
const ROOM: usize = 256 << 10;

/// A cursor moves on when no more than this waits: the writer must not run dry meanwhile.
const LOW: usize = ROOM / 4;

/// Notices, which are in no log, may wait beside the events up to this many bytes of both. What comes then is dropped.
const NOTICES: usize = 1 << 20;

/// With more than this unsent, a client that takes nothing is cut soon. What a cursor has yet to pass is unsent, too.
const MUCH: usize = 1 << 20;

/// Replies that may wait, in bytes of their text, before no more of the client's requests are read.
const REPLY_LIMIT: usize = 4 << 20;

/// Answers that may be large and are made at once for one client.
const LARGE_ANSWERS: usize = 2;

/// The sending side of one connection. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    clock: Clock,
    /// Rung when something came, or the queue closed. Only the writer waits for it.
    ready: Notify,
    /// Rung when much has come to be unsent. Only the writer waits for it.
    much: Notify,
    /// Bytes of replies that wait; none once the queue is closed.
    replies: watch::Sender<usize>,
    /// Held while an answer that may be large is made, or waits.
    large: Arc<Semaphore>,
    /// Cancelled when the client is cut.
    cut: CancellationToken,
    /// Said by `initialize`, and unset before it.
    wishes: OnceLock<Wishes>,
    /// The client has asked about jobs.
    jobs: AtomicBool,
}

/// What a client wants to be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// Methods of which it wants to hear nothing.
    pub(crate) opted_out: HashSet<String>,
    /// It wants to know where events stand in their thread's stream.
    pub(crate) positions: bool,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    /// Bytes of the events that wait.
    events: usize,
    /// Bytes that cursors have yet to pass.
    skipped: usize,
    /// Notices for which there was no room.
    dropped: usize,
    /// Who waits for little to be left.
    low: Vec<oneshot::Sender<()>>,
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
    /// The client broke the transport's rules: what is queued is still written.
    Broke(Breach),
    /// The client never said who it is: what is queued is still written.
    Uninitialized,
    /// The client gave no sign of life: what is queued is dropped.
    Silent,
    /// The client did not keep up: what is queued is dropped.
    Slow,
}

/// A rule of the transport that a client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// A message is larger than any may be.
    TooBig,
    /// A text is not UTF-8.
    NotUtf8,
    /// Anything else.
    Protocol,
}

impl Outbox {
    pub(crate) fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared {
            queue: Mutex::default(),
            clock,
            ready: Notify::new(),
            much: Notify::new(),
            replies: watch::Sender::new(0),
            large: Arc::new(Semaphore::new(LARGE_ANSWERS)),
            cut: CancellationToken::new(),
            wishes: OnceLock::new(),
            jobs: AtomicBool::new(false),
        }))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The lock is held for a push or a pop only, neither of which can panic half-way.
        self.0.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets events through, as the client wishes. `false` when this was said before.
    pub(crate) fn initialize(&self, wishes: Wishes) -> bool {
        self.0.wishes.set(wishes).is_ok()
    }

    /// Whether both are the same client's.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the client finished its handshake.
    pub(crate) fn is_initialized(&self) -> bool {
        self.0.wishes.get().is_some()
    }

    /// Whether the client wants to know where events stand in their thread's stream.
    pub(crate) fn wants_positions(&self) -> bool {
        self.0.wishes.get().is_some_and(|wishes| wishes.positions)
    }

    /// From here on it is told of jobs.
    pub(crate) fn ask_of_jobs(&self) {
        self.0.jobs.store(true, Ordering::Relaxed);
    }

    /// Whether the client has asked about jobs.
    pub(crate) fn asks_of_jobs(&self) -> bool {
        self.0.jobs.load(Ordering::Relaxed)
    }

    /// Queues the answer to a request. The request's slot, if it has one, is free once the answer is being written.
    pub(crate) fn reply(&self, text: String, slot: Option<Slot>) {
        self.push_reply(text.into(), slot);
    }

    /// Queues an event that is part of an answer: the client has asked for it, and it counts as one.
    pub(crate) fn replay(&self, event: &Event) {
        if let Some(text) = self.wanted(event) {
            self.push_reply(text.clone(), None);
        }
    }

    fn push_reply(&self, text: Utf8Bytes, slot: Option<Slot>) {
        let mut queue = self.queue();
        if queue.closed.is_none() {
            self.0.replies.send_modify(|bytes| *bytes += text.len());
            queue.frames.push_back(Frame::Reply(text, slot));
            drop(queue);
            self.0.ready.notify_one();
        }
    }

    /// The event's text, unless the client did not want it.
    fn wanted<'a>(&self, event: &'a Event) -> Option<&'a Utf8Bytes> {
        let wishes = self.0.wishes.get()?;
        (!wishes.opted_out.contains(event.method())).then(|| event.text(wishes.positions))
    }

    /// Queues an event. `false`: there is no room for more, and whoever follows a thread is a cursor from here on.
    pub(crate) fn event(&self, event: &Event) -> bool {
        match self.wanted(event) {
            Some(text) => self.push_event(self.queue(), text),
            None => true,
        }
    }

    /// Queues what is in no log, if there is room for it.
    pub(crate) fn notice(&self, event: &Event) {
        let Some(text) = self.wanted(event) else { return };
        let mut queue = self.queue();
        if queue.events > NOTICES {
            queue.dropped += 1;
            return;
        }
        self.push_event(queue, text);
    }

    fn push_event(&self, mut queue: MutexGuard<'_, Queue>, text: &Utf8Bytes) -> bool {
        if queue.closed.is_some() {
            return true;
        }
        let before = queue.unsent();
        queue.events += text.len();
        queue.frames.push_back(Frame::Event(text.clone()));
        let is_much = before <= MUCH && queue.unsent() > MUCH;
        let has_room = queue.events <= ROOM;
        drop(queue);
        self.0.ready.notify_one();
        if is_much {
            self.0.much.notify_one();
        }
        has_room
    }

    /// Counts an event that a cursor will have to pass; how many bytes it has.
    pub(crate) fn skip(&self, event: &Event) -> usize {
        let Some(text) = self.wanted(event) else { return 0 };
        let mut queue = self.queue();
        let before = queue.unsent();
        queue.skipped += text.len();
        if before <= MUCH && queue.unsent() > MUCH {
            self.0.much.notify_one();
        }
        text.len()
    }

    /// A cursor has passed, or given up, so many bytes.
    pub(crate) fn passed(&self, bytes: usize) {
        let mut queue = self.queue();
        queue.skipped = queue.skipped.saturating_sub(bytes);
    }

    /// Resolves when the client has taken most of the events that waited for it, or will take none.
    pub(crate) fn low(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut queue = self.queue();
        let waiting = (queue.events > LOW && queue.closed.is_none()).then(|| {
            let (tell, told) = oneshot::channel();
            queue.low.push(tell);
            told
        });
        async move {
            if let Some(told) = waiting {
                // An error: the outbox is gone, and so is its client.
                told.await.ok();
            }
        }
    }

    /// Whether little waits for the client.
    pub(crate) fn is_low(&self) -> bool {
        self.queue().events <= LOW
    }

    /// Takes nothing more.
    pub(crate) fn close(&self, why: Closed) {
        let mut queue = self.queue();
        if queue.closed.is_none() {
            queue.closed = Some(why);
            if matches!(why, Closed::Slow | Closed::Silent) {
                (queue.frames, queue.events) = (VecDeque::new(), 0);
                self.0.cut.cancel();
            }
        }
        queue.low.clear();
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

    /// The right to one large answer: few at a time may wait for a client.
    pub(crate) async fn large(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.0.large).acquire_owned().await.ok()
    }

    /// The next text to write; an error when there will be none. One writer at a time.
    pub(crate) async fn next(&self) -> Result<Utf8Bytes, Closed> {
        loop {
            {
                let mut queue = self.queue();
                match (queue.frames.pop_front(), queue.closed) {
                    (Some(Frame::Reply(text, _slot)), _) => {
                        self.0.replies.send_modify(|bytes| *bytes = bytes.saturating_sub(text.len()));
                        return Ok(text);
                    }
                    (Some(Frame::Event(text)), _) => {
                        queue.events -= text.len();
                        if queue.events <= LOW {
                            self.tell_low(queue);
                        }
                        return Ok(text);
                    }
                    (None, Some(closed)) => return Err(closed),
                    (None, None) => {}
                }
            }
            self.0.ready.notified().await;
        }
    }

    fn tell_low(&self, mut queue: MutexGuard<'_, Queue>) {
        let waiting = std::mem::take(&mut queue.low);
        let dropped = std::mem::take(&mut queue.dropped);
        drop(queue);
        if dropped > 0 {
            let message = format!(
                "{dropped} notices were dropped, because this client did not read what waited for it"
            );
            let warning = Notification::Warning(WarningNotification { thread_id: None, message });
            self.event(&Event::notice(warning, self.0.clock.unix_ms()));
        }
        for waiting in waiting {
            // Whoever waited may be gone.
            waiting.send(()).ok();
        }
    }

    /// Whether so much is unsent that a client which takes nothing is cut soon.
    pub(crate) fn has_much(&self) -> bool {
        self.queue().unsent() > MUCH
    }

    /// Resolves when much has come to be unsent. It may be little again by then.
    pub(crate) async fn much(&self) {
        self.0.much.notified().await;
    }

    /// Resolves when the client was cut.
    pub(crate) async fn cut(&self) {
        self.0.cut.cancelled().await;
    }

    /// Why nothing more is sent, once that is so.
    pub(crate) fn why_closed(&self) -> Option<Closed> {
        self.queue().closed
    }
}

impl Queue {
    fn unsent(&self) -> usize {
        self.events + self.skipped
    }
}
