//! RunTag: a random word in every command line of a test, to count its processes from outside.
//!
//! Black-box tests count what the operating system shows, not what the system under test says about itself.
//! A tag proves presence, never absence: use [`crate::LeakGuard`] for proof.

use std::{
    fmt, fs,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, getpid, pidfd_open},
};

use crate::proc_fs;

/// A word that no other process on this machine has in its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTag(String);

/// A live process that carries a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// Its process id.
    pub pid: i32,
    /// Its parent's process id.
    pub ppid: i32,
    /// `R`, `S`, `T`, ... as in proc(5); never `Z`, since a zombie has no command line.
    pub state: char,
    /// The command line, arguments separated by spaces.
    pub command: String,
}

impl RunTag {
    /// A new tag, `tag-` and eight hexadecimal digits.
    ///
    /// # Panics
    ///
    /// Without `/proc`.
    #[must_use]
    pub fn new() -> Self {
        let random = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("tests run with /proc");
        Self(format!("tag-{}", &random[..8]))
    }

    /// The word itself, for `--tag`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every live process with the tag somewhere in its command line, except the caller. A scan of `/proc` that
    /// processes race with: stable only once they have settled.
    #[must_use]
    pub fn live(&self) -> Vec<Tagged> {
        let me = getpid().as_raw_nonzero().get();
        proc_fs::all().into_iter().filter(|pid| *pid != me).filter_map(|pid| self.tagged(pid)).collect()
    }

    /// Waits, by pidfd, until no process carries the tag; after `limit`, the survivors.
    ///
    /// # Errors
    ///
    /// The processes that were alive when `limit` passed.
    pub fn wait_gone(&self, limit: Duration) -> Result<(), Vec<Tagged>> {
        let deadline = now() + limit;
        loop {
            let live = self.live();
            if live.is_empty() {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                return Err(live);
            }
            // Any one of them will do: each round ends with a scan, so order does not matter.
            if let Some(fd) = live.iter().find_map(|process| self.hold(process.pid)) {
                let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
                let left = Timespec::try_from(left).expect("a test's limit fits a timespec");
                poll(&mut fds, Some(&left)).expect("poll on a pidfd");
            }
        }
    }

    fn tagged(&self, pid: i32) -> Option<Tagged> {
        let command = proc_fs::cmdline(pid);
        let stat = proc_fs::stat(pid)?;
        // A zombie's command line may have been read just before it died.
        (command.contains(&self.0) && stat.state != 'Z').then_some(Tagged {
            pid,
            ppid: stat.ppid,
            state: stat.state,
            command,
        })
    }

    /// A pidfd that surely belongs to a tagged process: the tag is looked at again once the pid is pinned.
    fn hold(&self, pid: i32) -> Option<OwnedFd> {
        let fd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        self.tagged(pid).map(|_| fd)
    }
}

impl Default for RunTag {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own deadline, outside any system under test")]
fn now() -> Instant {
    Instant::now()
}
