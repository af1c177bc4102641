//! Scopes and their helpers: one start however many ask (K11), and an end that is proven (K1, K9).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::{HelperId, ThreadId, Ticket};
use crate::time::Time;

use super::supervision::Place;
use super::{Answer, Effect, Refusal, Scope, Server, ServerName, StopHow};

/// One helper that is not proven gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Helper {
    pub(super) scope: Scope,
    pub(super) server: ServerName,
    pub(super) state: HelperState,
    /// Who waits for it to be ready.
    pub(super) waiters: Vec<Ticket>,
    /// Its scope is a probe's.
    of_probe: bool,
    /// When it was, if it is not queued.
    pub(super) started: Time,
    /// How often it was lent.
    lent: u64,
}

/// Where a helper stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HelperState {
    /// Waits until an earlier helper of the same server and thread is proven gone, and until it may be started after
    /// failures; no process yet.
    Queued,
    /// Its process may exist; it has not answered `initialize` yet.
    Starting,
    /// It takes calls.
    Ready,
    /// It is being ended, by Verger or by itself.
    Stopping,
    /// It could not be proven gone within the limit.
    Stuck,
}

impl HelperState {
    /// Its name in `verger ps` and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stuck => "stuck",
        }
    }
}

/// A `config/mcpServer/reload`, a `verger/helper/restart` or the end of a job run that waits for helpers to be proven gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reload {
    pub(super) ticket: Ticket,
    pub(super) waits_for: BTreeSet<HelperId>,
    pub(super) answer: Answer,
}

impl Server {
    pub(super) fn helper_wanted(
        &mut self,
        now: Time,
        scope: Scope,
        server: ServerName,
        ticket: Ticket,
        patience: Duration,
    ) {
        let may_start =
            self.current(scope.thread, scope.generation).is_some_and(|l| l.then.is_none() && !l.vacated);
        if !may_start {
            return self.helper_for(ticket, Err(Refusal::Closed));
        }
        let admitted =
            self.admit_start(now, &Place { thread: Some(scope.thread), server: server.clone() }, patience);
        let usable = self
            .helpers
            .iter_mut()
            .find(|(_, h)| h.scope == scope && h.server == server && h.state <= HelperState::Ready);
        match usable {
            Some((&id, Helper { state: HelperState::Ready, .. })) => self.helper_for(ticket, Ok(id)),
            Some((_, helper)) if helper.state == HelperState::Starting => helper.waiters.push(ticket),
            queued => match (admitted, queued) {
                (Err(refusal), _) => self.helper_for(ticket, Err(refusal)),
                (Ok(()), Some((_, helper))) => helper.waiters.push(ticket),
                (Ok(()), None) => self.queue_helper(now, scope, server, vec![ticket]),
            },
        }
    }

    /// Adds a helper that starts as soon as no earlier one of the same server and thread is left, and its failures allow.
    pub(super) fn queue_helper(&mut self, now: Time, scope: Scope, server: ServerName, waiters: Vec<Ticket>) {
        let is_stuck = |h: &Helper| h.replaces(scope, &server) && h.state == HelperState::Stuck;
        let refusal = match self.shutdown {
            Some(_) => Some(Refusal::ShuttingDown),
            None => self.helpers.values().any(is_stuck).then_some(Refusal::Unproven),
        };
        if let Some(refusal) = refusal {
            for ticket in waiters {
                self.helper_for(ticket, Err(refusal.clone()));
            }
            return;
        }
        self.last_helper.0 += 1;
        let (state, of_probe) = (HelperState::Queued, self.is_probe(scope));
        self.helpers.insert(
            self.last_helper,
            Helper { scope, server, state, waiters, of_probe, started: now, lent: 0 },
        );
        self.start_if_free(now, self.last_helper);
    }

    /// Starts a queued helper unless something is in its way. What is over the limit is not waited for.
    fn start_if_free(&mut self, now: Time, id: HelperId) {
        let Some(helper) = self.helpers.get(&id) else { return };
        let (scope, server, place) = (helper.scope, helper.server.clone(), helper.place());
        let is_blocked = self.helpers.iter().any(|(&other, h)| other != id && h.replaces(scope, &server));
        if is_blocked || self.is_barred(now, &place) {
            return;
        }
        let limit = self.rules.max_helpers;
        if self.helpers.values().filter(|helper| helper.state != HelperState::Queued).count() >= limit {
            let refused = self.helpers.remove(&id).map(|helper| helper.waiters);
            for ticket in refused.unwrap_or_default() {
                self.helper_for(ticket, Err(Refusal::TooManyHelpers { limit }));
            }
            return;
        }
        if let Some(helper) = self.helpers.get_mut(&id) {
            (helper.state, helper.started) = (HelperState::Starting, now);
        }
        self.effects.push_back(Effect::StartHelper { helper: id, scope, server });
    }

