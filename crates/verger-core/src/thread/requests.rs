//! Requests that a client may make twice: which turn took the first one, by the client's own id for it.

use std::collections::{HashMap, VecDeque};

use super::Thread;

/// So many of a thread's requests are remembered, the latest.
pub const REMEMBERED_REQUESTS: usize = 1_000;

/// Turns by the requests that they took.
#[derive(Debug, Default)]
pub(super) struct Requests {
    turns: HashMap<String, String>,
    /// Oldest first.
    order: VecDeque<String>,
}

impl Requests {
    pub(super) fn turn(&self, request: &str) -> Option<&str> {
        self.turns.get(request).map(String::as_str)
    }

    pub(super) fn insert(&mut self, request: String, turn: String) {
        if self.turns.insert(request.clone(), turn).is_none() {
            self.order.push_back(request);
        }
        if self.order.len() > REMEMBERED_REQUESTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.turns.remove(&oldest);
        }
    }

    /// Forgets the request that came last: what it began is not durable.
    pub(super) fn take_back(&mut self, request: &str) {
        self.turns.remove(request);
        self.order.retain(|known| known != request);
    }
}

impl Thread {
    /// Goes on from the requests that the log says were taken, oldest first: each with its turn. What has come since is
    /// newer.
    pub fn has_taken(&mut self, taken: impl IntoIterator<Item = (String, String)>) {
        let since = std::mem::take(&mut self.requests);
        for (request, turn) in taken {
            self.requests.insert(request, turn);
        }
        let Requests { mut turns, order } = since;
        for request in order {
            if let Some(turn) = turns.remove(&request) {
                self.requests.insert(request, turn);
            }
        }
    }

    /// The turn that took this request, if one did.
    pub fn turn_of(&self, request: &str) -> Option<&str> {
        self.requests.turn(request)
    }
}
