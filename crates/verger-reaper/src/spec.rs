//! What a caller says about a helper, and what it learns about one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Graces, Tree};

/// How a helper's tree is contained, and so what proves it empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A shim and a cgroup v2 of its own: proven by `populated 0`.
    Cgroup,
    /// A shim alone: proven by ECHILD of a subreaper.
    Shim,
    /// A shim and a PID namespace of its own: proven by the exit of the namespace's init. The helper sees other pids and
    /// another `/proc` than its owner; without CAP_SYS_ADMIN it lives in a user namespace, too.
    Pidns,
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cgroup => "cgroup",
            Self::Shim => "shim",
            Self::Pidns => "pidns",
        })
    }
}

/// A helper to start.
#[derive(Clone, Debug)]
pub struct Spec {
    /// For people: logs, `ps`, error messages. Not unique.
    pub name: String,
    /// A path, or a name to look up in the `PATH` of `env`.
    pub command: OsString,
    /// Arguments after the command.
    pub args: Vec<OsString>,
    /// The whole environment; the run's token is added to it.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory; the caller's if `None`.
    pub cwd: Option<PathBuf>,
    /// How long an orderly end may take.
    pub graces: Graces,
    /// The reaper's if `None`, and then a helper that its cgroup refuses is contained by its shim. A level that is asked for
    /// is had, or the start fails.
    pub level: Option<Level>,
}

impl Spec {
    /// A spec with no arguments, an empty environment and the usual graces.
    pub fn new(name: impl Into<String>, command: impl Into<OsString>) -> Self {
        Self {
            name: name.into(),
            command: command.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            graces: Graces::default(),
            level: None,
        }
    }
}

/// Where a helper is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelperState {
    /// Its program does not run yet.
    Starting,
    /// Its program runs.
    Running,
    /// It is being ended, or its leader has exited and the rest is being looked after.
    Stopping,
    /// It could not be proven gone in time, and is not called gone until it is.
    Stuck,
}

impl std::fmt::Display for HelperState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stuck => "stuck",
        })
    }
}

/// One helper as `ps` shows it.
#[derive(Clone, Debug)]
pub struct HelperInfo {
    /// Unique within the run.
    pub id: u64,
    /// From its [`Spec`].
    pub name: String,
    /// The leader's pid, once there is one.
    pub pid: Option<u32>,
    /// Its shim's pid.
    pub shim_pid: u32,
    /// The process whose descendants are the helper's, and no one else's: its shim, or its namespace's init.
    pub root_pid: u32,
    /// How it is contained.
    pub level: Level,
    /// Where it is in its life.
    pub state: HelperState,
    /// Processes found alive after the leader's exit.
    pub strays: u32,
    /// Time since it was started.
    pub age: Duration,
}

impl HelperInfo {
    /// Its processes, to be counted.
    pub fn tree(&self) -> Tree {
        Tree::below(self.root_pid)
    }
}
