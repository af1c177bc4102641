//! The server's questions of one thread, as one client heard them: each is asked under one id, and ends once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// What is open and what has ended.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: BTreeMap<u64, Open>,
    ended: BTreeSet<u64>,
    /// What was asked, by what it was about: nothing is asked again.
    asked: BTreeMap<String, u64>,
    /// What an earlier server asked ended with it.
    forgotten: BTreeSet<String>,
}

#[derive(Debug)]
struct Open {
    /// Asked since the client began to follow; else it may have ended while it was away.
    sure: bool,
    params: Value,
}

// === impl Questions ===

impl Questions {
    /// Ids and parameters of those that wait for an answer, as far as this client knows.
    pub(super) fn open(&self) -> impl Iterator<Item = (u64, &Value)> {
        self.open.iter().filter(|(_, open)| open.sure).map(|(id, open)| (*id, &open.params))
    }

    pub(super) fn asked(&mut self, id: u64, params: &Value) -> Option<String> {
        let about = about(params);
        if let Some(about) = &about {
            if self.forgotten.contains(about) {
                return Some(format!("question {id} was asked by an earlier server: {about}"));
            }
            let before = *self.asked.entry(about.clone()).or_insert(id);
            if before != id {
                return Some(format!("question {id} was asked as {before} before"));
            }
        }
        if self.ended.contains(&id) {
            return Some(format!("question {id} was asked again after its end"));
        }
        let open = Open { sure: true, params: params.clone() };
        match self.open.insert(id, open) {
            Some(Open { sure: true, .. }) => Some(format!("question {id} was asked twice")),
            Some(before) if before.params != *params => {
                Some(format!("question {id} is another one now: {params}"))
            }
            _ => None,
        }
    }

    pub(super) fn resolved(&mut self, id: u64) -> Option<String> {
        self.open.remove(&id);
        (!self.ended.insert(id)).then(|| format!("question {id} ended twice"))
    }

    /// The client begins to follow anew: whatever is still open is asked again.
    pub(super) fn begin(&mut self) {
        for open in self.open.values_mut() {
            open.sure = false;
        }
    }

    /// Another server counts from the beginning, and asks nothing that the last one did.
    pub(super) fn forget(&mut self) {
        self.forgotten.extend(std::mem::take(&mut self.asked).into_keys());
        self.open.clear();
        self.ended.clear();
    }
}

/// What tells a question from every other: the call that waits for an approval, whose arguments no test uses twice. What a
/// helper asks can be asked twice.
fn about(params: &Value) -> Option<String> {
    let meta = &params["_meta"];
    let approval = meta["codex_approval_kind"] == "mcp_tool_call" && meta["tool_params"]["text"].is_string();
    approval.then(|| json!([params["turnId"], meta["tool_params"]]).to_string())
}
