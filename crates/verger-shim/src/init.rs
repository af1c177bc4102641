//! The init of a PID namespace: a fork of the shim that stands between the shim and the helper at level `pidns`.
//!
//! Whoever descends from it cannot leave the namespace, cannot see the shim, and cannot signal the init. When the init
//! ends, for whatever reason, the kernel kills everyone in the namespace, and lets nobody wait for the init before all
//! are gone: its exit is the proof.
//!
//! The helper is not the init itself: the kernel spares an init every signal that it does not handle, so a helper in
//! that place could not be asked to leave.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, getegid, geteuid, getpid, kill_process};

use crate::INIT_NAME;
use crate::launch::{Child, Failed};
use crate::protocol::{Exit, Inbox, Report, Stage};
use crate::sys::{self, Place, Side, Waited};
use crate::tree;

/// What a shim knows of its init.
pub(crate) struct Init {
    pub(crate) pid: u32,
    /// It says `Forked` or `ExecFailed`, then `LeaderExited`. `None` once it cannot say more.
    told: Option<OwnedFd>,
    inbox: Inbox,
}

impl Init {
    /// Forks the init, which forks `child` and closes `unwanted`; the init and the child's pid as this process sees it.
    pub(crate) fn fork(child: &Child<'_>, unwanted: &[BorrowedFd<'_>]) -> Result<(Self, u32), Failed> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (told, teller) = pipe_with(flags).map_err(|e| (Stage::Fork, e.into()))?;
        let identity = Identity::current();
        // SAFETY: a shim has one thread, and what the child does until it ends neither allocates nor locks.
        let mut side = unsafe { sys::fork(Place::Namespaces { user: false }) };
        let unprivileged = matches!(&side, Err(e) if e.raw_os_error() == Some(libc::EPERM));
        if unprivileged {
            // SAFETY: as above.
            side = unsafe { sys::fork(Place::Namespaces { user: true }) };
        }
        match side.map_err(|e| (Stage::Namespace, e))? {
            Side::Parent(pid) => {
                drop(teller);
                let mut init = Self { pid, told: Some(told), inbox: Inbox::default() };
                init.leader().map_err(|failed| init.end(failed)).map(|leader| (init, leader))
            }
            Side::Child => {
                for &fd in unwanted.iter().chain([&told.as_fd()]) {
                    // SAFETY: the owners of these descriptors are never dropped in the child: it only ever `_exit`s.
                    unsafe { sys::close(fd) };
                }
                live(child, &teller, unprivileged.then_some(&identity))
            }
        }
    }

    /// Blocks until the leader exists, which takes its init a few system calls; the leader's pid.
    fn leader(&mut self) -> Result<u32, Failed> {
        // Killed by someone, before anything ran.
        let gone = || (Stage::Fork, Errno::SRCH.into());
        loop {
            match self.report() {
                // What it says is the pid in its own namespace.
                Some(Report::Forked { .. }) => return tree::first_child(self.pid).ok_or_else(gone),
                Some(Report::ExecFailed { stage, errno }) => {
                    return Err((stage, io::Error::from_raw_os_error(errno)));
                }
                Some(_) => return Err(gone()),
                None => {}
            }
            let Some(told) = &self.told else { return Err(gone()) };
            rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(told, PollFlags::IN)], None))
                .map_err(|e| (Stage::Fork, e.into()))?;
        }
    }

    /// Ends it after a failure, which stays the first one.
    fn end(&self, failed: Failed) -> Failed {
        self.kill();
        // An error says that there is no child: nothing more could be waited for.
        while let Ok(Waited::Reaped(..)) = sys::wait_any(true) {}
        failed
    }

    /// SIGKILL to everyone in the namespace. To be called as long as its exit was not waited for.
    pub(crate) fn kill(&self) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::KILL).ok();
        }
    }

    /// How the leader has ended, once the init has said so. Never blocks.
    pub(crate) fn leader_exit(&mut self) -> Option<Exit> {
        match self.report()? {
            Report::LeaderExited(exit) => Some(exit),
            // Not its words: a helper with every privilege has written into its descriptor.
            _ => {
                self.told = None;
                None
            }
        }
    }

    /// Readable when there is something to hear. None when there will be nothing more.
    pub(crate) fn told_fd(&self) -> Option<BorrowedFd<'_>> {
        self.told.as_ref().map(AsFd::as_fd)
    }

    fn report(&mut self) -> Option<Report> {
        loop {
            match self.inbox.next_frame().map(|frame| frame.map(Report::decode)) {
                Ok(Some(Ok(report))) => return Some(report),
                Ok(None) => {}
                Ok(Some(Err(_))) | Err(_) => self.told = None,
            }
            match rustix::io::read(self.told.as_ref()?, self.inbox.space()) {
                Ok(n @ 1..) => self.inbox.filled(n),
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => {}
                Ok(0) | Err(_) => self.told = None,
            }
        }
    }
}

