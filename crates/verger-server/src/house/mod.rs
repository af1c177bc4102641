//! The house: carries out what the machine between threads decides.
//!
//! One task, one inbox. It never waits for anything but its inbox, its timer and its own tasks, so nothing that is slow
//! (the store, a helper, a client) can hold up who comes and goes.

mod answers;
mod budget;
mod edits;
mod elicitation;
mod helper;
mod message;
mod perform;
mod probe;
mod ps;
mod status;
mod supervision;
mod vacating;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use verger_core::ids::{ConnectionId, Generation, HelperId, ThreadId, Ticket};
use verger_core::server::{Edit, Event, HelperState, Rules, Scope, Server, ServerName, StopHow};
use verger_mcp::Session;
use verger_reaper::Custody;
use verger_store::ThreadRow;
use verger_wire::RpcError;
use verger_wire::requests::ThreadForkParams;

pub(crate) use edits::Change;
pub(crate) use helper::inherited;
pub(crate) use message::{Asked, Fork, HouseHandle, OwnerRequest, Request, ToHouse, Vacated, Wanted};
pub(crate) use probe::Probed;
pub(crate) use status::StatusQuery;

use crate::config::{Config, McpServer};
use crate::jobs::{JobsHandle, ToJobs};
use crate::meta::{Meta, Overrides};
use crate::replier::Replier;
use crate::settings;
use crate::shared::Shared;
use crate::thread::{Cut, Forking, Origin, ThreadHandle, ToThread, registered};

/// The task's state.
pub(crate) struct House {
    shared: Arc<Shared>,
    handle: HouseHandle,
    jobs: JobsHandle,
    core: Server,
    last_ticket: u64,
    /// Requests that wait for an effect that names them.
    pending: HashMap<Ticket, Pending>,
    wanted: HashMap<Ticket, Waiter>,
    /// What new threads begin with, until their owner takes it.
    fresh: HashMap<ThreadId, Origin>,
    /// Rows as they were changed, until the client is answered.
    edited: HashMap<Ticket, Box<ThreadRow>>,
    /// Where helpers of probes start, by the id of their scope, until they do.
    probe_folders: HashMap<ThreadId, PathBuf>,
    /// Job runs that have ended, until their helpers are gone.
    vacating: HashMap<Ticket, message::Vacating>,
    /// What probes brought, until their helpers are gone.
    probed: HashMap<Ticket, Probed>,
    threads: HashMap<Generation, ThreadHandle>,
    /// Whose subscriber has just left: the answer to it must not overtake what the owner still tells.
    left: Option<Generation>,
    /// Where each thread's helpers start, as its owner last said.
    folders: HashMap<Generation, PathBuf>,
    helpers: HashMap<HelperId, HelperSlot>,
    /// Owners of threads, keepers of helpers, and errands to the store: awaited here, all of them, before the house ends.
    tasks: JoinSet<()>,
    /// Helpers that could not be proven gone; set when the shutdown is complete.
    stuck: Option<usize>,
}

/// A request with the duty to answer it.
struct Pending {
    replier: Replier,
    request: Asked,
}

/// Who waits for a helper.
struct Waiter {
    answer: Wanted,
    server: ServerName,
    /// The owner's; a probe's has none that anyone is told of.
    scope: Option<Scope>,
}

/// What the house knows of a helper beside the machine.
struct HelperSlot {
    server: ServerName,
    definition: Option<Arc<McpServer>>,
    stop: watch::Sender<Option<StopHow>>,
    session: Option<Session>,
    custody: Arc<OnceLock<Custody>>,
}

impl House {
    pub(crate) fn new(shared: Arc<Shared>, handle: HouseHandle, jobs: JobsHandle, rules: Rules) -> Self {
        Self {
            shared,
            handle,
            jobs,
            core: Server::new(rules),
            last_ticket: 0,
            pending: HashMap::new(),
            wanted: HashMap::new(),
            fresh: HashMap::new(),
            edited: HashMap::new(),
            probe_folders: HashMap::new(),
            vacating: HashMap::new(),
            probed: HashMap::new(),
            threads: HashMap::new(),
            left: None,
            folders: HashMap::new(),
            helpers: HashMap::new(),
            tasks: JoinSet::new(),
            stuck: None,
        }
    }

