//! What one client saw of every thread, and what of it cannot be: an event that came twice, or never.

use std::collections::HashMap;

use serde_json::Value;

use super::account::Account;

/// How many faults are told in words; the rest is counted.
const TOLD: usize = 20;

/// Accounts by thread. Its size grows with turns and items, never with deltas.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: HashMap<String, Account>,
    faults: Vec<String>,
    untold: usize,
    questions: u64,
}

// === impl Ledger ===

impl Ledger {
    /// What was seen of `thread`.
    #[must_use]
    pub fn account(&self, thread: &str) -> Option<&Account> {
        self.accounts.get(thread)
    }

    /// Every thread that something was seen of, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.accounts.iter().map(|(thread, account)| (thread.as_str(), account))
    }

    /// What cannot be, in the order in which it was noticed; empty after a run as it should be.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let rest = (self.untold > 0).then(|| format!("and {} more", self.untold));
        self.faults.iter().cloned().chain(rest).collect()
    }

    /// How many requests the server has made. A load client answers none of them.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.questions
    }

    /// Enters a message that is no reply. Whether someone may have waited for it: deltas are nobody's.
    pub(super) fn note(&mut self, message: &Value) -> bool {
        if message.get("id").is_some() {
            self.questions += 1;
            return true;
        }
        let (method, params) = (message["method"].as_str().unwrap_or_default(), &message["params"]);
        let thread = params["threadId"].as_str().or_else(|| params["thread"]["id"].as_str());
        if let Some(thread) = thread {
            let mut faults = Vec::new();
            self.of(thread).note(method, params, &mut faults);
            self.complain(thread, faults);
        }
        !method.ends_with("elta")
    }

    /// Enters the thread of a reply to `thread/resume`: what comes after it goes on from there.
    pub(super) fn snapshot(&mut self, thread: &str, turns: &Value) {
        let mut faults = Vec::new();
        self.of(thread).snapshot(turns, &mut faults);
        self.complain(thread, faults);
    }

    /// Enters the reply to `turn/start`: from here on the turn may not be lost.
    pub(super) fn acknowledge(&mut self, thread: &str, turn: &str) {
        self.of(thread).acknowledge(turn);
    }

    /// Enters something that no message should be.
    pub(super) fn unreadable(&mut self, what: &str) {
        self.complain("a message", vec![format!("is not readable: {what:.200}")]);
    }

    fn of(&mut self, thread: &str) -> &mut Account {
        // Looked up twice when new, so that the many that are not cost no copy of the id.
        if !self.accounts.contains_key(thread) {
            self.accounts.insert(thread.to_owned(), Account::default());
        }
        self.accounts.get_mut(thread).expect("it is there since the line above")
    }

    fn complain(&mut self, about: &str, faults: Vec<String>) {
        for fault in faults {
            if self.faults.len() < TOLD {
                self.faults.push(format!("{about}: {fault}"));
            } else {
                self.untold += 1;
            }
        }
    }
}