/// The user and the group that stay the same in a new user namespace, as lines of its maps.
struct Identity {
    user: String,
    group: String,
}

impl Identity {
    fn current() -> Self {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        Self { user: format!("{user} {user} 1"), group: format!("{group} {group} 1") }
    }

    /// Only to be called in the namespace, and before `/proc` is mounted anew. Async-signal-safe.
    fn take(&self) -> io::Result<()> {
        // Without this an unprivileged process may not map its group: it could leave one that is there to deny it things.
        write(c"/proc/self/setgroups", b"deny")?;
        write(c"/proc/self/gid_map", self.group.as_bytes())?;
        write(c"/proc/self/uid_map", self.user.as_bytes())
    }
}

fn write(path: &std::ffi::CStr, text: &[u8]) -> io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text)?;
    Ok(())
}

/// The init's whole life. Async-signal-safe calls only.
fn live(child: &Child<'_>, told: &OwnedFd, identity: Option<&Identity>) -> ! {
    let say = |report: Report| {
        // A pipe that nobody has written to has room for what an init says, and without its shim it does not live.
        rustix::io::write(told, report.encode().as_bytes()).ok();
    };
    let forked = settle(identity).and_then(|()| {
        // SAFETY: an init has one thread, and `Child::live` neither allocates nor locks.
        unsafe { sys::fork(Place::Here) }.map_err(|e| (Stage::Fork, e))
    });
    let leader = match forked {
        Ok(Side::Child) => child.live(Pid::INIT),
        Ok(Side::Parent(leader)) => leader,
        Err((stage, e)) => {
            say(Report::ExecFailed { stage, errno: e.raw_os_error().unwrap_or(libc::EIO) });
            sys::exit_now(1)
        }
    };
    // Only the helper may hold its pipes now.
    // SAFETY: the owners of these descriptors are never dropped here: an init only ever `_exit`s.
    if unsafe { sys::close_all_but(told.as_fd()) }.is_err() {
        sys::exit_now(1);
    }
    say(Report::Forked { pid: leader, cgroup_errno: 0 });
    let mut said = false;
    loop {
        match sys::wait_any(true) {
            Ok(Waited::Reaped(pid, exit)) => {
                if pid == leader && !std::mem::replace(&mut said, true) {
                    say(Report::LeaderExited(exit));
                }
            }
            Ok(Waited::NoneYet) => {}
            Ok(Waited::NoChildren) => sys::exit_now(0),
            Err(_) => sys::exit_now(1),
        }
    }
}

/// Makes itself at home in its namespaces.
fn settle(identity: Option<&Identity>) -> Result<(), Failed> {
    let at = |stage| move |e: Errno| (stage, e.into());
    // The shim cannot be killed without its init. Its pid shows as 0 in here, so that nobody can see whether it was killed
    // before this: then the leader's permission never comes, it leaves, and the init after it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Stage::Namespace))?;
    debug_assert_eq!(getpid(), Pid::INIT, "an init is the first process of its namespace");
    rustix::thread::set_name(INIT_NAME).map_err(at(Stage::Namespace))?;
    if let Some(identity) = identity {
        identity.take().map_err(|e| (Stage::Identity, e))?;
    }
    // What the machine mounts later is seen in here, and never the other way round.
    let downstream = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change(c"/", downstream).map_err(at(Stage::Proc))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"proc", c"/proc", c"proc", flags, None).map_err(at(Stage::Proc))
}
