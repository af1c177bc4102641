//! The facts between threads: who is connected, who follows which thread, which threads are loaded and under which
//! generation, and which helpers live in whose scope.
//!
//! The machine is driven from outside: [`Server::handle`] takes one [`Event`], [`Server::poll_effect`] yields what is to
//! be done, [`Server::poll_timeout`] says when [`Server::handle_timeout`] wants to be called. It moves when someone comes
//! or goes, never for a delta.
//!
//! - `subscriptions`: clients that come, follow and leave
//! - `loaded`: one loaded thread, its owner and the orphan rules (K3, K4)
//! - `closing`: an owner that ends, and what waits for the proof (K2)
//! - `rows`: changes of a stored thread that has no owner
//! - `helpers`: scopes and their helpers (K1, K9, K11)
//! - `supervision`: what follows from their failures
//! - `probes`: requests with a scope of their own
//! - `vacating`: a job run that has ended

mod closing;
mod effect;
mod event;
mod helpers;
mod loaded;
mod probes;
mod rows;
mod rules;
mod subscriptions;
mod supervision;
mod vacating;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

pub use effect::{Answer, Effect, News, Origin, Refusal, StopHow};
pub use event::{Edit, Ending, Event, OpenError, StoreFailure};
pub use helpers::HelperState;
pub use rules::{OrphanTurn, Restarts, Rules};
pub use supervision::{Bar, Trouble};

use crate::ids::{ConnectionId, Generation, HelperId, SubscriptionId, ThreadId, Ticket};
use crate::time::Time;

use closing::Closing;
use helpers::{Helper, Reload};
use loaded::Loaded;
use probes::Probe;
use rows::Errand;
use supervision::Supervision;

/// Name of an MCP server in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(pub Arc<str>);

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for ServerName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

/// What a helper belongs to: an owner of a thread, or a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The thread; of a probe an id that no thread has.
    pub thread: ThreadId,
    /// Which of its owners.
    pub generation: Generation,
}

/// The machine. `Clone`, `Eq` and `Hash` exist for the exhaustive search over its states.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    rules: Rules,
    last_generation: Generation,
    last_subscription: SubscriptionId,
    last_helper: HelperId,
    /// Each connection with the threads that it follows.
    connections: BTreeMap<ConnectionId, BTreeSet<ThreadId>>,
    /// Each thread's current owner.
    threads: BTreeMap<ThreadId, Loaded>,
    /// Owners that are ending; a thread may be loaded again meanwhile, under a new generation.
    closing: BTreeMap<Generation, Closing>,
    /// Changes of threads that have no owner.
    errands: BTreeMap<ThreadId, Errand>,
    helpers: BTreeMap<HelperId, Helper>,
    supervision: Supervision,
    probes: BTreeMap<Ticket, Probe>,
    reloads: Vec<Reload>,
    /// When to look at a thread again; the thread keeps its own entry, so that it can be withdrawn.
    timers: BTreeSet<(Time, ThreadId, Generation)>,
    shutdown: Option<Shutdown>,
    /// Events that named an unknown connection, or an owner that is no longer.
    stale: u64,
    effects: VecDeque<Effect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shutdown {
    /// Active turns are interrupted from here on.
    drained: Time,
    hurried: bool,
    finished: bool,
}

