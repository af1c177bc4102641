//! The account of failures, kept apart from the machine's: when a server may be started again, and when it must be.

use std::time::Duration;

use crate::ids::{ConnectionId, Generation, HelperId, ThreadId, Ticket};
use crate::server::{Event, HelperState, Restarts, ServerName};
use crate::time::Time;

use super::world::{Process, World, server_name};

/// Shorter than some waits and longer than others.
pub(super) const PATIENCE: Duration = Duration::from_millis(3);

/// One server in one thread, or in all probes.
pub(super) type Place = (Option<ThreadId>, ServerName);

/// What is known of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Failures {
    /// All that count as separate ones, since the last reason to forget them.
    times: Vec<Time>,
    crashed: bool,
    /// Its thread was unloaded since.
    left: bool,
}

/// Small enough for several waits and a healthy time to fit into one history.
pub(super) fn restarts(crash_limit: usize) -> Restarts {
    Restarts {
        delay: Duration::from_millis(4),
        delay_limit: Duration::from_millis(16),
        healthy_after: Duration::from_millis(30),
        crash_limit,
        crash_window: Duration::from_millis(100),
        seed: 6,
    }
}

impl Failures {
    /// The longest wait after the last failure.
    fn wait(&self, rules: &Restarts) -> Duration {
        let doublings = u32::try_from(self.times.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let full = 2_u32.checked_pow(doublings).map(|times| rules.delay * times);
        full.unwrap_or(rules.delay_limit).min(rules.delay_limit)
    }

    fn is_outdated(&self, now: Time, rules: &Restarts) -> bool {
        let may_be = !self.crashed || self.left;
        may_be && self.times.last().is_some_and(|last| last.after(rules.crash_window) <= now)
    }
}

impl World {
    fn place(&self, process: &Process) -> Place {
        let of_probe = process.scope.thread.0.as_u128() >= 1_000;
        (Some(process.scope.thread).filter(|_| !of_probe), process.server.clone())
    }

    /// Enters a failure before the machine hears of it.
    pub(super) fn enter_failure(&mut self, helper: HelperId) {
        let (now, rules) = (self.now, restarts(self.size.crash_limit));
        let process = self.alive[&helper].clone();
        let failures = self.failures.entry(self.place(&process)).or_default();
        if failures.is_outdated(now, &rules) {
            *failures = Failures::default();
        }
        if failures.crashed || failures.times.last().is_some_and(|last| process.started < *last) {
            return;
        }
        failures.times.push(now);
        let recent = failures.times.iter().filter(|at| now < at.after(rules.crash_window)).count();
        failures.crashed = recent >= rules.crash_limit;
        failures.left = false;
    }

    /// Forgets what helpers have made up for that are ready since long enough.
    pub(super) fn enter_health(&mut self) {
        let healthy_after = restarts(0).healthy_after;
        let is_healthy = |process: &&Process| {
            !process.dying && process.ready.is_some_and(|since| since.after(healthy_after) <= self.now)
        };
        let healed = self.alive.values().filter(is_healthy).map(|process| self.place(process));
        for place in healed.filter(|(thread, _)| thread.is_some()).collect::<Vec<_>>() {
            self.failures.remove(&place);
        }
    }

    /// The owner of this thread ends.
    pub(super) fn enter_unloading(&mut self, thread: ThreadId) {
        let of_thread = self.failures.iter_mut().filter(|((of, _), _)| *of == Some(thread));
        of_thread.for_each(|(_, failures)| failures.left = true);
    }

    /// A reload of one server, or its restart in one thread or everywhere: what it ends, and what it forgets.
    pub(super) fn renew(&mut self, restart: Option<Option<ThreadId>>) {
        let ticket = self.ask(None);
        let server = server_name(0);
        let thread = restart.flatten();
        let is_meant = |process: &Process| {
            process.server == server && thread.is_none_or(|thread| process.scope.thread == thread)
        };
        let meant = self.alive.iter().filter(|(_, process)| is_meant(process)).map(|(&id, _)| id);
        let meant = meant.collect::<Vec<_>>();
        let is_refused =
            meant.iter().any(|id| self.alive[id].stuck) || restart.is_some() && self.shutdowns > 0;
        if !is_refused {
            self.failures.retain(|(of, name), _| {
                restart.is_some() && !(*name == server && (thread.is_none() || *of == thread))
            });
        }
        for id in &meant {
            self.alive.get_mut(id).expect("it was found there").renewed = true;
        }
        self.reloads.insert(ticket, meant.into_iter().collect());
        self.handle(match restart {
            None => Event::Reload { ticket, changed: [server].into() },
            Some(thread) => Event::Restart { ticket, server, thread },
        });
    }

