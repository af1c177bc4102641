//! How a thread runs: approvals, sandbox, and where it came from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

/// When to ask before doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum AskForApproval {
    /// Before everything that is not known to be harmless.
    Untrusted,
    /// When the model or a tool's annotations ask for it.
    OnRequest,
    /// Never.
    Never,
    /// By kind. Experimental.
    Granular(GranularApproval),
}

/// For each kind of request whether it may be put to the user (otherwise it is refused).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct GranularApproval {
    /// Elicitations of MCP servers.
    pub mcp_elicitations: bool,
    /// Requests for more permissions.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub request_permissions: bool,
    /// Rules.
    pub rules: bool,
    /// Leaving the sandbox.
    pub sandbox_approval: bool,
    /// Skills.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub skill_approval: bool,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalsReviewer {
    /// The client's user.
    #[default]
    User,
    /// A reviewing model.
    AutoReview,
    /// A reviewing agent.
    GuardianSubagent,
}

/// A sandbox by its name, as `thread/start` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// May read.
    ReadOnly,
    /// May also write in its workspace.
    WorkspaceWrite,
    /// No sandbox.
    DangerFullAccess,
}

/// A sandbox in detail, as replies give it and `turn/start` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SandboxPolicy {
    /// No sandbox.
    DangerFullAccess,
    /// May read.
    ReadOnly {
        /// May use the network.
        #[serde(default)]
        network_access: bool,
    },
    /// Somebody else's sandbox.
    ExternalSandbox {
        /// What that one lets through.
        #[serde(default)]
        network_access: NetworkAccess,
    },
    /// May write in its workspace.
    WorkspaceWrite {
        /// Writable besides the working directory; absolute paths.
        #[serde(default)]
        writable_roots: Vec<String>,
        /// May use the network.
        #[serde(default)]
        network_access: bool,
        /// `$TMPDIR` is not writable.
        #[serde(default)]
        exclude_tmpdir_env_var: bool,
        /// `/tmp` is not writable.
        #[serde(default)]
        exclude_slash_tmp: bool,
    },
}

/// What an external sandbox lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum NetworkAccess {
    /// Not everything.
    #[default]
    Restricted,
    /// Everything.
    Enabled,
}

/// What kind of client began a thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum SessionSource {
    /// A terminal.
    Cli,
    /// An editor. The peer gives it to every client of the app-server.
    #[serde(rename = "vscode")]
    VsCode,
    /// A script.
    Exec,
    /// The app-server itself.
    AppServer,
    /// Not known.
    Unknown,
    /// Any other, by name.
    Custom(String),
    /// A helper agent of another thread; its details are the peer's.
    SubAgent(Value),
}

/// The tone of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum Personality {
    /// As the model is.
    None,
    /// Warm.
    Friendly,
    /// Brief.
    Pragmatic,
}

/// How much of its reasoning the model tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum ReasoningSummary {
    /// As it likes.
    Auto,
    /// Little.
    Concise,
    /// Much.
    Detailed,
    /// Nothing.
    None,
}
