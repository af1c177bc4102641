//! The system calls that have no safe wrapper, each with the reason why its use is sound.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::protocol::Exit;

/// What a wait for any child found.
pub(crate) enum Waited {
    /// This child was reaped; its pid may mean another process from now on.
    Reaped(u32, Exit),
    /// There are children, none has exited yet.
    NoneYet,
    /// ECHILD: there is no child and, under a subreaper, no descendant.
    NoChildren,
}

/// Waits for any child, blocking or not. Sees children of every kind of clone (`__WALL`).
pub(crate) fn wait_any(block: bool) -> io::Result<Waited> {
    let options = libc::__WALL | if block { 0 } else { libc::WNOHANG };
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place for the one int that the kernel writes.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, options) };
        return match pid {
            0 => Ok(Waited::NoneYet),
            1.. if libc::WIFEXITED(status) => {
                Ok(Waited::Reaped(pid.unsigned_abs(), Exit::Code(libc::WEXITSTATUS(status))))
            }
            1.. => Ok(Waited::Reaped(pid.unsigned_abs(), Exit::Signal(libc::WTERMSIG(status)))),
            _ => match io::Error::last_os_error() {
                e if e.raw_os_error() == Some(libc::ECHILD) => Ok(Waited::NoChildren),
                e if e.kind() == io::ErrorKind::Interrupted => continue,
                e => Err(e),
            },
        };
    }
}

/// Blocks SIGCHLD and returns a non-blocking descriptor that is readable when a child has changed.
pub(crate) fn sigchld_fd() -> io::Result<OwnedFd> {
    // SAFETY: sigset_t is plain data that sigemptyset initializes before anyone reads it; signalfd returns a new
    // descriptor that nobody else owns.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
        let fd = check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Ignores `signal` or gives it its default meaning back. Async-signal-safe.
pub(crate) fn set_signal(signal: i32, ignore: bool) -> io::Result<()> {
    let handler = if ignore { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: SIG_IGN and SIG_DFL run no code of ours.
    if unsafe { libc::signal(signal, handler) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives every signal its default meaning back. Async-signal-safe.
///
/// Not through libc, which hides two signals from its callers: an ancestor that ignored those would be inherited.
pub(crate) fn reset_signals() {
    // The kernel's sigaction with SIG_DFL, no flags and an empty mask is all zeros, and no larger than this.
    let default = [0u64; 8];
    for signal in 1..=64 {
        // SAFETY: reads `default` and writes nothing. It fails for KILL and STOP, which have nothing to reset.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), 8)
        };
    }
}

/// Blocks no signal. Async-signal-safe.
pub(crate) fn unblock_signals() -> io::Result<()> {
    // SAFETY: as in `sigchld_fd`.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())).map(drop)
    }
}

/// Closes the descriptors `first..=last`, or marks them to be closed by exec. Async-signal-safe.
///
/// # Safety
/// When closing, nobody may own a descriptor in the range.
pub(crate) unsafe fn close_range(first: u32, last: u32, on_exec: bool) -> io::Result<()> {
    let flags = if on_exec { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: the call touches no memory; what it does to descriptors is the caller's promise.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    check(done as i32).map(drop)
}

/// Closes one descriptor of a forked child. Async-signal-safe.
///
/// # Safety
/// Its owner may not use or drop it any more.
pub(crate) unsafe fn close(fd: BorrowedFd<'_>) {
    // Linux closes the descriptor whatever it answers.
    // SAFETY: the caller's promise.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// Closes every descriptor from 3 up, except `kept`. Async-signal-safe.
///
/// # Safety
/// As [`close_range`] when closing, for all of them but `kept`.
pub(crate) unsafe fn close_all_but(kept: BorrowedFd<'_>) -> io::Result<()> {
    let number = kept.as_raw_fd().unsigned_abs();
    // SAFETY: the caller's promise; both ranges leave `kept` out.
    unsafe {
        if number > 3 {
            close_range(3, number - 1, false)?;
        }
        close_range(number + 1, u32::MAX, false)
    }
}

/// Duplicates `from` onto the number `to`, without CLOEXEC. Async-signal-safe.
pub(crate) fn dup_onto(from: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    debug_assert!(to <= 2, "only stdio has no owner that this could pull the rug from under");
    // SAFETY: both are plain numbers to the kernel, and stdio numbers are owned by nobody.
    check(unsafe { libc::dup2(from.as_raw_fd(), to) }).map(drop)
}

/// From linux/sched.h; libc's constant of this name is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// Which side of a fork this is.
pub(crate) enum Side {
    Parent(u32),
    Child,
}

/// Where a forked child lives.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// Where its parent does.
    Here,
    /// In this cgroup.
    Cgroup(BorrowedFd<'a>),
    /// As the init of a PID namespace, with mounts of its own. With a user namespace around both, this asks for no
    /// privilege.
    Namespaces { user: bool },
}

/// Forks.
///
/// # Safety
/// The process must be single-threaded, and the child may only make async-signal-safe calls until it executes or exits.
pub(crate) unsafe fn fork(place: Place<'_>) -> io::Result<Side> {
    // SAFETY: all-zero is the documented default of clone_args.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD as u64;
    match place {
        Place::Here => {}
        Place::Cgroup(dir) => {
            args.flags = CLONE_INTO_CGROUP;
            args.cgroup = dir.as_raw_fd() as u64;
        }
        Place::Namespaces { user } => {
            let user = if user { libc::CLONE_NEWUSER } else { 0 };
            args.flags = (libc::CLONE_NEWPID | libc::CLONE_NEWNS | user) as u64;
        }
    }
    let pid = if args.flags == 0 {
        // A seccomp filter may know fork and not clone3.
        // SAFETY: the caller's promise.
        i64::from(unsafe { libc::fork() })
    } else {
        // SAFETY: no CLONE_VM and no stack: the child runs on a copy of ours, as after fork. libc's own fork
        // bookkeeping is skipped, which the caller's promise (no allocation, no locks) makes irrelevant.
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) }
    };
    match pid {
        0 => Ok(Side::Child),
        1.. => Ok(Side::Parent(pid as u32)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A null-terminated array of C strings, as execve wants it, built before the fork.
pub(crate) struct Pointers<'a> {
    pointers: Vec<*const libc::c_char>,
    strings: std::marker::PhantomData<&'a CStr>,
}

impl<'a> Pointers<'a> {
    pub(crate) fn new(strings: &'a [std::ffi::CString]) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Self { pointers, strings: std::marker::PhantomData }
    }
}

/// Executes `program`; returns only with the reason why it could not. Async-signal-safe.
pub(crate) fn exec(program: &CStr, argv: &Pointers<'_>, envp: &Pointers<'_>) -> io::Error {
    // SAFETY: `Pointers` borrows its strings and ends in a null pointer.
    unsafe { libc::execve(program.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Exits at once, running nothing. Async-signal-safe.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
