//! What a helper's tree takes: for people and for budgets, never for a proof (a `/proc` scan proves nothing).
//!
//! Three figures of memory, here for 201 processes that one small program forked. Resident pages, summed, count what
//! processes share once for each of them (192 MB). Pages that no file backs ([`Usage::memory_bytes`], 44 MB) leave
//! programs and libraries out, and cost one small read a process; what is shared after a fork or on purpose still counts
//! more than once, so this is an upper bound. [`Tree::shared_once`] divides such pages among those that share them (8 MB),
//! and has the kernel walk every page table for it: for when the bound is over a limit.

use std::fs;

use crate::process::{self, NOBODY};

/// Where a walk is cut off: a tree that forks faster than it is walked is not followed for ever.
const MOST: usize = 100_000;

/// The tree of a helper, to be looked at. Holds nothing: the processes may be gone, and their numbers reused, once the
/// helper's leader has exited.
#[derive(Clone, Copy, Debug)]
pub struct Tree {
    /// Its shim, or its namespace's init.
    root: u32,
}

/// Sums over a tree, without its shim and its init. What starts or ends during the walk may be missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processes, those included that have exited and that their parent has not collected. Threads do not count.
    pub processes: u32,
    /// Resident pages of all kinds, in bytes.
    pub rss_bytes: u64,
    /// Pages that no file backs, resident or swapped out, in bytes: at least what the tree holds.
    pub memory_bytes: u64,
}

impl Tree {
    pub(crate) fn below(root: u32) -> Self {
        Self { root }
    }

    /// How many processes there are. Blocks for some 10 us a process.
    pub fn processes(self) -> u32 {
        let count = process::below(self.root, NOBODY).take(MOST).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// All figures but the dear one. Blocks for some 50 us a process.
    pub fn usage(self) -> Usage {
        let mut sum = Usage::default();
        for pid in process::below(self.root, NOBODY).take(MOST) {
            let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
            sum.processes += 1;
            sum.rss_bytes += bytes(&status, &["VmRSS:"]);
            sum.memory_bytes += held(&status);
        }
        sum
    }

    /// [`Usage::memory_bytes`] with what processes share counted once. Blocks for some 40 us a process and 20 ms a
    /// gigabyte that it maps. Of a process that the kernel does not let us look into, its upper bound is taken.
    pub fn shared_once(self) -> u64 {
        let of = |pid: u32| match fs::read(format!("/proc/{pid}/smaps_rollup")) {
            Ok(rollup) => bytes(&rollup, &["Pss_Anon:", "Pss_Shmem:", "SwapPss:"]),
            Err(_) => held(&fs::read(format!("/proc/{pid}/status")).unwrap_or_default()),
        };
        process::below(self.root, NOBODY).take(MOST).map(of).sum()
    }
}

fn held(status: &[u8]) -> u64 {
    bytes(status, &["RssAnon:", "RssShmem:", "VmSwap:"])
}

/// The sum of some lines such as `VmRSS:     1776 kB`. A process that has exited has none.
fn bytes(table: &[u8], names: &[&str]) -> u64 {
    let kilobytes = |line: &[u8]| {
        let line = std::str::from_utf8(line).ok()?;
        let (name, value) = line.split_at_checked(line.find(':')? + 1)?;
        let number = value.trim_ascii().strip_suffix(" kB")?;
        number.parse::<u64>().ok().filter(|_| names.contains(&name))
    };
    table.split(|&byte| byte == b'\n').filter_map(kilobytes).sum::<u64>() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_summed_by_name_past_any_other() {
        let status = b"Name:\ta kB: b\nVmRSS:\t    10 kB\nRssAnon:\t       4 kB\nRssShmem:\t 1 kB\nVmSwap:\t2 kB\n\xff\n";
        assert_eq!(held(status), 7 * 1024);
        assert_eq!(bytes(status, &["VmRSS:"]), 10 * 1024);
        assert_eq!(bytes(b"VmRSS: many kB\nVmRSS:", &["VmRSS:"]), 0);
        assert_eq!(bytes(b"", &["VmRSS:"]), 0);
    }

    #[test]
    fn a_tree_that_is_gone_takes_nothing() {
        // Above the largest pid_max there is.
        let tree = Tree::below(1 << 23);
        assert_eq!((tree.usage(), tree.processes(), tree.shared_once()), (Usage::default(), 0, 0));
    }
}