    /// Starts those queued helpers that are free to.
    pub(super) fn start_queued(&mut self, now: Time, which: impl Fn(&Helper) -> bool) {
        let queued = self.helpers.iter().filter(|(_, h)| h.state == HelperState::Queued && which(h));
        for id in queued.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.start_if_free(now, id);
        }
    }

    pub(super) fn helper_for(&mut self, ticket: Ticket, result: Result<HelperId, Refusal>) {
        if let Some(helper) = result.as_ref().ok().and_then(|id| self.helpers.get_mut(id)) {
            helper.lent += 1;
        }
        self.effects.push_back(Effect::HelperFor { ticket, result });
    }

    pub(super) fn helper_ready(&mut self, now: Time, id: HelperId) {
        let Some(helper) = self.helpers.get_mut(&id) else { return };
        if helper.state == HelperState::Starting {
            helper.state = HelperState::Ready;
            for ticket in std::mem::take(&mut helper.waiters) {
                self.helper_for(ticket, Ok(id));
            }
            self.note_ready(now, id);
        }
    }

    /// A helper that ended by itself, during its start or later. The reaper is ending what is left of its tree.
    pub(super) fn helper_failed(&mut self, now: Time, id: HelperId, message: &str) {
        let Some(helper) = self.helpers.get_mut(&id) else { return };
        if !matches!(helper.state, HelperState::Starting | HelperState::Ready) {
            return self.note_reason(id, message);
        }
        helper.state = HelperState::Stopping;
        for ticket in std::mem::take(&mut helper.waiters) {
            self.helper_for(ticket, Err(Refusal::Helper(message.to_owned())));
        }
        self.note_failure(now, id, message);
    }

    /// A helper that nobody has called for long. Whoever wants it from here on waits for its successor.
    pub(super) fn helper_idle(&mut self, id: HelperId, lent: u64) {
        let Some(helper) = self.helpers.get(&id) else { return };
        // A probe's helper ends with its probe.
        if helper.state == HelperState::Ready && helper.lent == lent && !self.is_probe(helper.scope) {
            self.stop_helper(id, StopHow::Idle);
        }
    }

    pub(super) fn helper_gone(&mut self, now: Time, id: HelperId) {
        let Some(gone) = self.helpers.remove(&id) else { return };
        for ticket in gone.waiters {
            self.helper_for(ticket, Err(Refusal::Closed));
        }
        self.start_queued(now, |helper| helper.replaces(gone.scope, &gone.server));
        self.progress(gone.scope.thread);
        self.answer_probes();
        for reload in &mut self.reloads {
            reload.waits_for.remove(&id);
        }
        self.answer_reloads();
    }

    pub(super) fn helper_stuck(&mut self, id: HelperId) {
        let Some(stuck) = self.helpers.get_mut(&id) else { return };
        stuck.state = HelperState::Stuck;
        let (scope, server) = (stuck.scope, stuck.server.clone());
        let queued = |h: &Helper| h.state == HelperState::Queued && h.replaces(scope, &server);
        let given_up = self.helpers.iter().filter(|(_, h)| queued(h)).map(|(&id, _)| id).collect::<Vec<_>>();
        for id in given_up {
            let waiters = self.helpers.remove(&id).map(|helper| helper.waiters);
            for ticket in waiters.unwrap_or_default() {
                self.helper_for(ticket, Err(Refusal::Unproven));
            }
        }
        self.refuse_if_stuck(scope.thread);
        self.refuse_probe_of(scope);
        self.progress(scope.thread);
        // The end of a job run goes on waiting.
        let is_failed = |reload: &Reload| reload.waits_for.contains(&id) && reload.answer != Answer::Vacated;
        let (failed, waiting) = std::mem::take(&mut self.reloads).into_iter().partition(is_failed);
        self.reloads = waiting;
        for Reload { ticket, .. } in failed {
            self.refuse(ticket, Refusal::Unproven);
        }
    }

    /// Ends every helper of a scope that is nobody's any more (K9).
    pub(super) fn stop_scope(&mut self, scope: Scope, how: StopHow) {
        let of_scope = self.helpers.iter().filter(|(_, h)| h.scope == scope).map(|(&id, _)| id);
        for id in of_scope.collect::<Vec<_>>() {
            for ticket in self.stop_helper(id, how) {
                self.helper_for(ticket, Err(Refusal::Closed));
            }
        }
    }

    /// Ends one helper and returns who waited for it.
    fn stop_helper(&mut self, id: HelperId, how: StopHow) -> Vec<Ticket> {
        let Some(helper) = self.helpers.get_mut(&id) else { return Vec::new() };
        let waiters = std::mem::take(&mut helper.waiters);
        match helper.state {
            HelperState::Queued => {
                self.helpers.remove(&id);
            }
            HelperState::Starting | HelperState::Ready => {
                helper.state = HelperState::Stopping;
                self.effects.push_back(Effect::StopHelper { helper: id, how });
            }
            // Already ending; less patience than before is the only news there can be.
            HelperState::Stopping => self.effects.push_back(Effect::StopHelper { helper: id, how }),
            HelperState::Stuck => {}
        }
        waiters
    }

    /// What has no process when shutdown begins never gets one.
    pub(super) fn drop_queued_helpers(&mut self) {
        let queued = self.helpers.extract_if(.., |_, helper| helper.state == HelperState::Queued);
        for ticket in queued.flat_map(|(_, helper)| helper.waiters).collect::<Vec<_>>() {
            self.helper_for(ticket, Err(Refusal::ShuttingDown));
        }
    }

    pub(super) fn kill_stopping_helpers(&mut self) {
        for (&helper, Helper { state, .. }) in &self.helpers {
            if *state == HelperState::Stopping {
                self.effects.push_back(Effect::StopHelper { helper, how: StopHow::Kill });
            }
        }
    }

    pub(super) fn reload(&mut self, now: Time, ticket: Ticket, changed: &BTreeSet<ServerName>) {
        let Some(waits_for) = self.replace(now, ticket, false, |helper| changed.contains(&helper.server))
        else {
            return;
        };
        // What was to blame may be mended in the configuration, or beside it.
        self.forget_failures(|_| true);
        self.start_queued(now, |_| true);
        self.reloads.push(Reload { ticket, waits_for, answer: Answer::Reloaded });
        self.answer_reloads();
    }

    pub(super) fn restart(
        &mut self,
        now: Time,
        ticket: Ticket,
        server: &ServerName,
        thread: Option<ThreadId>,
    ) {
        if self.is_shutting_down() {
            return self.refuse(ticket, Refusal::ShuttingDown);
        }
        let is_meant =
            |place: &Place| place.server == *server && (thread.is_none() || place.thread == thread);
        let Some(waits_for) = self.replace(now, ticket, true, |helper| is_meant(&helper.place())) else {
            return;
        };
        let failed = self.forget_failures(is_meant);
        let forgiven = failed.len();
        for (scope, server) in failed {
            let has_owner = self.threads.get(&scope.thread).is_some_and(|loaded| {
                loaded.generation == scope.generation
                    && loaded.opening.is_none()
                    && loaded.then.is_none()
                    && !loaded.vacated
            });
            let is_there =
                |h: &Helper| h.scope == scope && h.server == server && h.state <= HelperState::Ready;
            if has_owner && !self.helpers.values().any(is_there) {
                self.queue_helper(now, scope, server, Vec::new());
            }
        }
        self.start_queued(now, |helper| is_meant(&helper.place()));
        let answer = Answer::Restarted { ended: waits_for.len(), forgiven };
        self.reloads.push(Reload { ticket, waits_for, answer });
        self.answer_reloads();
    }

    /// Ends these helpers and queues another for each that is waited for, or for each of a thread if `all`. Returns whose
    /// proof is to be waited for; `None` if the request is refused.
    fn replace(
        &mut self,
        now: Time,
        ticket: Ticket,
        all: bool,
        which: impl Fn(&Helper) -> bool,
    ) -> Option<BTreeSet<HelperId>> {
        let affected = self.helpers.iter().filter(|(_, helper)| which(helper));
        let affected = affected.map(|(&id, h)| (id, h.scope, h.server.clone(), h.state, h.of_probe));
        let affected = affected.collect::<Vec<_>>();
        if affected.iter().any(|(_, _, _, state, _)| *state == HelperState::Stuck) {
            self.refuse(ticket, Refusal::Unproven);
            return None;
        }
        let mut waits_for = BTreeSet::new();
        for (id, scope, server, state, of_probe) in affected {
            match state {
                // No process yet, and it will start as configured now.
                HelperState::Queued => continue,
                HelperState::Stopping => {}
                HelperState::Starting | HelperState::Ready | HelperState::Stuck => {
                    let waiters = self.stop_helper(id, StopHow::AfterCalls);
                    if !waiters.is_empty() || all && !of_probe {
                        self.queue_helper(now, scope, server, waiters);
                    }
                }
            }
            waits_for.insert(id);
        }
        Some(waits_for)
    }

    pub(super) fn answer_reloads(&mut self) {
        let (done, waiting) =
            std::mem::take(&mut self.reloads).into_iter().partition(|reload| reload.waits_for.is_empty());
        self.reloads = waiting;
        for Reload { ticket, answer, .. } in done {
            self.effects.push_back(Effect::Answer { ticket, answer });
        }
    }
}

impl Helper {
    /// Where its failures are counted.
    pub(super) fn place(&self) -> Place {
        Place { thread: Some(self.scope.thread).filter(|_| !self.of_probe), server: self.server.clone() }
    }

    /// Whether a helper of `server` for `scope`'s thread would be a second one beside this.
    fn replaces(&self, scope: Scope, server: &ServerName) -> bool {
        self.scope.thread == scope.thread && self.server == *server
    }
}
