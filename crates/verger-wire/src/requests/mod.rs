//! What clients ask: one variant per method, decoded by name.

mod absent;
mod account;
mod experimental;
mod initialize;
mod mcp;
mod providers;
mod ps;
mod relay;
mod thread;
mod thread_list;
mod thread_metadata;
mod turn;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use absent::*;
pub use account::*;
pub use initialize::*;
pub use mcp::*;
pub use providers::*;
pub use ps::*;
pub use relay::*;
pub use thread::*;
pub use thread_list::*;
pub use thread_metadata::*;
pub use turn::*;

use crate::error::RpcError;
use crate::params;

/// Parameters or a result without members: `{}` on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

macro_rules! client_requests {
    ($($(#[doc = $doc:literal])+ $method:literal => $variant:ident($params:ty),)+) => {
        /// A request with its parameters. Each variant's doc names the type of the answer.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "method", content = "params")]
        pub enum ClientRequest {
            $($(#[doc = $doc])+ #[serde(rename = $method)] $variant($params),)+
        }

        impl ClientRequest {
            /// Every method that is served, in the order of the enum.
            pub const METHODS: &'static [&'static str] = &[$($method),+];

            /// Finds the method and its parameters. Unknown fields are ignored; missing parameters count as `{}`.
            ///
            /// # Errors
            /// -32601 for a method that is not served, -32602 naming the field that does not fit.
            pub fn decode(method: &str, params: Option<&RawValue>) -> Result<Self, RpcError> {
                match method {
                    $($method => params::decode(params).map(Self::$variant),)+
                    _ => Err(RpcError::method_not_found(method)),
                }
            }

            /// The method's name on the wire.
            #[must_use]
            pub fn method(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $method,)+
                }
            }
        }
    };
}

client_requests! {
    /// First of all, once. Answer: [`InitializeResponse`].
    "initialize" => Initialize(InitializeParams),
    /// A new thread, subscribed to. Answer: [`ThreadStartResponse`].
    "thread/start" => ThreadStart(Box<ThreadStartParams>),
    /// Follow a thread, loading it where needed. Answer: [`ThreadResumeResponse`].
    "thread/resume" => ThreadResume(Box<ThreadResumeParams>),
    /// A new thread that begins with another's history. Answer: [`ThreadStartResponse`].
    "thread/fork" => ThreadFork(Box<ThreadForkParams>),
    /// Look at a thread. Answer: [`ThreadReadResponse`].
    "thread/read" => ThreadRead(ThreadReadParams),
    /// Saved threads, page by page. Answer: [`ThreadListResponse`].
    "thread/list" => ThreadList(Box<ThreadListParams>),
    /// Loaded threads, page by page. Answer: [`ThreadLoadedListResponse`].
    "thread/loaded/list" => ThreadLoadedList(PageParams),
    /// A thread's turns, page by page. Answer: [`ThreadTurnsListResponse`].
    "thread/turns/list" => ThreadTurnsList(ThreadTurnsListParams),
    /// A thread's items, page by page. Answer: [`ThreadItemsListResponse`].
    "thread/items/list" => ThreadItemsList(ThreadItemsListParams),
    /// Stop following. Answer: [`ThreadUnsubscribeResponse`].
    "thread/unsubscribe" => ThreadUnsubscribe(ThreadIdParams),
    /// Out of sight, unloaded. Answer: [`Empty`].
    "thread/archive" => ThreadArchive(ThreadIdParams),
    /// Back in sight. Answer: [`ThreadReadResponse`].
    "thread/unarchive" => ThreadUnarchive(ThreadIdParams),
    /// Gone for good. Answer: [`Empty`].
    "thread/delete" => ThreadDelete(ThreadIdParams),
    /// Rename. Answer: [`Empty`].
    "thread/name/set" => ThreadNameSet(ThreadSetNameParams),
    /// Note where it was worked on. Answer: [`ThreadReadResponse`].
    "thread/metadata/update" => ThreadMetadataUpdate(ThreadMetadataUpdateParams),
    /// Forget a turn and all after it. Answer: [`ThreadRevertResponse`].
    "thread/revert" => ThreadRevert(ThreadRevertParams),
    /// Say something. Answer: [`TurnStartResponse`].
    "turn/start" => TurnStart(Box<TurnStartParams>),
    /// Say something into a running turn. Answer: [`TurnSteerResponse`].
    "turn/steer" => TurnSteer(TurnSteerParams),
    /// Stop a turn. Answer, once it has ended: [`Empty`].
    "turn/interrupt" => TurnInterrupt(TurnInterruptParams),
    /// Use a helper's tool without a turn. Answer: [`McpServerToolCallResponse`].
    "mcpServer/tool/call" => McpServerToolCall(McpServerToolCallParams),
    /// Read a helper's resource without a turn. Answer: [`McpResourceReadResponse`].
    "mcpServer/resource/read" => McpResourceRead(McpResourceReadParams),
    /// The configured servers. Answer: [`ListMcpServerStatusResponse`].
    "mcpServerStatus/list" => McpServerStatusList(ListMcpServerStatusParams),
    /// Read the configuration again. Answer: [`Empty`].
    "config/mcpServer/reload" => McpServerReload(Empty),
    /// Who pays. Answer: [`GetAccountResponse`].
    "account/read" => AccountRead(GetAccountParams),
    /// Models to choose from. Answer: [`ModelListResponse`].
    "model/list" => ModelList(ModelListParams),
    /// Providers to choose from. Answer: [`ModelProviderListResponse`].
    "modelProvider/list" => ModelProviderList(Empty),
    /// Hooks, of which there are none. Answer: [`HooksListResponse`].
    "hooks/list" => HooksList(FoldersParams),
    /// Skills, of which there are none. Answer: [`SkillsListResponse`].
    "skills/list" => SkillsList(FoldersParams),
    /// The configuration in force. Answer: [`ConfigReadResponse`].
    "config/read" => ConfigRead(ConfigReadParams),
    /// Limits that an administrator set. Answer: [`ConfigRequirementsReadResponse`].
    "configRequirements/read" => ConfigRequirementsRead(Empty),
    /// What runs. Answer: [`PsResponse`].
    "verger/ps" => Ps(Empty),
    /// Before `initialize`, by who relays a connection: for whom. Answer: [`Empty`].
    "verger/relay" => Relay(RelayParams),
}
