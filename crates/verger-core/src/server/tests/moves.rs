//! What can happen next in the world on paper.

use crate::ids::{ConnectionId, Generation, HelperId, ThreadId, Ticket};
use crate::server::{Edit, Ending};

use super::world::{World, thread};

/// How large a world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Size {
    pub(super) connections: u64,
    pub(super) threads: u128,
    pub(super) servers: usize,
    /// Whether the server cuts clients.
    pub(super) cuts: bool,
    /// Whether clients change what is written on threads.
    pub(super) edits: bool,
    /// Whether they ask for what needs a scope of its own.
    pub(super) probes: bool,
    /// Whether they end job runs.
    pub(super) jobs: bool,
    /// How many requests clients may send in all.
    pub(super) requests: u64,
    /// How many of them come before a shutdown may.
    pub(super) calm: u64,
    /// How many helpers may die by themselves or get stuck, in all.
    pub(super) mishaps: u64,
    /// How often a helper may seem idle, in all.
    pub(super) idles: u64,
    /// How often a turn may wait for an answer of a client's, in all.
    pub(super) waits: u64,
    /// With how many failures a server counts as crashed.
    pub(super) crash_limit: usize,
    pub(super) max_helpers: usize,
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Move {
    Connect(ConnectionId),
    /// Whether the server cut it.
    Disconnect(ConnectionId, bool),
    Start(ConnectionId, ThreadId, bool),
    Resume(ConnectionId, ThreadId, bool),
    /// Whose history, and the new thread.
    Fork(ConnectionId, ThreadId, ThreadId),
    Edit(ConnectionId, ThreadId, Edit),
    Probe(ConnectionId),
    Unsubscribe(ConnectionId, ThreadId),
    BeginTurn(ConnectionId, ThreadId),
    End(ConnectionId, ThreadId, Ending),
    Reload,
    /// A job run ends in a thread.
    Vacate(ConnectionId, ThreadId),
    /// In one thread, or everywhere.
    Restart(Option<ThreadId>),
    OwnerOpens(Generation),
    OwnerEndsTurn(Generation),
    /// Its turn waits for an answer of a client's, or does so no more.
    OwnerWaits(Generation),
    OwnerWants(Generation, usize),
    OwnerStops(Generation),
    OwnerDies(Generation),
    StoreAnswers(Generation),
    RowDone(ThreadId),
    ProbeDone(Ticket),
    HelperReady(HelperId),
    HelperFails(HelperId),
    HelperSeemsIdle(HelperId),
    HelperIdle(HelperId),
    HelperGone(HelperId),
    HelperStuck(HelperId),
    Stale(ThreadId, Generation),
    Timeout,
    Shutdown,
    Wait,
}

impl World {
    /// Everything that can happen next.
    pub(super) fn moves(&self) -> Vec<Move> {
        let mut moves = self.moves_owed();
        for c in (1..=self.size.connections).map(ConnectionId) {
            if !self.connected.contains(&c) {
                // Numbers are given in order and never again.
                if c.0 == self.ever_connected + 1 {
                    moves.push(Move::Connect(c));
                }
                continue;
            }
            moves.push(Move::Disconnect(c, false));
            if self.size.cuts {
                moves.push(Move::Disconnect(c, true));
            }
            if self.requests == self.size.requests {
                continue;
            }
            if self.size.probes {
                moves.push(Move::Probe(c));
            }
            for t in (1..=self.size.threads).map(thread) {
                if !self.started.contains(&t) {
                    moves.extend([Move::Start(c, t, false), Move::Start(c, t, true)]);
                    moves.extend(self.started.iter().map(|&source| Move::Fork(c, source, t)));
                    continue;
                }
                if self.unheard_of.contains(&t) {
                    continue;
                }
                if self.size.edits {
                    moves.extend([Move::Edit(c, t, Edit::Label), Move::Edit(c, t, Edit::Unarchive)]);
                }
                moves.extend([Move::Resume(c, t, false), Move::Resume(c, t, true), Move::Unsubscribe(c, t)]);
                moves.extend([Move::BeginTurn(c, t), Move::End(c, t, Ending::Archive)]);
                moves.push(Move::End(c, t, Ending::Delete));
                if self.size.jobs {
                    moves.push(Move::Vacate(c, t));
                }
            }
        }
        if self.requests < self.size.requests {
            moves.push(Move::Reload);
        }
        if self.requests < self.size.requests && !self.failures.is_empty() {
            moves.extend([Move::Restart(None), Move::Restart(Some(thread(1)))]);
        }
        for (&generation, owner) in &self.owners {
            if owner.opened && !owner.gone && self.requests < self.size.requests {
                moves.extend((0..self.size.servers).map(|s| Move::OwnerWants(generation, s)));
            }
            if owner.active && (owner.waits || self.waits < self.size.waits) {
                moves.push(Move::OwnerWaits(generation));
            }
            if owner.gone {
                moves.push(Move::Stale(owner.thread, generation));
            }
        }
        if self.mishaps < self.size.mishaps {
            let living = self.owners.iter().filter(|(_, owner)| !owner.gone);
            moves.extend(living.map(|(&generation, _)| Move::OwnerDies(generation)));
            moves.extend(
                self.alive
                    .iter()
                    .filter(|(_, p)| p.ready.is_some() && !p.dying)
                    .map(|(&h, _)| Move::HelperFails(h)),
            );
            moves.extend(
                self.alive.iter().filter(|(_, p)| p.dying && !p.stuck).map(|(&h, _)| Move::HelperStuck(h)),
            );
        }
        if self.idles < self.size.idles {
            let seem = self.alive.iter().filter(|(_, p)| p.ready.is_some() && !p.dying && p.idle.is_none());
            moves.extend(seem.map(|(&h, _)| Move::HelperSeemsIdle(h)));
        }
        if self.server.poll_timeout().is_some() {
            moves.push(Move::Timeout);
        }
        if self.shutdowns < 2 && self.requests >= self.size.calm {
            moves.push(Move::Shutdown);
        }
        if moves.is_empty() {
            moves.push(Move::Wait);
        }
        moves
    }

    /// What the executor owes; it all comes some day.
    pub(super) fn moves_owed(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (&g, owner) in &self.owners {
            if !owner.opened && !owner.gone {
                moves.push(Move::OwnerOpens(g));
            }
            // One that waits ends when the machine says so, or when it waits no more.
            if owner.active && (!owner.waits || owner.interrupted) {
                moves.push(Move::OwnerEndsTurn(g));
            } else if owner.stopping && !owner.gone {
                moves.push(Move::OwnerStops(g));
            }
        }
        moves.extend(self.asked.keys().map(|&g| Move::StoreAnswers(g)));
        moves.extend(self.edits.keys().map(|&t| Move::RowDone(t)));
        moves.extend(self.probes.iter().filter(|(_, probe)| probe.given).map(|(&t, _)| Move::ProbeDone(t)));
        for (&h, process) in &self.alive {
            if process.idle.is_some() {
                moves.push(Move::HelperIdle(h));
            }
            match (process.dying, process.ready.is_some()) {
                (true, _) => moves.push(Move::HelperGone(h)),
                (false, false) => moves.extend([Move::HelperReady(h), Move::HelperFails(h)]),
                (false, true) => {}
            }
        }
        moves
    }
}
