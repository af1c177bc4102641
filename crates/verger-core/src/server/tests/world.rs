//! An executor on paper: it owes an answer for each effect, and each answer may come at any later moment. What the machine
//! wants done is entered in `account`, which holds it to the invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use crate::ids::{ConnectionId, Generation, HelperId, ThreadId, Ticket};
use crate::server::{Edit, Ending, Event, OpenError, Origin, Rules, Scope, Server, ServerName, StoreFailure};
use crate::time::Time;

use super::failures::{Failures, PATIENCE, Place, restarts};
use super::moves::{Move, Size};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) thread: ThreadId,
    pub(super) origin: Origin,
    pub(super) opened: bool,
    pub(super) received: u64,
    pub(super) active: bool,
    /// Its turn waits for an answer of a client's.
    pub(super) waits: bool,
    /// The machine wants its turn to end.
    pub(super) interrupted: bool,
    pub(super) stopping: bool,
    pub(super) gone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) scope: Scope,
    pub(super) server: ServerName,
    pub(super) started: Time,
    pub(super) ready: Option<Time>,
    /// How often it was lent.
    pub(super) lent: u64,
    /// What its keeper has said of that, if it seemed idle, and the machine has not heard yet.
    pub(super) idle: Option<u64>,
    /// A reload or a restart wants another in its place.
    pub(super) renewed: bool,
    pub(super) dying: bool,
    pub(super) stuck: bool,
}

/// A request with a scope of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Probe {
    pub(super) thread: ThreadId,
    pub(super) scope: Option<Scope>,
    pub(super) connection: ConnectionId,
    /// The machine said which helper, or that there is none.
    pub(super) given: bool,
    pub(super) done: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) size: Size,
    pub(super) now: Time,
    pub(super) server: Server,
    pub(super) connected: BTreeSet<ConnectionId>,
    pub(super) ever_connected: u64,
    pub(super) started: BTreeSet<ThreadId>,
    /// Forks whose ids no client was told yet.
    pub(super) unheard_of: BTreeSet<ThreadId>,
    /// Who keeps which thread loaded, by what clients were told.
    pub(super) keepers: BTreeSet<(ConnectionId, ThreadId)>,
    /// Threads whose last subscriber was cut, and until when they wait for it to come back.
    pub(super) awaited: BTreeMap<ThreadId, Time>,
    pub(super) stored: BTreeMap<ThreadId, Kept>,
    /// Stored forks, and whose history each needs.
    pub(super) bases: BTreeMap<ThreadId, ThreadId>,
    pub(super) owners: BTreeMap<Generation, Owner>,
    pub(super) alive: BTreeMap<HelperId, Process>,
    pub(super) asked: BTreeMap<Generation, (ThreadId, Ending)>,
    pub(super) edits: BTreeMap<ThreadId, (Generation, Edit)>,
    pub(super) probes: BTreeMap<Ticket, Probe>,
    /// Requests without an answer yet, with who asked.
    pub(super) pending: BTreeMap<Ticket, Option<ConnectionId>>,
    pub(super) wants: BTreeSet<Ticket>,
    /// Requests that begin no turn.
    pub(super) labels: BTreeSet<Ticket>,
    /// Requests of those who only want to watch.
    pub(super) observing: BTreeSet<Ticket>,
    /// Reloads, restarts and ends of job runs, with the helpers whose end each waits for.
    pub(super) reloads: BTreeMap<Ticket, BTreeSet<HelperId>>,
    /// Ends of job runs that wait for an owner's turn to end.
    pub(super) vacating: BTreeMap<Ticket, (ConnectionId, Generation)>,
    /// Threads to which nobody has come since a job run ended in them.
    pub(super) vacant: BTreeSet<ThreadId>,
    pub(super) failures: BTreeMap<Place, Failures>,
    pub(super) last_ticket: u64,
    pub(super) requests: u64,
    pub(super) mishaps: u64,
    pub(super) idles: u64,
    pub(super) waits: u64,
    pub(super) shutdowns: u8,
    pub(super) finished: bool,
}

