//! What `config.toml` may hold. The comments here are its reference: `docs/config.md` is made of them.
//!
//! `x-codex` marks a key that means in Codex what it means here, `x-secret` one whose values `config/read` never shows,
//! `x-address` one that it shows without credentials and query, `x-unit` the unit of a bare number.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use verger_wire::types::{AskForApproval, ReasoningSummary, SandboxMode};

use super::duration::Period;
use super::helpers::Helpers;
use super::mcp_servers::McpServer;
use super::model_providers::Provider;
use super::threads::Threads;
use crate::connection::Pings;

/// The file as written. All of it may be missing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct File {
    /// The model of a thread whose client names none. Without it, the name of the thread's provider is sent.
    #[schemars(example = &"gpt-oss:20b", extend("x-codex" = true))]
    pub(super) model: Option<String>,
    /// The provider of a thread whose client names none: one of `[model_providers.NAME]`, or `offline`, which always
    /// exists and needs neither network nor key. Without it, `offline`.
    #[schemars(example = &"local", extend("x-codex" = true))]
    pub(super) model_provider: Option<String>,
    /// How many tokens the model can hold: told to clients beside what a thread has spent.
    #[schemars(example = 128_000, extend("x-codex" = true))]
    pub(super) model_context_window: Option<u32>,
    /// After how many tokens in its context the model is asked to sum the conversation up, and from then on told the
    /// summary instead. Without it, nine tenths of `model_context_window`; without either, only when a client asks.
    #[schemars(example = 100_000, extend("x-codex" = true))]
    pub(super) model_auto_compact_token_limit: Option<u32>,
    /// What the model is told when it is to sum the conversation up, instead of Verger's own words.
    #[schemars(example = &"Summarize this conversation for whoever goes on with it.", extend("x-codex" = true))]
    pub(super) compact_prompt: Option<String>,
    /// How hard the model is asked to think, in a thread whose client does not say: a word that its provider knows, as
    /// `low` or `high`. Without it, the provider is not told, and gives no reasoning to go on from, as models that do not
    /// reason refuse both.
    #[schemars(example = &"medium", extend("x-codex" = true))]
    pub(super) model_reasoning_effort: Option<String>,
    /// How much of its reasoning the model is asked to tell: `auto`, `concise`, `detailed` or `none`. Only where it is
    /// told how hard to think.
    #[schemars(with = "Option<String>", example = &"concise", extend("x-codex" = true))]
    pub(super) model_reasoning_summary: Option<ReasoningSummary>,
    /// When a tool call needs somebody's consent, in a thread whose client does not say: `untrusted`, `on-request` or
    /// `never`. Without it, `on-request`: tools that do not call themselves read-only are refused, since this version
    /// cannot ask yet.
    #[schemars(with = "Option<String>", example = &"never", extend("x-codex" = true))]
    pub(super) approval_policy: Option<AskForApproval>,
    /// What a thread may touch whose client does not say: `read-only`, `workspace-write` or `danger-full-access`.
    /// Without it, `read-only`. Clients are told; nothing enforces it yet, as this version runs no commands of its own.
    #[schemars(with = "Option<String>", example = &"workspace-write", extend("x-codex" = true))]
    pub(super) sandbox_mode: Option<SandboxMode>,
    /// The listener. Read once, at the start.
    pub(super) server: ServerSection,
    pub(super) threads: Threads,
    pub(super) helpers: Helpers,
    pub(super) model_providers: BTreeMap<String, Provider>,
    pub(super) mcp_servers: BTreeMap<String, McpServer>,
}

/// Who may connect. Read at the start of the server only.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServerSection {
    /// Where `verger serve` listens; `--listen` wins. Without it, `127.0.0.1:7717`.
    #[schemars(example = &"127.0.0.1:7800")]
    pub listen: Option<String>,
    /// Whether clients of `verger serve` must present its token.
    pub auth: Auth,
    /// Web pages whose scripts may connect: values of the `Origin` header.
    #[schemars(example = ["https://editor.example"])]
    pub allowed_origins: Vec<String>,
    /// Names under which this server may be reached besides those of the loopback interface: values of the `Host`
    /// header, without port.
    #[schemars(example = ["workstation.example"])]
    pub allowed_hosts: Vec<String>,
    /// How long a client on a WebSocket may be silent before it is asked for a sign of life, by a ping. `"0s"` means never.
    #[schemars(example = &"1m")]
    ping_interval: Period,
    /// How long it may be silent, pings or not, before its connection ends: a laptop whose lid was closed says no goodbye. It is
    /// asked once at least.
    #[schemars(example = &"5m")]
    ping_timeout: Period,
}

impl ServerSection {
    /// How clients are asked for a sign of life.
    pub(crate) fn pings(&self) -> Pings {
        let interval = self.ping_interval.0;
        Pings { interval, timeout: self.ping_timeout.0.max(interval * 2) }
    }
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            listen: None,
            auth: Auth::default(),
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            ping_interval: Period(Duration::from_secs(20)),
            ping_timeout: Period(Duration::from_secs(60)),
        }
    }
}

/// Whether TCP clients need a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// They must; the token is made at the first start, in the file that `verger serve` names.
    #[default]
    Token,
    /// Whoever reaches the port may do everything.
    None,
}
