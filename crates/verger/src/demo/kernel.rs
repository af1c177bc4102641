//! The demo's own count of processes: what the kernel shows, not what the server says.
//!
//! Counted are all live processes below the server's, shims included, by walking the lists of children in `/proc`. Each
//! one is pinned by a pidfd, so that its end is waited for as a fact.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

/// A process that was alive when it was looked at.
#[derive(Debug)]
pub(super) struct Process {
    pidfd: OwnedFd,
    command: String,
}

/// All live processes below `root`.
pub(super) fn below(root: u32) -> Vec<Process> {
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for pid in children(parent) {
            parents.push(pid);
            found.extend(pin(pid, parent));
        }
    }
    found
}

/// A stable reference to the process `pid`, if it lives and is a child of `parent`.
pub(super) fn pin(pid: u32, parent: u32) -> Option<Process> {
    let pidfd = pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()?;
    // Judged after it is pinned: the number may have been reused in between.
    let command = command(pid);
    let (state, ppid) = state_and_parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    (ppid == parent && !matches!(state, 'Z' | 'X')).then_some(Process { pidfd, command })
}

/// Waits until all have exited, `limit` at most; returns the command lines of those that have not.
pub(super) async fn survivors(processes: Vec<Process>, limit: Duration) -> std::io::Result<Vec<String>> {
    let deadline = tokio::time::Instant::now() + limit;
    let mut alive = Vec::new();
    for Process { pidfd, command } in processes {
        let pidfd = watched(pidfd)?;
        match tokio::time::timeout_at(deadline, pidfd.readable()).await {
            Ok(exited) => drop(exited?),
            Err(_) => alive.push(command),
        }
    }
    Ok(alive)
}

/// Readable means exited.
#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of descriptors that close early; this one is owned"
)]
fn watched(pidfd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

impl Process {
    pub(super) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Whether it stands between an owner and a helper.
    pub(super) fn is_shim(&self) -> bool {
        self.command.split(' ').next() == Some(verger_shim::ARGV0)
    }
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// From `pid (comm) state ppid ...`, where comm may hold anything.
fn state_and_parent(stat: &str) -> Option<(char, u32)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&line);
    text.trim_end_matches('\0').replace('\0', " ").chars().take(100).collect()
}

/// Gives up on what takes longer than `limit`, and says what that was.
pub(super) async fn within<T>(
    what: &str,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, String> {
    timeout(limit, future).await.map_err(|_| format!("{what}: not within {limit:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_any_name() {
        assert_eq!(state_and_parent("7 (x) Z 1 (y) S 3 4 5"), Some(('S', 3)));
        assert_eq!(state_and_parent("7 (x) Z"), None);
        assert_eq!(state_and_parent(""), None);
    }

    #[tokio::test]
    async fn a_live_process_is_a_survivor_and_a_stranger_is_not_pinned() {
        let me = std::process::id();
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let (_, parent) = state_and_parent(&stat).unwrap();
        let process = pin(me, parent).unwrap();
        assert!(!process.is_shim());
        assert_eq!(survivors(vec![process], Duration::from_millis(20)).await.unwrap().len(), 1);
        assert!(pin(me, me).is_none());
        assert!(below(me).is_empty());
    }
}