/// How long an idle thread waits for a client that was cut.
const RESUME_GRACE: Duration = Duration::from_millis(40);

/// What the store holds of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kept {
    Saved,
    Archived,
}

pub(super) fn thread(n: u128) -> ThreadId {
    ThreadId(Uuid::from_u128(n))
}

pub(super) fn server_name(n: usize) -> ServerName {
    ServerName::from(["time", "memory", "browser"][n])
}

impl World {
    pub(super) fn new(size: Size) -> Self {
        let rules = Rules {
            unsaved_grace: Duration::from_millis(60),
            resume_grace: RESUME_GRACE,
            max_helpers: size.max_helpers,
            restarts: restarts(size.crash_limit),
            ..Rules::default()
        };
        Self {
            size,
            now: Time(1),
            server: Server::new(rules),
            connected: BTreeSet::new(),
            ever_connected: 0,
            started: BTreeSet::new(),
            unheard_of: BTreeSet::new(),
            keepers: BTreeSet::new(),
            awaited: BTreeMap::new(),
            stored: BTreeMap::new(),
            bases: BTreeMap::new(),
            owners: BTreeMap::new(),
            alive: BTreeMap::new(),
            asked: BTreeMap::new(),
            edits: BTreeMap::new(),
            probes: BTreeMap::new(),
            pending: BTreeMap::new(),
            wants: BTreeSet::new(),
            labels: BTreeSet::new(),
            observing: BTreeSet::new(),
            reloads: BTreeMap::new(),
            vacating: BTreeMap::new(),
            vacant: BTreeSet::new(),
            failures: BTreeMap::new(),
            last_ticket: 0,
            requests: 0,
            mishaps: 0,
            idles: 0,
            waits: 0,
            shutdowns: 0,
            finished: false,
        }
    }

    /// A world in which `thread(1)` was saved by an earlier run.
    pub(super) fn with_saved_thread(size: Size) -> Self {
        let mut world = Self::new(size);
        world.started.insert(thread(1));
        world.stored.insert(thread(1), Kept::Saved);
        world
    }

