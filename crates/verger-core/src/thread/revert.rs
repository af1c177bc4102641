//! Reverts and injections: changes of a thread's history that are no turn.

use serde_json::Value;
use verger_wire::{Notification, RpcError, ThreadRevertedNotification};

use super::requests::Requests;
use super::turn::ActiveTurn;
use super::{Effect, Record, Reply, Thread};
use crate::ids::{Seq, Ticket};

impl Thread {
    /// Forgets everything behind the record `upto`, which is the last before `turn`. Not while a turn is active: what it
    /// does would come behind what is forgotten.
    pub(super) fn revert(&mut self, at: i64, ticket: Ticket, turn: String, upto: Seq) {
        if let Some(active) = &self.turn {
            let error = RpcError::revert_during_turn(&self.id, active.id());
            return self.push(Effect::Refuse { ticket, error });
        }
        self.tentative.ticket = Some(ticket);
        // Those of turns that are kept can be read again.
        self.requests = Requests::default();
        self.push(Effect::Append(vec![Record::Reverted { turn, upto, at }]));
        self.push(Effect::Reply { ticket, reply: Reply::Reverted });
        if std::mem::take(&mut self.failed) {
            // The turn that failed is forgotten, and that it did with it.
            self.tentative.forgives = true;
            self.push(Effect::Status(self.status()));
        }
        let thread_id = self.id.clone();
        self.push(Effect::Announce(Notification::ThreadReverted(ThreadRevertedNotification { thread_id })));
    }

    /// Puts items into the model's history. If a turn runs, its model is asked again, as if the user had said them; one that
    /// only sums up has nobody to answer.
    pub(super) fn inject(&mut self, at: i64, ticket: Ticket, items: Vec<Value>) {
        if let Some(active) = self.turn.as_mut().filter(|active| active.summing.is_none()) {
            active.heard_more();
        }
        let running = self.turn.as_ref();
        let turn = running.map(|active| active.id().to_owned());
        let index = running.map_or(0, ActiveTurn::count);
        self.tentative.ticket = Some(ticket);
        self.push(Effect::Append(vec![Record::Injected { turn, index, items, at }]));
        self.push(Effect::Reply { ticket, reply: Reply::Done });
    }
}
