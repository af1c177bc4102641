//! What must hold after every event: the log, the snapshot and what the first client was told are the same story (K5, K7, K8).

use std::collections::BTreeMap;

use verger_wire::ServerRequest;
use verger_wire::types::{ThreadItem, TurnItemsView};

use super::{Executor, place};
use crate::thread::{Conversation, NOT_SENT, OUTCOME_UNKNOWN, turns};

/// A log of more records than this is not read whole after every event.
const LONG: usize = 300;
/// But after one in so many.
const FULL_EVERY: u64 = 250;

impl Executor {
    /// K5, K7: the log and the active turn tell a newcomer exactly what the first client was told.
    pub(super) fn check(&mut self) {
        self.checks += 1;
        assert_eq!(self.open, [], "a request is left without an answer");
        // K5, K8: a newcomer is asked what the first client still is, and whoever asked hears of every end.
        let asked: BTreeMap<_, _> =
            self.machine.questions().map(|(id, request)| (id, request.clone())).collect();
        assert_eq!(asked, self.asked, "a newcomer and the first client are asked different things");
        assert_eq!(self.askers, asked.into_keys().collect(), "K8: whoever asked waits for an answer in vain");
        assert_eq!(self.waits, self.asked.values().any(is_of_turn), "whether the turn waits");
        assert_eq!(self.status, self.machine.status(), "the status that was told");
        assert_eq!(self.stream.follower().seq(), place(self.log.len()), "a record is not told");
        assert_eq!(self.first.durable, self.visible, "each record that clients are told of is told once");
        if self.failed {
            return;
        }
        // A long log is held to all that was told now and then, and its newest turn each time: what is behind it does not
        // change unless it is forgotten.
        let newest = self.newest.filter(|_| self.log.len() > LONG && !self.checks.is_multiple_of(FULL_EVERY));
        let active = self.machine.active_turn();
        let mut snapshot = turns(self.log[newest.unwrap_or(0)..].to_vec(), active);
        if let (Some(active), Some(last)) = (active, snapshot.last()) {
            assert_eq!(last.id, active.turn.id);
        }
        let first = snapshot.first().map(|turn| turn.id.clone()).filter(|_| newest.is_some());
        let mut told: Vec<_> = match first {
            Some(first) => self.first.turns.range(first..).map(|(_, turn)| turn.clone()).collect(),
            None => self.first.turns.values().cloned().collect(),
        };
        for turn in snapshot.iter_mut().chain(&mut told) {
            turn.items_view = TurnItemsView::Full;
        }
        assert_eq!(snapshot, told, "a newcomer and the first client know different things");
        self.check_crash(newest.unwrap_or(0));
        if newest.is_some() {
            return;
        }
        let live = self.live();
        assert_eq!(
            turns(live.clone(), None),
            turns(self.log.clone(), None),
            "what is passed by is what is forgotten"
        );
        assert_eq!(Conversation::of(live), self.conversation(), "nothing before a summary needs to be read");
        // A log in memory does not keep what was spent on what is forgotten.
        let counts = !self.in_memory || self.first.spent.is_none();
        assert!(
            !counts || self.kept_spent() == self.first.spent,
            "the log and the first client count otherwise"
        );
    }

    /// What a crash at this moment leaves says of each open call whether it may have been sent.
    fn check_crash(&self, from: usize) {
        let left = turns(self.log[from..].to_vec(), None);
        let items = left.last().map(|turn| turn.items.as_slice()).unwrap_or_default();
        for item in &self.tools {
            let Some(ThreadItem::McpToolCall(call)) = items.iter().find(|i| i.id() == item) else { continue };
            let told = call.error.as_ref().map(|error| error.message.as_str());
            let is_unsent = self.unsent.contains(item);
            assert_eq!(told, Some(if is_unsent { NOT_SENT } else { OUTCOME_UNKNOWN }), "after a crash");
        }
    }
}

fn is_of_turn(request: &ServerRequest) -> bool {
    match request {
        ServerRequest::McpServerElicitation(params) => params.turn_id.is_some(),
        ServerRequest::DynamicToolCall(_) => true,
    }
}