    /// Makes one move and holds the machine to its invariants.
    pub(super) fn make(&mut self, step: Move) {
        match step {
            Move::Connect(connection) => {
                self.connected.insert(connection);
                self.ever_connected = connection.0;
                self.handle(Event::Connected { connection });
            }
            Move::Disconnect(connection, cut) => {
                self.connected.remove(&connection);
                self.keepers.retain(|(c, _)| *c != connection);
                if cut {
                    self.enter_awaited(connection);
                }
                self.handle(Event::Disconnected { connection, cut });
            }
            Move::Start(connection, thread, ephemeral) => {
                self.started.insert(thread);
                let ticket = self.ask(Some(connection));
                self.handle(Event::Start { ticket, connection, thread, ephemeral });
            }
            Move::Resume(connection, thread, observe) => {
                let ticket = self.ask(Some(connection));
                self.observing.extend(observe.then_some(ticket));
                self.handle(Event::Resume { ticket, connection, thread, observe });
            }
            Move::Fork(connection, source, thread) => {
                self.started.insert(thread);
                self.unheard_of.insert(thread);
                let ticket = self.ask(Some(connection));
                self.handle(Event::Fork { ticket, connection, source, thread, ephemeral: false });
            }
            Move::Edit(connection, thread, edit) => {
                let ticket = self.ask(Some(connection));
                self.labels.insert(ticket);
                self.handle(Event::Edit { ticket, connection, thread, edit });
            }
            Move::Probe(connection) => {
                let ticket = self.ask(Some(connection));
                let thread = thread(1_000 + u128::from(ticket.0));
                let probe = Probe { thread, scope: None, connection, given: false, done: false };
                self.probes.insert(ticket, probe);
                let (server, patience) = (server_name(0), PATIENCE);
                self.handle(Event::Probe { ticket, connection, thread, server, patience });
            }
            Move::Unsubscribe(connection, thread) => {
                self.keepers.remove(&(connection, thread));
                let ticket = self.ask(Some(connection));
                self.handle(Event::Unsubscribe { ticket, connection, thread });
            }
            Move::BeginTurn(connection, thread) => {
                let ticket = self.ask(Some(connection));
                self.handle(Event::Request { ticket, connection, thread, begins_turn: true });
            }
            Move::End(connection, thread, ending) => {
                self.awaited.remove(&thread);
                let ticket = self.ask(Some(connection));
                self.handle(Event::End { ticket, connection, thread, ending });
            }
            Move::Reload => self.renew(None),
            Move::Restart(thread) => self.renew(Some(thread)),
            Move::Vacate(connection, thread) => self.vacate(connection, thread),
            Move::OwnerOpens(g) => self.owner_opens(g),
            Move::OwnerEndsTurn(generation) => {
                let owner = self.owners.get_mut(&generation).expect("a move names an owner that exists");
                (owner.active, owner.waits, owner.interrupted) = (false, false, false);
                let (thread, seen, origin) = (owner.thread, owner.received, owner.origin);
                if origin != (Origin::Fresh { ephemeral: true }) {
                    self.stored.insert(thread, Kept::Saved);
                    self.handle(Event::Materialized { thread, generation });
                }
                self.vacate_idle(thread, generation);
                self.handle(Event::Idle { thread, generation, seen });
            }
            Move::OwnerWaits(generation) => {
                let owner = self.owners.get_mut(&generation).expect("a move names an owner that exists");
                owner.waits = !owner.waits;
                self.waits += u64::from(owner.waits);
                let (thread, waits) = (owner.thread, owner.waits);
                self.handle(Event::Waits { thread, generation, waits });
            }
            Move::OwnerWants(generation, server) => {
                let thread = self.owners[&generation].thread;
                let ticket = self.ask(None);
                self.wants.insert(ticket);
                let (server, patience) = (server_name(server), PATIENCE);
                self.handle(Event::HelperWanted { thread, generation, server, ticket, patience });
            }
            Move::OwnerStops(generation) => {
                let owner = self.owners.get_mut(&generation).expect("a move names an owner that exists");
                owner.gone = true;
                let thread = owner.thread;
                self.handle(Event::Stopped { thread, generation });
            }
            Move::OwnerDies(generation) => {
                self.mishaps += 1;
                let owner = self.owners.get_mut(&generation).expect("a move names an owner that exists");
                (owner.gone, owner.active, owner.waits) = (true, false, false);
                let thread = owner.thread;
                self.awaited.remove(&thread);
                self.handle(Event::OwnerDied { thread, generation });
            }
            Move::StoreAnswers(generation) => self.store_answers(generation),
            Move::RowDone(thread) => self.row_done(thread),
            Move::ProbeDone(ticket) => {
                let probe = self.probes.get_mut(&ticket).expect("a move names a probe that exists");
                (probe.given, probe.done) = (false, true);
                self.handle(Event::ProbeDone { ticket });
            }
            Move::HelperReady(helper) => {
                self.alive.get_mut(&helper).expect("a move names a live helper").ready = Some(self.now);
                self.handle(Event::HelperReady { helper });
            }
            Move::HelperFails(helper) => {
                self.enter_failure(helper);
                let process = self.alive.get_mut(&helper).expect("a move names a live helper");
                process.dying = true;
                let ready = process.ready.is_some();
                self.mishaps += u64::from(ready);
                self.handle(match ready {
                    true => Event::HelperExited { helper },
                    false => Event::HelperFailed { helper, message: "no".into() },
                });
            }
            Move::HelperSeemsIdle(helper) => {
                self.idles += 1;
                let process = self.alive.get_mut(&helper).expect("a move names a live helper");
                process.idle = Some(process.lent);
            }
            Move::HelperIdle(helper) => {
                let process = &self.alive[&helper];
                let lent = process.idle.expect("a move names a helper that seemed idle");
                let is_idle = lent == process.lent && process.ready.is_some() && !process.dying;
                let is_probes = self.server.is_probe(process.scope);
                self.handle(Event::HelperIdle { helper, lent });
                let process = self.alive.get_mut(&helper).expect("its end is not proven yet");
                process.idle = None;
                assert!(!is_idle || is_probes || process.dying, "an idle helper goes on");
            }
            Move::HelperGone(helper) => {
                self.alive.remove(&helper);
                self.handle(Event::HelperGone { helper });
            }
            Move::HelperStuck(helper) => {
                self.mishaps += 1;
                self.alive.get_mut(&helper).expect("a move names a live helper").stuck = true;
                self.handle(Event::HelperStuck { helper });
            }
            Move::Stale(thread, generation) => self.stale(thread, generation),
            Move::Timeout => {
                self.now = self.server.poll_timeout().expect("a move exists only where there is a timeout");
                self.enter_health();
                self.server.handle_timeout(self.now);
                self.carry_out();
            }
            Move::Wait => self.now = self.now.after(Duration::from_millis(1)),
            Move::Shutdown => {
                self.shutdowns += 1;
                self.awaited.clear();
                self.handle(Event::Shutdown);
            }
        }
        let server = &self.server;
        self.awaited.retain(|thread, _| {
            server.threads.get(thread).is_some_and(|loaded| loaded.subscriptions.values().all(|s| s.observe))
        });
        self.check();
    }

