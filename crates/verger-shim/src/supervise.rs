//! The one loop of a shim: it waits for its owner, its children and its deadline, and for nothing else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use crate::channel::{Channel, Heard};
use crate::init::Init;
use crate::launch::{Executed, Newborn};
use crate::life::{Act, Life};
use crate::protocol::{Exit, MAX_NAMED_STRAYS, Order, ProtocolError, Report, Stage, Start, Stop, Stray};
use crate::setup::{become_supervisor, take_control};
use crate::sys::{self, Waited};
use crate::tree::Tree;

/// From a fresh process to an empty tree.
pub(crate) fn run() -> io::Result<()> {
    let mut channel = Channel::new(take_control()?);
    let sigchld = match become_supervisor() {
        Ok(sigchld) => sigchld,
        Err(e) => {
            channel.say(Report::ExecFailed { stage: Stage::Setup, errno: e.raw_os_error().unwrap_or(0) });
            return Err(e);
        }
    };
    let Some((start, fds)) = channel.receive_start()? else {
        return Ok(());
    };
    let tree = Tree::new();
    let graces = start.graces;
    let (stdio, cgroup) = sort(&start, fds)?;
    let forked = Newborn::fork(&start, &stdio, cgroup.as_ref(), [channel.as_fd(), sigchld.as_fd()]);
    // Only the helper may hold its pipes now: an end that a shim kept would hide the helper's end of file.
    drop((start, stdio));
    let (newborn, init) = match forked {
        Ok(born) => born,
        Err((stage, e)) => {
            channel.say(Report::ExecFailed { stage, errno: e.raw_os_error().unwrap_or(0) });
            channel.say(Report::Empty { exit: None, strays: 0 });
            return Ok(());
        }
    };
    channel.say(Report::Forked { pid: newborn.pid, cgroup_errno: newborn.cgroup_errno });
    Supervisor {
        channel,
        sigchld,
        cgroup,
        tree,
        life: Life::new(graces),
        leader: newborn.pid,
        init,
        exit: None,
        strays: 0,
        launch: Launch::AwaitsGo(newborn),
    }
    .supervise()
}

/// The helper's 0, 1, 2 and perhaps its cgroup; any other count is not an owner's doing.
fn sort(start: &Start, fds: Vec<OwnedFd>) -> io::Result<([OwnedFd; 3], Option<OwnedFd>)> {
    let mut fds = fds.into_iter();
    match (fds.next(), fds.next(), fds.next(), fds.next()) {
        (Some(a), Some(b), Some(c), cgroup) if cgroup.is_some() == start.cgroup => Ok(([a, b, c], cgroup)),
        _ => Err(io::Error::other(ProtocolError::Fields)),
    }
}

enum Launch {
    AwaitsGo(Newborn),
    Executing(Newborn),
    Done,
}

struct Supervisor {
    channel: Channel,
    sigchld: OwnedFd,
    cgroup: Option<OwnedFd>,
    tree: Tree,
    life: Life,
    leader: u32,
    /// The leader's parent, at level `pidns`.
    init: Option<Init>,
    exit: Option<Exit>,
    strays: u32,
    launch: Launch,
}

impl Supervisor {
    /// Nothing below allocates.
    fn supervise(mut self) -> io::Result<()> {
        if let Err(e) = self.until_empty() {
            // Without ears there is nothing left to wait for; the tree still ends before its shim.
            self.kill_until_empty()?;
            return Err(e);
        }
        self.channel.say(Report::Empty { exit: self.exit, strays: self.strays });
        Ok(())
    }

    fn until_empty(&mut self) -> io::Result<()> {
        loop {
            let ready = self.wait()?;
            if ready.executed
                && let Launch::Executing(newborn) = std::mem::replace(&mut self.launch, Launch::Done)
            {
                self.channel.say(match newborn.executed() {
                    Executed::Yes => Report::Running,
                    Executed::No(stage, errno) => Report::ExecFailed { stage, errno },
                });
            }
            // Before its death is looked at.
            if ready.told {
                self.hear_init();
            }
            if ready.children && self.reap()? {
                return Ok(());
            }
            if ready.control && self.obey()? {
                return Ok(());
            }
            let act = self.life.handle_timeout(now());
            if self.act(act)? {
                return Ok(());
            }
        }
    }

