//! A PID namespace as its owner sees it: the init, whose exit proves it empty, and why there may be none.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use rustix::process::{Signal, geteuid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use verger_shim::{ARGV0, INIT_NAME};

use crate::Stage;
use crate::process::{self, Stat};
use crate::ready::watched;

/// The init of one helper's namespace. The kernel lets nobody see it exit before everyone else in there is gone.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) pid: u32,
    pidfd: AsyncFd<OwnedFd>,
}

impl Init {
    /// The process `pid` if it is a child of `shim`, which has no other.
    pub(crate) fn open(pid: u32, shim: u32) -> io::Result<Option<Self>> {
        let Some(pidfd) = process::open(pid)? else { return Ok(None) };
        // Looked at after the open: what was checked is what will be signalled.
        if Stat::read(pid).is_none_or(|stat| stat.parent != shim) {
            return Ok(None);
        }
        Ok(Some(Self { pid, pidfd: watched(pidfd, Interest::READABLE)? }))
    }

    /// SIGKILL to everyone in the namespace.
    pub(crate) fn kill(&self) -> io::Result<()> {
        process::signal(self.pidfd.get_ref(), Signal::KILL)
    }

    /// Waits until it has exited, and reaps it if its shim could not.
    pub(crate) async fn exited(&self) -> io::Result<()> {
        self.pidfd.readable().await?.retain_ready();
        process::reap(self.pidfd.get_ref())
    }
}

/// The inits of this user that have begun to end, and have lost their shims. The kernel has taken their memory, and the
/// token with it, so that nobody can tell whose they were: they can only be waited for, which ends with everyone in their
/// namespaces.
pub(crate) fn orphans_ending() -> io::Result<Vec<OwnedFd>> {
    let me = geteuid().as_raw();
    let read = |pid: u32, file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let is_shim = |pid: u32| read(pid, "cmdline").split(|&b| b == 0).next() == Some(ARGV0.as_bytes());
    let mut inits = Vec::new();
    for (pid, stat) in process::everyone()? {
        let is_ending_init = !stat.zombie
            && read(pid, "comm").trim_ascii_end() == INIT_NAME.to_bytes()
            && read(pid, "cmdline").is_empty();
        let is_mine = || fs::metadata(format!("/proc/{pid}")).is_ok_and(|folder| folder.uid() == me);
        if is_ending_init && !is_shim(stat.parent) && is_mine() {
            inits.extend(process::open(pid)?);
        }
    }
    Ok(inits)
}

/// What could not be done at this stage; `None` for those that every level has.
pub(crate) fn doing(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Namespace => Some("make a PID namespace"),
        Stage::Identity => Some("keep user and group in a user namespace"),
        Stage::Proc => Some("mount a /proc for a PID namespace"),
        Stage::Setup | Stage::Stdio | Stage::Fork | Stage::Chdir | Stage::Exec => None,
    }
}

/// What to do about it.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::USERS) => {
            "raise user.max_pid_namespaces, user.max_mnt_namespaces and user.max_user_namespaces with sysctl, or choose \
             another containment"
        }
        Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS) => {
            "it needs CAP_SYS_ADMIN, or user namespaces, which this system or the container around it forbids (see \
             kernel.apparmor_restrict_unprivileged_userns, kernel.unprivileged_userns_clone, the container's seccomp \
             profile and its masks over /proc), or choose another containment"
        }
        _ => {
            "it needs a kernel with CONFIG_PID_NS and CONFIG_USER_NS and a root directory that is a mount point, or \
             choose another containment"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpawnError;

    #[test]
    fn each_failure_names_its_remedy() {
        let said = |stage, errno: Errno| {
            SpawnError::NoPidns { doing: doing(stage).unwrap(), source: errno.into() }.to_string()
        };
        for (stage, errno, step, remedy) in [
            (Stage::Namespace, Errno::PERM, "make a PID namespace", "CAP_SYS_ADMIN, or user namespaces"),
            (Stage::Namespace, Errno::NOSPC, "make a PID namespace", "raise user.max_pid_namespaces"),
            (Stage::Namespace, Errno::INVAL, "make a PID namespace", "CONFIG_PID_NS"),
            (Stage::Identity, Errno::PERM, "keep user and group", "apparmor_restrict_unprivileged_userns"),
            (Stage::Proc, Errno::PERM, "mount a /proc", "masks over /proc"),
        ] {
            let said = said(stage, errno);
            assert!(said.starts_with("containment 'pidns' is not available: cannot "), "{said}");
            assert!(said.contains(step) && said.contains(remedy), "{said}");
            assert!(said.ends_with("or choose another containment"), "{said}");
        }
    }
}
