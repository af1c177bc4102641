//! The birth of a helper: forked first, executed only when the owner has registered it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit, setrlimit};

use crate::init::Init;
use crate::protocol::{Stage, Start};
use crate::sys::{self, Place, Pointers, Side};

/// A forked helper that waits for its permission to execute.
pub(crate) struct Newborn {
    pub(crate) pid: u32,
    /// 0, or why it is not in its cgroup.
    pub(crate) cgroup_errno: i32,
    /// A byte here is the permission; closing it ends the newborn.
    go: OwnedFd,
    /// Closes when the program runs; before that, says what failed.
    outcome: OwnedFd,
}

/// What failed, and why.
pub(crate) type Failed = (Stage, io::Error);

/// What became of an execution.
pub(crate) enum Executed {
    Yes,
    No(Stage, i32),
}

impl Newborn {
    /// Forks the helper, with `stdio` as its 0, 1 and 2, and its init if it lives in a PID namespace.
    ///
    /// A cgroup that refuses to have it is not fatal: the helper is born outside and the reason is kept. A namespace
    /// that is not to be had is: nobody asks for one unless it has to be.
    pub(crate) fn fork(
        start: &Start,
        stdio: &[OwnedFd; 3],
        cgroup: Option<&OwnedFd>,
        unwanted: [BorrowedFd<'_>; 2],
    ) -> Result<(Self, Option<Init>), Failed> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|e| (Stage::Fork, e.into()));
        let ((go_reader, go), (outcome, teller)) = (pipe()?, pipe()?);
        let child = Child {
            start,
            argv: Pointers::new(&start.argv),
            envp: Pointers::new(&start.envp),
            stdio,
            go: go_reader,
            outcome: teller,
        };
        // What the copy of the shim holds but the helper must not, even while it waits: its own permission, and the
        // lifeline.
        let unwanted = [go.as_fd(), outcome.as_fd(), unwanted[0], unwanted[1]];
        if start.pidns {
            let (init, pid) = Init::fork(&child, &unwanted)?;
            return Ok((Self { pid, cgroup_errno: 0, go, outcome }, Some(init)));
        }
        let mut cgroup_errno = 0;
        let parent = getpid();
        // SAFETY: a shim has one thread, and `Child::live` neither allocates nor locks.
        let mut side =
            unsafe { sys::fork(cgroup.map_or(Place::Here, |cgroup| Place::Cgroup(cgroup.as_fd()))) };
        if let (Some(_), Err(e)) = (cgroup, &side) {
            cgroup_errno = e.raw_os_error().unwrap_or(libc::EIO);
            // SAFETY: as above.
            side = unsafe { sys::fork(Place::Here) };
        }
        match side.map_err(|e| (Stage::Fork, e))? {
            Side::Parent(pid) => Ok((Self { pid, cgroup_errno, go, outcome }, None)),
            Side::Child => {
                // SAFETY: the owners of these descriptors are never dropped in the child: it executes or `_exit`s.
                unwanted.into_iter().for_each(|fd| unsafe { sys::close(fd) });
                child.live(parent)
            }
        }
    }

    /// Lets the helper execute.
    pub(crate) fn go(&self) -> io::Result<()> {
        rustix::io::retry_on_intr(|| rustix::io::write(&self.go, &[1]))?;
        Ok(())
    }

    /// To be read when [`outcome_fd`](Self::outcome_fd) is readable.
    pub(crate) fn executed(&self) -> Executed {
        let mut message = [0; 5];
        let got = rustix::io::retry_on_intr(|| rustix::io::read(&self.outcome, &mut message));
        match (got, Stage::from_code(message[0])) {
            // Five bytes into a pipe are one piece.
            (Ok(5), Ok(stage)) => {
                let [_, errno @ ..] = message;
                Executed::No(stage, i32::from_le_bytes(errno))
            }
            _ => Executed::Yes,
        }
    }

    pub(crate) fn outcome_fd(&self) -> BorrowedFd<'_> {
        self.outcome.as_fd()
    }
}

/// Everything the child needs, prepared before the fork.
pub(crate) struct Child<'a> {
    start: &'a Start,
    argv: Pointers<'a>,
    envp: Pointers<'a>,
    stdio: &'a [OwnedFd; 3],
    go: OwnedFd,
    outcome: OwnedFd,
}

impl Child<'_> {
    /// The child's whole life before its program. Async-signal-safe calls only.
    pub(crate) fn live(&self, parent: Pid) -> ! {
        let failed = match self.prepare(parent) {
            Ok(()) => {
                let error = sys::exec(&self.start.program, &self.argv, &self.envp);
                (Stage::Exec, error)
            }
            Err(failed) => failed,
        };
        let [a, b, c, d] = failed.1.raw_os_error().unwrap_or(libc::EIO).to_le_bytes();
        let message = [failed.0.code(), a, b, c, d];
        rustix::io::write(&self.outcome, &message).ok();
        sys::exit_now(127)
    }

    fn prepare(&self, parent: Pid) -> Result<(), Failed> {
        let at = |stage| move |e: io::Error| (stage, e);
        // The parent cannot be killed without its helper: and if that has happened already, nobody waits for us.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|e| (Stage::Fork, e.into()))?;
        if getppid() != Some(parent) {
            sys::exit_now(126);
        }
        rustix::process::setpgid(None, None).map_err(|e| (Stage::Fork, e.into()))?;
        for (to, from) in (0..).zip(self.stdio) {
            sys::dup_onto(from.as_fd(), to).map_err(at(Stage::Stdio))?;
        }
        let mut go = [0];
        if rustix::io::retry_on_intr(|| rustix::io::read(&self.go, &mut go)) != Ok(1) {
            sys::exit_now(125);
        }
        if let Some(soft) = self.start.nofile {
            let maximum = getrlimit(Resource::Nofile).maximum;
            let current = Some(maximum.map_or(soft, |hard| soft.min(hard)));
            setrlimit(Resource::Nofile, Rlimit { current, maximum }).map_err(|e| (Stage::Fork, e.into()))?;
        }
        if let Some(mark) = self.start.mark {
            let limit = Some(mark);
            // Refused where an owner further up has left a lower one: then this helper has that one's mark.
            setrlimit(Resource::Locks, Rlimit { current: limit, maximum: limit }).ok();
        }
        if let Some(cwd) = &self.start.cwd {
            rustix::process::chdir(cwd).map_err(|e| (Stage::Chdir, e.into()))?;
        }
        // SAFETY: nothing is closed before exec, where every owner is gone.
        unsafe { sys::close_range(3, u32::MAX, true) }.map_err(at(Stage::Stdio))?;
        sys::reset_signals();
        sys::unblock_signals().map_err(at(Stage::Exec))
    }
}