    /// A client is being cut: the threads that it alone keeps loaded wait for it, unless they are ending.
    fn enter_awaited(&mut self, connection: ConnectionId) {
        for (&thread, loaded) in &self.server.threads {
            let mut keepers = loaded.subscriptions.values().filter(|s| !s.observe).map(|s| s.connection);
            let is_last = keepers.next() == Some(connection) && keepers.next().is_none();
            if is_last && loaded.then.is_none() && self.shutdowns == 0 {
                self.awaited.insert(thread, self.now.after(RESUME_GRACE));
            }
        }
    }

    fn owner_opens(&mut self, generation: Generation) {
        let owner = self.owners.get_mut(&generation).expect("a move names an owner that exists");
        let thread = owner.thread;
        let result = match (owner.origin, self.stored.get(&thread)) {
            (Origin::Fresh { .. }, _) | (Origin::Saved, Some(Kept::Saved)) => Ok(()),
            (Origin::Saved, Some(Kept::Archived)) => Err(OpenError::Archived),
            (Origin::Saved, None) => Err(OpenError::NotFound),
            (Origin::Forked { source, .. }, _) => match self.stored.get(&source) {
                Some(Kept::Saved) => Ok(()),
                Some(Kept::Archived) => Err(OpenError::Archived),
                None => Err(OpenError::NotFound),
            },
        };
        owner.opened = result.is_ok();
        owner.gone = result.is_err();
        let base = match owner.origin {
            Origin::Forked { source, .. } if owner.opened => Some(source),
            _ => None,
        };
        self.handle(Event::Opened { thread, generation, result });
        if let Some(source) = base {
            self.stored.insert(thread, Kept::Saved);
            self.bases.insert(thread, source);
            self.handle(Event::Materialized { thread, generation });
        }
    }

