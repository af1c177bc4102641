//! Threads one by one: begin, follow, fork, look, leave, put away.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;

use super::{Empty, SortDirection, ThreadTurnsListResponse};
use crate::types::{
    ApprovalsReviewer, AskForApproval, Personality, SandboxMode, SandboxPolicy, Thread, TurnItemsView,
};

/// `thread/start`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(optional_fields = nullable)]
pub struct ThreadStartParams {
    /// The working directory.
    pub cwd: Option<String>,
    /// The model's name.
    pub model: Option<String>,
    /// The provider's name in the configuration.
    pub model_provider: Option<String>,
    /// When to ask.
    pub approval_policy: Option<AskForApproval>,
    /// Whom to ask.
    pub approvals_reviewer: Option<ApprovalsReviewer>,
    /// What may be touched.
    pub sandbox: Option<SandboxMode>,
    /// Configuration for this thread, by dotted key.
    pub config: Option<Map<String, Value>>,
    /// Store nothing of it: it ends when it is unloaded.
    pub ephemeral: Option<bool>,
    /// Instead of the model's instructions.
    pub base_instructions: Option<String>,
    /// On top of them.
    pub developer_instructions: Option<String>,
    /// The tone.
    pub personality: Option<Personality>,
    /// For the provider's accounting.
    pub service_name: Option<String>,
    /// The provider's lane.
    pub service_tier: Option<String>,
    /// `startup` or `clear`.
    pub session_start_source: Option<String>,
    /// Why it begins.
    pub thread_source: Option<String>,
    /// Tell this connection of each item as the Responses API has it, too. Experimental.
    #[ts(optional, as = "Option<_>")]
    pub experimental_raw_events: bool,
    /// Tools that clients of the thread run when the model calls them (`item/tool/call`); kept with it. Experimental.
    pub dynamic_tools: Option<Vec<DynamicToolSpec>>,
}

/// A tool that a client provides, or a family of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct DynamicToolSpec {
    /// Which of the two.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub r#type: DynamicToolKind,
    /// Its name: of a tool, letters, digits, `_` and `-`.
    pub name: String,
    /// For the model.
    pub description: String,
    /// JSON Schema of a tool's arguments.
    #[serde(default)]
    pub input_schema: Option<Value>,
    /// Accepted, and not offered to the model: Verger has no search for tools.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub defer_loading: bool,
    /// The tools of a family.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub tools: Vec<DynamicToolSpec>,
}

/// A tool or a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum DynamicToolKind {
    /// One tool.
    #[default]
    Function,
    /// A family of tools.
    Namespace,
}

/// Answer to `thread/start`: the thread and how it will run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadStartResponse {
    /// The thread.
    pub thread: Thread,
    /// The model's name.
    pub model: String,
    /// The provider's name in the configuration.
    pub model_provider: String,
    /// The provider's lane.
    #[serde(default)]
    pub service_tier: Option<String>,
    /// Never filled by Verger.
    #[serde(default)]
    pub disabled_plugin_ids: Vec<String>,
    /// The working directory, absolute.
    pub cwd: String,
    /// Files that instructions came from.
    #[serde(default)]
    pub instruction_sources: Vec<String>,
    /// When it asks.
    pub approval_policy: AskForApproval,
    /// Whom it asks.
    pub approvals_reviewer: ApprovalsReviewer,
    /// What may be touched.
    pub sandbox: SandboxPolicy,
    /// How hard the model thinks.
    #[serde(default)]
    pub reasoning_effort: Option<String>,
    /// Verger's own, with `verger/replay`: where in the thread's stream this answer stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
}