    /// A job run ends.
    pub(super) fn vacate(&mut self, connection: ConnectionId, thread: ThreadId) {
        let ticket = self.ask(Some(connection));
        self.may_vacate(ticket, connection, thread);
        let active = self.owners.iter().find(|(_, owner)| owner.thread == thread && owner.active);
        if let Some((&generation, _)) = active {
            self.vacating.insert(ticket, (connection, generation));
        }
        self.handle(Event::Vacate { ticket, connection, thread });
    }

    /// The thread's helpers may end, unless others keep it loaded. Its turn ends first.
    fn may_vacate(&mut self, ticket: Ticket, connection: ConnectionId, thread: ThreadId) {
        // Not by what clients were told: nobody is told when an owner dies and another takes its place.
        let loaded = self.server.threads.get(&thread);
        let others = loaded.is_some_and(|loaded| {
            loaded.subscriptions.values().any(|s| !s.observe && s.connection != connection)
        });
        let is_active = self.owners.values().any(|owner| owner.thread == thread && owner.active);
        let of_thread = self.alive.iter_mut().filter(|(_, process)| process.scope.thread == thread);
        let helpers = of_thread.map(|(&id, process)| {
            process.renewed |= !others && !is_active;
            id
        });
        let helpers = helpers.collect();
        self.reloads.insert(ticket, helpers);
        if !others && !is_active {
            self.vacant.insert(thread);
        }
    }

    /// Whoever waited for this owner's turn to end may go on.
    pub(super) fn vacate_idle(&mut self, thread: ThreadId, ended: Generation) {
        let waiting = self.vacating.extract_if(.., |_, (_, generation)| *generation == ended);
        for (ticket, (connection, _)) in waiting.collect::<Vec<_>>() {
            // Or it was answered that others follow the thread, or nobody waits any more.
            if self.pending.contains_key(&ticket)
                && self.connected.contains(&connection)
                && self.shutdowns == 0
            {
                self.may_vacate(ticket, connection, thread);
            }
        }
    }

    /// Holds a start to the account.
    pub(super) fn assert_may_start(&self, process: &Process) {
        assert_eq!(self.shutdowns, 0, "K11: a helper starts after shutdown began");
        assert!(self.alive.len() < self.size.max_helpers, "a helper starts over the limit");
        let rules = restarts(self.size.crash_limit);
        let failures = self.failures.get(&self.place(process));
        let Some(failures) = failures.filter(|failures| !failures.is_outdated(self.now, &rules)) else {
            return;
        };
        assert!(!failures.crashed, "a crashed server is started: {process:?}");
        let Some(last) = failures.times.last() else { return };
        let certain = failures.wait(&rules) / 2;
        assert!(last.after(certain) <= self.now, "started {:?} after {failures:?}", self.now);
    }

    pub(super) fn assert_crashed(&self) {
        assert!(self.failures.values().any(|failures| failures.crashed), "called crashed before its time");
    }

    /// Nothing waits without a cause, and nothing is remembered without one.
    pub(super) fn check_failures(&self) {
        let rules = restarts(self.size.crash_limit);
        for (id, scope, server, _) in
            self.server.helpers().filter(|(.., state)| *state == HelperState::Queued)
        {
            let is_twin = |p: &Process| p.scope.thread == scope.thread && p.server == *server;
            let of_probe = scope.thread.0.as_u128() >= 1_000;
            let place = (Some(scope.thread).filter(|_| !of_probe), server.clone());
            let waits = self.failures.get(&place).is_some_and(|failures| {
                let last = failures.times.last();
                !failures.crashed && last.is_some_and(|last| self.now < last.after(failures.wait(&rules)))
            });
            assert!(waits || self.alive.values().any(is_twin), "{id:?} waits for nothing");
        }
        for (place, record) in &self.server.supervision.records {
            assert!(record.failures.len() <= rules.crash_limit, "more failures are kept than are counted");
            let is_loaded = place.thread.is_none_or(|thread| self.server.threads.contains_key(&thread));
            assert!(
                record.timer.is_some() || record.crashed && is_loaded,
                "{place:?} is remembered for ever"
            );
        }
    }
}
