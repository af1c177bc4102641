//! What clients ask: one variant per method, decoded by name.

mod absent;
mod account;
mod experimental;
mod helper;
mod initialize;
mod job;
mod mcp;
mod providers;
mod ps;
mod relay;
mod thread;
mod thread_list;
mod thread_metadata;
mod turn;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub use absent::*;
pub use account::*;
pub use helper::*;
pub use initialize::*;
pub use job::*;
pub use mcp::*;
pub use providers::*;
pub use ps::*;
pub use relay::*;
pub use thread::*;
pub use thread_list::*;
pub use thread_metadata::*;
pub use turn::*;

use crate::methods::requests;

/// Parameters or a result without members: `{}` on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct Empty {}

requests! {
    /// A request of a client, with its parameters.
    ClientRequest

    /// Introduces the client. The first request of a connection, and only once.
    "initialize" => Initialize(InitializeParams) -> InitializeResponse,
    /// Begins a thread and subscribes the connection to it. Nothing is stored before its first turn.
    "thread/start" => ThreadStart(Box<ThreadStartParams>) -> ThreadStartResponse,
    /// Subscribes the connection to a thread, loading it where needed. The answer is a picture of the thread; every
    /// event after it follows as a notification.
    "thread/resume" => ThreadResume(Box<ThreadResumeParams>) -> ThreadResumeResponse,
    /// Begins a thread with another's history, and subscribes the connection to it. The other one is not touched.
    "thread/fork" => ThreadFork(Box<ThreadForkParams>) -> ThreadForkResponse,
    /// Shows a thread without loading it or subscribing to it.
    "thread/read" => ThreadRead(ThreadReadParams) -> ThreadReadResponse,
    /// Lists saved threads, page by page. A thread is saved with its first turn.
    "thread/list" => ThreadList(Box<ThreadListParams>) -> ThreadListResponse,
    /// Lists the ids of loaded threads, page by page: those that have a live owner in the server.
    "thread/loaded/list" => ThreadLoadedList(ThreadLoadedListParams) -> ThreadLoadedListResponse,
    /// Lists a thread's turns, page by page.
    "thread/turns/list" => ThreadTurnsList(ThreadTurnsListParams) -> ThreadTurnsListResponse,
    /// Lists a thread's items, page by page.
    "thread/items/list" => ThreadItemsList(ThreadItemsListParams) -> ThreadItemsListResponse,
    /// Ends all of the connection's subscriptions to a thread. When the last subscriber has left, an idle thread is
    /// unloaded and its helpers are ended.
    "thread/unsubscribe" => ThreadUnsubscribe(ThreadUnsubscribeParams) -> ThreadUnsubscribeResponse,
    /// Puts a thread out of sight. A turn that runs is interrupted; the answer comes when the helpers are proven gone.
    "thread/archive" => ThreadArchive(ThreadArchiveParams) -> ThreadArchiveResponse,
    /// Brings an archived thread back.
    "thread/unarchive" => ThreadUnarchive(ThreadUnarchiveParams) -> ThreadUnarchiveResponse,
    /// Deletes a thread for good. A turn that runs is interrupted; the answer comes when the helpers are proven gone.
    "thread/delete" => ThreadDelete(ThreadDeleteParams) -> ThreadDeleteResponse,
    /// Names a thread.
    "thread/name/set" => ThreadNameSet(ThreadSetNameParams) -> ThreadSetNameResponse,
    /// Notes in which state of a repository a thread was worked on.
    "thread/metadata/update" => ThreadMetadataUpdate(ThreadMetadataUpdateParams) -> ThreadMetadataUpdateResponse,
    /// Forgets a turn and all turns after it, for the model and for every client. The thread must be loaded, and no turn
    /// may be running. The answer comes when that is durable, and has no turns: the cursors lead to what is left.
    "thread/revert" => ThreadRevert(ThreadRevertParams) -> ThreadRevertResponse,
    /// Lets the model sum the conversation up, so that it fits the model again: a turn of its own. The model is told the
    /// summary from then on, clients the whole conversation as before. The answer comes at once, the work as
    /// notifications.
    "thread/compact/start" => ThreadCompactStart(ThreadCompactStartParams) -> ThreadCompactStartResponse,
    /// Puts items into the history that the model is told, without a turn.
    "thread/inject_items" => ThreadInjectItems(ThreadInjectItemsParams) -> ThreadInjectItemsResponse,
    /// Says something to the model. The answer comes at once, the work as notifications up to `turn/completed`. While a
    /// turn runs, the input joins it and the answer names that turn.
    "turn/start" => TurnStart(Box<TurnStartParams>) -> TurnStartResponse,
    /// Says something into a turn that runs.
    "turn/steer" => TurnSteer(TurnSteerParams) -> TurnSteerResponse,
    /// Stops a turn. The answer comes when it has ended.
    "turn/interrupt" => TurnInterrupt(TurnInterruptParams) -> TurnInterruptResponse,
    /// Calls a tool of a thread's MCP server outside any turn, starting the server where needed.
    "mcpServer/tool/call" => McpServerToolCall(McpServerToolCallParams) -> McpServerToolCallResponse,
    /// Reads a resource of an MCP server outside any turn.
    "mcpServer/resource/read" => McpResourceRead(McpResourceReadParams) -> McpResourceReadResponse,
    /// Lists the configured MCP servers with their tools, page by page.
    "mcpServerStatus/list" => McpServerStatusList(ListMcpServerStatusParams) -> ListMcpServerStatusResponse,
    /// Reads the configuration again. The answer comes when removed and changed MCP servers are proven gone.
    "config/mcpServer/reload" => McpServerReload(Empty) -> McpServerRefreshResponse,
    /// Says who is signed in with the provider: nobody, since Verger has no accounts.
    "account/read" => AccountRead(GetAccountParams) -> GetAccountResponse,
    /// Lists the models to choose from, page by page.
    "model/list" => ModelList(ModelListParams) -> ModelListResponse,
    /// Lists the configured providers of models.
    "modelProvider/list" => ModelProviderList(ModelProviderListParams) -> ModelProviderListResponse,
    /// Lists hooks, of which there are none.
    "hooks/list" => HooksList(HooksListParams) -> HooksListResponse,
    /// Lists skills, of which there are none.
    "skills/list" => SkillsList(SkillsListParams) -> SkillsListResponse,
    /// Shows the configuration in force.
    "config/read" => ConfigRead(ConfigReadParams) -> ConfigReadResponse,
    /// Shows limits that an administrator set: none, with Verger.
    "configRequirements/read" => ConfigRequirementsRead(Empty) -> ConfigRequirementsReadResponse,
    /// Shows what runs: the server, its threads and its helpers. Not in Codex.
    "verger/ps" => Ps(Empty) -> PsResponse,
    /// Ends the helpers of an MCP server after their calls in flight, forgets that it failed, and starts again what ran or
    /// had failed. The answer comes when the old helpers are proven gone. Not in Codex.
    "verger/helper/restart" => HelperRestart(HelperRestartParams) -> HelperRestartResponse,
    /// Lists jobs by name, page by page. Not in Codex.
    "verger/job/list" => JobList(JobListParams) -> JobListResponse,
    /// Shows a job. Not in Codex.
    "verger/job/read" => JobRead(JobReadParams) -> JobReadResponse,
    /// Adds a job, which is kept until it is removed. Not in Codex.
    "verger/job/add" => JobAdd(Box<JobAddParams>) -> JobAddResponse,
    /// Changes what a job that was added is told to be. Runs that go on are not touched. Not in Codex.
    "verger/job/edit" => JobEdit(JobEditParams) -> JobEditResponse,
    /// Stops a job from coming due. Runs that go on are not touched. Not in Codex.
    "verger/job/pause" => JobPause(JobPauseParams) -> JobPauseResponse,
    /// Lets a job come due again. What it has let pass is not run. Not in Codex.
    "verger/job/resume" => JobResume(JobResumeParams) -> JobResumeResponse,
    /// Removes a job that was added, and the list of its runs. Their threads stay. Not in Codex.
    "verger/job/remove" => JobRemove(JobRemoveParams) -> Empty,
    /// Runs a job now, whatever its schedule says. The answer comes when the run is put down, its progress as notifications.
    /// Not in Codex.
    "verger/job/run" => JobRunNow(JobRunNowParams) -> JobRunNowResponse,
    /// Stops a run. The answer comes when it has ended, and its helpers are proven gone. Not in Codex.
    "verger/job/cancel" => JobCancel(JobCancelParams) -> JobCancelResponse,
    /// Says when a job is due next. Not in Codex.
    "verger/job/next" => JobNext(JobNextParams) -> JobNextResponse,
    /// Lists a job's runs, the newest first, page by page. Not in Codex.
    "verger/job/history" => JobHistory(JobHistoryParams) -> JobHistoryResponse,
    /// Shows a run. Not in Codex.
    "verger/job/run/read" => JobRunRead(JobRunReadParams) -> JobRunReadResponse,
    /// Says for whom a connection is relayed: sent before `initialize` by `verger app-server` when it hands its client on
    /// to the daemon. Clients have no use for it. Not in Codex.
    "verger/relay" => Relay(RelayParams) -> Empty,
}