/// `thread/resume`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct ThreadResumeParams {
    /// The thread.
    pub thread_id: String,
    /// Answer without turns; the client pages through `thread/turns/list`.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub exclude_turns: bool,
    /// Answer with a page of turns as `thread/turns/list` gives it. Experimental.
    #[serde(default)]
    pub initial_turns_page: Option<InitialTurnsPageParams>,
    /// Verger's own: only watch. Does not keep the thread loaded.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub observe: bool,
    /// Verger's own: as for `thread/start`. Experimental.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub experimental_raw_events: bool,
    /// Verger's own, with `verger/replay`: what the client already has. Answered by `replay`.
    #[serde(default)]
    pub since: Option<ReplaySince>,
    /// The working directory.
    #[serde(default)]
    pub cwd: Option<String>,
    /// The model's name.
    #[serde(default)]
    pub model: Option<String>,
    /// The provider's name in the configuration.
    #[serde(default)]
    pub model_provider: Option<String>,
    /// When to ask.
    #[serde(default)]
    pub approval_policy: Option<AskForApproval>,
    /// Whom to ask.
    #[serde(default)]
    pub approvals_reviewer: Option<ApprovalsReviewer>,
    /// What may be touched.
    #[serde(default)]
    pub sandbox: Option<SandboxMode>,
    /// Configuration for this thread, by dotted key.
    #[serde(default)]
    pub config: Option<Map<String, Value>>,
    /// Instead of the model's instructions.
    #[serde(default)]
    pub base_instructions: Option<String>,
    /// On top of them.
    #[serde(default)]
    pub developer_instructions: Option<String>,
    /// The tone.
    #[serde(default)]
    pub personality: Option<Personality>,
    /// The provider's lane.
    #[serde(default)]
    pub service_tier: Option<String>,
}

/// A page of turns that comes with the answer to `thread/resume`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(optional_fields = nullable)]
pub struct InitialTurnsPageParams {
    /// At most so many.
    pub limit: Option<u32>,
    /// Newest first when absent.
    pub sort_direction: Option<SortDirection>,
    /// How much of each; a summary when absent.
    pub items_view: Option<TurnItemsView>,
}

/// The last durable event that a client has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ReplaySince {
    /// Of which lineage of the log.
    pub log_epoch: String,
    /// Its number there.
    pub seq: u64,
}

/// Answer to `thread/resume`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadResumeResponse {
    /// As for `thread/start`, with `thread.turns` filled unless the client declined.
    #[serde(flatten)]
    pub started: ThreadStartResponse,
    /// The page that was asked for.
    #[serde(default)]
    pub initial_turns_page: Option<ThreadTurnsListResponse>,
    /// Where `thread/turns/list` begins, newest first: with the newest turn of now.
    #[serde(default)]
    pub turns_backwards_cursor: Option<String>,
    /// Where `thread/items/list` begins, newest first: with the newest item of now.
    #[serde(default)]
    pub items_backwards_cursor: Option<String>,
    /// Verger's own: where `thread/turns/list` goes on, newest first, with the turns that `thread.turns` had no room for.
    /// It holds about 8 MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_turns_cursor: Option<String>,
    /// Verger's own: this connection's new subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<String>,
}

/// Where in a thread's stream an answer stands, and what follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// All that was missed since `since` follows. Otherwise `thread.turns` is a snapshot of the thread at `headSeq`, and the
    /// client's cursor begins there.
    pub recovered: bool,
    /// The first number that follows before live events; past `to` where none does.
    pub from: u64,
    /// The last of them. Not every number has an event that clients are told of.
    pub to: u64,
    /// The newest number of the thread.
    pub head_seq: u64,
    /// The lineage of the thread's log.
    pub log_epoch: String,
    /// The thread's owner: positions under an older one in flight never came to be.
    pub r#gen: u64,
}

