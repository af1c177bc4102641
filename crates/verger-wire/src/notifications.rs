//! What the server tells without being asked.
//!
//! Who hears it: `thread/started`, `thread/status/changed`, `thread/closed`, `thread/archived`, `thread/unarchived`,
//! `thread/deleted`, `thread/reverted` and `thread/name/updated` go to every initialized connection, all about jobs to those that have
//! asked about jobs, all else about a thread to its subscribers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use crate::frame::RequestId;
use crate::methods::notifications;
use crate::types::{
    Job, JobRun, McpServerStartupFailureReason, McpServerStartupState, Thread, ThreadItem, ThreadStatus,
    ThreadTokenUsage, Turn, TurnError,
};

notifications! {
    /// A notification with its parameters.
    Notification

    /// A thread was begun or forked, by any client.
    "thread/started" => ThreadStarted(ThreadStartedNotification),
    /// What a thread is doing has changed.
    "thread/status/changed" => ThreadStatusChanged(ThreadStatusChangedNotification),
    /// A thread was unloaded, and its helpers are proven gone.
    "thread/closed" => ThreadClosed(ThreadClosedNotification),
    /// A thread was archived.
    "thread/archived" => ThreadArchived(ThreadArchivedNotification),
    /// An archived thread was brought back.
    "thread/unarchived" => ThreadUnarchived(ThreadUnarchivedNotification),
    /// A thread was deleted.
    "thread/deleted" => ThreadDeleted(ThreadDeletedNotification),
    /// A thread forgot its last turns.
    "thread/reverted" => ThreadReverted(ThreadRevertedNotification),
    /// A thread was renamed.
    "thread/name/updated" => ThreadNameUpdated(ThreadNameUpdatedNotification),
    /// A thread has spent tokens.
    "thread/tokenUsage/updated" => ThreadTokenUsageUpdated(ThreadTokenUsageUpdatedNotification),
    /// A turn began.
    "turn/started" => TurnStarted(TurnStartedNotification),
    /// A turn ended: its status says how.
    "turn/completed" => TurnCompleted(TurnCompletedNotification),
    /// An item began.
    "item/started" => ItemStarted(ItemStartedNotification),
    /// An item is final, and durable. It takes the place of all that was told of it before.
    "item/completed" => ItemCompleted(ItemCompletedNotification),
    /// More of the model's answer: append it to the item's text.
    "item/agentMessage/delta" => AgentMessageDelta(AgentMessageDeltaNotification),
    /// More of a plan: append it to the item's text.
    "item/plan/delta" => PlanDelta(PlanDeltaNotification),
    /// More of a thought, in brief.
    "item/reasoning/summaryTextDelta" => ReasoningSummaryTextDelta(ReasoningSummaryTextDeltaNotification),
    /// The next part of a thought begins, in brief.
    "item/reasoning/summaryPartAdded" => ReasoningSummaryPartAdded(ReasoningSummaryPartAddedNotification),
    /// More of a thought, in full.
    "item/reasoning/textDelta" => ReasoningTextDelta(ReasoningTextDeltaNotification),
    /// A tool call tells how far it is.
    "item/mcpToolCall/progress" => McpToolCallProgress(McpToolCallProgressNotification),
    /// What was said or done, as an item of the Responses API. Only for who asked for it, by `experimentalRawEvents`.
    "rawResponseItem/completed" => RawResponseItemCompleted(RawResponseItemCompletedNotification),
    /// A question of the server needs no answer any more: someone gave it, or its turn has ended.
    "serverRequest/resolved" => ServerRequestResolved(ServerRequestResolvedNotification),
    /// The start of an MCP server goes on, or failed.
    "mcpServer/startupStatus/updated" => McpServerStatusUpdated(McpServerStatusUpdatedNotification),
    /// A turn met an error; `willRetry` says whether it goes on.
    "error" => Error(ErrorNotification),
    /// Something that a person should know.
    "warning" => Warning(WarningNotification),
    /// Something in the configuration should be mended.
    "configWarning" => ConfigWarning(ConfigWarningNotification),
    /// Something that the client should stop using.
    "deprecationNotice" => DeprecationNotice(DeprecationNoticeNotification),
    /// A job was added, edited, paused or resumed, or is another in the configuration. That it has another next slot is told of with
    /// the run of the one before. This and the next two are told to clients that have asked about jobs by then. Not in Codex.
    "verger/job/changed" => JobChanged(JobChangedNotification),
    /// A job was removed, or is not in config.toml any more. Not in Codex.
    "verger/job/removed" => JobRemoved(JobRemovedNotification),
    /// A run of a job was put down, began or ended, or somebody was told of its end. Not in Codex.
    "verger/job/run/updated" => JobRunUpdated(JobRunUpdatedNotification),
}

/// `thread/started`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct ThreadStartedNotification {
    /// Without turns.
    // Boxed: the other notifications are small, and deltas are many.
    pub thread: Box<Thread>,
}

/// `thread/status/changed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadStatusChangedNotification {
    /// The thread.
    pub thread_id: String,
    /// What it does now.
    pub status: ThreadStatus,
}

/// What names a thread and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadIdNotification {
    /// The thread.
    pub thread_id: String,
}

/// `thread/closed`.
pub type ThreadClosedNotification = ThreadIdNotification;
/// `thread/archived`.
pub type ThreadArchivedNotification = ThreadIdNotification;
/// `thread/unarchived`.
pub type ThreadUnarchivedNotification = ThreadIdNotification;
/// `thread/deleted`.
pub type ThreadDeletedNotification = ThreadIdNotification;
/// `thread/reverted`.
pub type ThreadRevertedNotification = ThreadIdNotification;

