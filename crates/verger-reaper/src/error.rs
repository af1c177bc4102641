//! What can go wrong with the reaper itself and with starting one helper.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::pidns::remedy;
use crate::{Custody, Stage};

/// The reaper, its run or a sweep could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ReaperError {
    /// A file or folder of the run could not be used.
    #[error("cannot {doing} '{}': {source}; is the state folder yours and writable?", path.display())]
    State {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The image that shims are made of could not be opened.
    #[error("cannot open '{}' to start shims from it: {source}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel lacks something without which no tree can be owned.
    #[error("cannot {doing}: {source}; Linux 5.11 or later with CONFIG_PROC_CHILDREN and /proc is needed")]
    Kernel {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The runtime of [`with_reaper`](crate::with_reaper) could not be made, or lost the reaper's task.
    #[error("cannot run a tokio runtime for the reaper: {0}; are descriptors and threads left?")]
    Runtime(io::Error),
    /// The system gave no random bytes for the run's token.
    #[error("cannot make a token for this run: the system gave no random bytes ({0})")]
    Random(getrandom::Error),
}

/// A helper was not started. Nothing of the attempt is left, except where [`Stuck`](Self::Stuck) says so.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The reaper is shutting down, or has ended.
    #[error("not started: shutting down")]
    ShuttingDown,
    /// A command without a slash was found nowhere.
    #[error("command '{command}' is not on PATH (searched: {searched})")]
    NotOnPath {
        /// The command.
        command: String,
        /// The PATH that was searched.
        searched: String,
    },
    /// A command with a slash does not exist.
    #[error("command '{}' does not exist", .0.display())]
    NoSuchCommand(PathBuf),
    /// A command exists but may not be executed.
    #[error("'{}' is not executable; try chmod +x", .0.display())]
    NotExecutable(PathBuf),
    /// The working directory does not exist or is no directory.
    #[error("cwd '{}' does not exist or is not a directory", .0.display())]
    NoSuchCwd(PathBuf),
    /// An argument or variable contains a NUL byte.
    #[error("{0} contains a NUL byte, which no process can be given")]
    Nul(String),
    /// Arguments and environment are larger than a process may be given.
    #[error("arguments and environment are too long ({0} bytes)")]
    TooLong(usize),
    /// Level `cgroup` was asked for and is not to be had.
    #[error("containment 'cgroup' is not available: {0}")]
    NoCgroup(String),
    /// Level `pidns` was asked for and is not to be had.
    #[error("containment 'pidns' is not available: cannot {doing}: {source}; {}", remedy(source))]
    NoPidns {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Descriptors, processes or memory ran out.
    #[error("cannot {doing}: {source}")]
    Resources {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The helper's process could not become the program.
    #[error("'{}' could not be started ({}): {source}{}", program.display(), stage_name(*.stage), exec_hint(*.stage, source))]
    Exec {
        /// The program, as resolved.
        program: PathBuf,
        /// Where it failed.
        stage: Stage,
        /// Why it failed.
        source: io::Error,
    },
    /// The shim ended before the helper ran.
    #[error("the helper's supervisor ended before the helper ran; was it killed?")]
    ShimDied,
    /// The shim did not get the helper to run in time.
    #[error("the helper was not running after {limit:?}; is the machine overloaded?")]
    TimedOut {
        /// The limit that passed.
        limit: Duration,
    },
    /// It failed, and what had been started by then could not be proven gone in time.
    #[error("{cause}; {unproven}")]
    Stuck {
        /// Why it was not started.
        cause: Box<SpawnError>,
        /// What stands in the way of the proof.
        unproven: Unproven,
        /// For who wants to wait on for the proof. Its pid is 0 where there was no helper yet.
        custody: Custody,
    },
}

/// The tree of a helper could not be proven empty within the limit.
///
/// Usually a process in uninterruptible sleep: even SIGKILL waits for its disk or network file system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("helper '{name}' could not be proven gone: {reason}")]
pub struct Unproven {
    /// The helper's name.
    pub name: String,
    /// What stands in the way.
    pub reason: String,
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Setup => "setting up its supervisor",
        Stage::Stdio => "stdio",
        Stage::Fork => "fork",
        Stage::Chdir => "chdir",
        Stage::Exec => "exec",
        // These three have an error of their own.
        Stage::Namespace => "PID namespace",
        Stage::Identity => "user namespace",
        Stage::Proc => "/proc",
    }
}

fn exec_hint(stage: Stage, source: &io::Error) -> &'static str {
    match (stage, source.raw_os_error()) {
        (Stage::Setup, Some(code)) if code == rustix::io::Errno::BUSY.raw_os_error() => {
            "; verger_shim::main has to be called before this program starts threads, so before #[tokio::main]"
        }
        (Stage::Exec, Some(code)) if code == rustix::io::Errno::NOENT.raw_os_error() => {
            "; the interpreter that its first line names is missing"
        }
        (Stage::Exec, Some(code)) if code == rustix::io::Errno::NOEXEC.raw_os_error() => {
            "; it is neither a program nor a script with a #! line"
        }
        _ => "",
    }
}