/// `thread/fork`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct ThreadForkParams {
    /// Whose history.
    pub thread_id: String,
    /// Up to and with this turn, which must have ended; all of it when absent.
    #[serde(default)]
    pub last_turn_id: Option<String>,
    /// Up to this turn and without it. Experimental.
    #[serde(default)]
    pub before_turn_id: Option<String>,
    /// Store nothing of the fork: it ends when it is unloaded.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub ephemeral: bool,
    /// Answer without turns.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub exclude_turns: bool,
    /// The working directory.
    #[serde(default)]
    pub cwd: Option<String>,
    /// The model's name.
    #[serde(default)]
    pub model: Option<String>,
    /// The provider's name in the configuration.
    #[serde(default)]
    pub model_provider: Option<String>,
    /// When to ask.
    #[serde(default)]
    pub approval_policy: Option<AskForApproval>,
    /// What may be touched.
    #[serde(default)]
    pub sandbox: Option<SandboxMode>,
    /// Configuration for this thread, by dotted key.
    #[serde(default)]
    pub config: Option<Map<String, Value>>,
    /// Instead of the model's instructions.
    #[serde(default)]
    pub base_instructions: Option<String>,
    /// On top of them.
    #[serde(default)]
    pub developer_instructions: Option<String>,
    /// Why it begins.
    #[serde(default)]
    pub thread_source: Option<String>,
}

/// Answer to `thread/fork`.
pub type ThreadForkResponse = ThreadStartResponse;

/// `thread/read`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadReadParams {
    /// The thread.
    pub thread_id: String,
    /// With all of its turns.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub include_turns: bool,
}

/// Answer to `thread/read`: the thread alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct ThreadReadResponse {
    /// The thread.
    pub thread: Thread,
}

/// Answer to `thread/unarchive`.
pub type ThreadUnarchiveResponse = ThreadReadResponse;
/// Answer to `thread/metadata/update`.
pub type ThreadMetadataUpdateResponse = ThreadReadResponse;

/// What names a thread and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadIdParams {
    /// The thread.
    pub thread_id: String,
}

/// `thread/unsubscribe`.
pub type ThreadUnsubscribeParams = ThreadIdParams;
/// `thread/archive`.
pub type ThreadArchiveParams = ThreadIdParams;
/// `thread/unarchive`.
pub type ThreadUnarchiveParams = ThreadIdParams;
/// `thread/delete`.
pub type ThreadDeleteParams = ThreadIdParams;

/// Answer to `thread/archive`.
pub type ThreadArchiveResponse = Empty;
/// Answer to `thread/delete`.
pub type ThreadDeleteResponse = Empty;
/// Answer to `thread/name/set`.
pub type ThreadSetNameResponse = Empty;

/// `thread/compact/start`.
pub type ThreadCompactStartParams = ThreadIdParams;
/// Answer to `thread/compact/start`.
pub type ThreadCompactStartResponse = Empty;
/// Answer to `thread/inject_items`.
pub type ThreadInjectItemsResponse = Empty;

/// `thread/inject_items`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadInjectItemsParams {
    /// The thread.
    pub thread_id: String,
    /// Items of the Responses API: messages, function calls and their outputs.
    pub items: Vec<Value>,
}

/// Answer to `thread/unsubscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct ThreadUnsubscribeResponse {
    /// What there was to leave.
    pub status: ThreadUnsubscribeStatus,
}

/// What there was to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum ThreadUnsubscribeStatus {
    /// No such thread in memory.
    NotLoaded,
    /// This connection did not follow it.
    NotSubscribed,
    /// It did, until now.
    Unsubscribed,
}

/// `thread/name/set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadSetNameParams {
    /// The thread.
    pub thread_id: String,
    /// Its new name.
    pub name: String,
}

/// `thread/revert`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadRevertParams {
    /// The thread.
    pub thread_id: String,
    /// The first turn to forget.
    pub before_turn_id: String,
}

/// Answer to `thread/revert`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadRevertResponse {
    /// What is left.
    pub thread: Thread,
    /// Where `thread/turns/list` goes on towards older turns.
    #[serde(default)]
    pub turns_backwards_cursor: Option<String>,
    /// Where `thread/items/list` goes on towards older items.
    #[serde(default)]
    pub items_backwards_cursor: Option<String>,
}
