//! The first exchange on a connection: who is there, and what each can do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

/// `initialize`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct InitializeParams {
    /// Who asks.
    pub client_info: ClientInfo,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Option<InitializeCapabilities>,
}

/// A client's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[ts(optional_fields = nullable)]
pub struct ClientInfo {
    /// For programs.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub title: Option<String>,
    /// Its version.
    pub version: String,
}

/// What a client can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(optional_fields = nullable)]
pub struct InitializeCapabilities {
    /// It knows methods and fields that may still change.
    #[ts(optional, as = "Option<_>")]
    pub experimental_api: bool,
    /// Notifications that it does not want, by method.
    pub opt_out_notification_methods: Option<Vec<String>>,
    /// It can draw the provider's own forms.
    #[ts(optional, as = "Option<_>")]
    pub mcp_server_openai_form_elicitation: bool,
    /// It signs its requests.
    #[ts(optional, as = "Option<_>")]
    pub request_attestation: bool,
    /// A person must approve.
    #[ts(optional, as = "Option<_>")]
    pub required_human_approval: bool,
    /// By name, `verger/replay` among them.
    pub extensions: Option<BTreeMap<String, Value>>,
}

/// Answer to `initialize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResponse {
    /// `CLIENT/0.169.0 (OS VERSION; ARCH) verger/X.Y.Z (CLIENT; CLIENT_VERSION)`: clients read the protocol's level
    /// after the first slash.
    pub user_agent: String,
    /// The folder of the server's state, absolute.
    pub codex_home: String,
    /// `unix` or `windows`.
    pub platform_family: String,
    /// `linux`, `macos` or `windows`.
    pub platform_os: String,
}
