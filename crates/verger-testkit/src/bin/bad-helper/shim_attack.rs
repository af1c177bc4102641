//! Attacks on the supervisor: SIGKILL or SIGSTOP, to a parent that is a `verger-shim` and to nothing else.

use std::{
    fs::{self, File},
    io::Read,
    os::fd::AsFd,
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{
        Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
    },
};
use serde_json::json;

use crate::{args::Args, event_log::EventLog};

/// From here on this process outlives its parent. For the main thread: it is the one with the signal.
pub(crate) fn survive_parent() {
    set_parent_process_death_signal(None).expect("prctl(PR_SET_PDEATHSIG) needs no privilege");
}

/// Sends `signal` to the parent, at once, or beside everything else as soon as the word is given.
pub(crate) fn attack_parent(signal: Signal, args: &Args, log: &EventLog) {
    if args.attack_on.is_none() {
        signal_parent_shim(signal);
        return;
    }
    let (args, log) = (args.clone(), log.clone());
    // Ends with the attack, or with the process.
    thread::spawn(move || {
        wait_for_word(&args);
        signal_parent_shim(signal);
        log.event("attacked", json!({}));
    });
}

/// Blocks until a byte comes through the named pipe, if there is to be one.
pub(crate) fn wait_for_word(args: &Args) {
    if let Some(pipe) = &args.attack_on {
        let mut pipe = File::open(pipe).expect("the pipe is there");
        pipe.read_exact(&mut [0]).expect("whoever wants the attack writes a byte");
    }
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
