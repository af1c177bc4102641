//! What a fresh process does to become a supervisor, before it hears of any helper.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::sys;

/// Becomes a supervisor: own session, subreaper, deaf to polite signals. Returns a descriptor that is readable when a
/// child has changed.
pub(crate) fn become_supervisor() -> io::Result<OwnedFd> {
    // A second thread would take the SIGCHLDs that this one waits for, and see half a world after a fork.
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(Errno::BUSY.into());
    }
    match rustix::process::setsid() {
        // EPERM: started as a session leader already, which is as good.
        Ok(_) | Err(Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::thread::set_name(c"verger-shim")?;
    for signal in [
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGUSR1,
        libc::SIGUSR2,
    ] {
        sys::set_signal(signal, true)?;
    }
    // An inherited SIG_IGN would make the kernel reap for us, and statuses would be lost.
    sys::set_signal(libc::SIGCHLD, false)?;
    sys::sigchld_fd()
}

/// Moves the channel away from stdin, where the helper would inherit it, and closes whatever else was inherited.
pub(crate) fn take_control() -> io::Result<OwnedFd> {
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    // SAFETY: nothing was opened yet in this process but `control`.
    unsafe { sys::close_all_but(control.as_fd()) }?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(control)
}
