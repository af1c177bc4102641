//! Every refusal the server can answer with, by name, with the code and wording that clients of the peer know.

use std::fmt::Display;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ts_rs::TS;

use crate::frame::Fault;

/// Error codes in use.
pub mod code {
    /// The frame is no JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// The request cannot be served as things stand. The peer uses it for nearly everything, so its clients expect it.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters do not fit the method.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The server, a helper or a model failed.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// Too many requests at once; the same one succeeds later.
    pub const OVERLOADED: i64 = -32001;
}

/// The `error` member of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// One of [`code`], or what a helper answered.
    pub code: i64,
    /// Details for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// For people; some clients also match on it.
    pub message: String,
}

/// A piece of a client's input: quoted back, but never at length.
fn quote(text: &str) -> String {
    shorten(text, 120)
}

/// An explanation: it may hold a piece of a client's input that a parser quoted at length.
fn explain(why: impl Display) -> String {
    shorten(&why.to_string(), 500)
}

/// At most `limit` characters, and dots where there were more.
fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

// === impl RpcError ===

impl RpcError {
    /// Any code with a message, no data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, data: None, message: message.into() }
    }

    fn refused(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_REQUEST, message)
    }

    /// The frame is not JSON, not UTF-8 or nested too deep.
    pub fn parse_error(why: impl Display) -> Self {
        Self::new(code::PARSE_ERROR, format!("Parse error: {}", explain(why)))
    }

    /// The frame is JSON but no request.
    pub fn invalid_request(why: impl Display) -> Self {
        Self::refused(format!("Invalid request: {}", explain(why)))
    }

    /// No method of that name.
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        Self::new(code::METHOD_NOT_FOUND, format!("Method not found: {}", quote(method)))
    }

    /// Parameters that do not fit; `path` names the field, as in `input[0].text`, or is empty for all of them.
    #[must_use]
    pub fn invalid_params(path: &str, why: impl Display) -> Self {
        let message = match path {
            "" => format!("Invalid params: {}", explain(why)),
            path => format!("Invalid params: {}: {}", quote(path), explain(why)),
        };
        Self::new(code::INVALID_PARAMS, message)
    }

    /// Something failed that the client cannot mend.
    pub fn internal(why: impl Into<String>) -> Self {
        Self::new(code::INTERNAL_ERROR, why)
    }

    /// Any request before `initialize`.
    #[must_use]
    pub fn not_initialized() -> Self {
        Self::refused("Not initialized")
    }

    /// A second `initialize` on one connection.
    #[must_use]
    pub fn already_initialized() -> Self {
        Self::refused("Already initialized")
    }

    /// A method or field that needs `capabilities.experimentalApi`.
    #[must_use]
    pub fn experimental(what: &str) -> Self {
        Self::refused(format!("{what} requires experimentalApi capability"))
    }

    /// Too many requests waiting.
    #[must_use]
    pub fn overloaded() -> Self {
        Self::new(code::OVERLOADED, "Server overloaded; retry later.")
    }

    /// No place for one more client: `why` says of how many, and by which setting.
    #[must_use]
    pub fn full(why: impl Into<String>) -> Self {
        Self::new(code::OVERLOADED, why)
    }

    /// The server is draining. `data.reason` is `serverShuttingDown`.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self {
            data: Some(json!({ "reason": "serverShuttingDown" })),
            ..Self::refused("Server is draining; retry after reconnecting")
        }
    }

    /// A cursor that this server never gave out.
    #[must_use]
    pub fn invalid_cursor(cursor: &str) -> Self {
        Self::refused(format!("invalid cursor: {}", quote(cursor)))
    }
}

/// About threads.
impl RpcError {
    /// An id that is no UUID.
    pub fn invalid_thread_id(why: impl Display) -> Self {
        Self::refused(format!("invalid thread id: {why}"))
    }

    /// `thread/read` of an unknown thread.
    #[must_use]
    pub fn thread_not_loaded(thread: impl Display) -> Self {
        Self::refused(format!("thread not loaded: {thread}"))
    }

