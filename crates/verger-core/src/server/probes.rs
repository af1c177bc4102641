//! Probes: a helper for one request, in a scope of its own, without a thread. The request is answered when the scope is
//! proven empty (K2).

use std::time::Duration;

use crate::ids::{ConnectionId, ThreadId, Ticket};
use crate::time::Time;

use super::supervision::Place;
use super::{Answer, Effect, Refusal, Scope, Server, ServerName, StopHow};

/// A request with a scope of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Probe {
    pub(super) scope: Scope,
    connection: ConnectionId,
    /// The executor has what it wanted, or will not get it.
    done: bool,
}

impl Server {
    pub(super) fn probe(
        &mut self,
        now: Time,
        ticket: Ticket,
        connection: ConnectionId,
        thread: ThreadId,
        server: ServerName,
        patience: Duration,
    ) {
        if !self.admit(ticket, connection) {
            return;
        }
        let scope = Scope { thread, generation: self.next_generation() };
        self.probes.insert(ticket, Probe { scope, connection, done: false });
        match self.admit_start(now, &Place { thread: None, server: server.clone() }, patience) {
            Ok(()) => self.queue_helper(now, scope, server, vec![ticket]),
            Err(refusal) => self.helper_for(ticket, Err(refusal)),
        }
    }

    pub(super) fn probe_done(&mut self, ticket: Ticket) {
        let Some(probe) = self.probes.get_mut(&ticket) else {
            self.stale += 1;
            return;
        };
        probe.done = true;
        let scope = probe.scope;
        self.stop_scope(scope, StopHow::Orderly);
        self.answer_probes();
    }

    /// Nobody waits for what a client that went wanted to know.
    pub(super) fn end_probes_of(&mut self, connection: ConnectionId) {
        let of_client = self.probes.values().filter(|probe| probe.connection == connection);
        for scope in of_client.map(|probe| probe.scope).collect::<Vec<_>>() {
            self.stop_scope(scope, StopHow::Orderly);
        }
    }

    pub(super) fn end_all_probes(&mut self) {
        for scope in self.probes.values().map(|probe| probe.scope).collect::<Vec<_>>() {
            self.stop_scope(scope, StopHow::Orderly);
        }
    }

    /// Answers those whose helper is proven gone.
    pub(super) fn answer_probes(&mut self) {
        let helpers = &self.helpers;
        let is_over = |probe: &Probe| probe.done && !helpers.values().any(|h| h.scope == probe.scope);
        let over = self.probes.extract_if(.., |_, probe| is_over(probe));
        for ticket in over.map(|(ticket, _)| ticket).collect::<Vec<_>>() {
            self.effects.push_back(Effect::Answer { ticket, answer: Answer::Probed });
        }
    }

    /// A helper of `scope` cannot be proven gone: its probe is told so, and not called over.
    pub(super) fn refuse_probe_of(&mut self, scope: Scope) {
        let of_scope = self.probes.extract_if(.., |_, probe| probe.scope == scope);
        for ticket in of_scope.map(|(ticket, _)| ticket).collect::<Vec<_>>() {
            self.refuse(ticket, Refusal::Unproven);
        }
    }
}
