//! What is under way on one helper: requests waiting to be written, and requests waiting for their answer.
//!
//! Bounds. Requests come from at most [`crate::MAX_IN_FLIGHT`] callers, plus the session's own one at a time.
//! Urgent lines go first, so a cancellation never waits behind a request; a cancellation exists only for a request
//! that was written, and none is written while one waits, so there are at most as many of those. Replies to the
//! helper's own requests are held to [`MAX_REPLIES`].

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use rmcp::model::{CancelledNotificationParam, RequestId};
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::{CallError, MAX_LINE, message, message::ServerError};

/// Most replies that may wait for a helper which asks and asks but does not read.
const MAX_REPLIES: usize = 64;

/// The answers a caller may get.
type Outcome = Result<Value, CallError>;

/// Shared by the callers, who add requests, and the protocol task, which writes and answers them.
#[derive(Debug)]
pub(crate) struct Ledger {
    server: String,
    state: Mutex<State>,
    /// Rings when there may be a line to write. Its one listener is the protocol task.
    work: Notify,
    /// Why the helper is being ended, if its callers should know.
    reason: OnceLock<String>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    requests: HashMap<u64, Request>,
    /// Ids of requests not yet written, in order.
    unwritten: VecDeque<u64>,
    urgent: VecDeque<Vec<u8>>,
    replies: usize,
    closed: bool,
}

#[derive(Debug)]
struct Request {
    /// What to write; nothing once writing began.
    line: Option<Vec<u8>>,
    /// MCP forbids to cancel `initialize`.
    cancellable: bool,
    answer: oneshot::Sender<Outcome>,
}

/// A line to write, and the request it carries.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) request: Option<u64>,
    pub(crate) line: Vec<u8>,
}

/// One request under way. Dropping it takes it back: unsent if it was not written, else with a cancellation.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    ledger: &'a Ledger,
    id: u64,
    answer: oneshot::Receiver<Outcome>,
}

