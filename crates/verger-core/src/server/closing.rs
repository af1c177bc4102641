//! An owner that ends: what is reported only after the proof (K2).

use crate::ids::{ConnectionId, Generation, ThreadId, Ticket};
use crate::time::Time;

use super::helpers::HelperState;
use super::{Answer, Effect, Ending, News, Refusal, Scope, Server, StopHow, StoreFailure};

/// An owner that is ending, or, for a thread that was not loaded, the wait for its helpers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Closing {
    pub(super) scope: Scope,
    /// The owner task has ended.
    pub(super) stopped: bool,
    /// Clients knew the thread as loaded, so they are told when it no longer is.
    was_loaded: bool,
    then: Option<Then>,
    /// The store was asked to do `then`.
    asked: bool,
}

/// What is to be done with the stored thread, and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Then {
    pub(super) ending: Ending,
    pub(super) tickets: Vec<Ticket>,
}

impl Server {
    pub(super) fn end(
        &mut self,
        now: Time,
        ticket: Ticket,
        connection: ConnectionId,
        thread: ThreadId,
        ending: Ending,
    ) {
        if !self.admit(ticket, connection) {
            return;
        }
        match self.then_of(thread) {
            Some(then) if then.ending == ending => return then.tickets.push(ticket),
            Some(then) => {
                let ending = then.ending;
                return self.refuse(ticket, Refusal::Ending(ending));
            }
            None => {}
        }
        if self.threads.get(&thread).is_some_and(|loaded| loaded.ephemeral) {
            // The store has nothing of it to archive or delete. What is refused must not cost the thread its life.
            return self.refuse(ticket, Refusal::Store(StoreFailure::NotFound));
        }
        let then = Then { ending, tickets: vec![ticket] };
        match self.threads.get_mut(&thread) {
            Some(loaded) => {
                loaded.then = Some(then);
                self.settle(now, thread);
            }
            None => self.close_unloaded(thread, then),
        }
    }

    fn then_of(&mut self, thread: ThreadId) -> Option<&mut Then> {
        let loaded = self.threads.get_mut(&thread).and_then(|loaded| loaded.then.as_mut());
        let closing = self.closing.values_mut().filter(|c| c.scope.thread == thread);
        loaded.or_else(|| closing.filter_map(|c| c.then.as_mut()).next())
    }

    /// What an archive or delete under way will make of the thread.
    pub(super) fn ending_of(&mut self, thread: ThreadId) -> Option<Ending> {
        self.then_of(thread).map(|then| then.ending)
    }

    /// Ends a loaded thread that has no active turn.
    pub(super) fn close(&mut self, now: Time, thread: ThreadId) {
        let Some(loaded) = self.threads.remove(&thread) else { return };
        self.time_crashes_of(now, thread);
        let generation = loaded.generation;
        let scope = Scope { thread, generation };
        if let Some(at) = loaded.timer {
            self.timers.remove(&(at, thread, generation));
        }
        for subscription in loaded.subscriptions.values() {
            if let Some(followed) = self.connections.get_mut(&subscription.connection) {
                followed.remove(&thread);
            }
        }
        self.effects.push_back(Effect::Stop { thread, generation });
        let hurried = self.shutdown.is_some_and(|shutdown| shutdown.hurried);
        self.stop_scope(scope, if hurried { StopHow::Kill } else { StopHow::Orderly });
        for (ticket, _) in loaded.vacating {
            self.answer_vacated(ticket, thread, None);
        }
        let closing = Closing { scope, stopped: false, was_loaded: true, then: loaded.then, asked: false };
        self.closing.insert(generation, closing);
        self.refuse_if_stuck(thread);
    }

    /// Archives or deletes a thread that is not loaded; helpers of an owner that is still closing are waited for.
    pub(super) fn close_unloaded(&mut self, thread: ThreadId, then: Then) {
        let generation = self.next_generation();
        let scope = Scope { thread, generation };
        let closing = Closing { scope, stopped: true, was_loaded: false, then: Some(then), asked: false };
        self.closing.insert(generation, closing);
        self.refuse_if_stuck(thread);
        self.progress(thread);
    }

