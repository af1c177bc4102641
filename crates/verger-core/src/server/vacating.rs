//! The end of a job run: the helpers of its thread end with it, unless they are somebody else's by then.

use std::collections::BTreeSet;

use crate::ids::{ConnectionId, HelperId, ThreadId, Ticket};
use crate::time::Time;

use super::helpers::{HelperState, Reload};
use super::{Answer, Effect, Scope, Server, StopHow};

impl Server {
    /// Ends what helpers the thread has, for whoever used it alone, and lets none start until somebody else comes. Where others
    /// follow it its helpers are a live chat's, and are left alone. A turn that is still active is the run's own, and ends first.
    /// What cannot be proven gone is waited for as long as that takes: nobody but the record of the run waits with it.
    pub(super) fn vacate(&mut self, now: Time, ticket: Ticket, connection: ConnectionId, thread: ThreadId) {
        if !self.admit(ticket, connection) {
            return;
        }
        if let Some(loaded) = self.threads.get_mut(&thread) {
            if loaded.subscriptions.values().any(|s| !s.observe && s.connection != connection) {
                return self.effects.push_back(Effect::Answer { ticket, answer: Answer::Shared });
            }
            let generation = loaded.generation;
            if loaded.is_active() {
                loaded.vacating.push((ticket, connection));
                if !std::mem::replace(&mut loaded.interrupting, true) {
                    self.effects.push_back(Effect::Interrupt { thread, generation });
                }
                return;
            }
            loaded.vacated = true;
            self.answer_vacated(ticket, thread, Some(Scope { thread, generation }));
        } else {
            self.answer_vacated(ticket, thread, None);
        }
        self.start_queued(now, |_| true);
    }

    /// The thread's turn has ended: whoever waited for that to vacate it is taken up again.
    pub(super) fn vacate_idle(&mut self, now: Time, thread: ThreadId) {
        let loaded = self.threads.get_mut(&thread).filter(|loaded| !loaded.is_active());
        let waiting = loaded.map(|loaded| std::mem::take(&mut loaded.vacating));
        for (ticket, connection) in waiting.unwrap_or_default() {
            self.vacate(now, ticket, connection, thread);
        }
    }

    /// Answers once every helper of the thread is proven gone: those of `scope`, which end now, and those of earlier owners, which
    /// are being ended in any case.
    pub(super) fn answer_vacated(&mut self, ticket: Ticket, thread: ThreadId, scope: Option<Scope>) {
        let of_thread = self.helpers.iter().filter(|(_, helper)| helper.scope.thread == thread);
        let of_thread: Vec<(HelperId, HelperState)> =
            of_thread.map(|(&id, helper)| (id, helper.state)).collect();
        if let Some(scope) = scope {
            self.stop_scope(scope, StopHow::Orderly);
        }
        let has_process = |(id, state): (HelperId, HelperState)| (state != HelperState::Queued).then_some(id);
        let waits_for: BTreeSet<_> = of_thread.into_iter().filter_map(has_process).collect();
        self.reloads.push(Reload { ticket, waits_for, answer: Answer::Vacated });
        self.answer_reloads();
    }
}
