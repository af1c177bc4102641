//! The paper executor's account of what is alive and who was told what, kept apart from the machine's, and the invariants
//! that it holds the machine to after every move: K1-K4, K9 and K11.

use crate::ids::{Generation, ThreadId, Ticket};
use crate::server::{Answer, Effect, HelperState, News, Refusal, StopHow};

use super::failures::PATIENCE;
use super::world::{Owner, Process, World};

impl World {
    fn answered(&mut self, ticket: Ticket) {
        assert!(self.pending.remove(&ticket).is_some(), "{ticket:?} is answered twice");
    }

    fn owner(&mut self, generation: Generation) -> &mut Owner {
        let owner = self.owners.get_mut(&generation).expect("K4: an effect names an owner that never was");
        // What is sent to an owner that has just died goes nowhere; the machine learns of it in its next event.
        assert!(
            owner.gone || owner.opened && !owner.stopping,
            "K4: an effect names an owner that is not the current one"
        );
        owner
    }

    /// Does on paper what the machine wants done.
    pub(super) fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Refuse { ticket, .. } => {
                self.probes.remove(&ticket);
                self.answered(ticket);
            }
            Effect::Answer { ticket, answer } => {
                if matches!(answer, Answer::Reloaded | Answer::Restarted { .. } | Answer::Vacated) {
                    let old = self.reloads[&ticket].iter().find(|helper| self.alive.contains_key(helper));
                    assert_eq!(
                        old, None,
                        "K2: a reload, restart or end of a job run is answered while an old helper lives"
                    );
                }
                if answer == Answer::Probed {
                    let probe = self.probes.remove(&ticket).expect("a probe is answered once");
                    let left = self.alive.values().find(|p| Some(p.scope) == probe.scope);
                    assert_eq!(left, None, "K2: a probe is answered while its helper lives");
                }
                self.answered(ticket);
            }
            Effect::Edit { thread, generation, edit, .. } => {
                let owner = self.owners.values().find(|o| o.thread == thread && !o.stopping && !o.gone);
                assert_eq!(owner, None, "K4: a row is changed beside its thread's owner");
                assert!(self.edits.insert(thread, (generation, edit)).is_none(), "two errands for one row");
            }
            Effect::Open { thread, generation, origin } => {
                assert!(!self.edits.contains_key(&thread), "K4: an owner beside an errand");
                self.vacant.remove(&thread);
                let owner = Owner {
                    thread,
                    origin,
                    opened: false,
                    received: 0,
                    active: false,
                    waits: false,
                    interrupted: false,
                    stopping: false,
                    gone: false,
                };
                let current = self.owners.values().find(|o| o.thread == thread && !o.stopping && !o.gone);
                assert_eq!(current, None, "K4: a second owner of one thread");
                self.owners.insert(generation, owner);
            }
            Effect::Attach { thread, generation, ticket, connection, .. } => {
                self.owner(generation);
                self.answered(ticket);
                if self.observing.remove(&ticket) {
                    self.keepers.remove(&(connection, thread));
                } else {
                    self.keepers.insert((connection, thread));
                    self.vacant.remove(&thread);
                }
                self.unheard_of.remove(&thread);
            }
            Effect::Detach { generation, .. } => {
                self.owner(generation);
            }
            Effect::Forward { thread, generation, ticket } => {
                let begins_turn = !self.labels.remove(&ticket);
                if begins_turn {
                    self.vacant.remove(&thread);
                }
                let owner = self.owner(generation);
                if begins_turn {
                    owner.received += 1;
                    owner.active = true;
                }
                self.answered(ticket);
            }
            Effect::Interrupt { generation, .. } => {
                let owner = self.owner(generation);
                assert!(owner.active, "an interrupt without a turn");
                owner.interrupted = true;
            }
            Effect::Stop { generation, .. } => {
                let owner = self.owner(generation);
                assert!(!owner.active, "an owner is stopped in the middle of a turn");
                owner.stopping = true;
                let thread = owner.thread;
                let until = self.awaited.remove(&thread);
                assert!(
                    until.is_none_or(|until| until <= self.now),
                    "K3: {thread} does not wait for its client"
                );
                self.enter_unloading(thread);
            }
            Effect::Store { thread, generation, ending } => {
                self.assert_gone(thread, "the store is asked");
                self.asked.insert(generation, (thread, ending));
            }
            Effect::StartHelper { helper, scope, server } => {
                match self.probes.values_mut().find(|probe| probe.thread == scope.thread) {
                    Some(probe) => probe.scope = Some(scope),
                    None => {
                        self.owner(scope.generation);
                    }
                }
                assert!(
                    !self.vacant.contains(&scope.thread),
                    "K2: a helper starts in a thread whose job run has ended"
                );
                let twin = self.alive.values().find(|p| p.scope.thread == scope.thread && p.server == server);
                assert_eq!(twin, None, "K11: a second helper of one server in one thread");
                let process = Process {
                    scope,
                    server,
                    started: self.now,
                    ready: None,
                    lent: 0,
                    idle: None,
                    renewed: false,
                    dying: false,
                    stuck: false,
                };
                self.assert_may_start(&process);
                self.alive.insert(helper, process);
            }
            Effect::StopHelper { helper, how } => {
                let process = self.alive.get_mut(&helper).expect("K9: a helper that is gone is stopped");
                let of_live_scope = match self.probes.values().find(|p| p.scope == Some(process.scope)) {
                    Some(probe) => {
                        !probe.done && self.connected.contains(&probe.connection) && self.shutdowns == 0
                    }
                    None => !self.owners[&process.scope.generation].stopping,
                };
                let is_probes = self.probes.values().any(|p| p.scope == Some(process.scope));
                // Who has it from a later loan is about to call.
                let idle = how == StopHow::Idle && process.idle == Some(process.lent) && !is_probes;
                // A helper that ends by itself may be hurried; one that works may not.
                assert!(
                    !of_live_scope || process.renewed || idle || process.dying,
                    "K9: a helper of a live scope is stopped"
                );
                process.dying = true;
            }
            Effect::HelperFor { ticket, result } => {
                match self.probes.get_mut(&ticket) {
                    Some(probe) => probe.given = true,
                    None => {
                        assert!(self.wants.remove(&ticket), "nobody wanted {ticket:?}");
                        self.answered(ticket);
                    }
                }
                match result {
                    Ok(helper) => {
                        let process = self.alive.get_mut(&helper).expect("a helper that is gone is lent");
                        assert!(!process.dying, "a helper that ends is lent");
                        process.lent += 1;
                    }
                    Err(Refusal::Crashed { .. }) => self.assert_crashed(),
                    Err(Refusal::BackingOff { left, .. }) => assert!(left > PATIENCE, "refused a short wait"),
                    Err(Refusal::TooManyHelpers { limit }) => {
                        assert!(self.alive.len() >= limit, "refused below the limit");
                    }
                    Err(_) => {}
                }
            }
            Effect::HelperCrashed { .. } => self.assert_crashed(),
            Effect::Announce { thread, news } => {
                self.assert_gone(thread, &format!("{news:?} is announced, it is"));
                if matches!(news, News::Unloaded | News::Closed) {
                    let loaded = self.server.loaded().find(|l| l.thread == thread);
                    assert!(loaded.is_none(), "K4: a loaded thread is announced closed");
                }
                self.keepers.retain(|(_, t)| *t != thread);
            }
            Effect::Finished { stuck } => {
                assert!(!self.finished, "finished twice");
                self.finished = true;
                let alive = self.alive.keys().copied().collect::<Vec<_>>();
                assert_eq!(alive, stuck, "K2: shutdown is complete while helpers live");
            }
        }
    }

    /// K2: no process and no owner of the thread is left.
    fn assert_gone(&self, thread: ThreadId, what: &str) {
        let helper = self.alive.values().find(|p| p.scope.thread == thread);
        assert_eq!(helper, None, "K2: {what} closed while a helper lives");
        let owner = self.owners.values().find(|o| o.thread == thread && o.stopping && !o.gone);
        assert_eq!(owner, None, "K2: {what} closed while its owner runs");
    }

    pub(super) fn check(&self) {
        for (id, process) in &self.alive {
            let known = self.server.helpers().find(|(h, ..)| h == id);
            let (_, scope, _, state) = known.expect("K1: a process without a scope");
            assert_eq!(scope, process.scope, "K1: a process in another's scope");
            let owned = self.server.is_probe(scope)
                || self.server.loaded().any(|l| l.thread == scope.thread && l.generation == scope.generation);
            let ending = matches!(state, HelperState::Stopping | HelperState::Stuck);
            assert!(owned || ending, "K1: a process whose scope has no owner and that is not being ended");
        }
        for loaded in self.server.loaded() {
            let kept = self.server.threads[&loaded.thread].timer.is_some()
                || self.keepers.iter().any(|(_, t)| *t == loaded.thread)
                || self.owners[&loaded.generation].active;
            assert!(kept, "K3: {:?} is loaded without subscriber, turn or grace", loaded.thread);
        }
        // Nobody may answer any more, or nobody has for long enough.
        for owner in self.owners.values().filter(|owner| owner.waits && !owner.gone) {
            let may_wait = owner.interrupted || self.shutdowns == 0;
            assert!(may_wait, "a shutdown waits for an answer that nobody gives");
            let heard = owner.interrupted
                || self.server.poll_timeout().is_some()
                || self.keepers.iter().any(|(_, t)| *t == owner.thread);
            assert!(heard, "K8: an orphan's question waits for ever");
        }
        self.check_failures();
    }
}
