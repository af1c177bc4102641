//! `mcpServerStatus/list`: the configured servers, and how each stands for one thread. Asking starts nothing.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use verger_core::ids::ThreadId;
use verger_core::server::{HelperState, ServerName};
use verger_mcp::{Session, Tool};
use verger_wire::RpcError;
use verger_wire::requests::{ListMcpServerStatusParams, ListMcpServerStatusResponse, McpServerStatusDetail};
use verger_wire::types::{McpAuthStatus, McpServerConnectionStatus, McpServerStatus};

use super::House;
use crate::listing;
use crate::replier::Replier;

/// How long a helper may take to list its resources.
const LIST_LIMIT: Duration = Duration::from_secs(5);

/// What the client asked for.
#[derive(Debug)]
pub(crate) struct StatusQuery {
    pub(crate) thread: Option<ThreadId>,
    pub(crate) server: Option<String>,
    pub(crate) detail: McpServerStatusDetail,
    /// Servers up to and with this name are passed over.
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
}

/// What a cursor begins with; the name of the last server of its page follows. So a page goes on where the last one
/// ended, whatever a reload did to the servers in between.
const CURSOR: &str = "after:";

impl StatusQuery {
    pub(crate) fn new(params: ListMcpServerStatusParams) -> Result<Self, RpcError> {
        let thread = params.thread_id.as_deref().map(ThreadId::from_str).transpose();
        let after = params.cursor.as_deref().map(|cursor| {
            let name = cursor.strip_prefix(CURSOR).map(str::to_owned);
            name.ok_or_else(|| RpcError::invalid_cursor(cursor))
        });
        Ok(Self {
            thread: thread.map_err(RpcError::invalid_thread_id)?,
            server: params.server_name,
            detail: params.detail.unwrap_or_default(),
            after: after.transpose()?,
            limit: params.limit.map_or(usize::MAX, |limit| listing::limit(Some(limit))),
        })
    }
}

impl House {
    pub(super) fn server_statuses(&mut self, replier: Replier, query: StatusQuery) {
        if let Some(thread) = query.thread
            && !self.core.loaded().any(|loaded| loaded.thread == thread)
        {
            return replier.refuse(&RpcError::thread_not_found(thread));
        }
        let config = self.shared.config();
        let now = self.shared.clock.now();
        let has_failed =
            |name: &ServerName| self.core.troubles(now).any(|t| t.thread == query.thread && t.server == name);
        let asked = |name: &ServerName| query.server.as_deref().is_none_or(|wanted| *name.0 == *wanted);
        let beyond = |name: &ServerName| query.after.as_deref().is_none_or(|after| *name.0 > *after);
        let mut servers =
            config.mcp_servers.iter().filter(|(name, _)| asked(name) && beyond(name)).peekable();
        let rows = servers.by_ref().take(query.limit).map(|(name, definition)| {
            let helper = query.thread.and_then(|thread| self.helper_of(thread, name));
            let status = query.thread.map(|_| match helper {
                _ if !definition.enabled => McpServerConnectionStatus::Disabled,
                Some((HelperState::Ready, _)) => McpServerConnectionStatus::Connected,
                Some((HelperState::Queued | HelperState::Starting, _)) => McpServerConnectionStatus::Starting,
                Some((HelperState::Stopping | HelperState::Stuck, _)) | None if has_failed(name) => {
                    McpServerConnectionStatus::Failed
                }
                Some((HelperState::Stopping | HelperState::Stuck, _)) | None => {
                    McpServerConnectionStatus::NotStarted
                }
            });
            let session = helper.and_then(|(_, session)| session);
            let tools = session.as_ref().map(Session::tools);
            let tools = tools.or_else(|| self.shared.catalog.get(name, definition)).unwrap_or_default();
            let tools = tools.iter().filter(|tool| definition.offers(&tool.name)).cloned().collect();
            (name.to_string(), status, session, tools)
        });
        let rows: Vec<_> = rows.collect();
        let last = rows.last().filter(|_| servers.peek().is_some());
        let next_cursor = last.map(|(name, ..)| format!("{CURSOR}{name}"));
        let with_resources = query.detail == McpServerStatusDetail::Full;
        self.tasks.spawn(async move {
            let rows = rows.into_iter().map(|(name, status, session, tools)| async move {
                let mut row = row(name, status, session.as_ref(), &tools);
                if let Some(session) = session.filter(|_| with_resources) {
                    // A server without resources says so by an error; either way there are none to show.
                    let resources = session.list_resources(None, LIST_LIMIT).await.unwrap_or_default();
                    let templates =
                        session.list_resource_templates(None, LIST_LIMIT).await.unwrap_or_default();
                    row.resources = members(resources, "resources");
                    row.resource_templates = members(templates, "resourceTemplates");
                }
                row
            });
            let data = futures_util::future::join_all(rows).await;
            replier.ok(&ListMcpServerStatusResponse { data, next_cursor });
        });
    }

    /// The newest helper of the server in the thread's scopes.
    fn helper_of(&self, thread: ThreadId, server: &ServerName) -> Option<(HelperState, Option<Session>)> {
        let of_both =
            self.core.helpers().filter(|(_, scope, name, _)| scope.thread == thread && *name == server);
        let (id, _, _, state) = of_both.last()?;
        Some((state, self.helpers.get(&id).and_then(|slot| slot.session.clone())))
    }
}

fn row(
    name: String,
    runtime_status: Option<McpServerConnectionStatus>,
    session: Option<&Session>,
    tools: &Arc<[Tool]>,
) -> McpServerStatus {
    let tools: BTreeMap<_, _> = tools.iter().map(|tool| (tool.name.clone(), tool.raw.clone())).collect();
    McpServerStatus {
        name,
        runtime_status,
        plugin_id: None,
        http_origin: None,
        // What a server tells of itself need not fit the schema; then it is left out.
        server_info: session.and_then(|session| serde_json::from_value(session.server_info()).ok()),
        server_capabilities: session.map(Session::capabilities),
        tool_list_meta: None,
        tools,
        tools_error: None,
        resources: Vec::new(),
        resource_templates: Vec::new(),
        auth_status: McpAuthStatus::Unsupported,
    }
}

fn members(mut result: Value, name: &str) -> Vec<Value> {
    match result.get_mut(name).map(Value::take) {
        Some(Value::Array(members)) => members,
        _ => Vec::new(),
    }
}
