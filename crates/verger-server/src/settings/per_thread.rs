//! The `config` of `thread/start` and its kin: keys of the configuration, for one thread.
//!
//! Keys that hold for a thread are honoured. Those that hold for the whole server are refused by name, and so is what looks
//! like a slip of the pen. Other keys are Codex's switches for parts that this server does not have: clients of Codex send
//! dozens of them, and they are passed over.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use verger_core::server::ServerName;
use verger_wire::RpcError;
use verger_wire::requests::{ThreadForkParams, ThreadResumeParams, ThreadStartParams};
use verger_wire::types::{AskForApproval, ReasoningSummary, SandboxMode};

use crate::config::{Config, nearest_key, path_of};

/// Keys that hold for a thread, besides those of `mcp_servers`.
const HELD: &[&str] = &[
    "approval_policy",
    "developer_instructions",
    "instructions",
    "model",
    "model_context_window",
    "model_provider",
    "model_reasoning_effort",
    "model_reasoning_summary",
    "sandbox_mode",
];

/// Codex's own keys that look like a slip of one that is held here.
const NO_SLIPS: &[&str] =
    &["model_reasoning_summary_format", "model_supports_reasoning_summaries", "plan_mode_reasoning_effort"];

/// What a thread's `config` sets and its request has no parameter for.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beyond {
    /// MCP servers that it does without.
    pub(crate) servers_off: Option<Vec<String>>,
    pub(crate) model_context_window: Option<u32>,
    pub(crate) model_reasoning_effort: Option<String>,
    pub(crate) model_reasoning_summary: Option<ReasoningSummary>,
}

/// The parameters that a thread's configuration can set. What the request says itself wins.
pub(crate) struct PerThread<'a> {
    config: &'a mut Option<Map<String, Value>>,
    model: &'a mut Option<String>,
    model_provider: &'a mut Option<String>,
    approval_policy: &'a mut Option<AskForApproval>,
    sandbox: &'a mut Option<SandboxMode>,
    base_instructions: &'a mut Option<String>,
    developer_instructions: &'a mut Option<String>,
}

macro_rules! per_thread {
    ($($params:ty),+) => {
        $(impl<'a> From<&'a mut $params> for PerThread<'a> {
            fn from(params: &'a mut $params) -> Self {
                Self {
                    config: &mut params.config,
                    model: &mut params.model,
                    model_provider: &mut params.model_provider,
                    approval_policy: &mut params.approval_policy,
                    sandbox: &mut params.sandbox,
                    base_instructions: &mut params.base_instructions,
                    developer_instructions: &mut params.developer_instructions,
                }
            }
        })+
    };
}

per_thread!(ThreadStartParams, ThreadResumeParams, ThreadForkParams);

/// Puts the keys of a request's `config` among its parameters. What stays in `config` is read by [`beyond`].
///
/// # Errors
/// -32602, naming the key: one that holds for the whole server, one of the wrong type, or one that is nearly another.
pub(crate) fn settle<'a>(params: impl Into<PerThread<'a>>, config: &Config) -> Result<(), RpcError> {
    let params = params.into();
    let Some(written) = params.config.take() else { return Ok(()) };
    let mut beyond = Beyond::default();
    for (path, value) in leaves(&written) {
        let refuse = |reason: String| RpcError::invalid_params(&format!("config.{}", path.join(".")), reason);
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["model"] => set(params.model, value, refuse)?,
            ["model_provider"] => set(params.model_provider, value, refuse)?,
            // A policy by kind is a table.
            ["approval_policy", ..] => {
                let whole = written.get("approval_policy").unwrap_or(value);
                set(params.approval_policy, whole, refuse)?;
            }
            ["sandbox_mode"] => set(params.sandbox, value, refuse)?,
            ["instructions"] => set(params.base_instructions, value, refuse)?,
            ["developer_instructions"] => set(params.developer_instructions, value, refuse)?,
            ["model_context_window"] => set(&mut beyond.model_context_window, value, refuse)?,
            ["model_reasoning_effort"] => set(&mut beyond.model_reasoning_effort, value, refuse)?,
            ["model_reasoning_summary"] => set(&mut beyond.model_reasoning_summary, value, refuse)?,
            ["mcp_servers", name, "enabled"] => match value {
                Value::Bool(false) => {
                    beyond.servers_off.get_or_insert_default().push((*name).to_owned());
                }
                Value::Bool(true) if config.mcp_server(&ServerName::from(*name)).is_some() => {}
                Value::Bool(true) => {
                    return Err(refuse("no such server is enabled in the server's configuration".into()));
                }
                _ => return Err(refuse("expected a boolean".to_owned())),
            },
            ["mcp_servers" | "model_providers" | "server" | "threads" | "jobs" | "max_parallel_jobs", ..] => {
                return Err(refuse(
                    "holds for all threads; set it in config.toml, or with --config when the server starts"
                        .into(),
                ));
            }
            [first, ..] => match nearest_key(first, HELD).filter(|_| !NO_SLIPS.contains(first)) {
                Some(near) => return Err(refuse(format!("unknown key; did you mean {near}?"))),
                None => {
                    tracing::debug!(key = path.join("."), "a thread's setting that this server does not have")
                }
            },
            [] => {}
        }
    }
    *params.config = match serde_json::to_value(&beyond) {
        Ok(Value::Object(left)) if beyond != Beyond::default() => Some(left),
        _ => None,
    };
    Ok(())
}

/// What is left in a settled `config`.
pub(crate) fn beyond(config: Option<&Map<String, Value>>) -> Beyond {
    let written = config.cloned().map(|left| serde_json::from_value(Value::Object(left)));
    // One that was not settled sets nothing.
    written.and_then(Result::ok).unwrap_or_default()
}

/// Sets what the request itself left open; `null` sets nothing.
fn set<T: DeserializeOwned>(
    to: &mut Option<T>,
    value: &Value,
    refuse: impl Fn(String) -> RpcError,
) -> Result<(), RpcError> {
    let value: Option<T> =
        serde_json::from_value(value.clone()).map_err(|error| refuse(error.to_string()))?;
    if to.is_none() {
        *to = value;
    }
    Ok(())
}

/// Every value that is no table, with its way there; names may be dotted.
fn leaves(table: &Map<String, Value>) -> Vec<(Vec<String>, &Value)> {
    let mut found = Vec::new();
    for (name, value) in table {
        let path = path_of(name);
        match value {
            Value::Object(table) => {
                let below = leaves(table).into_iter();
                found.extend(below.map(|(rest, value)| ([path.clone(), rest].concat(), value)));
            }
            value => found.push((path, value)),
        }
    }
    found
}
