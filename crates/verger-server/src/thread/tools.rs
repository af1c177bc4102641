//! Calling tools: within a turn, and for `mcpServer/tool/call`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::WeakUnboundedSender;
use verger_core::ids::{Generation, ThreadId};
use verger_core::server::ServerName;
use verger_core::thread::ToolOutcome;
use verger_mcp::{CallError, Session, Tool};
use verger_model::{ToolSource, ToolSpec};
use verger_wire::requests::{McpResourceReadResponse, McpServerToolCallParams, McpServerToolCallResponse};
use verger_wire::types::McpToolCallResult;
use verger_wire::{Notification, RpcError, WarningNotification};

use super::ToThread;
use super::approval::{Call, Policy};
use crate::config::McpServer;
use crate::house::HouseHandle;
use crate::shared::Shared;

/// Helpers that a call may find just gone before it gives up.
const NEXT_HELPERS: usize = 2;

/// With more tools than this, models choose badly.
const MANY_TOOLS: usize = 128;

/// Why a tool is not there that its server has.
const TAKEN_AWAY: &str = "enabled_tools or disabled_tools of the configuration takes it away";

/// Who calls: everything that is needed to reach the helpers of one thread's scope.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) shared: Arc<Shared>,
    pub(crate) house: HouseHandle,
    pub(crate) thread: ThreadId,
    pub(crate) generation: Generation,
    /// Where helpers start that have no folder of their own.
    pub(crate) folder: PathBuf,
    /// MCP servers that the thread does without.
    pub(crate) servers_off: Arc<[String]>,
    /// Tools that its clients provide.
    pub(crate) client_tools: Arc<[ToolSpec]>,
    /// The clients have heard that there are very many tools.
    pub(crate) is_warned: Arc<AtomicBool>,
    /// The thread's owner, which asks its clients. Weak, since the owner has one of these itself.
    pub(crate) owner: WeakUnboundedSender<ToThread>,
}

impl Caller {
    pub(super) async fn session(&self, server: &ServerName) -> Result<Session, String> {
        self.house.want(self.thread, self.generation, server.clone(), self.folder.clone()).await
    }

    fn definition(&self, server: &str) -> Result<(ServerName, Arc<McpServer>), RpcError> {
        let name = ServerName::from(server);
        let config = self.shared.config();
        let definition = config
            .mcp_server(&name)
            .filter(|_| self.has(&name))
            .ok_or_else(|| RpcError::unknown_mcp_server(server))?;
        Ok((name, Arc::clone(definition)))
    }

    /// Whether the thread has this server, if there is one.
    pub(super) fn has(&self, server: &ServerName) -> bool {
        !self.servers_off.iter().any(|off| **off == *server.0)
    }

    /// `mcpServer/tool/call`.
    pub(super) async fn call(
        &self,
        params: McpServerToolCallParams,
    ) -> Result<McpServerToolCallResponse, RpcError> {
        let McpServerToolCallParams { server, tool, arguments, meta, .. } = params;
        let (name, definition) = self.definition(&server)?;
        let failed = |why: String| RpcError::tool_call_failed(&server, &tool, why);
        if !definition.offers(&tool) {
            return Err(failed(TAKEN_AWAY.to_owned()));
        }
        let session = self.session(&name).await.map_err(failed)?;
        let limit = definition.tool_timeout();
        let question = Question::Call { tool: &tool, arguments, meta, limit };
        let result = self.ask(session, &name, question).await.map_err(|failure| failure.told(failed))?;
        serde_json::from_value(result).map_err(|cause| failed(format!("its result is not readable: {cause}")))
    }

    /// Asks a helper, once. What found its helper just gone, or about to go, was not sent, so it goes to the next one (K10).
    async fn ask(
        &self,
        mut session: Session,
        name: &ServerName,
        question: Question<'_>,
    ) -> Result<Value, Failure> {
        for _ in 0..NEXT_HELPERS {
            match question.put_to(&session).await {
                Err(CallError::NotSent { .. } | CallError::Draining { .. }) => {
                    session = self.session(name).await.map_err(Failure::Start)?;
                }
                answered => return answered.map_err(Failure::Call),
            }
        }
        question.put_to(&session).await.map_err(Failure::Call)
    }

    /// `mcpServer/resource/read`.
    pub(super) async fn read_resource(
        &self,
        server: &str,
        uri: &str,
    ) -> Result<McpResourceReadResponse, RpcError> {
        let (name, definition) = self.definition(server)?;
        let failed = |why: String| RpcError::resource_read_failed(server, uri, why);
        let session = self.session(&name).await.map_err(failed)?;
        let question = Question::Read { uri, limit: definition.tool_timeout() };
        resource(server, uri, self.ask(session, &name, question).await)
    }

