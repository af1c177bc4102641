//! An executor on paper: it owes an answer for each effect, and each answer may come at any later moment. It keeps its
//! own account of what is alive, and holds the machine to K1-K4, K9 and K11 after every move.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use crate::ids::{ConnectionId, Generation, HelperId, ThreadId, Ticket};
use crate::server::{
    Answer, Effect, Ending, Event, HelperState, News, OpenError, Origin, Rules, Scope, Server, ServerName,
    StoreFailure,
};
use crate::time::Time;

use super::moves::{Move, Size};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) thread: ThreadId,
    origin: Origin,
    pub(super) opened: bool,
    received: u64,
    pub(super) active: bool,
    pub(super) stopping: bool,
    pub(super) gone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) scope: Scope,
    server: ServerName,
    config: u64,
    pub(super) ready: bool,
    pub(super) dying: bool,
    pub(super) stuck: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) size: Size,
    now: Time,
    pub(super) server: Server,
    pub(super) connected: BTreeSet<ConnectionId>,
    pub(super) ever_connected: u64,
    pub(super) started: BTreeSet<ThreadId>,
    /// Who keeps which thread loaded, by what clients were told.
    keepers: BTreeSet<(ConnectionId, ThreadId)>,
    stored: BTreeMap<ThreadId, Kept>,
    pub(super) owners: BTreeMap<Generation, Owner>,
    pub(super) alive: BTreeMap<HelperId, Process>,
    pub(super) asked: BTreeMap<Generation, (ThreadId, Ending)>,
    /// Requests without an answer yet, with who asked.
    pending: BTreeMap<Ticket, Option<ConnectionId>>,
    wants: BTreeSet<Ticket>,
    reloads: BTreeMap<Ticket, u64>,
    config: u64,
    last_ticket: u64,
    pub(super) requests: u64,
    pub(super) mishaps: u64,
    pub(super) shutdowns: u8,
    pub(super) finished: bool,
}

/// What the store holds of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kept {
    Saved,
    Archived,
}

pub(super) fn thread(n: u128) -> ThreadId {
    ThreadId(Uuid::from_u128(n))
}

fn server_name(n: usize) -> ServerName {
    ServerName::from(["time", "memory", "browser"][n])
}

impl World {
    pub(super) fn new(size: Size) -> Self {
        let rules = Rules { unsaved_grace: Duration::from_millis(60), ..Rules::default() };
        Self {
            size,
            now: Time(1),
            server: Server::new(rules),
            connected: BTreeSet::new(),
            ever_connected: 0,
            started: BTreeSet::new(),
            keepers: BTreeSet::new(),
            stored: BTreeMap::new(),
            owners: BTreeMap::new(),
            alive: BTreeMap::new(),
            asked: BTreeMap::new(),
            pending: BTreeMap::new(),
            wants: BTreeSet::new(),
            reloads: BTreeMap::new(),
            config: 0,
            last_ticket: 0,
            requests: 0,
            mishaps: 0,
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
            Move::Disconnect(connection) => {
                self.connected.remove(&connection);
                self.keepers.retain(|(c, _)| *c != connection);
                self.handle(Event::Disconnected { connection });
            }
            Move::Start(connection, thread, ephemeral) => {
                self.started.insert(thread);
                let ticket = self.ask(Some(connection));
                self.handle(Event::Start { ticket, connection, thread, ephemeral });
            }
            Move::Resume(connection, thread, observe) => {
                let ticket = self.ask(Some(connection));
                self.handle(Event::Resume { ticket, connection, thread, observe });
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
                let ticket = self.ask(Some(connection));
                self.handle(Event::End { ticket, connection, thread, ending });
            }
            Move::Reload => {
                let ticket = self.ask(None);
                self.config += 1;
                self.reloads.insert(ticket, self.config);
                self.handle(Event::Reload { ticket, changed: [server_name(0)].into() });
            }
            Move::OwnerOpens(g) => self.owner_opens(g),
            Move::OwnerEndsTurn(generation) => {
                let owner = self.owners.get_mut(&generation).expect("a move names an owner that exists");
                owner.active = false;
                let (thread, seen, origin) = (owner.thread, owner.received, owner.origin);
                if origin != (Origin::Fresh { ephemeral: true }) {
                    self.stored.insert(thread, Kept::Saved);
                    self.handle(Event::Materialized { thread, generation });
                }
                self.handle(Event::Idle { thread, generation, seen });
            }
            Move::OwnerWants(generation, server) => {
                let thread = self.owners[&generation].thread;
                let ticket = self.ask(None);
                self.wants.insert(ticket);
                self.handle(Event::HelperWanted { thread, generation, server: server_name(server), ticket });
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
                (owner.gone, owner.active) = (true, false);
                let thread = owner.thread;
                self.handle(Event::OwnerDied { thread, generation });
            }
            Move::StoreAnswers(generation) => self.store_answers(generation),
            Move::HelperReady(helper) => {
                self.alive.get_mut(&helper).expect("a move names a live helper").ready = true;
                self.handle(Event::HelperReady { helper });
            }
            Move::HelperFails(helper) => {
                let process = self.alive.get_mut(&helper).expect("a move names a live helper");
                process.dying = true;
                let ready = process.ready;
                self.mishaps += u64::from(ready);
                self.handle(match ready {
                    true => Event::HelperExited { helper },
                    false => Event::HelperFailed { helper, message: "no".into() },
                });
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
                self.server.handle_timeout(self.now);
                self.carry_out();
            }
            Move::Wait => self.now = self.now.after(Duration::from_millis(1)),
            Move::Shutdown => {
                self.shutdowns += 1;
                self.handle(Event::Shutdown);
            }
        }
        self.check();
    }