    fn row_done(&mut self, thread: ThreadId) {
        let (generation, edit) = self.edits.remove(&thread).expect("a move names an errand that exists");
        let result = match (self.stored.get(&thread), edit) {
            (None, _) => Err(StoreFailure::NotFound),
            (Some(Kept::Saved), Edit::Label) => Ok(()),
            (Some(Kept::Archived), Edit::Label) => Err(StoreFailure::Archived),
            (Some(Kept::Saved), Edit::Unarchive) => Err(StoreFailure::NotArchived),
            (Some(Kept::Archived), Edit::Unarchive) => {
                self.stored.insert(thread, Kept::Saved);
                Ok(())
            }
        };
        self.handle(Event::Edited { thread, generation, result });
    }

    fn store_answers(&mut self, generation: Generation) {
        let (thread, ending) =
            self.asked.remove(&generation).expect("a move names a question that was asked");
        let is_base = self.bases.values().any(|base| *base == thread);
        let result = match (self.stored.get(&thread), ending) {
            (None, _) => Err(StoreFailure::NotFound),
            (Some(_), Ending::Delete) if is_base => Err(StoreFailure::Forked),
            (Some(_), Ending::Delete) => {
                self.stored.remove(&thread);
                self.bases.remove(&thread);
                self.failures.retain(|(of, _), _| *of != Some(thread));
                Ok(())
            }
            (Some(Kept::Archived), Ending::Archive) => Err(StoreFailure::Archived),
            (Some(Kept::Saved), Ending::Archive) => {
                self.stored.insert(thread, Kept::Archived);
                self.failures.retain(|(of, _), _| *of != Some(thread));
                Ok(())
            }
        };
        self.handle(Event::Stored { thread, generation, result });
    }

    /// K4: what carries the number of an owner that is no longer changes nothing.
    fn stale(&mut self, thread: ThreadId, generation: Generation) {
        let before = self.server.clone();
        for event in [
            Event::Idle { thread, generation, seen: 99 },
            Event::Waits { thread, generation, waits: true },
            Event::Materialized { thread, generation },
            Event::Opened { thread, generation, result: Err(OpenError::NotFound) },
            Event::Stopped { thread, generation },
            Event::Edited { thread, generation, result: Ok(()) },
        ] {
            self.server.handle(self.now, event.clone());
            let mut after = self.server.clone();
            after.stale = before.stale;
            assert_eq!(after, before, "K4: {event:?} is stale and changed something");
        }
        self.server = before;
    }

    pub(super) fn ask(&mut self, connection: Option<ConnectionId>) -> Ticket {
        self.requests += 1;
        self.last_ticket += 1;
        self.pending.insert(Ticket(self.last_ticket), connection);
        Ticket(self.last_ticket)
    }

    pub(super) fn handle(&mut self, event: Event) {
        self.server.handle(self.now, event);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.server.poll_effect() {
            self.obey(effect);
        }
    }

    /// Lets everything that is owed come, all clients leave and all time pass; nothing may be left then.
    pub(super) fn run_out(mut self) {
        for connection in self.connected.clone() {
            self.make(Move::Disconnect(connection, false));
        }
        loop {
            let next = self.moves_owed().into_iter().next();
            let timeout = self.server.poll_timeout().map(|_| Move::Timeout);
            let Some(next) = next.or(timeout) else { break };
            self.make(next);
        }
        assert_eq!(self.server.loaded().count(), 0, "K3: a thread stays loaded");
        assert_eq!(self.alive, BTreeMap::new(), "K1: a process stays");
        assert!(self.server.closing.is_empty(), "a closing never ends: {:?}", self.server.closing);
        assert!(self.server.helpers.is_empty() && self.server.reloads.is_empty());
        let forgotten = self.server.supervision.records.keys().all(|place| place.thread.is_none());
        assert!(forgotten, "failures are remembered for ever: {:?}", self.server.supervision);
        let unanswered = self.pending.iter().filter(|(_, c)| c.is_none_or(|c| self.connected.contains(&c)));
        assert_eq!(unanswered.count(), 0, "a request was never answered: {:?}", self.pending);
        assert_eq!(self.finished, self.shutdowns > 0, "shutdown and its report");
    }
}
