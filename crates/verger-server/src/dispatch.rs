//! From a request to who answers it.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use uuid::Uuid;
use verger_core::ids::{ConnectionId, ThreadId};
use verger_core::server::{Ending, ServerName};
use verger_wire::requests::{ClientRequest, ThreadForkParams, ThreadListParams};
use verger_wire::{RequestId, RpcError};

use crate::house::{Asked, Change, Fork, HouseHandle, OwnerRequest, Request, StatusQuery, ToHouse};
use crate::jobs::{JobsHandle, ToJobs};
use crate::labels::Label;
use crate::listing;
use crate::outbox::Outbox;
use crate::replier::Replier;
use crate::settings;
use crate::shared::Shared;
use crate::thread::{Answered, PageQuery, ToThread};

/// One connection's way to whoever answers.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    pub(crate) shared: Arc<Shared>,
    pub(crate) house: HouseHandle,
    pub(crate) jobs: JobsHandle,
    pub(crate) connection: ConnectionId,
    /// The folder of this client's new threads, where neither it nor the daemon's own is meant.
    pub(crate) folder: Option<String>,
    /// The client said that it knows what may still change.
    pub(crate) experimental: bool,
    /// Where the client sits in a reserved place: what it is told when it asks for more than may be asked from there.
    pub(crate) full: Option<String>,
    /// A permit for each answer that its thread has not taken yet: it bounds what a client can send into an inbox.
    pub(crate) answers: Arc<Semaphore>,
}

/// Answers of one client on their way to the threads that asked.
pub(crate) const ANSWERS: usize = 16;

impl Dispatch {
    /// Sees that `request` is answered. What is answered here rather than by the house waits for the store, and with it
    /// only the connection that asked.
    pub(crate) async fn dispatch(&self, replier: Replier, request: ClientRequest) {
        if let Some(what) = request.experimental().filter(|_| !self.experimental) {
            return replier.refuse(&RpcError::experimental(what));
        }
        if let ClientRequest::ThreadResume(params) = &request
            && params.since.is_some()
            && !replier.outbox().wants_positions()
        {
            let why = "needs \"verger/replay\" among capabilities.extensions at initialize";
            return replier.refuse(&RpcError::invalid_params("since", why));
        }
        let config = self.shared.config();
        let asked = settings::answer(replier, request, &config, self.folder.as_deref());
        let Some((replier, request)) = asked else { return };
        let to_house = match self.route(request) {
            Err(error) => return replier.refuse(&error),
            Ok(Route::List(params)) => return replier.with(listing::list(&self.shared, *params).await),
            Ok(Route::Jobs(request)) => {
                replier.outbox().ask_of_jobs();
                return self.jobs.send(ToJobs::Request { replier, request: Box::new(request) });
            }
            Ok(Route::House(request)) => request,
        };
        if let Request::Machine(Asked::End(thread, Ending::Delete)) = &to_house
            && let Err(error) = self.may_be_deleted(*thread).await
        {
            return replier.refuse(&error);
        }
        let connection = self.connection;
        self.house.send(ToHouse::Request { connection, replier, request: to_house });
    }

    /// Hands a client's answer to the thread that asked. One to no question changes nothing: it may have been asked of
    /// others, too, and answered by them.
    pub(crate) async fn answer(
        &self,
        outbox: &Outbox,
        id: &RequestId,
        answer: Result<Box<RawValue>, RpcError>,
    ) {
        // Never closed.
        let Ok(_room) = Arc::clone(&self.answers).acquire_owned().await else { return };
        let asked = self.shared.questions.owner(id);
        let Some((question, owner)) = asked.and_then(|(question, owner)| Some((question, owner.upgrade()?)))
        else {
            return tracing::debug!(connection = %self.connection, %id, "an answer to no question");
        };
        let answered = Answered { question, outbox: outbox.clone(), answer, _room };
        owner.send(ToThread::Answered(Box::new(answered))).ok();
    }

