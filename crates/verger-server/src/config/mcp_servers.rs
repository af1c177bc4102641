//! `[mcp_servers.NAME]`: how a helper is started, and which of its tools there are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use verger_reaper::{Graces, Level};

use super::duration::Period;
use super::size::Size;

const STARTUP_TIMEOUT_SEC: f64 = 30.0;
const TOOL_TIMEOUT_SEC: f64 = 120.0;

/// An MCP server that speaks over its own stdin and stdout. The whole table of a Codex configuration can be pasted here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct McpServer {
    /// The program: a path, or a name to look up on PATH. Every server that is not remote needs one.
    #[schemars(example = &"uvx", extend("x-codex" = true))]
    pub command: String,
    /// Its arguments.
    #[schemars(example = ["mcp-server-time"], extend("x-codex" = true))]
    pub args: Vec<String>,
    /// Variables to set in its environment. It gets these, those of `env_vars`, and of the server's own environment no
    /// more than PATH, HOME, the locale, the terminal, the time zone, temporary folder and XDG folders.
    #[schemars(example = example_env(), extend("x-codex" = true, "x-secret" = true))]
    pub env: BTreeMap<String, String>,
    /// Names of variables of the server's own environment that it gets, too.
    #[schemars(with = "Vec<String>", example = ["GITHUB_TOKEN"], extend("x-codex" = true))]
    pub env_vars: Vec<EnvVar>,
    /// Its working folder. Without it, the thread's.
    #[schemars(example = &"/srv/data", extend("x-codex" = true))]
    pub cwd: Option<PathBuf>,
    /// The address of a remote server. Not supported yet: a server with an address and no command is left out, with a
    /// warning.
    #[schemars(example = &"https://mcp.example/mcp", extend("x-codex" = true, "x-address" = true))]
    pub url: Option<String>,
    /// Whether it exists for threads at all.
    #[schemars(example = false, extend("x-codex" = true))]
    pub enabled: bool,
    /// When its helper starts: `lazy`, with the first call of one of its tools, or `eager`, with its thread. A server whose
    /// tools are not known yet is started for its thread's first turn in any case.
    pub start: Start,
    /// What holds its processes together, and so proves them gone: `cgroup`, a control group; `shim`, a supervisor alone;
    /// `pidns`, a PID namespace, which no process leaves whatever it does. Without it, `cgroup` where the system lets the
    /// server make one, else `shim`. What is asked for is had, or the helper does not start. In `pidns` a helper sees no
    /// process but its own, under pids that mean nothing outside, and its parent is process 1. Unless the server has
    /// CAP_SYS_ADMIN it lives in a user namespace, too: what belongs to other users shows as `nobody`'s, and set-user-ID
    /// programs such as `sudo` have no effect.
    #[schemars(example = Containment::Pidns)]
    pub containment: Option<Containment>,
    /// Only these of its tools exist. Without it, all.
    #[schemars(example = ["search", "fetch"], extend("x-codex" = true))]
    pub enabled_tools: Option<Vec<String>>,
    /// These of its tools do not exist.
    #[schemars(example = ["delete"], extend("x-codex" = true))]
    pub disabled_tools: Vec<String>,
    /// When to ask before one of its tools is called, where `tools` says nothing of that tool.
    #[schemars(example = ToolApproval::Writes, extend("x-codex" = true))]
    pub default_tools_approval_mode: ToolApproval,
    /// Settings of single tools, by their names.
    #[schemars(example = example_tools(), extend("x-codex" = true))]
    pub tools: BTreeMap<String, ToolSettings>,
    /// How long it may take to start and to list its tools.
    #[schemars(example = 60.0, extend("x-codex" = true, "x-unit" = "seconds", "default" = STARTUP_TIMEOUT_SEC))]
    startup_timeout_sec: Option<f64>,
    /// As `startup_timeout_sec`, which wins.
    #[schemars(example = 60_000, extend("x-codex" = true, "x-unit" = "milliseconds"))]
    startup_timeout_ms: Option<u64>,
    /// How long one call of a tool may take.
    #[schemars(example = 600.0, extend("x-codex" = true, "x-unit" = "seconds", "default" = TOOL_TIMEOUT_SEC))]
    tool_timeout_sec: Option<f64>,
    /// How long its helper has to leave by itself after its stdin was closed. What is left of it then gets SIGTERM. The
    /// server's own end waits for this, too, unless it is told twice.
    #[schemars(example = &"2s")]
    stdin_grace: Period,
    /// How long what is left has after SIGTERM. What is left then is killed.
    #[schemars(example = &"5s")]
    term_grace: Period,
    /// How long its helper stays without a call. Then it ends in order, and the next call starts another. Without it, as
    /// long as its thread.
    #[schemars(example = &"10m")]
    pub(crate) idle_timeout: Option<Period>,
    /// How much memory its helper may hold, with all processes that come of it: a text such as `"512MB"` or `"1GiB"`, or a
    /// number of bytes. What no file backs counts, in swap too, and what processes share counts once. Over it, the helper
    /// is killed with all its processes, whoever waits for an answer is told the figure, and the next call starts another.
    /// Looked at every 250 ms, or less often where a look takes long; in between a helper can hold more. Where that must not
    /// be, give the whole server a limit that the kernel keeps.
    #[schemars(example = &"512MB")]
    pub(crate) memory_max: Option<Size>,
    /// How many processes its helper may be, all that come of it counted; threads are not. Looked at and enforced as
    /// `memory_max` is: who forks without end has many more for a quarter of a second, and then none.
    #[schemars(example = 50)]
    pub(crate) max_processes: Option<u32>,
}