    /// Sleeps until something has happened or is due.
    fn wait(&self) -> io::Result<Ready> {
        let timeout = self.life.poll_timeout().map(|at| timespec(at.saturating_sub(now())));
        let executing = match &self.launch {
            Launch::Executing(newborn) => Some(newborn.outcome_fd()),
            _ => None,
        };
        let told = self.init.as_ref().and_then(Init::told_fd);
        let mut fds = [
            PollFd::new(&self.channel, PollFlags::IN),
            PollFd::new(&self.sigchld, PollFlags::IN),
            // These two are always there; without an execution or an init they are the channel again.
            PollFd::from_borrowed_fd(executing.unwrap_or(self.channel.as_fd()), PollFlags::IN),
            PollFd::from_borrowed_fd(told.unwrap_or(self.channel.as_fd()), PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let happened = |index: usize| !fds[index].revents().is_empty();
        Ok(Ready {
            control: happened(0),
            children: happened(1),
            executed: executing.is_some() && happened(2),
            told: told.is_some() && happened(3),
        })
    }

    /// Reaps what has exited. True when nothing is left.
    fn reap(&mut self) -> io::Result<bool> {
        let mut siginfo = [0; 128 * 8];
        // SIGCHLDs merge, so their count says nothing: they are only cleared here.
        while let Ok(1..) = rustix::io::read(&self.sigchld, &mut siginfo) {}
        loop {
            match sys::wait_any(false)? {
                Waited::Reaped(pid, exit) => self.note(pid, exit),
                Waited::NoneYet => return Ok(false),
                Waited::NoChildren => return Ok(true),
            }
        }
    }

    fn note(&mut self, pid: u32, exit: Exit) {
        match &self.init {
            None if pid == self.leader => self.leader_exited(exit),
            None => {}
            Some(_) => {
                self.hear_init();
                // Whoever lived when their init ended was killed by the kernel.
                self.leader_exited(Exit::Signal(Signal::KILL.as_raw()));
            }
        }
    }

    fn hear_init(&mut self) {
        if let Some(exit) = self.init.as_mut().and_then(Init::leader_exit) {
            self.leader_exited(exit);
        }
    }

    fn leader_exited(&mut self, exit: Exit) {
        // Once reaped, the leader's number may come back as any other descendant's.
        if self.exit.is_none() {
            self.exit = Some(exit);
            self.channel.say(Report::LeaderExited(exit));
            self.life.handle_leader_exited(now());
        }
    }

    /// Carries out what the owner says. True when nothing is left.
    fn obey(&mut self) -> io::Result<bool> {
        loop {
            let act = match self.channel.hear() {
                Heard::Nothing => return Ok(false),
                Heard::Lost => self.life.handle_lifeline_lost(),
                Heard::Order(Order::Go) => match std::mem::replace(&mut self.launch, Launch::Done) {
                    Launch::AwaitsGo(newborn) => match newborn.go() {
                        Ok(()) => {
                            self.launch = Launch::Executing(newborn);
                            Act::Nothing
                        }
                        // The newborn was killed by someone; its exit is reported as any other.
                        Err(_) => Act::Nothing,
                    },
                    // Twice: an owner that does not know what it does cannot own.
                    _ => self.life.handle_lifeline_lost(),
                },
                // Before `Go` nothing runs that could leave in order.
                Heard::Order(Order::Stop(_)) if matches!(self.launch, Launch::AwaitsGo(_)) => {
                    self.life.handle_stop(Stop::Kill, now())
                }
                Heard::Order(Order::Stop(how)) => self.life.handle_stop(how, now()),
            };
            if self.act(act)? {
                return Ok(true);
            }
        }
    }

    /// True when nothing is left.
    fn act(&mut self, act: Act) -> io::Result<bool> {
        match act {
            Act::Nothing => Ok(false),
            Act::Term => {
                // A stopped process gets its chance too.
                self.tree.signal(&[Signal::TERM, Signal::CONT]);
                Ok(false)
            }
            Act::Kill { strays } => {
                if strays {
                    self.report_strays();
                }
                self.kill_until_empty()?;
                Ok(true)
            }
        }
    }

    fn report_strays(&mut self) {
        let channel = &self.channel;
        let mut named = 0;
        let init = self.init.as_ref().map(|init| init.pid);
        self.strays = self.tree.count_alive(init, |pid, stat| {
            if named < MAX_NAMED_STRAYS {
                named += 1;
                channel.say(Report::Stray(Stray { pid, comm: stat.comm }));
            }
        });
    }

    /// Kills, then blocks until someone has died, and again, until ECHILD.
    ///
    /// Blocking cannot last for ever on a live descendant: whoever becomes our child does so at the death of a process
    /// below a child that was killed here, and that child's own death wakes us after it.
    fn kill_until_empty(&mut self) -> io::Result<()> {
        self.kill_cgroup();
        loop {
            match &self.init {
                // With it the kernel kills everyone in its namespace.
                Some(init) => init.kill(),
                None => self.tree.signal(&[Signal::KILL]),
            }
            let mut block = true;
            loop {
                match sys::wait_any(block)? {
                    Waited::Reaped(pid, exit) => self.note(pid, exit),
                    Waited::NoneYet => break,
                    Waited::NoChildren => return Ok(()),
                }
                block = false;
            }
        }
    }

    /// One write reaches everyone in the cgroup, however fast they fork. Advice only: the loop after it is the proof.
    fn kill_cgroup(&self) {
        if let Some(cgroup) = &self.cgroup
            && let Ok(file) = openat(cgroup, c"cgroup.kill", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        {
            rustix::io::write(&file, b"1").ok();
        }
    }
}

struct Ready {
    control: bool,
    children: bool,
    executed: bool,
    told: bool,
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    // Monotonic time is never negative.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