    /// Refuses to delete a thread that a fork needs, before anything of the thread is ended. Should a fork come in between,
    /// the store refuses.
    async fn may_be_deleted(&self, thread: ThreadId) -> Result<(), RpcError> {
        match self.shared.store.is_forked(thread).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(RpcError::forked_from(thread)),
            Err(error) => Err(RpcError::internal(error.to_string())),
        }
    }

    fn route(&self, request: ClientRequest) -> Result<Route, RpcError> {
        let house = |request| Ok(Route::House(request));
        let asked = match request {
            ClientRequest::ThreadStart(mut params) => {
                params.cwd = params.cwd.or_else(|| self.folder.clone());
                settings::settle(&mut *params, &self.shared.config())?;
                Asked::Start(ThreadId(Uuid::now_v7()), params)
            }
            ClientRequest::ThreadResume(mut params) => {
                settings::settle(&mut *params, &self.shared.config())?;
                Asked::Resume(id(&params.thread_id)?, params)
            }
            ClientRequest::ThreadRead(params) => {
                let include_turns = params.include_turns;
                Asked::Owner(id(&params.thread_id)?, OwnerRequest::Read { include_turns })
            }
            ClientRequest::ThreadList(params) => return Ok(Route::List(params)),
            ClientRequest::ThreadLoadedList(params) => {
                let cursor =
                    params.cursor.as_deref().map(|c| c.parse().map_err(|_| RpcError::invalid_cursor(c)));
                let limit = params.limit.map_or(usize::MAX, |limit| listing::limit(Some(limit)));
                return house(Request::LoadedList { cursor: cursor.transpose()?, limit });
            }
            ClientRequest::ThreadFork(mut params) => {
                settings::settle(&mut *params, &self.shared.config())?;
                fork(*params)?
            }
            ClientRequest::ThreadTurnsList(params) => {
                let thread = id(&params.thread_id)?;
                Asked::Owner(thread, OwnerRequest::Page(PageQuery::turns(thread, params)?))
            }
            ClientRequest::ThreadItemsList(params) => {
                let thread = id(&params.thread_id)?;
                Asked::Owner(thread, OwnerRequest::Page(PageQuery::items(thread, params)?))
            }
            ClientRequest::ThreadNameSet(params) => {
                let thread = id(&params.thread_id)?;
                Asked::Edit(thread, Change::Label(Label::name(&params.name)?))
            }
            ClientRequest::ThreadMetadataUpdate(params) => {
                let thread = id(&params.thread_id)?;
                Asked::Edit(thread, Change::Label(Label::git(params.git_info)?))
            }
            ClientRequest::ThreadUnarchive(params) => Asked::Edit(id(&params.thread_id)?, Change::Unarchive),
            ClientRequest::ThreadUnsubscribe(params) => Asked::Unsubscribe(id(&params.thread_id)?),
            ClientRequest::ThreadArchive(params) => Asked::End(id(&params.thread_id)?, Ending::Archive),
            ClientRequest::ThreadDelete(params) => Asked::End(id(&params.thread_id)?, Ending::Delete),
            ClientRequest::ThreadRevert(params) => {
                let before = params.before_turn_id;
                Asked::Owner(id(&params.thread_id)?, OwnerRequest::Revert { before })
            }
            ClientRequest::ThreadCompactStart(params) => {
                Asked::Owner(id(&params.thread_id)?, OwnerRequest::Compact)
            }
            ClientRequest::ThreadInjectItems(params) => {
                let items = params.items;
                Asked::Owner(id(&params.thread_id)?, OwnerRequest::Inject { items })
            }
            ClientRequest::TurnStart(params) => {
                Asked::Owner(id(&params.thread_id)?, OwnerRequest::TurnStart(params))
            }
            ClientRequest::TurnSteer(params) => {
                Asked::Owner(id(&params.thread_id)?, OwnerRequest::TurnSteer(params))
            }
            ClientRequest::TurnInterrupt(params) => {
                Asked::Owner(id(&params.thread_id)?, OwnerRequest::TurnInterrupt(params))
            }
            ClientRequest::McpServerToolCall(params) => {
                Asked::Owner(id(&params.thread_id)?, OwnerRequest::ToolCall(Box::new(params)))
            }
            ClientRequest::McpResourceRead(params) => {
                let (server, uri) = (params.server, params.uri);
                match params.thread_id.as_deref() {
                    Some(thread) => Asked::Owner(id(thread)?, OwnerRequest::ResourceRead { server, uri }),
                    None => {
                        let folder = self.folder.clone().map(PathBuf::from);
                        return house(Request::Probe { server, uri, folder });
                    }
                }
            }
            ClientRequest::McpServerStatusList(params) => {
                return house(Request::ServerStatus(StatusQuery::new(params)?));
            }
            ClientRequest::McpServerReload(_) => Asked::Reload,
            ClientRequest::HelperRestart(params) => Asked::Restart {
                server: ServerName::from(params.server.as_str()),
                thread: params.thread_id.as_deref().map(id).transpose()?,
            },
            ClientRequest::Ps(_) => return house(Request::Ps),
            request if request.method().starts_with("verger/job/") => return Ok(Route::Jobs(request)),
            // Known to the protocol, and not yet to this server.
            other => return Err(RpcError::method_not_found(other.method())),
        };
        house(Request::Machine(asked))
    }
}

/// Who answers.
enum Route {
    House(Request),
    List(Box<ThreadListParams>),
    Jobs(ClientRequest),
}

fn id(text: &str) -> Result<ThreadId, RpcError> {
    ThreadId::from_str(text).map_err(RpcError::invalid_thread_id)
}

fn fork(params: ThreadForkParams) -> Result<Asked, RpcError> {
    if params.before_turn_id.is_some() && params.last_turn_id.is_some() {
        return Err(RpcError::invalid_params("beforeTurnId", "cannot be combined with lastTurnId"));
    }
    let (source, thread) = (id(&params.thread_id)?, ThreadId(Uuid::now_v7()));
    Ok(Asked::Fork(Box::new(Fork { source, thread, params })))
}
