//! A loaded thread: its subscriptions, and when it has to go (K3, K4).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{ConnectionId, Generation, SubscriptionId, ThreadId, Ticket};
use crate::time::Time;

use super::closing::Then;
use super::{Effect, Event, OpenError, Origin, OrphanTurn, Refusal, Rules, Server, Shutdown};

/// One loaded thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Loaded {
    pub(super) generation: Generation,
    /// Requests that wait for the owner task to run; `None` once it does.
    pub(super) opening: Option<Vec<Waiting>>,
    pub(super) ephemeral: bool,
    materialized: bool,
    /// Requests that may begin a turn: handed to the owner, and received by it when it last said that it was idle.
    pub(super) turns_sent: u64,
    turns_seen: u64,
    pub(super) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    pub(super) last_left: Left,
    orphan: Option<Orphan>,
    /// The active turn waits for an answer that only a client can give.
    waits: bool,
    /// The active turn was asked to end; cleared when it has.
    pub(super) interrupting: bool,
    /// A job run has ended in it, and nobody has come since: no helper starts.
    pub(super) vacated: bool,
    /// Job runs that have ended, and wait until their turn has.
    pub(super) vacating: Vec<(Ticket, ConnectionId)>,
    /// The entry in the machine's table of timers.
    pub(super) timer: Option<Time>,
    /// An earlier owner closed while this one was opening, and nobody was told, since the thread was to be loaded again.
    pub(super) owes_closed: bool,
    /// The thread ends as soon as its turn has.
    pub(super) then: Option<Then>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subscription {
    pub(super) connection: ConnectionId,
    pub(super) observe: bool,
}

/// A request that came before the owner ran.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Waiting {
    Attach {
        ticket: Ticket,
        connection: ConnectionId,
        observe: bool,
    },
    Forward {
        ticket: Ticket,
        begins_turn: bool,
    },
    /// Decided when it is known whether the thread is there.
    Again(Event),
}

/// How the last subscriber left that kept the thread loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Left {
    Unsubscribed,
    Disconnected,
    /// The server cut it.
    Cut,
}

/// Since when a thread is an orphan in this state; a grace runs from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Orphan {
    active: bool,
    since: Time,
    /// Since when its turn waits for an answer.
    waits: Option<Time>,
}

/// What a thread's facts demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Stay,
    LookAgain(Time),
    Interrupt,
    Close,
}

impl Loaded {
    fn new(generation: Generation, origin: Origin, first: Waiting) -> Self {
        Self {
            generation,
            opening: Some(vec![first]),
            ephemeral: matches!(
                origin,
                Origin::Fresh { ephemeral: true } | Origin::Forked { ephemeral: true, .. }
            ),
            materialized: origin == Origin::Saved,
            turns_sent: 0,
            turns_seen: 0,
            subscriptions: BTreeMap::new(),
            last_left: Left::Disconnected,
            orphan: None,
            waits: false,
            interrupting: false,
            vacated: false,
            vacating: Vec::new(),
            timer: None,
            owes_closed: false,
            then: None,
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.turns_sent != self.turns_seen
    }

    fn is_orphan(&self) -> bool {
        self.subscriptions.values().all(|subscription| subscription.observe)
    }

    /// The orphan rules: a function of the facts alone, so that a deadline can never be forgotten or outlive its cause.
    fn step(&mut self, now: Time, rules: &Rules, shutdown: Option<&Shutdown>) -> Step {
        let active = self.is_active();
        if self.then.is_some() {
            return if active { Step::Interrupt } else { Step::Close };
        }
        if let Some(shutdown) = shutdown {
            return match active {
                // Nobody is going to answer in time.
                true if now < shutdown.drained && !self.waits => Step::LookAgain(shutdown.drained),
                true => Step::Interrupt,
                false => Step::Close,
            };
        }
        if !self.is_orphan() {
            self.orphan = None;
            return Step::Stay;
        }
        let before = self.orphan.filter(|orphan| orphan.active == active);
        let mut orphan = before.unwrap_or(Orphan { active, since: now, waits: None });
        orphan.waits = self.waits.then(|| orphan.waits.unwrap_or(now));
        self.orphan = Some(orphan);
        let deadline = match orphan.waits {
            Some(since) if rules.orphan_turn == OrphanTurn::Finish => since.after(rules.orphan_request_limit),
            _ => orphan.since.after(self.patience(rules)),
        };
        match active {
            _ if now < deadline => Step::LookAgain(deadline),
            true => Step::Interrupt,
            false => Step::Close,
        }
    }

    /// How long the thread may stay an orphan in its present state.
    fn patience(&self, rules: &Rules) -> Duration {
        let grace = match self.last_left {
            Left::Cut => rules.resume_grace,
            Left::Unsubscribed | Left::Disconnected => Duration::ZERO,
        };
        let patience = match (self.is_active(), rules.orphan_turn) {
            (true, OrphanTurn::Finish) => rules.orphan_turn_limit,
            (true, OrphanTurn::Interrupt) => Duration::ZERO,
            (false, _) if self.ephemeral && self.last_left == Left::Unsubscribed => Duration::ZERO,
            (false, _) if self.ephemeral || !self.materialized => rules.unsaved_grace,
            (false, _) => rules.orphan_grace,
        };
        patience.max(grace)
    }
}

impl Server {
    pub(super) fn open(
        &mut self,
        ticket: Ticket,
        connection: ConnectionId,
        thread: ThreadId,
        origin: Origin,
        observe: bool,
    ) {
        let generation = self.next_generation();
        let first = Waiting::Attach { ticket, connection, observe };
        self.threads.insert(thread, Loaded::new(generation, origin, first));
        self.effects.push_back(Effect::Open { thread, generation, origin });
    }

