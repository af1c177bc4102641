//! LeakGuard: a test that starts processes ends with none.
//!
//! The guard makes the test process a *subreaper*: whatever its helpers started and abandoned, however it was
//! daemonised, becomes the test process's own child. So "nothing leaked" is one question to the kernel, ECHILD,
//! and no scan by name can be fooled.
//!
//! This is sound because nextest runs every test in a process of its own. Under `cargo test`, tests of one binary
//! share a process and would judge each other's children: keep one guarded test per binary there.

use std::{
    os::fd::{AsFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper,
        waitpid,
    },
};

use crate::proc_fs;

/// How long a child may take to end by itself before it counts as leaked.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(2);

/// Fails the test unless, at the end, every process that the test caused is gone.
///
/// Make it first and call [`LeakGuard::finish`] last; dropping it does the same, unless the test is panicking
/// already: then leftovers are ended quietly, so that one failure does not leak into the next run.
#[derive(Debug)]
pub struct LeakGuard {
    patience: Duration,
    finished: bool,
}

/// A process that outlived the test's patience.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Survivor {
    pid: i32,
    command: String,
}

impl LeakGuard {
    /// Starts guarding: orphans of this process's children become its own children from here on.
    ///
    /// # Panics
    ///
    /// When the kernel refuses, or when a child is already running that this guard could not judge fairly.
    #[must_use]
    pub fn new() -> Self {
        set_child_subreaper(Some(getpid())).expect("prctl(PR_SET_CHILD_SUBREAPER) needs no privilege");
        let already = proc_fs::children(me());
        assert!(
            already.is_empty(),
            "LeakGuard::new() comes first in a test: {already:?} are running already"
        );
        Self { patience: DEFAULT_PATIENCE, finished: false }
    }

    /// Waits up to `patience` instead of 2 s for children to end by themselves.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Requires that every child is gone, and reaps those that have exited. Returns how many it had to reap: an
    /// owner that collects all its children leaves 0, apart from orphans that came to this process.
    ///
    /// # Panics
    ///
    /// When a child is alive past the patience: the message lists pid and command line of each survivor. They are
    /// killed first, so that the test's failure leaves nothing behind.
    pub fn finish(mut self) -> usize {
        self.finished = true;
        self.judge()
    }

    fn judge(&self) -> usize {
        match reap_until_none(self.patience) {
            Ok(reaped) => reaped,
            Err(survivors) => {
                end_all();
                let list: String = survivors.iter().map(|s| format!("\n  {} {}", s.pid, s.command)).collect();
                panic!(
                    "{} leaked process(es), alive {:?} after the test:{list}",
                    survivors.len(),
                    self.patience
                );
            }
        }
    }
}

impl Default for LeakGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for LeakGuard {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if thread::panicking() {
            end_all();
        } else {
            self.judge();
        }
    }
}

fn me() -> i32 {
    getpid().as_raw_nonzero().get()
}

/// Reaps children as they exit until the kernel says ECHILD; after `patience`, names those that live.
fn reap_until_none(patience: Duration) -> Result<usize, Vec<Survivor>> {
    let deadline = now() + patience;
    let mut reaped = 0;
    loop {
        reaped += reap_exited();
        let children: Vec<(i32, OwnedFd)> = proc_fs::children(me()).into_iter().filter_map(hold).collect();
        if children.is_empty() {
            // A child without a pidfd was reaped elsewhere meanwhile; the kernel's own word is what counts.
            if none_left() {
                return Ok(reaped);
            }
            continue;
        }
        let left = deadline.saturating_duration_since(now());
        if left.is_zero() {
            return Err(survivors());
        }
        wait_for_any(&children, left);
    }
}

/// A handle on a direct child. It cannot be another process: a child's pid stays taken until its parent, this
/// process, reaps it.
fn hold(pid: i32) -> Option<(i32, OwnedFd)> {
    Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?))
}

/// Blocks until one of `children` has exited, or `limit` passed.
fn wait_for_any(children: &[(i32, OwnedFd)], limit: Duration) {
    let mut fds: Vec<PollFd<'_>> =
        children.iter().map(|(_, fd)| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
    let limit = Timespec::try_from(limit).expect("a test's patience fits a timespec");
    match poll(&mut fds, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => panic!("poll on pidfds: {error}"),
    }
}

/// Collects every child that has exited, without blocking; returns how many.
fn reap_exited() -> usize {
    let zombies =
        proc_fs::children(me()).into_iter().filter(|pid| proc_fs::stat(*pid).is_some_and(|s| s.state == 'Z'));
    zombies.filter_map(Pid::from_raw).filter(|pid| reap(*pid)).count()
}

/// Collects one child by its pid; false when it has not exited or is not this process's child.
#[expect(
    clippy::disallowed_methods,
    reason = "the guard is the last owner: what is left at a test's end is its own"
)]
fn reap(pid: Pid) -> bool {
    matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_)))
}

/// True when the kernel says ECHILD: no child, running or exited.
fn none_left() -> bool {
    matches!(rustix::process::wait(WaitOptions::NOHANG), Err(Errno::CHILD))
}

/// Everything below this process that is not a zombie.
fn survivors() -> Vec<Survivor> {
    let alive = proc_fs::descendants(me())
        .into_iter()
        .filter(|pid| proc_fs::stat(*pid).is_some_and(|s| s.state != 'Z'));
    alive.map(|pid| Survivor { pid, command: proc_fs::cmdline(pid) }).collect()
}

/// Kills direct children, then those that come to this process as their parents die, until none is left.
fn end_all() {
    // A chain of processes that fork faster than they are killed must not hang the test for ever.
    let deadline = now() + Duration::from_secs(10);
    while !none_left() && now() < deadline {
        let children: Vec<(i32, OwnedFd)> = proc_fs::children(me()).into_iter().filter_map(hold).collect();
        for (pid, fd) in &children {
            match pidfd_send_signal(fd, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => eprintln!("LeakGuard: cannot kill its child {pid}: {error}"),
            }
        }
        if !children.is_empty() {
            wait_for_any(&children, Duration::from_secs(1));
        }
        reap_exited();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the guard measures its own patience, outside any system under test"
)]
fn now() -> Instant {
    Instant::now()
}
