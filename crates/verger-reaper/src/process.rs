//! What /proc says about processes, and signals that cannot hit a stranger.
//!
//! A pid alone is never signalled. A pidfd is opened first and what makes the process ours is checked after: if the
//! number was reused in between, the pidfd belongs to the process that is gone, and the signal goes nowhere.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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

/// The name that a process was started under, at most 200 characters, and how many arguments it was given; the kernel's
/// name in brackets where there is none. The arguments themselves may hold keys and passwords, and logs are kept.
pub(crate) fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let (program, arguments) = name_and_count(&line);
    match arguments {
        _ if program.is_empty() => {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("[{}]", comm.trim_end())
        }
        0 => program,
        1 => format!("{program} (1 argument)"),
        more => format!("{program} ({more} arguments)"),
    }
}

/// Whether a process was started under this name.
pub(crate) fn is_called(pid: u32, name: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    name_and_count(&line).0 == name
}

/// Whether both were started with the same arguments, and there are any.
pub(crate) fn has_command_line_of(pid: u32, other: u32) -> bool {
    let line = |pid| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let of_other = line(other);
    !of_other.is_empty() && line(pid) == of_other
}

/// Each argument ends in a NUL. Who has written a title over them has ended the last one otherwise, or not at all, and
/// may show anything: of such a title the first word is the name.
fn name_and_count(line: &[u8]) -> (String, usize) {
    let text = String::from_utf8_lossy(line);
    let mut arguments = text.trim_end_matches('\0').split('\0');
    let name = arguments.next().unwrap_or_default();
    let name = name.split(' ').next().unwrap_or_default();
    (name.chars().take(200).collect(), arguments.count())
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

/// Where nobody is spared.
pub(crate) const NOBODY: &BTreeSet<u32> = &BTreeSet::new();

/// The descendants of `root` as they are found, parents before children, without those in `spared` and theirs.
pub(crate) fn descendants(root: u32, spared: &BTreeSet<u32>) -> Vec<u32> {
    below(root, spared).collect()
}

/// The same, found one by one: a caller that has seen enough need not go on.
pub(crate) fn below(root: u32, spared: &BTreeSet<u32>) -> impl Iterator<Item = u32> {
    let mut seen = BTreeSet::from([root]);
    let mut next = vec![root];
    let mut found = VecDeque::new();
    std::iter::from_fn(move || {
        while found.is_empty() {
            // A process that is gone has no children any more: they have been inherited.
            let children = children(next.pop()?).unwrap_or_default();
            found
                .extend(children.into_iter().filter(|&child| !spared.contains(&child) && seen.insert(child)));
            next.extend(&found);
        }
        found.pop_front()
    })
}

/// Whether the chain of parents of `pid` leads to `ancestor`, and not through one of `spared` before.
pub(crate) fn descends_from(pid: u32, ancestor: u32, spared: &BTreeSet<u32>) -> bool {
    ancestors(pid).take_while(|parent| !spared.contains(parent)).any(|parent| parent == ancestor)
}

/// The parent of `pid`, the parent's parent, and so on, as far as they can be seen.
pub(crate) fn ancestors(pid: u32) -> impl Iterator<Item = u32> {
    let mut seen = BTreeSet::new();
    let parent = |pid: u32| Stat::read(pid).map(|stat| stat.parent);
    std::iter::successors(parent(pid), move |&pid| parent(pid))
        // A number that is used again while it is looked at could lead in a circle.
        .take_while(move |&pid| pid > 0 && seen.insert(pid))
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
        let nobody = BTreeSet::new();
        assert!(descends_from(me, stat.parent, &nobody));
        assert!(!descends_from(me, me, &nobody));
        assert!(everyone().unwrap().contains_key(&me));
        assert!(descendants(stat.parent, &nobody).contains(&me));
        assert!(!descendants(stat.parent, &BTreeSet::from([me])).contains(&me));
        assert!(stat.age() < Duration::from_secs(600));
    }

    #[test]
    fn a_command_shows_no_argument() {
        let check =
            |line: &[u8], name: &str, count| assert_eq!(name_and_count(line), (name.to_owned(), count));
        check(b"/usr/bin/node\0server.js\0--token\0hunter2\0", "/usr/bin/node", 3);
        check(b"cat\0", "cat", 0);
        check(b"cat\0\0\0", "cat", 0);
        check(b"postgres: hunter2 idle\0\0\0", "postgres:", 0);
        check(b"", "", 0);
    }

    #[test]
    fn a_number_without_a_process_opens_nothing() {
        // Above the largest pid_max there is.
        assert!(open(1 << 23).unwrap().is_none());
        assert!(open(0).unwrap().is_none());
        assert!(open(u32::MAX).unwrap().is_none());
    }
}