    /// Runs until a shutdown is complete. Returns how many helpers could not be proven gone.
    pub(crate) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<ToHouse>) -> usize {
        loop {
            if let Some(stuck) = self.stuck {
                // What still runs are keepers that wait for a proof that did not come.
                self.tasks.shutdown().await;
                return stuck;
            }
            let timer = self.core.poll_timeout().map(|at| self.shared.clock.instant(at));
            let timer = async {
                match timer {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => return 0,
                },
                () = timer => {
                    self.core.handle_timeout(self.shared.clock.now());
                    self.perform_all();
                }
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a task of the house did not end well");
                    }
                }
            }
        }
    }

    fn take(&mut self, message: ToHouse) {
        match message {
            ToHouse::Connected { connection, outbox } => {
                self.shared.connections.insert(connection, outbox);
                self.decide(Event::Connected { connection });
            }
            ToHouse::Disconnected { connection, cut } => {
                self.shared.connections.remove(connection);
                self.decide(Event::Disconnected { connection, cut });
            }
            ToHouse::Request { connection, replier, request } => self.request(connection, replier, request),
            ToHouse::Core(event) => {
                let ended = match &event {
                    Event::Stopped { generation, .. }
                    | Event::OwnerDied { generation, .. }
                    | Event::Opened { generation, result: Err(_), .. } => Some(*generation),
                    _ => None,
                };
                if let Event::HelperGone { helper } = &event {
                    self.helpers.remove(helper);
                }
                self.decide(event);
                if let Some(generation) = ended {
                    self.threads.remove(&generation);
                    self.folders.remove(&generation);
                }
            }
            ToHouse::Want { thread, generation, server, folder, answer } => {
                if self.threads.contains_key(&generation) {
                    self.folders.insert(generation, folder);
                }
                let scope = Scope { thread, generation };
                self.notice_ended(scope, &server);
                let ticket = self.next_ticket();
                self.wanted.insert(ticket, Waiter { answer, server: server.clone(), scope: Some(scope) });
                // Who would wait for a slow start waits as long for a late one.
                let definition = self.shared.config().mcp_server(&server).cloned();
                let patience = definition.map(|definition| definition.startup_timeout()).unwrap_or_default();
                self.decide(Event::HelperWanted { thread, generation, server, ticket, patience });
            }
            ToHouse::Edited { thread, generation, ticket, result } => {
                self.edited(thread, generation, ticket, result);
            }
            ToHouse::Probed { ticket, result } => self.probed(ticket, result),
            ToHouse::Vacate { connection, thread, answer } => {
                let ticket = self.next_ticket();
                self.vacating.insert(ticket, answer);
                self.decide(Event::Vacate { ticket, connection, thread });
            }
            ToHouse::HelperReady { helper, session } => {
                if let Some(slot) = self.helpers.get_mut(&helper) {
                    slot.session = Some(session);
                }
                self.decide(Event::HelperReady { helper });
            }
            ToHouse::ConfigRead { replier, config } => match config {
                Ok(config) => self.reload(replier, Arc::new(*config)),
                Err(error) => replier.refuse(&RpcError::internal(format!("nothing was reloaded: {error}"))),
            },
            ToHouse::Shutdown => self.decide(Event::Shutdown),
        }
    }

    /// Lets the machine decide, and carries out what it wants done.
    fn decide(&mut self, event: Event) {
        self.core.handle(self.shared.clock.now(), event);
        self.perform_all();
    }

    /// A helper whose session has ended is none to lend, even if its keeper has not come round to say so.
    fn notice_ended(&mut self, scope: Scope, server: &ServerName) {
        let ready = self
            .core
            .helpers()
            .filter(|(_, of, name, state)| *of == scope && *name == server && *state == HelperState::Ready);
        let has_ended = |session: &Session| session.ended().now_or_never().is_some();
        let session = |id: &HelperId| self.helpers.get(id).and_then(|slot| slot.session.as_ref());
        let ended = ready.map(|(id, ..)| id).find(|id| session(id).is_some_and(has_ended));
        if let Some(helper) = ended {
            self.decide(Event::HelperExited { helper });
        }
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    fn request(&mut self, connection: ConnectionId, replier: Replier, request: Request) {
        let request = match request {
            Request::LoadedList { cursor, limit } => return self.loaded_list(replier, cursor, limit),
            Request::ServerStatus(query) => return self.server_statuses(replier, query),
            Request::Ps => return self.ps(replier),
            Request::Probe { server, uri, folder } => {
                return self.probe(connection, replier, server, uri, folder);
            }
            Request::Machine(request) => request,
        };
        let ticket = self.next_ticket();
        let event = match &request {
            Asked::Start(started, params) => {
                let config = self.shared.config();
                let over = Overrides::from(&**params);
                if let Err((field, reason)) = over.check(&config) {
                    return replier.refuse(&RpcError::invalid_params(field, reason));
                }
                let ephemeral = params.ephemeral.unwrap_or(false);
                let thread = *started;
                let client_tools = match registered(params.dynamic_tools.as_deref().unwrap_or_default()) {
                    Ok(tools) => tools,
                    Err(error) => return replier.refuse(&error),
                };
                let mut meta = Meta::new(thread, self.shared.clock.unix_sec(), ephemeral, over, &config);
                meta.settings.client_tools = client_tools;
                self.fresh.insert(thread, Origin::Fresh(Box::new(meta)));
                Event::Start { ticket, connection, thread, ephemeral }
            }
            Asked::Fork(fork) => {
                let over = Overrides::from(&fork.params);
                if let Err((field, reason)) = over.check(&self.shared.config()) {
                    return replier.refuse(&RpcError::invalid_params(field, reason));
                }
                let Fork { source, thread, params: ThreadForkParams { ephemeral, .. } } = **fork;
                let forking = forking(fork, over, self.shared.clock.unix_sec());
                self.fresh.insert(thread, Origin::Forked(Box::new(forking)));
                Event::Fork { ticket, connection, source, thread, ephemeral }
            }
            Asked::Resume(thread, params) => {
                let over = Overrides::from(&**params);
                if let Err((field, reason)) = over.check(&self.shared.config()) {
                    return replier.refuse(&RpcError::invalid_params(field, reason));
                }
                Event::Resume { ticket, connection, thread: *thread, observe: params.observe }
            }
            Asked::Unsubscribe(thread) => Event::Unsubscribe { ticket, connection, thread: *thread },
            Asked::Owner(thread, request) => {
                let begins_turn = matches!(
                    request,
                    OwnerRequest::TurnStart(_) | OwnerRequest::TurnSteer(_) | OwnerRequest::Compact
                );
                Event::Request { ticket, connection, thread: *thread, begins_turn }
            }
            Asked::Edit(thread, change) => {
                let edit = match change {
                    Change::Label(_) => Edit::Label,
                    Change::Unarchive => Edit::Unarchive,
                };
                Event::Edit { ticket, connection, thread: *thread, edit }
            }
            // Asked by another way: a probe needs more than a verdict.
            Asked::Probe => return,
            Asked::End(thread, ending) => Event::End { ticket, connection, thread: *thread, ending: *ending },
            Asked::Restart { server, thread } => {
                if let Err(error) = self.check_restart(server, *thread) {
                    return replier.refuse(&error);
                }
                Event::Restart { ticket, server: server.clone(), thread: *thread }
            }
            // The machine is asked once the configuration has been read.
            Asked::Reload => return self.read_config(replier),
        };
        self.pending.insert(ticket, Pending { replier, request });
        self.decide(event);
    }

    /// Reads the configuration anew, beside the house: a slow disk must not hold it up.
    fn read_config(&mut self, replier: Replier) {
        let (config, handle) = (self.shared.config(), self.handle.clone());
        self.tasks.spawn_blocking(move || {
            let config = config.reread().map(Box::new);
            handle.send(ToHouse::ConfigRead { replier, config });
        });
    }

    fn reload(&mut self, replier: Replier, config: Arc<Config>) {
        self.shared.set_config(Arc::clone(&config));
        settings::announce_warnings(&self.shared);
        self.jobs.send(ToJobs::ConfigChanged);
        let is_changed = |slot: &&HelperSlot| match (&slot.definition, config.mcp_server(&slot.server)) {
            (Some(old), Some(new)) => !old.is_same_helper(new),
            (old, new) => old.is_some() != new.is_some(),
        };
        let changed: BTreeSet<_> =
            self.helpers.values().filter(is_changed).map(|slot| slot.server.clone()).collect();
        let ticket = self.next_ticket();
        self.pending.insert(ticket, Pending { replier, request: Asked::Reload });
        self.decide(Event::Reload { ticket, changed });
        for thread in self.threads.values() {
            // An owner that has just ended needs no news.
            thread.send(ToThread::ConfigChanged).ok();
        }
    }
}

/// What a fork's owner has to do. Its source's owner is looked up when it begins.
fn forking(fork: &Fork, over: Overrides, now: i64) -> Forking {
    let ThreadForkParams { last_turn_id, before_turn_id, ephemeral, .. } = &fork.params;
    let cut = match (last_turn_id, before_turn_id) {
        (Some(turn), _) => Cut::After(turn.clone()),
        (None, Some(turn)) => Cut::Before(turn.clone()),
        (None, None) => Cut::Now,
    };
    Forking { source: fork.source, owner: None, cut, ephemeral: *ephemeral, over, now }
}
