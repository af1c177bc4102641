//! From a request to who answers it.

use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;
use verger_core::ids::{ConnectionId, ThreadId};
use verger_core::server::Ending;
use verger_store::{Direction, ListQuery, SortKey, StoreError};
use verger_wire::RpcError;
use verger_wire::requests::{
    ClientRequest, SortDirection, ThreadListCwdFilter, ThreadListParams, ThreadListResponse, ThreadSortKey,
};

use crate::house::{Asked, HouseHandle, OwnerRequest, Request, StatusQuery, ToHouse};
use crate::meta::Meta;
use crate::replier::Replier;
use crate::shared::Shared;

/// Entries of a page where the client does not say.
const PAGE: u32 = 25;

/// One connection's way to whoever answers.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    pub(crate) shared: Arc<Shared>,
    pub(crate) house: HouseHandle,
    pub(crate) connection: ConnectionId,
    /// The folder of this client's new threads, where neither it nor the daemon's own is meant.
    pub(crate) folder: Option<String>,
}

impl Dispatch {
    /// Sees that `request` is answered. What is answered here rather than by the house waits for the store, and with it
    /// only the connection that asked.
    pub(crate) async fn dispatch(&self, replier: Replier, request: ClientRequest) {
        let to_house = match self.route(request) {
            Err(error) => return replier.refuse(&error),
            Ok(Route::List(params)) => return replier.with(self.list(*params).await),
            Ok(Route::House(request)) => request,
        };
        let connection = self.connection;
        self.house.send(ToHouse::Request { connection, replier, request: to_house });
    }

    fn route(&self, request: ClientRequest) -> Result<Route, RpcError> {
        let house = |request| Ok(Route::House(request));
        let asked = match request {
            ClientRequest::ThreadStart(mut params) => {
                params.cwd = params.cwd.or_else(|| self.folder.clone());
                Asked::Start(ThreadId(Uuid::now_v7()), params)
            }
            ClientRequest::ThreadResume(params) => Asked::Resume(id(&params.thread_id)?, params),
            ClientRequest::ThreadRead(params) => {
                let include_turns = params.include_turns;
                Asked::Owner(id(&params.thread_id)?, OwnerRequest::Read { include_turns })
            }
            ClientRequest::ThreadList(params) => return Ok(Route::List(params)),
            ClientRequest::ThreadLoadedList(params) => {
                let cursor =
                    params.cursor.as_deref().map(|c| c.parse().map_err(|_| RpcError::invalid_cursor(c)));
                let limit =
                    params.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
                return house(Request::LoadedList { cursor: cursor.transpose()?, limit });
            }
            ClientRequest::ThreadUnsubscribe(params) => Asked::Unsubscribe(id(&params.thread_id)?),
            ClientRequest::ThreadArchive(params) => Asked::End(id(&params.thread_id)?, Ending::Archive),
            ClientRequest::ThreadDelete(params) => Asked::End(id(&params.thread_id)?, Ending::Delete),
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
                let thread = params.thread_id.as_deref();
                let thread = thread.ok_or_else(|| {
                    RpcError::invalid_params(
                        "threadId",
                        "missing; this version reads resources for a loaded thread only",
                    )
                })?;
                let (server, uri) = (params.server, params.uri);
                Asked::Owner(id(thread)?, OwnerRequest::ResourceRead { server, uri })
            }
            ClientRequest::McpServerStatusList(params) => {
                let thread = params.thread_id.as_deref().map(id).transpose()?;
                let detail = params.detail.unwrap_or_default();
                return house(Request::ServerStatus(StatusQuery {
                    thread,
                    server: params.server_name,
                    detail,
                }));
            }
            ClientRequest::McpServerReload(_) => Asked::Reload,
            ClientRequest::Ps(_) => return house(Request::Ps),
            // Known to the protocol, and not yet to this server.
            other => return Err(RpcError::method_not_found(other.method())),
        };
        house(Request::Machine(asked))
    }

    async fn list(&self, params: ThreadListParams) -> Result<ThreadListResponse, RpcError> {
        let query = ListQuery {
            archived: params.archived.unwrap_or(false),
            cwds: match params.cwd {
                None => Vec::new(),
                Some(ThreadListCwdFilter::One(cwd)) => vec![cwd],
                Some(ThreadListCwdFilter::Any(cwds)) => cwds,
            },
            search: params.search_term,
            model_providers: params.model_providers.unwrap_or_default(),
            sort: match params.sort_key.unwrap_or_default() {
                ThreadSortKey::UpdatedAt | ThreadSortKey::RecencyAt => SortKey::UpdatedAt,
                ThreadSortKey::CreatedAt | ThreadSortKey::SectionPosition => SortKey::CreatedAt,
            },
            direction: match params.sort_direction.unwrap_or_default() {
                SortDirection::Asc => Direction::Ascending,
                SortDirection::Desc => Direction::Descending,
            },
            cursor: params.cursor.clone(),
            limit: usize::try_from(params.limit.unwrap_or(PAGE)).unwrap_or(usize::MAX),
        };
        let page = self.shared.store.list(query).await.map_err(|error| match error {
            StoreError::BadCursor { .. } => {
                RpcError::invalid_cursor(params.cursor.as_deref().unwrap_or_default())
            }
            error => RpcError::internal(error.to_string()),
        })?;
        let excluded = params.excluded_thread_ids.unwrap_or_default();
        let shown = page.rows.iter().filter(|row| !excluded.contains(&row.id.to_string()));
        let data = shown.map(|row| Meta::from_row(row).to_wire(self.shared.statuses.get(row.id), Vec::new()));
        Ok(ThreadListResponse { data: data.collect(), next_cursor: page.next, backwards_cursor: page.back })
    }
}

/// Who answers.
enum Route {
    House(Request),
    List(Box<ThreadListParams>),
}

fn id(text: &str) -> Result<ThreadId, RpcError> {
    ThreadId::from_str(text).map_err(RpcError::invalid_thread_id)
}
