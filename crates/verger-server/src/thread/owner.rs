//! The task itself.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use verger_core::ids::{QuestionId, Ticket};
use verger_core::server;
use verger_core::thread::{Event, Says, Stream, Thread, ToolOutcome, turns};
use verger_wire::RpcError;
use verger_wire::requests::{ThreadReadResponse, ThreadUnsubscribeResponse, ThreadUnsubscribeStatus};
use verger_wire::types::Turn;

use super::asking::Asked;
use super::client_tools::ClientTool;
use super::forking::{Forking, Seed, failed, unclaimed};
use super::joining::Joining;
use super::log::Log;
use super::manner::Manner;
use super::message::ToThread;
use super::model_call::{self, Saying};
use super::pages::{PageQuery, Picture};
use super::subscribers::Subscribers;
use super::tools::Caller;
use crate::house::OwnerRequest;
use crate::labels::{self, Label};
use crate::meta::{Meta, Overrides};
use crate::replier::Replier;

/// Where the thread comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// `thread/start`.
    Fresh(Box<Meta>),
    /// `thread/fork`.
    Forked(Box<Forking>),
    /// The store.
    Saved,
}

/// A request that the machine will answer, by what its answer looks like.
pub(super) enum Asker {
    Start(Replier),
    Steer(Replier),
    Interrupt(Replier),
    Revert(Replier),
    /// Whose answer says nothing but that it is done.
    Plain(Replier),
}

/// What the owner knows. Its parts have one owner each: this task.
pub(super) struct Owner {
    pub(super) caller: Caller,
    pub(super) machine: Thread,
    /// What clients know this owner by: a later one of the thread has a larger number, also in another run.
    pub(super) number: u64,
    pub(super) meta: Meta,
    pub(super) log: Log,
    pub(super) subscribers: Subscribers,
    /// Those of them who have no answer yet.
    pub(super) joining: Joining,
    /// What those of them have been told who keep up.
    pub(super) stream: Stream,
    /// Requests that the machine will answer.
    pub(super) tickets: HashMap<Ticket, Asker>,
    /// Open questions, beside what the machine knows of them.
    pub(super) asked: BTreeMap<QuestionId, Asked>,
    /// The model's words, while it is being called, under the number of the call.
    pub(super) saying: Option<(u64, Saying)>,
    /// Tool calls of the active turn.
    pub(super) tools: JoinSet<(String, Result<ToolOutcome, String>)>,
    /// How the active turn asks its model, once it has.
    pub(super) manner: Option<Manner>,
    /// What the answers of the turn that begins are to keep to.
    pub(super) output_schema: Option<Value>,
    /// Whether the machine has been told which requests the log says were taken.
    pub(super) knows_requests: bool,
    /// Tool calls outside turns, and starts of eager helpers.
    pub(super) errands: JoinSet<()>,
}

/// Runs until it is told to stop. Reports to the house: `Opened` first, `Stopped` last.
pub(crate) async fn run(caller: Caller, origin: Origin, mut inbox: mpsc::UnboundedReceiver<ToThread>) {
    let (thread, generation) = (caller.thread, caller.generation);
    let house = caller.house.clone();
    let is_fork = matches!(origin, Origin::Forked(_));
    let owner = Owner::open(caller, origin).await;
    let result = owner.as_ref().map(|_| ()).map_err(Clone::clone);
    house.tell(server::Event::Opened { thread, generation, result });
    let Ok(mut owner) = owner else { return };
    if is_fork && !owner.log.is_empty() {
        owner.materialized();
    }
    owner.measure_room();
    owner.start_eager();
    owner.serve(&mut inbox).await;
    owner.end().await;
    // Requests that came after the stop answer by being dropped.
    inbox.close();
    while inbox.try_recv().is_ok() {}
    house.tell(server::Event::Stopped { thread, generation });
}

impl Owner {
    async fn open(mut caller: Caller, origin: Origin) -> Result<Self, server::OpenError> {
        let (thread, generation) = (caller.thread, caller.generation);
        let store = caller.shared.store.clone();
        let comes_back = matches!(origin, Origin::Saved);
        let (meta, log) = match origin {
            Origin::Fresh(meta) if meta.ephemeral => (*meta, Log::in_memory(Vec::new())),
            Origin::Fresh(meta) => (*meta, Log::stored(store, thread, generation)),
            Origin::Saved => {
                let row = store.claim(thread, generation).await.map_err(unclaimed)?;
                let log = Log::reopened(store, thread, generation, row.head).await.map_err(failed)?;
                (Meta::from_row(&row), log)
            }
            Origin::Forked(forking) => forking.begin(store, thread, generation).await?,
        };
        caller.folder = PathBuf::from(&meta.cwd);
        caller.servers_off = meta.settings.servers_off.clone().into();
        caller.client_tools = meta.settings.client_tools.iter().map(ClientTool::spec).collect();
        let stream = Stream::new(thread, log.head());
        // Generations begin anew with each run; two owners of one thread are never as close as a microsecond.
        let number = caller.shared.clock.unix_us();
        let mut owner = Self {
            caller,
            machine: Thread::new(thread),
            number,
            meta,
            log,
            subscribers: Subscribers::default(),
            joining: Joining::default(),
            stream,
            tickets: HashMap::new(),
            asked: BTreeMap::new(),
            saying: None,
            tools: JoinSet::new(),
            manner: None,
            output_schema: None,
            knows_requests: false,
            errands: JoinSet::new(),
        };
        owner.recall_tokens().await.map_err(server::OpenError::Failed)?;
        let status = owner.machine.status();
        if comes_back {
            // Who heard that it was unloaded hears that it no longer is. Of a new thread `thread/started` tells.
            owner.tell_status(status);
        } else {
            owner.caller.shared.statuses.set(thread, status);
        }
        Ok(owner)
    }

