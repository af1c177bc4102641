//! After a crash: everything that dead runs of this home left is killed, and nothing else is touched.
//!
//! A run is dead when its lock is free. Its cgroup, if it had one, is killed as a whole, which is proof. Then its shims
//! get a moment to finish what they began when their lifeline closed. Then whoever still carries the run's token or
//! its mark is killed, with all descendants: a scan, so no proof against a process that has lost its shim and, with
//! privileges, both of these. Who lives in a PID namespace needs no scan: it dies with its init, and that with its shim.
//!
//! A live run may have been started by a helper of the dead one. It and everything below it is spared, and the dead
//! run is kept as long as its cgroup holds a live one. Of what is below the run that sweeps, its own helpers are: what
//! else came to it as a subreaper, or as init, is what a sweep looks for.

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
    /// What was killed and has not died in time.
    pub unproven: Vec<Killed>,
    /// All that it had left is gone. If not, which may be so where nobody is named, the run is kept for the next sweep.
    pub proven: bool,
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

/// Kills what the dead runs of `me`'s home left and removes them. To be called before anything is started or served; and
/// later, when another run of the home has died: what `me` owns is left alone.
/// Blocks for about 10 s per dead run at worst; in the usual case, with nothing left, it reads one folder.
pub fn sweep(state_dir: &Path, me: &Run) -> Result<SweepReport, ReaperError> {
    let home = run::lock_home(&state_dir.join("runs"))?;
    let mut owners: BTreeSet<u32> = live_runs(state_dir)?.into_iter().map(|run| run.pid).collect();
    owners.insert(std::process::id());
    let mut report = SweepReport::default();
    for (id, dir) in run::all_runs(state_dir)? {
        if id == me.id() || run_state(state_dir, &id) != RunState::Gone {
            continue;
        }
        let spared = Spared { owners: &owners, me };
        let remnant = Remnant { id: id.clone(), dir, spared, killed: BTreeMap::new() };
        let swept = remnant.sweep().unwrap_or_else(|error| {
            // The others are not to wait for what is in its way.
            tracing::error!(run = %id, %error, "what a dead run had left is not looked after; it is kept for the next sweep");
            SweptRun { id, ..SweptRun::default() }
        });
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
    spared: Spared<'a>,
    killed: BTreeMap<u32, Killed>,
}

/// Who is not touched, even if it was started by a helper of a dead run.
#[derive(Clone, Copy)]
struct Spared<'a> {
    /// The processes of live runs.
    owners: &'a BTreeSet<u32>,
    /// The run that sweeps.
    me: &'a Run,
}

impl Remnant<'_> {
    fn sweep(mut self) -> Result<SweptRun, ReaperError> {
        let failed = |doing, path: &Path| {
            let path = path.to_path_buf();
            move |source| ReaperError::State { doing, path, source }
        };
        let proc = Path::new("/proc");
        let deadline = Deadline::after(LIMIT);
        let unread = |file: &str| failed("read", &self.dir.join(file));
        let group = self.recorded(CGROUP_FILE).map_err(unread(CGROUP_FILE))?;
        let group = group.and_then(|path| RunGroup::recorded(Path::new(&path), &self.id));
        let token =
            self.recorded(TOKEN_FILE).map_err(unread(TOKEN_FILE))?.and_then(|text| Token::parse(&text));
        let mut proven = true;
        let mut keep = false;
        if let Some(group) = &group {
            keep = group.members().iter().any(|pid| self.spared.owners.contains(pid));
            let killed =
                if keep { self.kill_members(group, &deadline) } else { self.kill_group(group, &deadline) };
            proven = killed.map_err(failed("kill", group.path()))?;
        }
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
        Ok(SweptRun { id: self.id, killed, unproven, proven })
    }

    /// What the run has left word of; nothing where it did not come so far.
    fn recorded(&self, file: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.dir.join(file)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            text => text.map(Some),
        }
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
                let is_ours = |pid| group.members().contains(&pid) && !spared.is_owner_of(pid);
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
                && let Some(pidfd) =
                    self.open_if(pid, |pid| token.is_carried_by(pid) && !self.spared.is_owner_of(pid))?
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
            let carries = |pid| token.is_carried_by(pid) && !spared.is_owner_of(pid);
            if stat.zombie || spared.owners.contains(&carrier) || !carries(carrier) {
                continue;
            }
            let below = process::descendants(carrier, spared.owners);
            dying.extend(self.kill_if(carrier, carries)?);
            for pid in below {
                // Its ancestor has just been killed, so that the chain may be gone by now; then it is either found by
                // its own token, or was killed as a child in time, or has become an orphan that nobody can name.
                let is_below = |pid| process::descends_from(pid, carrier, spared.owners) || carries(pid);
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
        if pid <= 1 || self.spared.owners.contains(&pid) {
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

impl Spared<'_> {
    /// Whether a live run owns this process.
    fn is_owner_of(self, pid: u32) -> bool {
        let mut below = pid;
        for above in process::ancestors(pid) {
            if self.owners.contains(&above) && (above != std::process::id() || self.is_my_shim(below)) {
                return true;
            }
            below = above;
        }
        false
    }

    /// Whether this child of this process is a shim, or about to become one: until it executes that, it looks like this process.
    fn is_my_shim(self, child: u32) -> bool {
        let is_shim = process::is_called(child, verger_shim::ARGV0) && self.me.token().is_carried_by(child);
        is_shim || process::has_command_line_of(child, std::process::id())
    }
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
