//! What `config.toml` may hold. The comments here are its reference: `docs/config.md` is made of them.
//!
//! `x-codex` marks a key that means in Codex what it means here, `x-secret` one whose values `config/read` never shows,
//! `x-address` one that it shows without credentials and query, `x-unit` the unit of a bare number.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use verger_core::server::Rules;
use verger_wire::types::{AskForApproval, ReasoningSummary, SandboxMode};

use super::duration::Period;
use super::helpers::Helpers;
use super::jobs::{JobTable, MAX_PARALLEL_JOBS, Written};
use super::mcp_servers::McpServer;
use super::model_providers::Provider;
use super::threads::Threads;
use crate::connection::Pings;
use crate::listen::Limits;

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
    /// So many runs of jobs go on at once; others wait for their turn.
    #[schemars(example = 8, extend("default" = MAX_PARALLEL_JOBS))]
    pub(super) max_parallel_jobs: Option<u32>,
    /// The listener. Read once, at the start.
    pub(super) server: ServerSection,
    pub(super) threads: Threads,
    pub(super) helpers: Helpers,
    pub(super) model_providers: BTreeMap<String, Provider>,
    pub(super) mcp_servers: BTreeMap<String, McpServer>,
    #[schemars(with = "BTreeMap<String, JobTable>")]
    pub(super) jobs: BTreeMap<String, Written>,
}

/// Who may connect. Read at the start of the server only.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServerSection {
    /// Where `verger serve` listens; `--listen` wins. Without it, `127.0.0.1:7717`.
    #[schemars(example = &"127.0.0.1:7800")]
    pub listen: Option<String>,
    /// What clients present over TCP; the `--auth-...` flags win. `verger app-server --listen ws://...` asks for it, too, but
    /// not for a token that nobody named a file for: the clients that start it bring none.
    pub auth: Auth,
    /// The file that holds the token for `auth = "token"`: its owner's alone. Without it, the one that `verger serve` makes;
    /// an address that other machines reach needs one.
    #[schemars(with = "Option<String>", example = &"/etc/verger/token")]
    pub auth_token_file: Option<PathBuf>,
    /// The file that holds the secret for `auth = "jwt"`: its owner's alone, at least 32 bytes.
    #[schemars(with = "Option<String>", example = &"/etc/verger/secret")]
    pub auth_jwt_secret_file: Option<PathBuf>,
    /// Whose JWTs are taken: their `iss`. Without it, anybody's who has the secret.
    #[schemars(example = &"https://accounts.example")]
    pub auth_jwt_issuer: Option<String>,
    /// For whom JWTs must be: one of their `aud`. Without it, for anybody.
    #[schemars(example = &"verger")]
    pub auth_jwt_audience: Option<String>,
    /// Web pages whose scripts may connect: values of the `Origin` header.
    #[schemars(example = ["https://editor.example"])]
    pub allowed_origins: Vec<String>,
    /// Names under which this server may be reached besides those of the loopback interface: values of the `Host`
    /// header, without port.
    #[schemars(example = ["workstation.example"])]
    pub allowed_hosts: Vec<String>,
    /// So many clients may be connected at once, over TCP and Unix sockets together; one more is told so and refused, but
    /// `verger ps` and `verger helper` still get through: eight places more are theirs. Each costs a descriptor, of which
    /// helpers need some too: raise the limit of open files with it.
    #[schemars(example = 10_000)]
    max_connections: usize,
    /// So many threads may one client follow at once; one more is refused.
    #[schemars(example = 100)]
    max_threads_per_connection: usize,
    /// How long a connection may take until it is a WebSocket, or on a Unix socket says its first byte. Then it is closed.
    #[schemars(example = &"30s")]
    handshake_timeout: Period,
    /// How long a client may take until it has initialized. Then its connection is closed: over a WebSocket with code 1001
    /// `initialize_timeout`. Generous, as a person may be stepping through a client's start in a debugger.
    #[schemars(example = &"10m")]
    initialize_timeout: Period,
    /// How long a client on a WebSocket may be silent before it is asked for a sign of life, by a ping. `"0s"` means never.
    #[schemars(example = &"1m")]
    ping_interval: Period,
    /// How long it may be silent, pings or not, before its connection ends: a laptop whose lid was closed says no goodbye. It is
    /// asked once at least.
    #[schemars(example = &"5m")]
    ping_timeout: Period,
}

impl ServerSection {
    /// What is wrong, if anything is: the key below `server`, and a reason with the remedy.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.max_connections == 0 {
            return Err(("max_connections", "0 would let no client in; write at least 1"));
        }
        if self.max_threads_per_connection == 0 {
            return Err(("max_threads_per_connection", "0 would let no thread start; write at least 1"));
        }
        if self.handshake_timeout.0.is_zero() {
            return Err(("handshake_timeout", "no client is that fast; write one like \"10s\""));
        }
        if self.initialize_timeout.0.is_zero() {
            return Err(("initialize_timeout", "no client is that fast; write one like \"60s\""));
        }
        Ok(())
    }

    /// How many clients there may be, and how long each may take to become one.
    pub(crate) fn limits(&self) -> Limits {
        Limits::new(self.max_connections, self.handshake_timeout.0)
    }

    /// How many threads one client may follow.
    pub(super) fn max_threads(&self) -> usize {
        self.max_threads_per_connection
    }

    /// How long a client may stay that never says who it is.
    pub(crate) fn initialize_timeout(&self) -> Duration {
        self.initialize_timeout.0
    }

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
            auth_token_file: None,
            auth_jwt_secret_file: None,
            auth_jwt_issuer: None,
            auth_jwt_audience: None,
            max_connections: 1024,
            max_threads_per_connection: Rules::default().max_threads_per_connection,
            handshake_timeout: Period(Duration::from_secs(10)),
            initialize_timeout: Period(Duration::from_secs(60)),
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            ping_interval: Period(Duration::from_secs(20)),
            ping_timeout: Period(Duration::from_secs(60)),
        }
    }
}

/// What TCP clients present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// A token: that of `auth_token_file`, or one that is made at the first start, in the file that `verger serve` names.
    #[default]
    Token,
    /// A JWT, signed by HS256 with the secret of `auth_jwt_secret_file` and with an `exp`.
    Jwt,
    /// Nothing: whoever reaches the port may do everything.
    None,
}
