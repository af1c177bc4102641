//! Verger's own: what runs, as `verger ps` shows it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::types::ThreadStatus;

/// Answer to `verger/ps`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct PsResponse {
    /// The daemon.
    pub server: PsServer,
    /// Every loaded thread.
    pub threads: Vec<PsThread>,
    /// Every helper that is not proven gone, and every server that is not started because it failed.
    pub helpers: Vec<PsHelper>,
    /// Open connections, this one included.
    pub connections: u64,
    /// Tasks of the daemon.
    pub tasks: u64,
}

/// The daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct PsServer {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The id of its run.
    pub run: String,
    /// Seconds since it began.
    pub uptime_sec: u64,
    /// How well it can prove that helpers are gone.
    pub level: ContainmentLevel,
    /// Why not better; `null` at the best level.
    pub level_reason: Option<String>,
    /// Processes that dead runs of its home had left, and that it killed when it began.
    pub swept: u64,
}

/// A loaded thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct PsThread {
    /// Which.
    pub id: String,
    /// What it is doing.
    pub status: ThreadStatus,
    /// How many connections follow it.
    pub subscribers: u64,
    /// The number of its owner.
    pub generation: u64,
    /// Its first user message.
    pub preview: String,
}

/// A helper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct PsHelper {
    /// Its number in this run; of a server that is not started, that of the helper that failed last.
    pub id: u64,
    /// Its server's name in the configuration.
    pub server: String,
    /// The thread that it belongs to, or the name of another scope.
    pub scope: String,
    /// Its leader; `null` until there is one.
    pub pid: Option<u32>,
    /// How far it is.
    pub state: HelperState,
    /// How its end will be proven.
    pub level: ContainmentLevel,
    /// Seconds since it began.
    pub uptime_sec: u64,
    /// Live processes of its tree.
    pub processes: u32,
    /// Resident bytes of its tree.
    pub rss_bytes: u64,
    /// Processes found alive after a leader of this server had exited.
    pub strays: u64,
    /// Why the last helper of this server failed in this scope; `null` if none has lately.
    pub reason: Option<String>,
    /// Milliseconds until it may be started; `null` unless it is backing off.
    pub retry_in_ms: Option<u64>,
}

/// How far a helper is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum HelperState {
    /// Its process is on the way.
    Starting,
    /// It serves.
    Running,
    /// It is being ended.
    Stopping,
    /// Its end could not be proven in time.
    Stuck,
    /// It failed, and may be started again in `retryInMs`.
    BackingOff,
    /// It failed too often, and is started again by `verger/helper/restart` or `config/mcpServer/reload` only.
    Crashed,
}

/// What proves that a helper's processes are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum ContainmentLevel {
    /// The exit of a PID namespace's init.
    Pidns,
    /// `populated 0` of its cgroup.
    Cgroup,
    /// The word of its shim.
    Shim,
}
