//! MCP servers as clients see them. Tools, resources and templates travel as their server wrote them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

/// How far the start of a server for a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum McpServerStartupState {
    /// On the way.
    Starting,
    /// Tools can be called.
    Ready,
    /// `error` says why.
    Failed,
    /// Its thread closed meanwhile.
    Cancelled,
}

/// A reason that a client can do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum McpServerStartupFailureReason {
    /// Sign in again.
    ReauthenticationRequired,
}

/// One configured server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct McpServerStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its state for the thread that was asked about; `null` without one.
    #[serde(default)]
    pub runtime_status: Option<McpServerConnectionStatus>,
    /// Never set by Verger.
    #[serde(default)]
    pub plugin_id: Option<String>,
    /// A remote server's origin.
    #[serde(default)]
    pub http_origin: Option<String>,
    /// What it said about itself.
    #[serde(default)]
    pub server_info: Option<McpServerInfo>,
    /// What it can do, as it said.
    #[serde(default)]
    pub server_capabilities: Option<Value>,
    /// `_meta` of its tool list.
    #[serde(default)]
    pub tool_list_meta: Option<Value>,
    /// Its tools by name, MCP's own shape.
    pub tools: BTreeMap<String, Value>,
    /// Why `tools` may be empty or old.
    #[serde(default)]
    pub tools_error: Option<String>,
    /// MCP's own shape.
    pub resources: Vec<Value>,
    /// MCP's own shape.
    pub resource_templates: Vec<Value>,
    /// How it knows us.
    pub auth_status: McpAuthStatus,
}

/// A server's state for one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum McpServerConnectionStatus {
    /// Not yet needed.
    NotStarted,
    /// On the way.
    Starting,
    /// Tools can be called.
    Connected,
    /// Sign in first.
    AuthenticationRequired,
    /// It did not start, or died.
    Failed,
    /// Its thread closed meanwhile.
    Cancelled,
    /// By configuration.
    Disabled,
}

/// How a server knows us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum McpAuthStatus {
    /// Not asked.
    Unknown,
    /// It does not ask: every local server.
    Unsupported,
    /// It asks, and we cannot answer.
    NotLoggedIn,
    /// By a fixed token.
    BearerToken,
    /// By OAuth.
    OAuth,
}

/// What a server said about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct McpServerInfo {
    /// Its name for programs.
    pub name: String,
    /// Its name for people.
    #[serde(default)]
    pub title: Option<String>,
    /// Its version.
    pub version: String,
    /// About it.
    #[serde(default)]
    pub description: Option<String>,
    /// MCP's own shape.
    #[serde(default)]
    pub icons: Option<Vec<Value>>,
    /// Its home.
    #[serde(default)]
    pub website_url: Option<String>,
}

/// What kind of answer the user gave to an elicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum McpServerElicitationAction {
    /// Yes; `content` holds the form.
    Accept,
    /// No.
    Decline,
    /// Neither: dismissed.
    Cancel,
}
