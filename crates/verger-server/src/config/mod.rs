//! `config.toml`, and what the command line and the environment set over it: what a person decides. No file at all is a
//! valid configuration.
//!
//! `file` is what may be written, and with its comments the reference; `reading` puts it in force.

mod approvals;
mod duration;
mod error;
mod file;
mod foreign;
mod helpers;
mod jobs;
mod key;
mod mcp_servers;
mod model_providers;
mod overrides;
mod place;
mod reading;
mod reference;
mod shown;
mod size;
mod threads;
mod unknown;
mod warnings;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use verger_core::server::{Rules, ServerName};
use verger_model::ProviderConfig;
use verger_wire::types::{AskForApproval, JobDefinition, ReasoningSummary, SandboxMode};

pub use error::ConfigError;
pub use file::{Auth, ServerSection};
pub use helpers::Helpers;
pub use mcp_servers::{Containment, EnvVar, McpServer, Start, ToolApproval, ToolSettings};
pub use overrides::{Override, Overrides, Source};
pub use reference::reference;
pub use threads::Threads;
pub use warnings::Warning;

pub(crate) use approvals::keep as keep_approval;
pub(crate) use key::path_of;
pub(crate) use shown::{Layer, Shown, without_credentials};
pub(crate) use size::Size;
pub(crate) use unknown::nearest_key;

/// The whole configuration, in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// The model of a thread that names none.
    pub model: Option<String>,
    /// The provider of a thread that names none.
    pub model_provider: Option<String>,
    /// How many tokens the model can hold.
    pub model_context_window: Option<u32>,
    /// After how many of them the conversation is summed up.
    pub model_auto_compact_token_limit: Option<u32>,
    /// How the model is asked to sum it up.
    pub compact_prompt: Option<String>,
    /// How hard the model of a thread thinks that does not say.
    pub model_reasoning_effort: Option<String>,
    /// How much of its reasoning it tells.
    pub model_reasoning_summary: Option<ReasoningSummary>,
    /// The approval policy of a thread that names none.
    pub approval_policy: Option<AskForApproval>,
    /// The sandbox of a thread that names none.
    pub sandbox_mode: Option<SandboxMode>,
    /// Who may connect.
    pub server: ServerSection,
    /// How long threads stay.
    pub threads: Threads,
    /// How many helpers there may be, and when they are started again.
    pub helpers: Helpers,
    /// Providers by name; `offline` always exists.
    pub model_providers: BTreeMap<String, ProviderConfig>,
    /// MCP servers by name, those that can be started.
    pub mcp_servers: BTreeMap<ServerName, Arc<McpServer>>,
    /// Jobs by name, those that are sound. One whose only moment is past is among them.
    pub jobs: BTreeMap<String, Arc<JobDefinition>>,
    /// Why the other jobs are not.
    pub broken_jobs: BTreeMap<String, String>,
    /// So many jobs run at once.
    pub max_parallel_jobs: u32,
    /// What was written without effect.
    pub warnings: Vec<Warning>,
    path: PathBuf,
    overrides: Arc<Overrides>,
    /// The models that each provider's table names.
    models: BTreeMap<String, Vec<String>>,
    /// The variables that hold headers' values.
    header_variables: BTreeSet<String>,
    shown: Arc<Shown>,
}

impl Config {
    /// The same file with the same overrides, as it is now.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn reread(&self) -> Result<Self, ConfigError> {
        Self::read(&self.path, &self.overrides)
    }

    /// What the core is to keep to. `seed` is any number, for what is to be left to chance.
    pub fn rules(&self, seed: u64) -> Rules {
        let (max_helpers, restarts) = self.helpers.rules(seed);
        let max_threads_per_connection = self.server.max_threads();
        Rules { max_helpers, max_threads_per_connection, restarts, ..self.threads.rules() }
    }

    /// What was set over the file.
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// The server of that name, unless it is disabled.
    pub fn mcp_server(&self, name: &ServerName) -> Option<&Arc<McpServer>> {
        self.mcp_servers.get(name).filter(|server| server.enabled)
    }

    /// The servers that are not disabled.
    pub fn enabled_servers(&self) -> impl Iterator<Item = (&ServerName, &Arc<McpServer>)> {
        self.mcp_servers.iter().filter(|(_, server)| server.enabled)
    }

    /// The provider of a thread that names none.
    pub fn default_provider(&self) -> &str {
        self.model_provider.as_deref().unwrap_or("offline")
    }

    /// The models of a provider, as far as they are named anywhere, without doubles.
    pub fn models(&self, provider: &str) -> Vec<String> {
        let mut models = Vec::new();
        if provider == self.default_provider() {
            models.push(self.model.clone().unwrap_or_else(|| provider.to_owned()));
        }
        for model in self.models.get(provider).into_iter().flatten() {
            if !models.contains(model) {
                models.push(model.clone());
            }
        }
        models
    }

    /// The models that a provider's table names: where it names any, there are no others.
    pub(crate) fn named_models(&self, provider: &str) -> &[String] {
        self.models.get(provider).map(Vec::as_slice).unwrap_or_default()
    }

    /// The variables of the server's own environment that servers and providers are given by name.
    pub fn named_variables(&self) -> BTreeSet<&str> {
        let of_servers = self.enabled_servers().flat_map(|(_, server)| &server.env_vars).map(EnvVar::name);
        let of_providers = self.model_providers.values().filter_map(|provider| provider.env_key.as_deref());
        let of_headers = self.header_variables.iter().map(String::as_str);
        of_servers.chain(of_providers).chain(of_headers).collect()
    }

    /// All of it as `config/read` shows it.
    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }
}