impl Server {
    /// A server that nobody is connected to.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            last_generation: Generation(0),
            last_subscription: SubscriptionId(0),
            last_helper: HelperId(0),
            connections: BTreeMap::new(),
            threads: BTreeMap::new(),
            closing: BTreeMap::new(),
            errands: BTreeMap::new(),
            helpers: BTreeMap::new(),
            supervision: Supervision::default(),
            probes: BTreeMap::new(),
            reloads: Vec::new(),
            timers: BTreeSet::new(),
            shutdown: None,
            stale: 0,
            effects: VecDeque::new(),
        }
    }

    /// Takes one input. Poll the effects until there are none before the next.
    pub fn handle(&mut self, now: Time, event: Event) {
        let Some(event) = self.unless_waiting(event) else { return };
        match event {
            Event::Connected { connection } => {
                self.connections.entry(connection).or_default();
            }
            Event::Disconnected { connection, cut } => self.disconnect(now, connection, cut),
            Event::Start { ticket, connection, thread, ephemeral } => {
                self.start(ticket, connection, thread, ephemeral);
            }
            Event::Resume { ticket, connection, thread, observe } => {
                self.resume(now, ticket, connection, thread, observe);
            }
            Event::Fork { ticket, connection, source, thread, ephemeral } => {
                self.fork(ticket, connection, source, thread, ephemeral);
            }
            Event::Unsubscribe { ticket, connection, thread } => {
                self.unsubscribe(now, ticket, connection, thread);
            }
            Event::Request { ticket, connection, thread, begins_turn } => {
                self.request(ticket, connection, thread, begins_turn);
            }
            Event::Edit { ticket, connection, thread, edit } => self.edit(ticket, connection, thread, edit),
            Event::Edited { thread, generation, result } => self.edited(now, thread, generation, result),
            Event::Probe { ticket, connection, thread, server, patience } => {
                self.probe(now, ticket, connection, thread, server, patience);
            }
            Event::ProbeDone { ticket } => self.probe_done(ticket),
            Event::End { ticket, connection, thread, ending } => {
                self.end(now, ticket, connection, thread, ending);
            }
            Event::Reload { ticket, changed } => self.reload(now, ticket, &changed),
            Event::Restart { ticket, server, thread } => self.restart(now, ticket, &server, thread),
            Event::Vacate { ticket, connection, thread } => self.vacate(now, ticket, connection, thread),
            Event::Opened { thread, generation, result } => self.opened(now, thread, generation, result),
            Event::AttachFailed { thread, generation, subscription } => {
                self.attach_failed(now, thread, generation, subscription);
            }
            Event::Materialized { thread, generation } => self.materialized(now, thread, generation),
            Event::Idle { thread, generation, seen } => self.idle(now, thread, generation, seen),
            Event::Waits { thread, generation, waits } => self.waits(now, thread, generation, waits),
            Event::Stopped { thread: _, generation } => self.stopped(generation),
            Event::OwnerDied { thread, generation } => self.owner_died(now, thread, generation),
            Event::Stored { thread: _, generation, result } => self.stored(generation, result),
            Event::HelperWanted { thread, generation, server, ticket, patience } => {
                self.helper_wanted(now, Scope { thread, generation }, server, ticket, patience);
            }
            Event::HelperReady { helper } => self.helper_ready(now, helper),
            Event::HelperFailed { helper, message } => self.helper_failed(now, helper, &message),
            Event::HelperExited { helper } => self.helper_failed(now, helper, "it exited by itself"),
            Event::HelperIdle { helper, lent } => self.helper_idle(helper, lent),
            Event::HelperGone { helper } => self.helper_gone(now, helper),
            Event::HelperStuck { helper } => self.helper_stuck(helper),
            Event::Shutdown => self.shut_down(now),
        }
        self.finish();
    }

    /// The next thing to do; `None` when all is done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call [`Self::handle_timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        let thread = self.timers.first().map(|&(at, ..)| at);
        [thread, self.supervision.next_timer()].into_iter().flatten().min()
    }

    /// Looks at every thread, and at every server that has failed, whose time has come.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(&(at, thread, generation)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            if let Some(loaded) = self.threads.get_mut(&thread)
                && loaded.generation == generation
            {
                loaded.timer = None;
                self.settle(now, thread);
            }
        }
        while let Some(place) = self.supervision.pop_due(now) {
            self.look_at(now, &place);
        }
        self.finish();
    }

    fn shut_down(&mut self, now: Time) {
        match &mut self.shutdown {
            None => {
                let drained = now.after(self.rules.drain_limit);
                self.shutdown = Some(Shutdown { drained, hurried: false, finished: false });
                self.drop_queued_helpers();
                self.end_all_probes();
            }
            Some(shutdown) => {
                shutdown.drained = now;
                shutdown.hurried = true;
                self.kill_stopping_helpers();
            }
        }
        for thread in self.threads.keys().copied().collect::<Vec<_>>() {
            self.settle(now, thread);
        }
    }

    /// Reports the end of a shutdown, once.
    fn finish(&mut self) {
        let Some(shutdown) = &mut self.shutdown else { return };
        let stuck = |helper: &Helper| helper.state == HelperState::Stuck;
        let held = |closing: &Closing| self.helpers.values().any(|h| stuck(h) && h.scope == closing.scope);
        if shutdown.finished
            || !self.threads.is_empty()
            || !self.errands.is_empty()
            || !self.probes.is_empty()
            || !self.helpers.values().all(stuck)
            || !self.closing.values().all(|c| c.stopped && held(c))
        {
            return;
        }
        shutdown.finished = true;
        self.effects.push_back(Effect::Finished { stuck: self.helpers.keys().copied().collect() });
    }

    fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }

    fn next_generation(&mut self) -> Generation {
        self.last_generation.0 += 1;
        self.last_generation
    }

    /// Threads that have an owner, in order of their ids (which is the order of their creation).
    pub fn loaded(&self) -> impl Iterator<Item = LoadedThread> + '_ {
        self.threads.iter().filter(|(_, loaded)| loaded.opening.is_none()).map(|(&thread, loaded)| {
            LoadedThread {
                thread,
                generation: loaded.generation,
                subscriptions: loaded.subscriptions.len(),
                is_active: loaded.is_active(),
            }
        })
    }

    /// The number of the thread's owner, also of one that is still opening.
    pub fn owner_of(&self, thread: ThreadId) -> Option<Generation> {
        self.threads.get(&thread).map(|loaded| loaded.generation)
    }

    /// Helpers that are not proven gone.
    pub fn helpers(&self) -> impl Iterator<Item = (HelperId, Scope, &ServerName, HelperState)> + '_ {
        self.helpers.iter().map(|(&id, helper)| (id, helper.scope, &helper.server, helper.state))
    }

    /// Whether a scope is a probe's.
    pub fn is_probe(&self, scope: Scope) -> bool {
        self.probes.values().any(|probe| probe.scope == scope)
    }

    /// How many clients are connected.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many events were dropped because they named an unknown connection or an owner that is no longer (K4).
    pub fn stale_events(&self) -> u64 {
        self.stale
    }
}

/// What [`Server::loaded`] tells of a thread.
#[derive(Clone, Copy, Debug)]
pub struct LoadedThread {
    /// Its id.
    pub thread: ThreadId,
    /// Its owner's number.
    pub generation: Generation,
    /// How many subscriptions it has, observers included.
    pub subscriptions: usize,
    /// Whether a turn is active.
    pub is_active: bool,
}
