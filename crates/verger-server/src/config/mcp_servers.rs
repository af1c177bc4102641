//! `[mcp_servers.NAME]`: how a helper is started.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// One MCP server that speaks over its own stdin and stdout.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct McpServer {
    /// A path, or a name to look up on PATH.
    #[serde(default)]
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Set in its environment, besides the allow-list.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables of the server's own environment that it gets besides the allow-list.
    #[serde(default)]
    pub env_vars: Vec<String>,
    /// Its working directory; the thread's where none is given.
    pub cwd: Option<PathBuf>,
    /// A remote server; not supported yet.
    pub url: Option<String>,
    #[serde(default = "yes")]
    /// Whether it exists for threads at all.
    pub enabled: bool,
    /// When its helper starts.
    #[serde(default)]
    pub start: Start,
    startup_timeout_sec: Option<f64>,
    tool_timeout_sec: Option<f64>,
}

/// When a helper starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// At its first use.
    #[default]
    Lazy,
    /// When its thread loads.
    Eager,
}

fn yes() -> bool {
    true
}

impl McpServer {
    /// Whether it can be used; otherwise the key below the server's own (with its dot), and a reason with the remedy.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.url.is_some() && self.enabled {
            let reason = "remote servers are not supported yet; set enabled = false to keep the entry";
            return Err((".url", reason.to_owned()));
        }
        if self.command.is_empty() && self.url.is_none() {
            return Err(("", "no command; write command = \"PROGRAM\" and args = [...]".to_owned()));
        }
        for (key, value) in
            [(".startup_timeout_sec", self.startup_timeout_sec), (".tool_timeout_sec", self.tool_timeout_sec)]
        {
            let is_usable = |seconds: f64| seconds > 0.0 && Duration::try_from_secs_f64(seconds).is_ok();
            if let Some(seconds) = value.filter(|&seconds| !is_usable(seconds)) {
                return Err((key, format!("not a positive number of seconds: {seconds}")));
            }
        }
        Ok(())
    }

    /// How long it may take to answer `initialize` and list its tools.
    pub fn startup_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.startup_timeout_sec.unwrap_or(30.0))
    }

    /// How long one tool call may take.
    pub fn tool_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.tool_timeout_sec.unwrap_or(120.0))
    }
}