    async fn serve(&mut self, inbox: &mut mpsc::UnboundedReceiver<ToThread>) {
        loop {
            tokio::select! {
                // A client's word comes before the model's: an interrupt must not wait for a flood of text to end.
                biased;
                message = inbox.recv() => match message {
                    None | Some(ToThread::Stop) => return,
                    Some(message) => self.take(message).await,
                },
                Some(done) = self.tools.join_next() => match done {
                    Ok((item, outcome)) => self.handle(Event::ToolDone { item, outcome }).await,
                    // Given up with its turn.
                    Err(error) => tracing::debug!(%error, "a tool call was given up"),
                },
                Some(_) = self.errands.join_next() => {}
                Some(drawn) = self.joining.next_drawn() => self.drawn(drawn).await,
                Some(caught) = self.subscribers.next_caught() => match caught {
                    Ok((subscription, caught)) => self.catch_up(subscription, caught).await,
                    // Its subscription has ended.
                    Err(error) => tracing::debug!(%error, "a client that lagged was given up"),
                },
                (call, says) = next(&mut self.saying) => {
                    if matches!(says, Says::Completed | Says::Failed { .. }) {
                        self.saying = None;
                    }
                    self.handle(Event::Model { call, says }).await;
                }
            }
        }
    }

    /// Gives up what runs, and then the thread.
    async fn end(mut self) {
        for &question in self.asked.keys() {
            self.caller.shared.questions.close(question);
        }
        // Whoever asked hears that nobody will answer.
        self.asked.clear();
        self.saying = None;
        self.tools.shutdown().await;
        self.errands.shutdown().await;
        self.log.release().await;
    }

    async fn take(&mut self, message: ToThread) {
        match message {
            ToThread::Attach { replier, how, subscription, replaces } => {
                if let Some(old) = replaces {
                    self.subscribers.remove(old);
                }
                self.attach(replier, how, subscription).await;
            }
            ToThread::Detach { subscription } => {
                self.subscribers.remove(subscription);
                self.give_up_hopeless().await;
            }
            ToThread::Left { replier } => {
                replier.ok(&ThreadUnsubscribeResponse { status: ThreadUnsubscribeStatus::Unsubscribed });
            }
            ToThread::Ask { question, ask, asker } => self.ask(question, *ask, asker).await,
            ToThread::Withdraw { question } => self.handle(Event::Withdrawn { question }).await,
            ToThread::Answered(answered) => self.answered(*answered).await,
            ToThread::Request { ticket, replier, request } => self.request(ticket, replier, request).await,
            ToThread::Interrupt => self.handle(Event::Interrupt { ticket: None, turn: None }).await,
            // A fork that was given up meanwhile needs no answer.
            ToThread::Seed(answer) => drop(answer.send(self.seed())),
            ToThread::Notify(notification) => self.notify(*notification),
            ToThread::ConfigChanged => {
                self.measure_room();
                self.start_eager();
            }
            ToThread::Stop => {}
        }
    }

    /// Sets what a request asks for; it holds from now on.
    pub(super) fn apply(&mut self, over: Overrides) {
        self.meta.apply(over);
        self.caller.folder = PathBuf::from(&self.meta.cwd);
        self.caller.servers_off = self.meta.settings.servers_off.clone().into();
        self.measure_room();
    }