/// When to ask before a tool is called. `approval_policy = "never"` asks never: what would have to be asked for is refused
/// then, unless `sandbox_mode` is `danger-full-access`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolApproval {
    /// Unless it says of itself that it only reads (`readOnlyHint`), or that it neither destroys nor reaches out
    /// (`destructiveHint` and `openWorldHint` are both false).
    #[default]
    Auto,
    /// Every time.
    Prompt,
    /// Unless it says of itself that it only reads.
    Writes,
    /// Never.
    Approve,
}

/// What holds for one tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ToolSettings {
    /// When to ask before it is called. "Always allow" in a client writes `approve` here.
    #[schemars(extend("x-codex" = true))]
    pub approval_mode: Option<ToolApproval>,
}

/// When a helper starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// At its first use.
    #[default]
    Lazy,
    /// When its thread loads.
    Eager,
}

/// What holds a helper's processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Containment {
    /// A cgroup v2 of its own.
    Cgroup,
    /// Its supervisor.
    Shim,
    /// A PID namespace of its own.
    Pidns,
}

/// A variable to hand on: its name, or Codex's longer form of the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected the name of a variable, or { name = \"NAME\" }")]
pub enum EnvVar {
    /// The name alone.
    Name(String),
    /// The name, and whose environment is meant.
    Sourced {
        /// The name.
        name: String,
        /// `local`, which is this server's own environment, or `remote`, which means nothing here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    },
}

impl EnvVar {
    /// The variable.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Sourced { name, .. } => name,
        }
    }
}

fn example_env() -> serde_json::Value {
    serde_json::json!({ "LOG_LEVEL": "debug" })
}

fn example_tools() -> serde_json::Value {
    serde_json::json!({ "delete": { "approval_mode": "prompt" } })
}

impl Default for McpServer {
    fn default() -> Self {
        let Graces { stdin, term, leave: _ } = Graces::default();
        Self {
            command: String::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            env_vars: Vec::new(),
            cwd: None,
            url: None,
            enabled: true,
            start: Start::default(),
            containment: None,
            enabled_tools: None,
            disabled_tools: Vec::new(),
            default_tools_approval_mode: ToolApproval::default(),
            tools: BTreeMap::new(),
            startup_timeout_sec: None,
            startup_timeout_ms: None,
            tool_timeout_sec: None,
            stdin_grace: Period(stdin),
            term_grace: Period(term),
            idle_timeout: None,
            memory_max: None,
            max_processes: None,
        }
    }
}