    /// `turn/*`, `mcpServer/*` on a thread that is not loaded.
    #[must_use]
    pub fn thread_not_found(thread: impl Display) -> Self {
        Self::refused(format!("thread not found: {thread}"))
    }

    /// `thread/resume`, `fork`, `archive`, `delete` of an unknown thread.
    #[must_use]
    pub fn no_rollout(thread: impl Display) -> Self {
        Self::refused(format!("no rollout found for thread id {thread}"))
    }

    /// `thread/unarchive` of a thread that is not archived.
    #[must_use]
    pub fn no_archived_rollout(thread: impl Display) -> Self {
        Self::refused(format!("no archived rollout found for thread id {thread}"))
    }

    /// `thread/resume` of an archived thread.
    #[must_use]
    pub fn thread_archived(thread: impl Display) -> Self {
        Self::refused(format!("session {thread} is archived. Call thread/unarchive first."))
    }

    /// Turns or items asked of a thread without a durable turn; `method` is what was asked.
    #[must_use]
    pub fn not_materialized(thread: impl Display, method: &str) -> Self {
        Self::refused(format!(
            "thread {thread} is not materialized yet; {method} is unavailable before first user message"
        ))
    }

    /// Turns or items of a thread that is kept nowhere; `what` was asked.
    #[must_use]
    pub fn ephemeral_without(what: &str) -> Self {
        Self::refused(format!("ephemeral threads do not support {what}"))
    }

    /// `thread/name/set`, `thread/metadata/update` of a thread that is kept nowhere.
    #[must_use]
    pub fn ephemeral_without_metadata(thread: impl Display) -> Self {
        Self::refused(format!("ephemeral thread does not support metadata updates: {thread}"))
    }

    /// `thread/delete` while a fork still reads this thread's history.
    #[must_use]
    pub fn forked_from(thread: impl Display) -> Self {
        Self::refused(format!("cannot delete thread {thread}: forked history still references it"))
    }

    /// A tool that a client wants to provide, and no model could call: the name is in the reason.
    pub fn unusable_tool(reason: impl Into<String>) -> Self {
        Self::refused(reason)
    }

    /// Another live server process of this home owns the thread.
    #[must_use]
    pub fn active_writer(thread: impl Display, pid: u32) -> Self {
        Self::refused(format!("thread {thread} already has an active writer (pid {pid})"))
    }
}

/// About turns.
impl RpcError {
    /// `turn/steer` that names another turn. Clients read the active turn's id out of this text.
    #[must_use]
    pub fn steer_mismatch(expected: impl Display, found: impl Display) -> Self {
        Self::refused(format!("expected active turn id `{expected}` but found `{found}`"))
    }

    /// `turn/start` during a turn, with a schema that this turn was not begun with.
    #[must_use]
    pub fn schema_mismatch() -> Self {
        Self::refused("outputSchema: the active turn was begun with another; start one when it has ended")
    }

    /// `turn/steer` without what it needs.
    #[must_use]
    pub fn steer_without(member: &str) -> Self {
        Self::refused(format!("{member} must not be empty"))
    }

    /// `turn/interrupt` that names another turn.
    #[must_use]
    pub fn interrupt_mismatch(expected: impl Display, found: impl Display) -> Self {
        Self::refused(format!("expected active turn id {expected} but found {found}"))
    }

    /// `thread/revert` to a turn, or `thread/fork` at one, that the thread does not have.
    #[must_use]
    pub fn turn_not_found(turn: impl Display) -> Self {
        Self::refused(format!("turn not found: {turn}"))
    }

    /// `thread/revert` while a turn runs.
    #[must_use]
    pub fn revert_during_turn(thread: impl Display, turn: impl Display) -> Self {
        Self::refused(format!(
            "cannot revert thread {thread} while turn {turn} is in progress; interrupt it first"
        ))
    }

    /// `thread/compact/start` while a turn runs.
    #[must_use]
    pub fn compact_during_turn(thread: impl Display, turn: impl Display) -> Self {
        Self::refused(format!("cannot compact thread {thread} while turn {turn} is in progress"))
    }

