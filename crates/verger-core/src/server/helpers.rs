//! Scopes and their helpers: one start however many ask (K11), and an end that is proven (K1, K9).

use std::collections::BTreeSet;

use crate::ids::{HelperId, Ticket};

use super::{Answer, Effect, Refusal, Scope, Server, ServerName, StopHow};

/// One helper that is not proven gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Helper {
    pub(super) scope: Scope,
    pub(super) server: ServerName,
    pub(super) state: HelperState,
    /// Who waits for it to be ready.
    waiters: Vec<Ticket>,
    /// How often it was lent.
    lent: u64,
}

/// Where a helper stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HelperState {
    /// Waits until an earlier helper of the same server and thread is proven gone; no process yet.
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

/// A `config/mcpServer/reload` that waits for helpers to be proven gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reload {
    ticket: Ticket,
    waits_for: BTreeSet<HelperId>,
}

impl Server {
    pub(super) fn helper_wanted(&mut self, scope: Scope, server: ServerName, ticket: Ticket) {
        let may_start = self.current(scope.thread, scope.generation).is_some_and(|l| l.then.is_none());
        if !may_start {
            return self.helper_for(ticket, Err(Refusal::Closed));
        }
        let usable = self
            .helpers
            .iter_mut()
            .find(|(_, h)| h.scope == scope && h.server == server && h.state <= HelperState::Ready);
        match usable {
            Some((&id, Helper { state: HelperState::Ready, .. })) => self.helper_for(ticket, Ok(id)),
            Some((_, helper)) => helper.waiters.push(ticket),
            None => self.queue_helper(scope, server, vec![ticket]),
        }
    }

    /// Adds a helper that starts as soon as no earlier one of the same server and thread is left.
    pub(super) fn queue_helper(&mut self, scope: Scope, server: ServerName, waiters: Vec<Ticket>) {
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
        let helper = Helper { scope, server, state: HelperState::Queued, waiters, lent: 0 };
        self.helpers.insert(self.last_helper, helper);
        self.start_if_alone(self.last_helper);
    }

    fn start_if_alone(&mut self, id: HelperId) {
        let Some(helper) = self.helpers.get(&id) else { return };
        let (scope, server) = (helper.scope, helper.server.clone());
        let is_blocked = self.helpers.iter().any(|(&other, h)| other != id && h.replaces(scope, &server));
        if is_blocked {
            return;
        }
        if let Some(helper) = self.helpers.get_mut(&id) {
            helper.state = HelperState::Starting;
        }
        self.effects.push_back(Effect::StartHelper { helper: id, scope, server });
    }

    fn helper_for(&mut self, ticket: Ticket, result: Result<HelperId, Refusal>) {
        if let Some(helper) = result.as_ref().ok().and_then(|id| self.helpers.get_mut(id)) {
            helper.lent += 1;
        }
        self.effects.push_back(Effect::HelperFor { ticket, result });
    }

    pub(super) fn helper_ready(&mut self, id: HelperId) {
        let Some(helper) = self.helpers.get_mut(&id) else { return };
        if helper.state == HelperState::Starting {
            helper.state = HelperState::Ready;
            for ticket in std::mem::take(&mut helper.waiters) {
                self.helper_for(ticket, Ok(id));
            }
        }
    }

    /// A helper that ended by itself, during its start or later. The reaper is ending what is left of its tree.
    pub(super) fn helper_failed(&mut self, id: HelperId, message: &str) {
        let Some(helper) = self.helpers.get_mut(&id) else { return };
        if matches!(helper.state, HelperState::Starting | HelperState::Ready) {
            helper.state = HelperState::Stopping;
            for ticket in std::mem::take(&mut helper.waiters) {
                self.helper_for(ticket, Err(Refusal::Helper(message.to_owned())));
            }
        }
    }

    /// A helper that nobody has called for long. Whoever wants it from here on waits for its successor.
    pub(super) fn helper_idle(&mut self, id: HelperId, lent: u64) {
        let Some(helper) = self.helpers.get(&id) else { return };
        // A probe's helper ends with its probe.
        if helper.state == HelperState::Ready && helper.lent == lent && !self.is_probe(helper.scope) {
            self.stop_helper(id, StopHow::Idle);
        }
    }

    pub(super) fn helper_gone(&mut self, id: HelperId) {
        let Some(gone) = self.helpers.remove(&id) else { return };
        for ticket in gone.waiters {
            self.helper_for(ticket, Err(Refusal::Closed));
        }
        let next = self.helpers.iter().find(|(_, h)| {
            h.state == HelperState::Queued && h.server == gone.server && h.scope.thread == gone.scope.thread
        });
        if let Some((&next, _)) = next {
            self.start_if_alone(next);
        }
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
        let (failed, waiting) =
            std::mem::take(&mut self.reloads).into_iter().partition(|reload| reload.waits_for.contains(&id));
        self.reloads = waiting;
        for Reload { ticket, .. } in failed {
            self.refuse(ticket, Refusal::Unproven);
        }
    }

    /// Ends every helper of a scope. The caller has removed the scope's owner, so nothing can start in it again (K9).
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

    pub(super) fn reload(&mut self, ticket: Ticket, changed: &BTreeSet<ServerName>) {
        let affected = self.helpers.iter().filter(|(_, h)| changed.contains(&h.server));
        let affected = affected.map(|(&id, h)| (id, h.scope, h.server.clone(), h.state)).collect::<Vec<_>>();
        if affected.iter().any(|(.., state)| *state == HelperState::Stuck) {
            return self.refuse(ticket, Refusal::Unproven);
        }
        let mut waits_for = BTreeSet::new();
        for (id, scope, server, state) in affected {
            match state {
                // No process yet, and it will start as configured now.
                HelperState::Queued => continue,
                HelperState::Stopping => {}
                HelperState::Starting | HelperState::Ready | HelperState::Stuck => {
                    let waiters = self.stop_helper(id, StopHow::AfterCalls);
                    if !waiters.is_empty() {
                        self.queue_helper(scope, server, waiters);
                    }
                }
            }
            waits_for.insert(id);
        }
        self.reloads.push(Reload { ticket, waits_for });
        self.answer_reloads();
    }

    fn answer_reloads(&mut self) {
        let (done, waiting) =
            std::mem::take(&mut self.reloads).into_iter().partition(|reload| reload.waits_for.is_empty());
        self.reloads = waiting;
        for Reload { ticket, .. } in done {
            self.effects.push_back(Effect::Answer { ticket, answer: Answer::Reloaded });
        }
    }
}

impl Helper {
    /// Whether a helper of `server` for `scope`'s thread would be a second one beside this.
    fn replaces(&self, scope: Scope, server: &ServerName) -> bool {
        self.scope.thread == scope.thread && self.server == *server
    }
}