/// What is wrong with a server: the key below the server's own, empty for the whole, and a reason with the remedy.
pub(super) type Fault = (&'static str, String);

impl McpServer {
    /// Whether it can be started: false for a remote one, which cannot be yet.
    pub(super) fn check(&self) -> Result<bool, Fault> {
        for (key, value) in
            [("startup_timeout_sec", self.startup_timeout_sec), ("tool_timeout_sec", self.tool_timeout_sec)]
        {
            let is_usable = |seconds: f64| seconds > 0.0 && Duration::try_from_secs_f64(seconds).is_ok();
            if let Some(seconds) = value.filter(|&seconds| !is_usable(seconds)) {
                return Err((key, format!("not a positive number of seconds: {seconds}")));
            }
        }
        if self.startup_timeout_ms == Some(0) {
            return Err(("startup_timeout_ms", "not a positive number of milliseconds: 0".to_owned()));
        }
        let nothing = "0 is no limit but an end; write a larger one, or leave the key out for none";
        for (key, is_zero) in [
            ("idle_timeout", self.idle_timeout.is_some_and(|limit| limit.0.is_zero())),
            ("memory_max", self.memory_max == Some(Size(0))),
            ("max_processes", self.max_processes == Some(0)),
        ] {
            if is_zero {
                return Err((key, nothing.to_owned()));
            }
        }
        match (self.command.is_empty(), &self.url) {
            (false, None) => Ok(true),
            (true, Some(_)) => Ok(false),
            (false, Some(_)) => {
                Err(("url", "command and url exclude each other; remove one of them".to_owned()))
            }
            (true, None) => Err(("", "no command; write command = \"PROGRAM\" and args = [...]".to_owned())),
        }
    }

    /// How it is to be contained; the best level that every system has if `None`.
    pub fn level(&self) -> Option<Level> {
        self.containment.map(|containment| match containment {
            Containment::Cgroup => Level::Cgroup,
            Containment::Shim => Level::Shim,
            Containment::Pidns => Level::Pidns,
        })
    }

    /// Whether a tool of that name exists for clients and models.
    pub fn offers(&self, tool: &str) -> bool {
        let names = |list: &[String]| list.iter().any(|name| name == tool);
        self.enabled_tools.as_deref().is_none_or(names) && !names(&self.disabled_tools)
    }

    /// When to ask before this tool is called.
    pub fn approval(&self, tool: &str) -> ToolApproval {
        let own = self.tools.get(tool).and_then(|settings| settings.approval_mode);
        own.unwrap_or(self.default_tools_approval_mode)
    }

    /// Whether a helper of the one is as good as a helper of the other: what only approvals differ in is the same program.
    pub fn is_same_helper(&self, other: &Self) -> bool {
        let without = |server: &Self| Self {
            default_tools_approval_mode: ToolApproval::default(),
            tools: BTreeMap::new(),
            ..server.clone()
        };
        without(self) == without(other)
    }

    /// How long it may take to answer `initialize` and list its tools.
    pub fn startup_timeout(&self) -> Duration {
        match (self.startup_timeout_sec, self.startup_timeout_ms) {
            (None, Some(ms)) => Duration::from_millis(ms),
            (seconds, _) => Duration::from_secs_f64(seconds.unwrap_or(STARTUP_TIMEOUT_SEC)),
        }
    }

    /// How long one tool call may take.
    pub fn tool_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.tool_timeout_sec.unwrap_or(TOOL_TIMEOUT_SEC))
    }
    /// How long each step of an orderly end may take.
    pub fn graces(&self) -> Graces {
        Graces { stdin: self.stdin_grace.0, term: self.term_grace.0, ..Graces::default() }
    }
}
