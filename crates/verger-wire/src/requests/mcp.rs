//! Helpers used without a turn, and the list of servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use super::Empty;
use crate::types::McpServerStatus;

/// `mcpServer/tool/call`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct McpServerToolCallParams {
    /// Whose helper.
    pub thread_id: String,
    /// The server's name in the configuration.
    pub server: String,
    /// The tool's name, as the server knows it.
    pub tool: String,
    /// An object, as a rule; `null` or absent for none.
    #[serde(default)]
    pub arguments: Option<Value>,
    /// Remarks for the server.
    #[serde(default, rename = "_meta")]
    pub meta: Option<Value>,
}

/// Answer to `mcpServer/tool/call`: what the server answered, absent members left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct McpServerToolCallResponse {
    /// MCP content blocks, unchanged.
    pub content: Vec<Value>,
    /// For programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured_content: Option<Value>,
    /// The tool failed; `content` says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
    /// The server's remarks.
    #[serde(default, rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Value>,
}

/// `mcpServer/resource/read`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct McpResourceReadParams {
    /// Whose helper; without it a helper is started for this request alone.
    #[serde(default)]
    pub thread_id: Option<String>,
    /// The server's name in the configuration.
    pub server: String,
    /// The resource.
    pub uri: String,
}

/// Answer to `mcpServer/resource/read`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct McpResourceReadResponse {
    /// MCP resource contents, unchanged.
    pub contents: Vec<Value>,
    /// Never set by Verger.
    #[serde(default)]
    pub origin_call_id: Option<String>,
}

/// `mcpServerStatus/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(optional_fields = nullable)]
pub struct ListMcpServerStatusParams {
    /// Where to go on.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
    /// How much of each; all when absent.
    pub detail: Option<McpServerStatusDetail>,
    /// This one only.
    pub server_name: Option<String>,
    /// As this thread sees them.
    pub thread_id: Option<String>,
}

/// How much of a server is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum McpServerStatusDetail {
    /// All.
    #[default]
    Full,
    /// No resources.
    ToolsAndAuthOnly,
}

/// Answer to `mcpServerStatus/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ListMcpServerStatusResponse {
    /// This page.
    pub data: Vec<McpServerStatus>,
    /// The next page; `null` at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// Answer to `config/mcpServer/reload`.
pub type McpServerRefreshResponse = Empty;