    pub(super) fn stopped(&mut self, generation: Generation) {
        let Some(closing) = self.closing.get_mut(&generation) else {
            self.stale += 1;
            return;
        };
        closing.stopped = true;
        let thread = closing.scope.thread;
        self.progress(thread);
    }

    /// Takes every closing of the thread as far as the proofs allow.
    pub(super) fn progress(&mut self, thread: ThreadId) {
        let of_thread = |closing: &&Closing| closing.scope.thread == thread;
        for scope in self.closing.values().filter(of_thread).map(|c| c.scope).collect::<Vec<_>>() {
            let helpers = |all: bool| {
                self.helpers.values().any(|h| h.scope == scope || all && h.scope.thread == thread)
            };
            let closing = &self.closing[&scope.generation];
            let Some(then) = &closing.then else {
                if closing.stopped && !helpers(false) {
                    self.closed(scope);
                }
                continue;
            };
            // The whole thread ends: every owner that it ever had must be gone, not this one alone.
            let owners_gone = self.closing.values().filter(of_thread).all(|c| c.stopped);
            if owners_gone && !helpers(true) && !closing.asked {
                let ending = then.ending;
                let Scope { thread, generation } = scope;
                self.effects.push_back(Effect::Store { thread, generation, ending });
                if let Some(closing) = self.closing.get_mut(&generation) {
                    closing.asked = true;
                }
            }
        }
    }

    pub(super) fn stored(&mut self, generation: Generation, result: Result<(), StoreFailure>) {
        let Some(closing) = self.closing.get_mut(&generation) else {
            self.stale += 1;
            return;
        };
        let Some(then) = closing.then.take() else { return };
        let scope = closing.scope;
        let thread = scope.thread;
        let result = match result {
            // Closed before its first turn: it had nothing to keep, and now it is gone, as it was to be.
            Err(StoreFailure::NotFound) if closing.was_loaded => Ok(()),
            result => result,
        };
        if result.is_ok() && std::mem::take(&mut closing.was_loaded) {
            self.effects.push_back(Effect::Announce { thread, news: News::Unloaded });
        }
        for ticket in then.tickets {
            self.effects.push_back(match &result {
                Ok(()) => Effect::Answer { ticket, answer: Answer::Ended },
                Err(failure) => Effect::Refuse { ticket, refusal: Refusal::Store(failure.clone()) },
            });
        }
        if result.is_ok() {
            self.forget_failures_of(thread);
            let news = match then.ending {
                Ending::Archive => News::Archived,
                Ending::Delete => News::Deleted,
            };
            self.effects.push_back(Effect::Announce { thread, news });
        }
        self.closed(scope);
    }

    /// The scope is proven empty and its owner has ended.
    fn closed(&mut self, scope: Scope) {
        let Some(closing) = self.closing.remove(&scope.generation) else { return };
        let thread = scope.thread;
        if !closing.was_loaded {
            return;
        }
        match self.threads.get_mut(&thread) {
            Some(loaded) => loaded.owes_closed = loaded.opening.is_some(),
            None => self.tell_closed(thread),
        }
    }

    /// Tells that a thread has no owner any more; once, by the last owner to go.
    pub(super) fn tell_closed(&mut self, thread: ThreadId) {
        if let Some(other) = self.closing.values_mut().find(|c| c.scope.thread == thread) {
            other.was_loaded = true;
            return;
        }
        self.effects.push_back(Effect::Announce { thread, news: News::Unloaded });
        self.effects.push_back(Effect::Announce { thread, news: News::Closed });
    }

    /// What waits for a helper that cannot be proven gone is told so; the thread is neither archived nor deleted.
    pub(super) fn refuse_if_stuck(&mut self, thread: ThreadId) {
        let stuck = self.helpers.values().any(|h| h.scope.thread == thread && h.state == HelperState::Stuck);
        if !stuck {
            return;
        }
        let of_thread = self.closing.values_mut().filter(|c| c.scope.thread == thread && !c.asked);
        for then in of_thread.filter_map(|closing| closing.then.take()) {
            for ticket in then.tickets {
                self.effects.push_back(Effect::Refuse { ticket, refusal: Refusal::Unproven });
            }
        }
    }
}