    /// A call that the model asked for. The error is for the model and for people.
    pub(super) async fn call_in_turn(
        &self,
        item: &str,
        server: &str,
        tool: &str,
        arguments: Value,
        policy: Policy,
    ) -> Result<ToolOutcome, String> {
        if server.is_empty() {
            return Err(format!("there is no tool '{tool}'"));
        }
        let (name, definition) = self.definition(server).map_err(|error| error.message)?;
        if !definition.offers(tool) {
            return Err(format!("there is no tool '{tool}' of server '{server}': {TAKEN_AWAY}"));
        }
        let session = self.session(&name).await?;
        let known = session.tools().iter().find(|known| known.name == tool).cloned();
        if let Some(known) = known {
            let mode = definition.approval(tool);
            let call = Call { item, server: &name, tool: &known, arguments: &arguments, mode };
            self.approve(&call, policy).await?;
        }
        let arguments = Some(arguments).filter(|arguments| !arguments.is_null());
        let question = Question::Call { tool, arguments, meta: None, limit: definition.tool_timeout() };
        let result = self.ask(session, &name, question).await;
        outcome(result.map_err(|failure| failure.to_string())?)
    }

    /// Whether a tool says of itself that it changes nothing, as far as that is known without starting its server.
    pub(super) fn read_only(&self, server: &str, tool: &str) -> Option<bool> {
        let (name, definition) = self.definition(server).ok()?;
        let tools = self.shared.catalog.get(&name, &definition)?;
        tools.iter().find(|known| known.name == tool)?.hints.read_only
    }

    /// Every tool of every enabled server, and those of the clients. A server that never ran under its definition is started for it; one that
    /// cannot be started has no tools, which its `mcpServer/startupStatus/updated` has told.
    pub(super) async fn offered(&self) -> Vec<ToolSpec> {
        let config = self.shared.config();
        let lists = config.enabled_servers().filter(|(name, _)| self.has(name)).map(
            |(name, definition)| async move {
                let tools = match self.shared.catalog.get(name, definition) {
                    Some(tools) => tools,
                    None => self.session(name).await.map(|session| session.tools()).unwrap_or_default(),
                };
                let offered = tools.iter().filter(|tool| definition.offers(&tool.name));
                offered.map(|tool| spec(name, tool)).collect::<Vec<_>>()
            },
        );
        let mut tools: Vec<_> = futures_util::future::join_all(lists).await.into_iter().flatten().collect();
        tools.extend_from_slice(&self.client_tools);
        self.warn_of_many(tools.len());
        tools
    }

    /// Says once that there are more tools than models choose well from.
    fn warn_of_many(&self, count: usize) {
        if count <= MANY_TOOLS || self.is_warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let message = format!(
            "the model is offered {count} tools; past {MANY_TOOLS} many choose badly, and some providers refuse: enabled_tools \
             and disabled_tools of [mcp_servers.NAME] take tools away"
        );
        tracing::warn!(thread = %self.thread, "{message}");
        let warning = WarningNotification { thread_id: Some(self.thread.to_string()), message };
        if let Some(owner) = self.owner.upgrade() {
            // An owner that has ended has no subscribers.
            owner.send(ToThread::Notify(Box::new(Notification::Warning(warning)))).ok();
        }
    }
}

/// What a helper is asked, and how long it may take.
enum Question<'a> {
    Call { tool: &'a str, arguments: Option<Value>, meta: Option<Value>, limit: Duration },
    Read { uri: &'a str, limit: Duration },
}

impl Question<'_> {
    async fn put_to(&self, session: &Session) -> Result<Value, CallError> {
        match self {
            Self::Call { tool, arguments, meta, limit } => {
                session.call(tool, arguments.clone(), meta.clone(), *limit).await
            }
            Self::Read { uri, limit } => session.read_resource(uri, *limit).await,
        }
    }
}

/// Why a helper was asked and gave no result.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The next one could not be started, in words for people.
    #[error("{0}")]
    Start(String),
    #[error(transparent)]
    Call(CallError),
}

impl Failure {
    /// What the client is told: a helper's own error as it is, all else as `failed` puts it.
    fn told(self, failed: impl FnOnce(String) -> RpcError) -> RpcError {
        match self {
            Self::Call(CallError::Server { code, message, data, .. }) => RpcError { code, data, message },
            other => failed(other.to_string()),
        }
    }
}

/// Reads a resource of a helper that runs.
pub(crate) async fn read_resource(
    session: &Session,
    server: &str,
    uri: &str,
    limit: Duration,
) -> Result<McpResourceReadResponse, RpcError> {
    resource(server, uri, session.read_resource(uri, limit).await.map_err(Failure::Call))
}

fn resource(
    server: &str,
    uri: &str,
    read: Result<Value, Failure>,
) -> Result<McpResourceReadResponse, RpcError> {
    let failed = |why: String| RpcError::resource_read_failed(server, uri, why);
    let result = read.map_err(|failure| failure.told(failed))?;
    serde_json::from_value(result).map_err(|cause| failed(format!("its result is not readable: {cause}")))
}

fn spec(server: &ServerName, tool: &Tool) -> ToolSpec {
    ToolSpec {
        source: ToolSource::Server(server.to_string()),
        tool: tool.name.clone(),
        description: tool.description.clone().unwrap_or_default(),
        input_schema: tool.input_schema().clone(),
    }
}

fn outcome(result: Value) -> Result<ToolOutcome, String> {
    let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
    let result: McpToolCallResult =
        serde_json::from_value(result).map_err(|cause| format!("its result is not readable: {cause}"))?;
    Ok(ToolOutcome { result, is_error })
}
