//! After a crash: everything that dead runs of this home left is killed, and nothing else is touched.
//!
//! A run is dead when its lock is free. Its cgroup, if it had one, is killed as a whole, which is proof. Then its shims
//! get a moment to finish what they began when their lifeline closed. Then whoever still carries the run's token or
//! its mark is killed, with all descendants: a scan, so no proof against a process that has lost its shim and, with
//! privileges, both of these. Who lives in a PID namespace needs no scan: it dies with its init, and that with its shim.
//!
//! A live run may have been started by a helper of the dead one. It and everything below it is spared, and the dead
//! run is kept as long as its cgroup holds a live one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::ReaperError;
use crate::cgroup::RunGroup;
use crate::pidns;
use crate::process::{self, Stat};
use crate::run::{self, CGROUP_FILE, Run, RunState, TOKEN_FILE, live_runs, run_state};
use crate::token::Token;

/// How long one run's remains may take to die.
const LIMIT: Duration = Duration::from_secs(10);

/// How long shims get to finish by themselves.
const SHIM_GRACE: Duration = Duration::from_secs(2);

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// The dead runs, oldest first.
    pub runs: Vec<SweptRun>,
}

/// A dead run and what it had left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweptRun {
    /// Its id.
    pub id: String,
    /// What was killed.
    pub killed: Vec<Killed>,
    /// What was killed and has not died in time. The run is kept for the next sweep then.
    pub unproven: Vec<Killed>,
}

/// A process that a sweep has killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Killed {
    /// Its pid at that time.
    pub pid: u32,
    /// The name it was started under and the number of its arguments, which are left out: they may hold keys.
    pub command: String,
    /// How long it had been alive.
    pub age: Duration,
}

/// Kills what the dead runs of `me`'s home left and removes them. To be called before anything is started or served.
/// Blocks for about 10 s per dead run at worst; in the usual case, with nothing left, it reads one folder.
pub fn sweep(state_dir: &Path, me: &Run) -> Result<SweepReport, ReaperError> {
    let home = run::lock_home(&state_dir.join("runs"))?;
    let mut spared: BTreeSet<u32> = live_runs(state_dir)?.into_iter().map(|run| run.pid).collect();
    spared.insert(std::process::id());
    let mut report = SweepReport::default();
    for (id, dir) in run::all_runs(state_dir)? {
        if id == me.id() || run_state(state_dir, &id) != RunState::Gone {
            continue;
        }
        let swept = Remnant { id, dir, spared: &spared, killed: BTreeMap::new() }.sweep()?;
        for Killed { pid, command, age } in &swept.killed {
            tracing::warn!(run = %swept.id, pid, %command, ?age, "killed: it outlived its run");
        }
        for Killed { pid, command, age } in &swept.unproven {
            tracing::error!(run = %swept.id, pid, %command, ?age, "killed, but it does not die: it outlived its run");
        }
        report.runs.push(swept);
    }
    drop(home);
    let (runs, killed) = (report.runs.len(), report.killed());
    if killed > 0 {
        tracing::warn!(runs, killed, "swept what dead runs had left");
    } else {
        tracing::debug!(runs, "swept: dead runs had left no process");
    }
    Ok(report)
}

impl SweepReport {
    /// How many processes were killed, without those that do not die.
    pub fn killed(&self) -> usize {
        self.runs.iter().map(|run| run.killed.len()).sum()
    }
}

/// A dead run while it is swept.
struct Remnant<'a> {
    id: String,
    dir: PathBuf,
    /// Owners of live runs, which are not touched even if one was started by a helper of this run.
    spared: &'a BTreeSet<u32>,
    killed: BTreeMap<u32, Killed>,
}