    /// Every turn as of now, the active one as far as it has come. The error is for people.
    pub(super) fn turns(&self) -> impl Future<Output = Result<Vec<Turn>, String>> + Send + 'static {
        let (log, active) = (self.log.until_now(), self.machine.active_turn().cloned());
        async move { Ok(turns(log.read().await?, active.as_ref())) }
    }

    async fn request(&mut self, ticket: Ticket, replier: Replier, request: OwnerRequest) {
        match request {
            OwnerRequest::TurnStart(params) => self.turn_start(ticket, replier, *params).await,
            OwnerRequest::TurnSteer(params) => {
                let refusal = match self.machine.active_turn().map(|active| &active.turn) {
                    _ if params.expected_turn_id.is_empty() => {
                        Some(RpcError::steer_without("expectedTurnId"))
                    }
                    _ if params.input.is_empty() => Some(RpcError::steer_without("input")),
                    None => Some(RpcError::nothing_to_steer()),
                    Some(turn) if turn.id == params.expected_turn_id => None,
                    Some(turn) => Some(RpcError::steer_mismatch(&params.expected_turn_id, &turn.id)),
                };
                match refusal {
                    Some(error) => self.not_begun(replier, &error).await,
                    None => {
                        let (input, client_id) = (params.input, params.client_user_message_id);
                        self.heard(&input);
                        self.begin(ticket, Asker::Steer(replier), input, client_id, None).await;
                    }
                }
            }
            OwnerRequest::TurnInterrupt(params) => {
                self.tickets.insert(ticket, Asker::Interrupt(replier));
                // An empty id names whichever turn runs.
                let turn = Some(params.turn_id).filter(|id| !id.is_empty());
                self.handle(Event::Interrupt { ticket: Some(ticket), turn }).await;
            }
            OwnerRequest::ToolCall(params) => {
                let caller = self.caller.clone();
                self.errands.spawn(async move { replier.with(caller.call(*params).await) });
            }
            OwnerRequest::ResourceRead { server, uri } => {
                let caller = self.caller.clone();
                self.errands.spawn(async move { replier.with(caller.read_resource(&server, &uri).await) });
            }
            OwnerRequest::Read { include_turns } => self.read(replier, include_turns),
            OwnerRequest::Page(query) => self.page(replier, query),
            OwnerRequest::Revert { before } => self.revert(ticket, replier, before).await,
            OwnerRequest::Compact => self.compact(ticket, replier).await,
            OwnerRequest::Inject { items } => self.inject(ticket, replier, items).await,
            OwnerRequest::Label(label) => self.label(replier, &label).await,
        }
    }

    /// What a fork takes along; nothing of a thread that is kept nowhere.
    fn seed(&self) -> Option<Box<Seed>> {
        let active = self.machine.active_turn().map(|active| active.turn.id.clone());
        let seed = || Box::new(Seed { meta: self.meta.clone(), head: self.log.head(), active });
        (!self.meta.ephemeral).then(seed)
    }

    /// `thread/name/set`, `thread/metadata/update`.
    async fn label(&mut self, replier: Replier, label: &Label) {
        if self.meta.ephemeral {
            return replier.refuse(&RpcError::ephemeral_without_metadata(self.meta.id));
        }
        let mut meta = self.meta.clone();
        match self.log.relabel(label.apply(&mut meta)).await {
            Ok(()) => {
                self.meta = meta;
                label.answer(&self.caller.shared, replier, &self.meta, self.machine.status());
            }
            Err(error) => replier.refuse(&labels::refusal(error)),
        }
    }

    /// The thread as it is stored and as it stands; nothing if it is not stored.
    pub(super) fn picture(&self) -> Option<Picture> {
        let walk = self.log.walk()?;
        Some(Picture { walk, active: self.machine.active_turn().cloned() })
    }

    /// `thread/turns/list`, `thread/items/list`: drawn beside the owner, as [`Self::read`] does.
    fn page(&mut self, replier: Replier, query: PageQuery) {
        if self.meta.ephemeral {
            return replier.refuse(&RpcError::ephemeral_without(query.method()));
        }
        let Some(picture) = self.picture() else {
            return replier.refuse(&RpcError::not_materialized(self.meta.id, query.method()));
        };
        self.errands.spawn(async move { picture.answer(replier, query).await });
    }

    /// `thread/read`: a picture of this moment, drawn beside the owner, so that a long one holds up nobody.
    fn read(&mut self, replier: Replier, include_turns: bool) {
        if include_turns && self.meta.ephemeral {
            return replier.refuse(&RpcError::ephemeral_without("includeTurns"));
        }
        if include_turns && self.log.is_empty() {
            return replier.refuse(&RpcError::not_materialized(self.meta.id, "includeTurns"));
        }
        let (meta, status) = (self.meta.clone(), self.machine.status());
        let turns = include_turns.then(|| self.turns());
        self.errands.spawn(async move {
            let outbox = replier.outbox().clone();
            let _permit = outbox.room_for_large().await;
            let turns = match turns {
                Some(turns) => turns.await,
                None => Ok(Vec::new()),
            };
            let thread = turns.map(|turns| meta.to_wire(status, turns));
            replier.with(thread.map(|thread| ThreadReadResponse { thread }).map_err(RpcError::internal));
        });
    }
}

/// The model's next word, for as long as it is being called.
async fn next(saying: &mut Option<(u64, Saying)>) -> (u64, Says) {
    match saying {
        None => std::future::pending().await,
        Some((call, words)) => {
            let ended = || Says::Failed {
                error: model_call::turn_error("the model's answer ended without an end".to_owned(), None),
            };
            (*call, words.next().await.unwrap_or_else(ended))
        }
    }
}