impl Ledger {
    pub(crate) fn new(server: String) -> Self {
        Self { server, state: Mutex::default(), work: Notify::new(), reason: OnceLock::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock for these few lines; a poisoned ledger would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request. Its line is encoded here, by its caller, not by the task that serves all of them.
    pub(crate) fn ask(
        &self,
        method: &str,
        params: &Value,
        cancellable: bool,
    ) -> Result<Ticket<'_>, CallError> {
        let id = {
            let mut state = self.state();
            state.last_id += 1;
            state.last_id
        };
        let line = message::request(id, method, params);
        if line.len() > MAX_LINE {
            let problem = format!("the request has {} bytes; at most {MAX_LINE} can be sent", line.len());
            return Err(CallError::BadArguments { server: self.server.clone(), problem });
        }
        let (sender, answer) = oneshot::channel();
        let mut state = self.state();
        if state.closed {
            return Err(CallError::NotSent { server: self.server.clone() });
        }
        state.requests.insert(id, Request { line: Some(line), cancellable, answer: sender });
        state.unwritten.push_back(id);
        drop(state);
        self.work.notify_one();
        Ok(Ticket { ledger: self, id, answer })
    }

    /// Queues a notification ahead of every request that is not written yet.
    pub(crate) fn notify(&self, method: &str, params: Option<&Value>) {
        self.state().urgent.push_back(message::notification(method, params));
        self.work.notify_one();
    }

    /// Queues the answer to a request of the helper's; false when too many wait already, and this one is dropped.
    pub(crate) fn reply(&self, id: &Value, outcome: Result<&Value, &ServerError>) -> bool {
        let mut state = self.state();
        if state.replies >= MAX_REPLIES {
            return false;
        }
        state.replies += 1;
        state.urgent.push_back(message::reply(id, outcome));
        drop(state);
        self.work.notify_one();
        true
    }

    /// Waits for the next line to write. From here on its request counts as sent.
    pub(crate) async fn next_line(&self) -> Outbound {
        loop {
            if let Some(outbound) = self.take_line() {
                return outbound;
            }
            self.work.notified().await;
        }
    }

    fn take_line(&self) -> Option<Outbound> {
        let mut state = self.state();
        if let Some(line) = state.urgent.pop_front() {
            if state.urgent.is_empty() {
                state.replies = 0;
            }
            return Some(Outbound { request: None, line });
        }
        let id = state.unwritten.pop_front()?;
        let line = state.requests.get_mut(&id).and_then(|request| request.line.take());
        Some(Outbound {
            request: Some(id),
            line: line.expect("a queued id has its request, and its line, until here"),
        })
    }

    /// Hands `outcome` to the caller of request `id`; false when nobody waits for it (any more).
    pub(crate) fn answer(&self, id: u64, outcome: Result<Value, ServerError>) -> bool {
        self.was_written(id) && self.settle(id, outcome.map_err(|error| self.server_error(error)))
    }

    /// As [`Ledger::answer`], for an answer that could not be read.
    pub(crate) fn too_large(&self, id: u64, bytes: u64) -> bool {
        self.was_written(id)
            && self.settle(id, Err(CallError::TooLarge { server: self.server.clone(), bytes }))
    }

    /// An error without an id belongs to the only request there is, if there is only one.
    pub(crate) fn complaint(&self, error: ServerError) -> bool {
        let only = {
            let state = self.state();
            let mut written = state.requests.iter().filter(|(_, request)| request.line.is_none());
            written.next().map(|(id, _)| *id).filter(|_| written.next().is_none())
        };
        only.is_some_and(|id| self.answer(id, Err(error)))
    }

    /// Nothing more can be written: the line of `failed` broke off, and what was not begun is not sent.
    pub(crate) fn stop_writing(&self, failed: Option<u64>) {
        if let Some(id) = failed {
            self.settle(id, Err(self.gone()));
        }
        let unwritten = {
            let mut state = self.state();
            state.closed = true;
            state.urgent.clear();
            std::mem::take(&mut state.unwritten)
        };
        for id in unwritten {
            self.settle(id, Err(CallError::NotSent { server: self.server.clone() }));
        }
    }

    /// Nothing more can be read either: whoever still waits has waited in vain.
    pub(crate) fn close(&self) {
        self.stop_writing(None);
        let waiting: Vec<u64> = self.state().requests.keys().copied().collect();
        for id in waiting {
            self.settle(id, Err(self.gone()));
        }
    }

    /// False for an answer to a question that was not asked yet: ids are easily guessed.
    fn was_written(&self, id: u64) -> bool {
        self.state().requests.get(&id).is_some_and(|request| request.line.is_none())
    }

    fn settle(&self, id: u64, outcome: Outcome) -> bool {
        let request = self.state().requests.remove(&id);
        request.is_some_and(|request| request.answer.send(outcome).is_ok())
    }

    /// The caller of `id` is gone.
    fn abandon(&self, id: u64) {
        let mut state = self.state();
        let Some(request) = state.requests.remove(&id) else { return };
        if request.line.is_some() {
            state.unwritten.retain(|other| *other != id);
        } else if request.cancellable && !state.closed {
            state.urgent.push_back(cancellation(id));
            drop(state);
            self.work.notify_one();
        }
    }

    /// From here on, who has waited in vain is told why. The first reason counts.
    pub(crate) fn end_because(&self, reason: String) {
        self.reason.set(reason).ok();
    }

    fn gone(&self) -> CallError {
        let server = self.server.clone();
        match self.reason.get() {
            Some(reason) => CallError::Ended { server, reason: reason.clone() },
            None => CallError::HelperGone { server },
        }
    }

    fn server_error(&self, error: ServerError) -> CallError {
        let ServerError { code, message, data } = error;
        CallError::Server { server: self.server.clone(), code, message, data }
    }
}

fn cancellation(id: u64) -> Vec<u8> {
    let id = RequestId::Number(i64::try_from(id).expect("ids count up from 1"));
    let reason = "nobody waits for this any more".to_owned();
    let params = serde_json::to_value(CancelledNotificationParam::new(Some(id), Some(reason)));
    message::notification("notifications/cancelled", Some(&params.expect("these are a number and a text")))
}

impl Ticket<'_> {
    /// The answer, or why there will be none.
    pub(crate) async fn answer(mut self) -> Outcome {
        // The sender lives in the ledger until it is used: `settle` and `abandon` are its only ends, and this
        // ticket, which alone abandons, is still here.
        (&mut self.answer).await.unwrap_or_else(|_| Err(self.ledger.gone()))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.ledger.abandon(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_given_up_is_cancelled_once_written_unless_that_is_forbidden() {
        let ledger = Ledger::new("git".into());
        for (method, cancellable) in [("tools/call", true), ("initialize", false)] {
            let ticket = ledger.ask(method, &Value::Null, cancellable).expect("the ledger is open");
            assert_eq!(ledger.take_line().and_then(|outbound| outbound.request), Some(ticket.id));
            drop(ticket);
            assert_eq!(ledger.take_line().is_some(), cancellable, "{method}");
        }
    }

    #[test]
    fn a_cancellation_goes_ahead_of_every_request_that_waits() {
        let ledger = Ledger::new("git".into());
        let first = ledger.ask("tools/call", &Value::Null, true).expect("the ledger is open");
        ledger.take_line().expect("the first request");
        let second = ledger.ask("tools/call", &Value::Null, true).expect("the ledger is open");
        drop(first);
        assert_eq!(ledger.take_line().expect("the cancellation").request, None);
        assert_eq!(ledger.take_line().expect("the second request").request, Some(second.id));
    }
}
