//! What a client heard last, shown beside what was found to be wrong.

use std::collections::VecDeque;

use serde_json::Value;

/// How many of the last events are shown.
const SHOWN: usize = 40;

/// The last events of one thread, and what may not be.
#[derive(Debug, Default)]
pub(super) struct Trace {
    last: VecDeque<String>,
    faults: Vec<String>,
    /// The last events as they were when the first of these faults was found.
    then: Option<VecDeque<String>>,
}

impl Trace {
    pub(super) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Takes what was found to be wrong so far.
    pub(super) fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// The last events, oldest first; up to the first fault, where there is one.
    pub(super) fn last(&self) -> impl Iterator<Item = &str> {
        self.then.as_ref().unwrap_or(&self.last).iter().map(String::as_str)
    }

    pub(super) fn remember(&mut self, words: String) {
        if !self.faults.is_empty() && self.then.is_none() {
            self.then = Some(self.last.clone());
        }
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(words);
    }
}

/// A notification in one line.
pub(super) fn words(method: &str, params: &Value) -> String {
    let first = ["itemId", "requestId"].iter().map(|name| &params[*name]);
    let ids = first.chain([&params["item"]["id"], &params["turn"]["id"]]);
    let id = ids.filter(|id| !id.is_null()).map(Value::to_string).next().unwrap_or_default();
    let more = [&params["turn"]["status"], &params["item"]["type"], &params["status"]["type"]];
    let more = more.into_iter().find_map(Value::as_str).unwrap_or_default();
    let stream = params.get("_stream").map(|stream| format!(" {stream}")).unwrap_or_default();
    let piece = params["delta"].as_str().map(|delta| format!(" +{}", delta.len())).unwrap_or_default();
    format!("{method} {id} {more}{piece}{stream}")
}
