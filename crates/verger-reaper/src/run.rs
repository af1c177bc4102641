//! One life of an owning process: an id, a token, and a lock that says whether it still lives.
//!
//! ```text
//! STATE/runs/.lock        held while a run is born and while a sweep works
//! STATE/runs/ID/lock      held by the run as long as it lives; contains its pid
//! STATE/runs/ID/token     what its processes carry
//! STATE/runs/ID/cgroup    its cgroup's path, if it has one
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::ReaperError;
use crate::token::Token;

pub(crate) const TOKEN_FILE: &str = "token";
pub(crate) const CGROUP_FILE: &str = "cgroup";
const LOCK_FILE: &str = "lock";

/// A run that has begun and, as long as this value exists, is alive to everyone who looks.
#[derive(Debug)]
pub struct Run {
    id: String,
    dir: PathBuf,
    token: Token,
    /// The lock ends with the descriptor, so also when the process is killed.
    _lock: File,
}

impl Run {
    /// Begins a run of the home whose state folder this is. Waits while another process begins or sweeps.
    pub fn begin(state_dir: &Path) -> Result<Self, ReaperError> {
        let runs = state_dir.join("runs");
        folder(&runs)?;
        // Without this a sweep could find the folder before its lock is taken, and remove it.
        let home = lock_home(&runs)?;
        let id = uuid::Uuid::now_v7().to_string();
        let dir = runs.join(&id);
        folder(&dir)?;
        let token = Token::random()?;
        write(&dir.join(TOKEN_FILE), token.as_str())?;
        let path = dir.join(LOCK_FILE);
        let lock = write(&path, &std::process::id().to_string())?;
        lock.lock().map_err(|source| ReaperError::State { doing: "lock", path, source })?;
        drop(home);
        Ok(Self { id, dir, token, _lock: lock })
    }

    /// Unique for all time; sorts by time of birth.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The run's own folder, 0700. Removed by [`end`](Self::end) or a later sweep.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends the run and removes its folder: for after [`Reaper::shutdown`](crate::Reaper::shutdown), when nothing is
    /// left that a sweep would need it for. A run that is only dropped is removed by the next sweep.
    pub fn end(self) -> Result<(), ReaperError> {
        remove(&self.dir)
    }

    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    /// Leaves word of the run's cgroup for a sweep.
    pub(crate) fn record_cgroup(&self, path: &Path) -> Result<(), ReaperError> {
        write(&self.dir.join(CGROUP_FILE), &path.to_string_lossy()).map(drop)
    }
}

/// Whether a run lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Some process holds its lock.
    Live {
        /// That process; 0 if it has not written its pid, or could not be looked at.
        pid: u32,
    },
    /// Nobody does, or there is no such run.
    Gone,
}

/// Whether the run `id` lives. One open and one flock: cheap enough to ask on every claim.
///
/// An id that cannot be a run's is [`Gone`](RunState::Gone), and so is one whose lock file cannot be opened: a claim
/// by someone whom nobody can see would never end. Where descriptors or memory have run out it is taken for live until
/// there are some.
pub fn run_state(state_dir: &Path, id: &str) -> RunState {
    if uuid::Uuid::try_parse(id).is_err() {
        return RunState::Gone;
    }
    state_of(&state_dir.join("runs").join(id))
}

fn state_of(dir: &Path) -> RunState {
    let path = dir.join(LOCK_FILE);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if is_out_of_resources(&e) => {
            tracing::warn!(dir = %dir.display(), "cannot look at a run's lock now, and so take it for live: {e}");
            return RunState::Live { pid: 0 };
        }
        Err(_) => return RunState::Gone,
    };
    // Shared: two that look at the same time must not take each other for the owner.
    match file.try_lock_shared() {
        Ok(()) => RunState::Gone,
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            RunState::Live { pid: pid.unwrap_or(0) }
        }
        Err(TryLockError::Error(e)) => {
            tracing::warn!(dir = %dir.display(), "cannot look at a run's lock: {e}");
            RunState::Gone
        }
    }
}

/// It says nothing of what was looked for: this process, or the system, is out of descriptors or memory for a while.
fn is_out_of_resources(e: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM]
        .map(|errno| Some(errno.raw_os_error()))
        .contains(&e.raw_os_error())
}

/// A run that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRun {
    /// Its id.
    pub id: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its process.
    pub pid: u32,
}

/// All live runs of a home, oldest first.
pub fn live_runs(state_dir: &Path) -> Result<Vec<LiveRun>, ReaperError> {
    let mut live = Vec::new();
    for (id, dir) in all_runs(state_dir)? {
        if let RunState::Live { pid } = state_of(&dir) {
            live.push(LiveRun { id, dir, pid });
        }
    }
    Ok(live)
}

/// Ids and folders of all runs, dead ones too, oldest first.
pub(crate) fn all_runs(state_dir: &Path) -> Result<Vec<(String, PathBuf)>, ReaperError> {
    let runs = state_dir.join("runs");
    let unreadable = |source| ReaperError::State { doing: "list", path: runs.clone(), source };
    let entries = match fs::read_dir(&runs) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        if let Ok(id) = entry.file_name().into_string()
            && uuid::Uuid::try_parse(&id).is_ok()
        {
            all.push((id, entry.path()));
        }
    }
    all.sort();
    Ok(all)
}

/// Takes the lock of the home; it ends when the file is dropped.
pub(crate) fn lock_home(runs: &Path) -> Result<File, ReaperError> {
    let path = runs.join(".lock");
    let lock = write(&path, "")?;
    lock.lock().map_err(|source| ReaperError::State { doing: "lock", path, source })?;
    Ok(lock)
}

pub(crate) fn remove(dir: &Path) -> Result<(), ReaperError> {
    fs::remove_dir_all(dir).map_err(|source| ReaperError::State {
        doing: "remove",
        path: dir.to_path_buf(),
        source,
    })
}

fn folder(path: &Path) -> Result<(), ReaperError> {
    DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(|source| ReaperError::State {
        doing: "create",
        path: path.to_path_buf(),
        source,
    })
}

fn write(path: &Path, text: &str) -> Result<File, ReaperError> {
    let written = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    };
    written().map_err(|source| ReaperError::State { doing: "write", path: path.to_path_buf(), source })
}
