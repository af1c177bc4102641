//! `config.toml`: what a person decides. No file at all is a valid configuration.

mod duration;
mod mcp_servers;
mod model_providers;
mod place;
mod threads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use verger_core::server::ServerName;
use verger_model::ProviderConfig;
use verger_wire::types::{AskForApproval, SandboxMode};

pub use mcp_servers::{McpServer, Start};
pub use threads::Threads;

use model_providers::Provider;

/// The whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The model of a thread that names none.
    pub model: Option<String>,
    /// The provider of a thread that names none.
    pub model_provider: Option<String>,
    /// The approval policy of a thread that names none.
    pub approval_policy: Option<AskForApproval>,
    /// The sandbox of a thread that names none.
    pub sandbox_mode: Option<SandboxMode>,
    /// Who may connect.
    pub server: ServerSection,
    /// How long threads stay.
    pub threads: Threads,
    /// Providers by name; `offline` always exists.
    pub model_providers: BTreeMap<String, ProviderConfig>,
    /// MCP servers by name.
    pub mcp_servers: BTreeMap<ServerName, Arc<McpServer>>,
}

/// `[server]`: the listener.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServerSection {
    /// `HOST:PORT` of `verger serve`.
    pub listen: Option<String>,
    /// Whether TCP clients of `verger serve` need its token.
    pub auth: Auth,
    /// Origins that browsers may connect from, as in the `Origin` header.
    pub allowed_origins: Vec<String>,
    /// Host names under which this server may be reached besides the loopback ones.
    pub allowed_hosts: Vec<String>,
}

/// Whether TCP clients need a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// They do.
    #[default]
    Token,
    /// Whoever reaches the port may do everything.
    None,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file exists and cannot be read.
    #[error("{path}: not readable: {cause}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Not TOML, a key of the wrong type, or a value that means nothing.
    #[error("{}{}: {}{reason}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default(), key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Where in it, from 1.
        line: Option<usize>,
        /// Which key, dotted, where it is a key's fault.
        key: Option<String>,
        /// What is wrong, and what to write instead.
        reason: String,
    },
}

#[derive(Deserialize)]
struct File {
    model: Option<String>,
    model_provider: Option<String>,
    approval_policy: Option<AskForApproval>,
    sandbox_mode: Option<SandboxMode>,
    #[serde(default)]
    server: ServerSection,
    #[serde(default)]
    threads: Threads,
    #[serde(default)]
    model_providers: BTreeMap<String, Provider>,
    #[serde(default)]
    mcp_servers: BTreeMap<String, McpServer>,
}

impl Config {
    /// Reads the file; one that does not exist is empty.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(cause) => return Err(ConfigError::Unreadable { path: path.to_owned(), cause }),
        };
        Self::parse(&text, path)
    }

    /// Reads `text`; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let invalid = |error: &toml::de::Error, key: Option<String>| ConfigError::Invalid {
            path: path.to_owned(),
            line: error.span().map(|span| place::line_at(text, span.start)),
            key,
            reason: error.message().to_owned(),
        };
        let parsed = toml::Deserializer::parse(text).map_err(|error| invalid(&error, None))?;
        let file: File = serde_path_to_error::deserialize(parsed).map_err(|error| {
            let key = error.path().to_string();
            invalid(error.inner(), Some(key).filter(|key| key != "."))
        })?;
        let refuse = |key: String, reason: String| ConfigError::Invalid {
            path: path.to_owned(),
            line: place::line_of_key(text, &key),
            key: Some(key),
            reason,
        };
        let mut providers = BTreeMap::from([("offline".to_owned(), ProviderConfig::offline())]);
        for (id, provider) in file.model_providers {
            let config =
                provider.resolve(&id).map_err(|reason| refuse(format!("model_providers.{id}"), reason))?;
            providers.insert(id, config);
        }
        if let Some(id) = file.model_provider.as_ref().filter(|id| !providers.contains_key(*id)) {
            let known = providers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let reason = format!("no provider '{id}' is configured; known are {known}");
            return Err(refuse("model_provider".to_owned(), reason));
        }
        let mut servers = BTreeMap::new();
        for (name, server) in file.mcp_servers {
            server.check().map_err(|(key, reason)| refuse(format!("mcp_servers.{name}{key}"), reason))?;
            servers.insert(ServerName::from(name.as_str()), Arc::new(server));
        }
        Ok(Self {
            model: file.model,
            model_provider: file.model_provider,
            approval_policy: file.approval_policy,
            sandbox_mode: file.sandbox_mode,
            server: file.server,
            threads: file.threads,
            model_providers: providers,
            mcp_servers: servers,
        })
    }

    /// The server of that name, unless it is disabled.
    pub fn mcp_server(&self, name: &ServerName) -> Option<&Arc<McpServer>> {
        self.mcp_servers.get(name).filter(|server| server.enabled)
    }

    /// The servers that are not disabled.
    pub fn enabled_servers(&self) -> impl Iterator<Item = (&ServerName, &Arc<McpServer>)> {
        self.mcp_servers.iter().filter(|(_, server)| server.enabled)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("config.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_at_all_is_a_configuration() {
        let config = parse("").unwrap();
        assert!(config.model_providers.contains_key("offline"));
        assert_eq!(config.mcp_servers.len(), 0);
    }

    #[test]
    fn the_keys_that_people_bring_along_are_understood() {
        let config = parse(
            r#"
            model = "m"
            model_provider = "mock"
            approval_policy = "never"
            sandbox_mode = "danger-full-access"
            [threads]
            orphan_grace = "1m 30s"
            [model_providers.mock]
            name = "mock"
            base_url = "http://127.0.0.1:9/v1"
            wire_api = "responses"
            request_max_retries = 0
            [mcp_servers.helper]
            command = "python3"
            args = ["h.py"]
            startup_timeout_sec = 30
            start = "eager"
            env = { A = "b" }
            "#,
        )
        .unwrap();
        let server = config.mcp_server(&ServerName::from("helper")).unwrap();
        assert_eq!(server.start, Start::Eager);
        assert_eq!(server.startup_timeout(), Duration::from_secs(30));
        assert_eq!(config.threads.rules().orphan_grace, Duration::from_secs(90));
    }

    #[test]
    fn errors_name_the_file_the_key_and_the_remedy() {
        for (text, expected) in [
            ("model = 3", "config.toml:1: model: invalid type"),
            ("\n\n[oops", "config.toml:3: "),
            (
                "\nmodel_provider = \"nope\"",
                "config.toml:2: model_provider: no provider 'nope' is configured; known are offline",
            ),
            ("[mcp_servers.x]\nargs = []", "config.toml:1: mcp_servers.x: no command"),
            ("[mcp_servers.x]\ncommand = 3", "config.toml:2: mcp_servers.x.command: invalid type"),
            (
                "[mcp_servers.x]\ncommand = \"c\"\nstartup_timeout_sec = -1",
                "config.toml:3: mcp_servers.x.startup_timeout_sec: not a positive number of seconds",
            ),
            (
                "[threads]\norphan_grace = \"soon\"",
                "config.toml:2: threads.orphan_grace: \"soon\" is not a duration",
            ),
            ("[model_providers.x]\nname = \"x\"", "config.toml:1: model_providers.x: no base_url"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?} gave {error:?}");
        }
    }
}
