//! What /proc says about processes, and signals that cannot hit a stranger.
//!
//! A pid alone is never signalled. A pidfd is opened first and what makes the process ours is checked after: if the
//! number was reused in between, the pidfd belongs to the process that is gone, and the signal goes nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

/// The interesting part of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    pub(crate) session: u32,
    pub(crate) zombie: bool,
    /// Clock ticks after boot.
    pub(crate) started: u64,
}

impl Stat {
    pub(crate) fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// `pid (comm) state ppid pgrp session ... starttime`, where comm may hold anything.
    fn parse(line: &[u8]) -> Option<Self> {
        let close = line.iter().rposition(|&b| b == b')')?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The state is the third field of the whole line and the first here.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(number(4)?).ok()?,
            session: u32::try_from(number(6)?).ok()?,
            zombie: matches!(*fields.first()?, "Z" | "X"),
            started: number(22)?,
        })
    }

    /// How long it has been alive.
    pub(crate) fn age(&self) -> Duration {
        let uptime: f64 = fs::read_to_string("/proc/uptime")
            .ok()
            .and_then(|text| text.split_ascii_whitespace().next()?.parse().ok())
            .unwrap_or(0.0);
        let started = self.started as f64 / rustix::param::clock_ticks_per_second() as f64;
        Duration::try_from_secs_f64(uptime - started).unwrap_or_default()
    }
}

/// The command line for a log, at most 200 characters; the name in brackets where there is none.
pub(crate) fn command_line(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
    if text.is_empty() {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        return format!("[{}]", comm.trim_end());
    }
    text.chars().take(200).collect()
}

/// All direct children of this process, whichever of its threads they belong to.
pub(crate) fn own_children() -> io::Result<BTreeSet<u32>> {
    children(std::process::id())
}

fn children(pid: u32) -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        match fs::read_to_string(task?.path().join("children")) {
            Ok(list) => found.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok())),
            // The thread has ended meanwhile, and its children have moved to another one.
            Err(e) if is_gone(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// A process that ended while it was looked at.
fn is_gone(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// The descendants of `root` as they are found, parents before children.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([root]);
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        // A process that is gone has no children any more: they have been inherited.
        for child in children(pid).unwrap_or_default() {
            if seen.insert(child) {
                found.push(child);
                next.push(child);
            }
        }
    }
    found
}

/// Whether the chain of parents of `pid` leads through `ancestor`.
pub(crate) fn descends_from(mut pid: u32, ancestor: u32) -> bool {
    let mut seen = BTreeSet::new();
    while let Some(stat) = Stat::read(pid) {
        if stat.parent == ancestor {
            return true;
        }
        if stat.parent <= 1 || !seen.insert(stat.parent) {
            return false;
        }
        pid = stat.parent;
    }
    false
}

/// Every process that /proc shows, with its parent.
pub(crate) fn everyone() -> io::Result<BTreeMap<u32, Stat>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok())
            && let Some(stat) = Stat::read(pid)
        {
            all.insert(pid, stat);
        }
    }
    Ok(all)
}

/// A stable reference to whatever process has this number now; `None` if there is none.
pub(crate) fn open(pid: u32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::SRCH) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Sends a signal; a process that is gone is no error.
pub(crate) fn signal(pidfd: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Reaps a process that has exited, if it is our child: whose it is not is reaped by its own parent.
pub(crate) fn reap(pidfd: &OwnedFd) -> io::Result<()> {
    use std::os::fd::AsFd;
    let exited = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    match rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), exited)) {
        Ok(_) | Err(Errno::CHILD) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_any_name() {
        let line = b"7 (x) Z 1 1 (y) S 3 4 5 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        let expected = Stat { parent: 3, session: 5, zombie: false, started: 777 };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse(b"7 (x) S 3"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn this_process_is_found_below_its_parent() {
        let me = std::process::id();
        let stat = Stat::read(me).unwrap();
        assert!(descends_from(me, stat.parent));
        assert!(!descends_from(me, me));
        assert!(everyone().unwrap().contains_key(&me));
        assert!(descendants(stat.parent).contains(&me));
        assert!(stat.age() < Duration::from_secs(600));
    }

    #[test]
    fn a_number_without_a_process_opens_nothing() {
        // Above the largest pid_max there is.
        assert!(open(1 << 23).unwrap().is_none());
        assert!(open(0).unwrap().is_none());
        assert!(open(u32::MAX).unwrap().is_none());
    }
}