    fn owner_opens(&mut self, generation: Generation) {
        let owner = self.owners.get_mut(&generation).expect("a move names an owner that exists");
        let thread = owner.thread;
        let result = match (owner.origin, self.stored.get(&thread)) {
            (Origin::Fresh { .. }, _) | (Origin::Saved, Some(Kept::Saved)) => Ok(()),
            (Origin::Saved, Some(Kept::Archived)) => Err(OpenError::Archived),
            (Origin::Saved, None) => Err(OpenError::NotFound),
        };
        owner.opened = result.is_ok();
        owner.gone = result.is_err();
        self.handle(Event::Opened { thread, generation, result });
    }

    fn store_answers(&mut self, generation: Generation) {
        let (thread, ending) =
            self.asked.remove(&generation).expect("a move names a question that was asked");
        let result = match (self.stored.remove(&thread), ending) {
            (None, _) => Err(StoreFailure::NotFound),
            (Some(_), Ending::Delete) => Ok(()),
            (Some(_), Ending::Archive) => {
                self.stored.insert(thread, Kept::Archived);
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
            Event::Materialized { thread, generation },
            Event::Opened { thread, generation, result: Err(OpenError::NotFound) },
            Event::Stopped { thread, generation },
        ] {
            self.server.handle(self.now, event.clone());
            let mut after = self.server.clone();
            after.stale = before.stale;
            assert_eq!(after, before, "K4: {event:?} is stale and changed something");
        }
        self.server = before;
    }

    fn ask(&mut self, connection: Option<ConnectionId>) -> Ticket {
        self.requests += 1;
        self.last_ticket += 1;
        self.pending.insert(Ticket(self.last_ticket), connection);
        Ticket(self.last_ticket)
    }

    fn answered(&mut self, ticket: Ticket) {
        assert!(self.pending.remove(&ticket).is_some(), "{ticket:?} is answered twice");
    }

    fn handle(&mut self, event: Event) {
        self.server.handle(self.now, event);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.server.poll_effect() {
            self.obey(effect);
        }
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

    fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Refuse { ticket, .. } => self.answered(ticket),
            Effect::Answer { ticket, answer } => {
                if answer == Answer::Reloaded {
                    let config = self.reloads[&ticket];
                    let old = self.alive.values().find(|p| p.server == server_name(0) && p.config < config);
                    assert_eq!(old, None, "K2: a reload is answered while an old helper lives");
                }
                self.answered(ticket);
            }
            Effect::Open { thread, generation, origin } => {
                let owner = Owner {
                    thread,
                    origin,
                    opened: false,
                    received: 0,
                    active: false,
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
                self.keepers.insert((connection, thread));
            }
            Effect::Detach { generation, .. } => {
                self.owner(generation);
            }
            Effect::Forward { generation, ticket, .. } => {
                let owner = self.owner(generation);
                owner.received += 1;
                owner.active = true;
                self.answered(ticket);
            }
            Effect::Interrupt { generation, .. } => {
                assert!(self.owner(generation).active, "an interrupt without a turn");
            }
            Effect::Stop { generation, .. } => {
                let owner = self.owner(generation);
                assert!(!owner.active, "an owner is stopped in the middle of a turn");
                owner.stopping = true;
            }
            Effect::Store { thread, generation, ending } => {
                self.assert_gone(thread, "the store is asked");
                self.asked.insert(generation, (thread, ending));
            }
            Effect::StartHelper { helper, scope, server } => {
                self.owner(scope.generation);
                assert_eq!(self.shutdowns, 0, "K11: a helper starts after shutdown began");
                let twin = self.alive.values().find(|p| p.scope.thread == scope.thread && p.server == server);
                assert_eq!(twin, None, "K11: a second helper of one server in one thread");
                let config = self.config;
                let process = Process { scope, server, config, ready: false, dying: false, stuck: false };
                self.alive.insert(helper, process);
            }
            Effect::StopHelper { helper, .. } => {
                let process = self.alive.get_mut(&helper).expect("K9: a helper that is gone is stopped");
                let of_live_scope = !self.owners[&process.scope.generation].stopping;
                let reloaded = process.config < self.config && process.server == server_name(0);
                // A helper that ends by itself may be hurried; one that works may not.
                assert!(
                    !of_live_scope || reloaded || process.dying,
                    "K9: a helper of a live scope is stopped"
                );
                process.dying = true;
            }
            Effect::HelperFor { ticket, result } => {
                assert!(self.wants.remove(&ticket), "nobody wanted {ticket:?}");
                self.answered(ticket);
                if let Ok(helper) = result {
                    assert!(self.alive.contains_key(&helper), "a helper that is gone is lent");
                }
            }
            Effect::Announce { thread, news } => {
                self.assert_gone(thread, "it is announced");
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

    fn check(&self) {
        for (id, process) in &self.alive {
            let known = self.server.helpers().find(|(h, ..)| h == id);
            let (_, scope, _, state) = known.expect("K1: a process without a scope");
            assert_eq!(scope, process.scope, "K1: a process in another's scope");
            let owned =
                self.server.loaded().any(|l| l.thread == scope.thread && l.generation == scope.generation);
            let ending = matches!(state, HelperState::Stopping | HelperState::Stuck);
            assert!(owned || ending, "K1: a process whose scope has no owner and that is not being ended");
        }
        for loaded in self.server.loaded() {
            let kept = self.server.threads[&loaded.thread].timer.is_some()
                || self.keepers.iter().any(|(_, t)| *t == loaded.thread)
                || self.owners[&loaded.generation].active;
            assert!(kept, "K3: {:?} is loaded without subscriber, turn or grace", loaded.thread);
        }
    }

    /// Lets everything that is owed come, all clients leave and all time pass; nothing may be left then.
    pub(super) fn run_out(mut self) {
        for connection in self.connected.clone() {
            self.make(Move::Disconnect(connection));
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
        let unanswered = self.pending.iter().filter(|(_, c)| c.is_none_or(|c| self.connected.contains(&c)));
        assert_eq!(unanswered.count(), 0, "a request was never answered: {:?}", self.pending);
        assert_eq!(self.finished, self.shutdowns > 0, "shutdown and its report");
    }
}
