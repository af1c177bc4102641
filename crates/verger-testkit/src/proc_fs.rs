//! What `/proc` says about processes: children, descendants, state, command line.
//!
//! A process may end between two reads, so every answer is a fact of the past: callers that act on one hold the
//! process by its pidfd, or are its parent.

use std::time::Duration;
use std::{fs, io};

/// One line of `/proc/PID/stat`, cut down to what tests ask.
pub(crate) struct Stat {
    /// `R`, `S`, `D`, `T`, `Z`, ... as in proc(5).
    pub(crate) state: char,
    pub(crate) ppid: i32,
}

/// State and parent of `pid`, or nothing when it is gone.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold spaces and parentheses; the fields start after the last one.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    Some(Stat { state: fields.next()?.chars().next()?, ppid: fields.next()?.parse().ok()? })
}

/// The command line with spaces between arguments; empty for a zombie or a process that is gone.
pub(crate) fn cmdline(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').replace('\0', " ")
}

/// Direct children of `pid` (zombies too), whichever of its threads started them.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Everything below `pid`, parents before their children.
pub(crate) fn descendants(pid: i32) -> Vec<i32> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(children(parent));
        next += 1;
    }
    found
}

/// Processor time of the threads that `pid` has now, exact to the nanosecond. What ended threads took is not in it.
pub(crate) fn cpu(pid: i32) -> io::Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ends between the two reads counts like one that had ended before.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// How often its threads have gone to sleep by themselves; of those that live now.
pub(crate) fn sleeps(pid: i32) -> io::Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let count = line.and_then(|line| line.trim().parse::<u64>().ok());
        sum += count.ok_or_else(|| io::Error::other("no count of switches: the thread has ended"))?;
    }
    Ok(sum)
}

/// Every pid of this machine that the caller may see.
pub(crate) fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