    /// `thread/fork` at a turn that has not ended.
    #[must_use]
    pub fn fork_at_active_turn(turn: impl Display) -> Self {
        Self::refused(format!("lastTurnId '{turn}' identifies an in-progress turn"))
    }

    /// `turn/steer` of an idle thread.
    #[must_use]
    pub fn nothing_to_steer() -> Self {
        Self::refused("no active turn to steer")
    }

    /// `turn/interrupt` of an idle thread.
    #[must_use]
    pub fn nothing_to_interrupt() -> Self {
        Self::refused("no active turn to interrupt")
    }
}

/// About helpers.
impl RpcError {
    /// A server name that the configuration does not have.
    #[must_use]
    pub fn unknown_mcp_server(name: &str) -> Self {
        Self::internal(format!("unknown MCP server '{}'", quote(name)))
    }

    /// The helper could not be started, died during the call or timed out. A JSON-RPC error that the helper itself
    /// answered is passed on unchanged instead.
    #[must_use]
    pub fn tool_call_failed(server: &str, tool: &str, why: impl Display) -> Self {
        Self::internal(format!("tool call failed for `{}/{}`: {why}", quote(server), quote(tool)))
    }

    /// As [`tool_call_failed`](Self::tool_call_failed), for `mcpServer/resource/read`.
    #[must_use]
    pub fn resource_read_failed(server: &str, uri: &str, why: impl Display) -> Self {
        Self::internal(format!("resources/read failed for `{}` ({}): {why}", quote(server), quote(uri)))
    }

    /// A scope that cannot be called closed: a process of it has not ended.
    #[must_use]
    pub fn helper_not_proven_gone(server: &str, pid: u32) -> Self {
        Self::internal(format!(
            "helper could not be proven gone: {} (pid {pid}); see `verger ps`",
            quote(server)
        ))
    }
}

/// About jobs.
impl RpcError {
    /// A name that no job has.
    #[must_use]
    pub fn job_not_found(name: &str) -> Self {
        Self::refused(format!("job not found: {}; verger/job/list has those there are", quote(name)))
    }

    /// A number that no run of a job has.
    #[must_use]
    pub fn job_run_not_found(run: u64) -> Self {
        Self::refused(format!("run of a job not found: {run}; verger/job/history has those that are kept"))
    }

    /// `verger/job/add` under a name that a job has.
    #[must_use]
    pub fn job_name_taken(name: &str) -> Self {
        Self::refused(format!(
            "there is a job named '{}' already; change it with verger/job/edit, or take another name",
            quote(name)
        ))
    }

    /// `verger/job/edit` and `remove` of a job that was not added at run time.
    #[must_use]
    pub fn job_is_configured(name: &str) -> Self {
        let name = quote(name);
        Self::refused(format!(
            "job '{name}' comes from config.toml and is not changed from here: edit [jobs.{name}] in that file, then start the \
             server again, or call config/mcpServer/reload"
        ))
    }

    /// A job that cannot be: `field` as in `notify.url`, `name` for the name itself. `data.field` has it for programs.
    #[must_use]
    pub fn invalid_job(field: &str, reason: impl Display) -> Self {
        let field = quote(field);
        let message = format!("Invalid job: {field}: {}", explain(reason));
        Self { data: Some(json!({ "field": field })), ..Self::new(code::INVALID_PARAMS, message) }
    }

    /// `verger/job/remove` of a job while `run` goes on or waits.
    #[must_use]
    pub fn job_is_running(name: &str, run: u64) -> Self {
        Self::refused(format!(
            "job '{}' still runs (run {run}); cancel that with verger/job/cancel, or wait for its end",
            quote(name)
        ))
    }
}

impl From<&Fault> for RpcError {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::NotUtf8(_) | Fault::NotJson(_) | Fault::TooLong(_) | Fault::TooDeep => {
                Self::parse_error(fault)
            }
            Fault::NotAMessage(why) => Self::invalid_request(why),
        }
    }
}