/// `thread/name/updated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadNameUpdatedNotification {
    /// The thread.
    pub thread_id: String,
    /// Its name now.
    #[serde(default)]
    pub thread_name: Option<String>,
}

/// `thread/tokenUsage/updated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadTokenUsageUpdatedNotification {
    /// Which thread.
    pub thread_id: String,
    /// By which turn.
    pub turn_id: String,
    /// What it has spent.
    pub token_usage: ThreadTokenUsage,
}

/// A turn and where it belongs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct TurnNotification {
    /// In which thread.
    pub thread_id: String,
    /// The turn; when completed, with its last answer as a summary.
    pub turn: Turn,
}

/// `turn/started`.
pub type TurnStartedNotification = TurnNotification;
/// `turn/completed`.
pub type TurnCompletedNotification = TurnNotification;

/// `item/started`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ItemStartedNotification {
    /// As it begins.
    pub item: ThreadItem,
    /// In which thread.
    pub thread_id: String,
    /// In which turn.
    pub turn_id: String,
    /// Unix milliseconds.
    pub started_at_ms: i64,
}

/// `item/completed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ItemCompletedNotification {
    /// As it stays.
    pub item: ThreadItem,
    /// In which thread.
    pub thread_id: String,
    /// In which turn.
    pub turn_id: String,
    /// Never set by Verger.
    #[serde(default)]
    pub content_token_count: Option<u64>,
    /// Unix milliseconds.
    pub completed_at_ms: i64,
}

/// A piece of text for an item in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct DeltaNotification {
    /// In which thread.
    pub thread_id: String,
    /// In which turn.
    pub turn_id: String,
    /// Of which item.
    pub item_id: String,
    /// What to append.
    pub delta: String,
}

/// `item/agentMessage/delta`.
pub type AgentMessageDeltaNotification = DeltaNotification;
/// `item/plan/delta`.
pub type PlanDeltaNotification = DeltaNotification;

/// `item/reasoning/summaryTextDelta`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ReasoningSummaryTextDeltaNotification {
    /// In which thread.
    pub thread_id: String,
    /// In which turn.
    pub turn_id: String,
    /// Of which item.
    pub item_id: String,
    /// What to append.
    pub delta: String,
    /// To which part.
    pub summary_index: i64,
}

/// `item/reasoning/summaryPartAdded`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ReasoningSummaryPartAddedNotification {
    /// In which thread.
    pub thread_id: String,
    /// In which turn.
    pub turn_id: String,
    /// Of which item.
    pub item_id: String,
    /// Which part begins.
    pub summary_index: i64,
}

/// `item/reasoning/textDelta`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ReasoningTextDeltaNotification {
    /// In which thread.
    pub thread_id: String,
    /// In which turn.
    pub turn_id: String,
    /// Of which item.
    pub item_id: String,
    /// What to append.
    pub delta: String,
    /// To which part.
    pub content_index: i64,
}

/// `item/mcpToolCall/progress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct McpToolCallProgressNotification {
    /// In which thread.
    pub thread_id: String,
    /// In which turn.
    pub turn_id: String,
    /// Of which item.
    pub item_id: String,
    /// For people.
    pub message: String,
}

/// `rawResponseItem/completed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct RawResponseItemCompletedNotification {
    /// In which thread.
    pub thread_id: String,
    /// In which turn.
    pub turn_id: String,
    /// The API's own shape.
    pub item: Value,
}

/// `serverRequest/resolved`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ServerRequestResolvedNotification {
    /// In which thread.
    pub thread_id: String,
    /// The server's name for the question.
    pub request_id: RequestId,
}

/// `mcpServer/startupStatus/updated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct McpServerStatusUpdatedNotification {
    /// For which thread.
    #[serde(default)]
    pub thread_id: Option<String>,
    /// The server's name in the configuration.
    pub name: String,
    /// How far it is.
    pub status: McpServerStartupState,
    /// Why it failed, for people.
    #[serde(default)]
    pub error: Option<String>,
    /// Why it failed, for programs.
    #[serde(default)]
    pub failure_reason: Option<McpServerStartupFailureReason>,
}

/// `error`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ErrorNotification {
    /// What happened.
    pub error: TurnError,
    /// It is being tried again; the turn goes on.
    pub will_retry: bool,
    /// In which thread.
    pub thread_id: String,
    /// In which turn.
    pub turn_id: String,
}

/// `warning`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct WarningNotification {
    /// About which thread, if any.
    #[serde(default)]
    pub thread_id: Option<String>,
    /// For people.
    pub message: String,
}

/// `configWarning`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct ConfigWarningNotification {
    /// For people, in brief.
    pub summary: String,
    /// For people.
    #[serde(default)]
    pub details: Option<String>,
    /// The file.
    #[serde(default)]
    pub path: Option<String>,
    /// Where in it.
    #[serde(default)]
    pub range: Option<TextRange>,
}

/// A stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct TextRange {
    /// Its first character.
    pub start: TextPosition,
    /// The one after its last.
    pub end: TextPosition,
}

/// A place in a file, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct TextPosition {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// `deprecationNotice`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct DeprecationNoticeNotification {
    /// For people, in brief.
    pub summary: String,
    /// For people.
    #[serde(default)]
    pub details: Option<String>,
}

/// `verger/job/changed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobChangedNotification {
    /// As it stands now.
    pub job: Box<Job>,
}

/// `verger/job/removed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobRemovedNotification {
    /// The name that it had.
    pub name: String,
}

/// `verger/job/run/updated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobRunUpdatedNotification {
    /// As it stands now.
    pub run: Box<JobRun>,
}