impl Remnant<'_> {
    fn sweep(mut self) -> Result<SweptRun, ReaperError> {
        let failed = |doing, path: &Path| {
            let path = path.to_path_buf();
            move |source| ReaperError::State { doing, path, source }
        };
        let proc = Path::new("/proc");
        let deadline = Deadline::after(LIMIT);
        let group = self.group();
        let mut proven = true;
        let mut keep = false;
        if let Some(group) = &group {
            keep = group.members().iter().any(|pid| self.spared.contains(pid));
            let killed =
                if keep { self.kill_members(group, &deadline) } else { self.kill_group(group, &deadline) };
            proven = killed.map_err(failed("kill", group.path()))?;
        }
        let token = fs::read_to_string(self.dir.join(TOKEN_FILE)).ok().and_then(|text| Token::parse(&text));
        if let Some(token) = token {
            self.let_shims_finish(&token).map_err(failed("look for supervisors in", proc))?;
            proven &= self.kill_carriers(&token, &deadline).map_err(failed("look for processes in", proc))?;
        }
        let ended = pidns::orphans_ending().and_then(|inits| wait_for_exits(inits, &deadline));
        proven &= ended.map_err(failed("look for processes in", proc))?;
        let (unproven, killed) = if proven {
            (Vec::new(), self.killed.into_values().collect())
        } else {
            self.killed.into_values().partition(|killed| Stat::read(killed.pid).is_some_and(|s| !s.zombie))
        };
        if proven && !keep {
            if let Some(group) = &group {
                group.remove().map_err(failed("remove", group.path()))?;
            }
            run::remove(&self.dir)?;
        }
        Ok(SweptRun { id: self.id, killed, unproven })
    }

    fn group(&self) -> Option<RunGroup> {
        let path = fs::read_to_string(self.dir.join(CGROUP_FILE)).ok()?;
        RunGroup::recorded(Path::new(&path), &self.id)
    }

    /// At once, and with proof.
    fn kill_group(&mut self, group: &RunGroup, deadline: &Deadline) -> io::Result<bool> {
        for pid in group.members() {
            self.note(pid);
        }
        group.kill_and_wait(deadline.left())
    }

    /// One by one, where a live run is among them.
    fn kill_members(&mut self, group: &RunGroup, deadline: &Deadline) -> io::Result<bool> {
        let spared = self.spared;
        self.until_clean(deadline, |remnant| {
            let mut dying = Vec::new();
            for pid in group.members() {
                let is_ours = |pid| group.members().contains(&pid) && !is_below_a_live_run(pid, spared);
                dying.extend(remnant.kill_if(pid, is_ours)?);
            }
            Ok(dying)
        })
    }

    /// A shim that is killed leaves orphans; one that finishes leaves nothing.
    fn let_shims_finish(&self, token: &Token) -> io::Result<()> {
        let mut shims = Vec::new();
        for pid in process::everyone()?.into_keys() {
            if process::is_called(pid, verger_shim::ARGV0)
                && let Some(pidfd) = self.open_if(pid, |pid| token.is_carried_by(pid))?
            {
                // One that its helper has stopped learns of the closed lifeline only when it is awake.
                process::signal(&pidfd, Signal::CONT)?;
                shims.push(pidfd);
            }
        }
        wait_for_exits(shims, &Deadline::after(SHIM_GRACE)).map(drop)
    }

    fn kill_carriers(&mut self, token: &Token, deadline: &Deadline) -> io::Result<bool> {
        self.until_clean(deadline, |remnant| remnant.kill_pass(token))
    }

    /// Until two passes in a row find nobody, since one pass can miss who is born during it. False if someone does not
    /// die in time.
    fn until_clean(
        &mut self,
        deadline: &Deadline,
        mut pass: impl FnMut(&mut Self) -> io::Result<Vec<OwnedFd>>,
    ) -> io::Result<bool> {
        let mut clean = 0;
        while clean < 2 {
            let dying = pass(self)?;
            clean = if dying.is_empty() { clean + 1 } else { 0 };
            if !wait_for_exits(dying, deadline)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn kill_pass(&mut self, token: &Token) -> io::Result<Vec<OwnedFd>> {
        let mut dying = Vec::new();
        for (carrier, stat) in process::everyone()? {
            // A live run that a helper of this one had started has handed the mark on to its own.
            let spared = self.spared;
            let carries = |pid| token.is_carried_by(pid) && !is_below_a_live_run(pid, spared);
            if stat.zombie || spared.contains(&carrier) || !carries(carrier) {
                continue;
            }
            let below = process::descendants(carrier, spared);
            dying.extend(self.kill_if(carrier, carries)?);
            for pid in below {
                // Its ancestor has just been killed, so that the chain may be gone by now; then it is either found by
                // its own token, or was killed as a child in time, or has become an orphan that nobody can name.
                let is_below = |pid| process::descends_from(pid, carrier, spared) || carries(pid);
                dying.extend(self.kill_if(pid, is_below)?);
            }
        }
        Ok(dying)
    }

    fn kill_if(&mut self, pid: u32, is_ours: impl Fn(u32) -> bool) -> io::Result<Option<OwnedFd>> {
        let Some(pidfd) = self.open_if(pid, is_ours)? else { return Ok(None) };
        self.note(pid);
        process::signal(&pidfd, Signal::KILL)?;
        Ok(Some(pidfd))
    }

    /// Opened first, judged after: a number that was reused in between opens nobody that would be hit.
    fn open_if(&self, pid: u32, is_ours: impl Fn(u32) -> bool) -> io::Result<Option<OwnedFd>> {
        if pid <= 1 || self.spared.contains(&pid) {
            return Ok(None);
        }
        Ok(process::open(pid)?.filter(|_| is_ours(pid)))
    }

    fn note(&mut self, pid: u32) {
        if let Some(stat) = Stat::read(pid) {
            let killed = Killed { pid, command: process::command(pid), age: stat.age() };
            self.killed.entry(pid).or_insert(killed);
        }
    }
}

/// This run's own children are not meant: it has started nothing yet, and what came to it is what a sweep looks for.
fn is_below_a_live_run(pid: u32, spared: &BTreeSet<u32>) -> bool {
    process::ancestors(pid).any(|above| above != std::process::id() && spared.contains(&above))
}

/// True when all have exited; false when the deadline came first.
fn wait_for_exits(mut pidfds: Vec<OwnedFd>, deadline: &Deadline) -> io::Result<bool> {
    while !pidfds.is_empty() {
        let mut fds: Vec<_> = pidfds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&deadline.left())))? == 0 {
            return Ok(false);
        }
        let mut exited = fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>().into_iter();
        pidfds.retain(|_| exited.next() != Some(true));
    }
    Ok(true)
}

struct Deadline(Instant);

impl Deadline {
    #[expect(
        clippy::disallowed_methods,
        reason = "a sweep blocks: it bounds real waiting with the real clock"
    )]
    fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn left(&self) -> Timespec {
        let left = self.0.saturating_duration_since(Instant::now());
        Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) }
    }
}
