//! Attacks on the supervisor: SIGKILL or SIGSTOP, to a parent that is a `verger-shim` and to nothing else.

use std::{fs, os::fd::AsFd};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{
        Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
    },
};

/// Survives its parent and kills it.
pub(crate) fn kill_parent() {
    set_parent_process_death_signal(None).expect("prctl(PR_SET_PDEATHSIG) needs no privilege");
    signal_parent_shim(Signal::KILL);
}

/// Stops its parent, so that the parent can do nothing more.
pub(crate) fn stop_parent() {
    signal_parent_shim(Signal::STOP);
}

/// Waits until this orphan was adopted by a shim, and kills that. Gives up when init adopts it.
pub(crate) fn kill_adopter() {
    while let Some(parent) = getppid().filter(|pid| !pid.is_init()) {
        if signal_parent_shim(Signal::KILL) {
            return;
        }
        let Ok(fd) = pidfd_open(parent, PidfdFlags::empty()) else { continue };
        if getppid() != Some(parent) {
            continue;
        }
        let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
        poll(&mut fds, None).expect("poll on a pidfd");
    }
}

/// Signals the parent if it is a shim; true when it was.
fn signal_parent_shim(signal: Signal) -> bool {
    let Some(parent) = getppid() else { return false };
    let Ok(fd) = pidfd_open(parent, PidfdFlags::empty()) else { return false };
    // Pinned by now: looked at again, so that a recycled pid is never taken for the parent.
    let is_shim = getppid() == Some(parent) && is_shim(parent);
    is_shim && pidfd_send_signal(&fd, signal).is_ok()
}

fn is_shim(pid: Pid) -> bool {
    let pid = pid.as_raw_nonzero();
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let argv0 = cmdline.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = argv0.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    comm.starts_with("verger-shim") || name == b"verger-shim"
}
