//! All descendants of this process, found and signalled without allocating and without ever hitting a stranger.
//!
//! A direct child that was not waited for yet keeps its pid, so `kill` cannot miss. Deeper descendants can be reaped by
//! their own parents at any moment: those are signalled through a pidfd, opened first, with the chain of parents up to
//! this process checked after. If that number was reused in between, the check passes only for a descendant, and the
//! signal goes to the process that had it at the open: gone, or the one that was checked.
//!
//! One pass is a snapshot and may miss who is born during it. That is enough: the caller repeats it until ECHILD.

use std::ffi::CStr;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, pidfd_send_signal};

/// How many processes one pass sees. Later ones are seen by later passes, when the first have died.
const MAX: usize = 8192;

/// A path below /proc, built in place.
struct ProcPath {
    bytes: [u8; 64],
}

impl ProcPath {
    fn new(args: std::fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; 64];
        // The longest is "/proc/4294967295/task/4294967295/children": it fits, and the rest stays zero.
        let fits = (&mut bytes[..63]).write_fmt(args);
        debug_assert!(fits.is_ok(), "a /proc path outgrew its buffer");
        Self { bytes }
    }

    fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default();
        rustix::fs::open(path, flags | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }
}

/// What one process is, from `/proc/PID/stat`.
#[derive(Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    pub(crate) comm: [u8; 16],
    /// Already dead, waiting to be reaped.
    pub(crate) zombie: bool,
}

/// The table of one pass. 32 kB of it are touched only as far as the tree is large.
pub(crate) struct Tree {
    pids: Box<[u32]>,
    len: usize,
    /// How many of the first ones are direct children.
    direct: usize,
}

impl Tree {
    /// The one allocation, made before the helper exists.
    pub(crate) fn new() -> Self {
        Self { pids: vec![0; MAX].into_boxed_slice(), len: 0, direct: 0 }
    }

    /// Sends `signals`, one after the other, to every descendant that is found.
    pub(crate) fn signal(&mut self, signals: &[Signal]) {
        self.scan();
        let me = getpid().as_raw_nonzero().get().unsigned_abs();
        for index in 0..self.len {
            let Some(pid) = i32::try_from(self.pids[index]).ok().and_then(Pid::from_raw) else { continue };
            if index < self.direct {
                for &signal in signals {
                    // Only this process reaps, and it does not between scan and here.
                    kill_process(pid, signal).ok();
                }
            } else if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty())
                && descends_from(self.pids[index], me)
            {
                for &signal in signals {
                    pidfd_send_signal(&pidfd, signal).ok();
                }
            }
        }
    }

    /// Calls `f` with every descendant that is alive, except `init`, and returns how many there are.
    pub(crate) fn count_alive(&mut self, init: Option<u32>, mut f: impl FnMut(u32, &Stat)) -> u32 {
        self.scan();
        let mut alive = 0;
        for &pid in &self.pids[..self.len] {
            if Some(pid) != init
                && let Some(stat) = stat(pid)
                && !stat.zombie
            {
                alive += 1;
                f(pid, &stat);
            }
        }
        alive
    }

    /// Breadth first from this process.
    fn scan(&mut self) {
        self.len = 0;
        self.read_children(&ProcPath::new(format_args!("/proc/thread-self/children")));
        self.direct = self.len;
        let mut next = 0;
        while next < self.len {
            self.scan_threads(self.pids[next]);
            next += 1;
        }
    }

    /// Children belong to the thread that forked them.
    fn scan_threads(&mut self, pid: u32) {
        let Ok(tasks) = ProcPath::new(format_args!("/proc/{pid}/task")).open(OFlags::DIRECTORY) else {
            return;
        };
        let mut space = [MaybeUninit::uninit(); 1024];
        let mut entries = RawDir::new(tasks, &mut space);
        while let Some(Ok(entry)) = entries.next() {
            if let Some(tid) = entry.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()) {
                self.read_children(&ProcPath::new(format_args!("/proc/{pid}/task/{tid}/children")));
            }
        }
    }

    fn read_children(&mut self, path: &ProcPath) {
        let Ok(file) = path.open(OFlags::empty()) else { return };
        let mut buffer = [0; 1024];
        let mut number = 0u32;
        while let Ok(n @ 1..) = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer)) {
            for &byte in &buffer[..n] {
                match byte {
                    b'0'..=b'9' => number = number.wrapping_mul(10).wrapping_add(u32::from(byte - b'0')),
                    _ => self.push(std::mem::take(&mut number)),
                }
            }
        }
        self.push(number);
    }

    fn push(&mut self, pid: u32) {
        if pid != 0 && self.len < MAX {
            self.pids[self.len] = pid;
            self.len += 1;
        }
    }
}

/// The first child of a process with one thread, if it has any.
pub(crate) fn first_child(pid: u32) -> Option<u32> {
    let file = ProcPath::new(format_args!("/proc/{pid}/task/{pid}/children")).open(OFlags::empty()).ok()?;
    // A pid has ten digits at most.
    let mut buffer = [0; 16];
    let n = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer)).ok()?;
    let list = std::str::from_utf8(&buffer[..n]).ok()?;
    list.split(' ').next()?.parse().ok()
}

fn descends_from(mut pid: u32, ancestor: u32) -> bool {
    for _ in 0..MAX {
        match stat(pid).map(|stat| stat.parent) {
            Some(parent) if parent == ancestor => return true,
            Some(0 | 1) | None => return false,
            Some(parent) => pid = parent,
        }
    }
    false
}

pub(crate) fn stat(pid: u32) -> Option<Stat> {
    let file = ProcPath::new(format_args!("/proc/{pid}/stat")).open(OFlags::empty()).ok()?;
    let mut buffer = [0; 512];
    let n = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer)).ok()?;
    parse_stat(&buffer[..n])
}

/// `pid (comm) state ppid ...`, where comm may hold anything, parentheses and spaces too.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|&b| b == b'(')?;
    let close = line.iter().rposition(|&b| b == b')')?;
    let mut comm = [0; 16];
    let name = line.get(open + 1..close)?;
    let len = name.len().min(comm.len());
    comm[..len].copy_from_slice(&name[..len]);
    let mut fields = line.get(close + 2..)?.split(|&b| b == b' ');
    let state = *fields.next()?.first()?;
    let parent = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    Some(Stat { parent, comm, zombie: matches!(state, b'Z' | b'X') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_hide_the_parent() {
        let stat = parse_stat(b"42 (a) R 1 (b) S 17 42 42 0 -1").unwrap();
        assert_eq!(stat.parent, 17);
        assert!(!stat.zombie);
        assert_eq!(&stat.comm[..9], b"a) R 1 (b");
    }

    #[test]
    fn garbage_is_no_process() {
        for line in [&b""[..], b"1", b"1 (", b"1 (a)", b"1 (a) ", b"1 (a) S", b"1 )a( S 1", b"1 (a) S x"] {
            assert!(parse_stat(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn this_process_descends_from_its_parent_and_not_from_itself() {
        let me = std::process::id();
        let parent = stat(me).unwrap().parent;
        assert!(descends_from(me, parent));
        assert!(!descends_from(me, me));
    }
}