    pub(super) fn opened(
        &mut self,
        now: Time,
        thread: ThreadId,
        generation: Generation,
        result: Result<(), OpenError>,
    ) {
        let Some(loaded) = self.current(thread, generation) else { return };
        let Some(waiting) = loaded.opening.take() else { return };
        if let Err(error) = result {
            let (then, owes_closed) = (loaded.then.take(), loaded.owes_closed);
            self.threads.remove(&thread);
            self.time_crashes_of(now, thread);
            if owes_closed {
                self.tell_closed(thread);
            }
            let mut again = Vec::new();
            for waiting in waiting {
                match waiting {
                    Waiting::Attach { ticket, .. } | Waiting::Forward { ticket, .. } => {
                        self.refuse(ticket, Refusal::Open(error.clone()));
                    }
                    Waiting::Again(event) => again.push(event),
                }
            }
            if let Some(then) = then {
                self.close_unloaded(thread, then);
            }
            for event in again {
                self.handle(now, event);
            }
            return;
        }
        for waiting in waiting {
            match waiting {
                Waiting::Attach { ticket, connection, observe } => {
                    self.attach(ticket, connection, thread, observe);
                }
                Waiting::Forward { ticket, begins_turn } => self.forward(ticket, thread, begins_turn),
                Waiting::Again(event) => self.handle(now, event),
            }
        }
        self.settle(now, thread);
    }

    pub(super) fn materialized(&mut self, now: Time, thread: ThreadId, generation: Generation) {
        let Some(loaded) = self.current(thread, generation) else { return };
        loaded.materialized = !loaded.ephemeral;
        self.settle(now, thread);
    }

    pub(super) fn idle(&mut self, now: Time, thread: ThreadId, generation: Generation, seen: u64) {
        let Some(loaded) = self.current(thread, generation) else { return };
        if seen > loaded.turns_seen {
            loaded.turns_seen = seen;
            // The turn that was to end has ended, whatever it waited for. One that began meanwhile has to be asked anew.
            (loaded.interrupting, loaded.waits) = (false, false);
        }
        self.vacate_idle(now, thread);
        self.settle(now, thread);
    }

    pub(super) fn waits(&mut self, now: Time, thread: ThreadId, generation: Generation, waits: bool) {
        let Some(loaded) = self.current(thread, generation) else { return };
        loaded.waits = waits && loaded.is_active();
        self.settle(now, thread);
    }

    /// The owner task failed without a word. Its thread ends here: what it was doing is lost with it, and what clients
    /// were told is durable.
    pub(super) fn owner_died(&mut self, now: Time, thread: ThreadId, generation: Generation) {
        if let Some(loaded) = self.threads.get_mut(&thread)
            && loaded.generation == generation
        {
            if loaded.opening.is_some() {
                let error = OpenError::Failed("the thread's owner failed; see the server's log".to_owned());
                return self.opened(now, thread, generation, Err(error));
            }
            (loaded.turns_seen, loaded.waits) = (loaded.turns_sent, false);
            self.close(now, thread);
        }
        self.stopped(generation);
    }

    /// The thread's entry, where `generation` is its current owner (K4).
    pub(super) fn current(&mut self, thread: ThreadId, generation: Generation) -> Option<&mut Loaded> {
        let current = self.threads.get_mut(&thread).filter(|loaded| loaded.generation == generation);
        if current.is_none() {
            self.stale += 1;
        }
        current
    }

    /// Does what the thread's facts demand. Called after every change to them.
    pub(super) fn settle(&mut self, now: Time, thread: ThreadId) {
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        if loaded.opening.is_some() {
            return;
        }
        let generation = loaded.generation;
        let step = loaded.step(now, &self.rules, self.shutdown.as_ref());
        let timer = if let Step::LookAgain(at) = step { Some(at) } else { None };
        if timer != loaded.timer {
            if let Some(old) = std::mem::replace(&mut loaded.timer, timer) {
                self.timers.remove(&(old, thread, generation));
            }
            self.timers.extend(timer.map(|at| (at, thread, generation)));
        }
        match step {
            Step::Stay | Step::LookAgain(_) => {}
            Step::Interrupt if loaded.interrupting => {}
            Step::Interrupt => {
                loaded.interrupting = true;
                self.effects.push_back(Effect::Interrupt { thread, generation });
            }
            Step::Close => self.close(now, thread),
        }
    }
}
