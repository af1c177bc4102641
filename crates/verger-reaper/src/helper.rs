//! The keeper: the one task that brings a helper up, watches it, and does not end before the helper's tree has.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};
use verger_shim::protocol::{Exit, Graces, MAX_NAMED_STRAYS, Order, Report, Stop};

use crate::channel::Channel;
use crate::custody::{Custody, Facts, Gone};
use crate::failure::Failure;
use crate::pidns::{self, Init};
use crate::process::{self, Stat};
use crate::ready::watched;
use crate::remains::Remains;
use crate::{HelperState, Level, SpawnError, Unproven};

/// How long a keeper waits for others. Each is longer than what it waits for may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From the start of a shim to its helper's execution.
    pub(crate) start: Duration,
    /// From when a KILL could first have been sent to the proof.
    pub(crate) proof: Duration,
    /// From when a KILL could first have been sent to the end of our patience with a silent shim.
    pub(crate) shim: Duration,
}

/// What a helper is born with.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) program: PathBuf,
    /// The helper's 0, 1 and 2, and perhaps its cgroup.
    pub(crate) fds: Vec<OwnedFd>,
    /// Whether being born outside of the cgroup is a failure.
    pub(crate) cgroup_required: bool,
    /// Gone when nobody wants the helper any more.
    pub(crate) reply: oneshot::Sender<Result<Custody, SpawnError>>,
}

pub(crate) struct Keeper {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) graces: Graces,
    pub(crate) limits: Limits,
    pub(crate) channel: Channel,
    pub(crate) remains: Remains,
    pub(crate) facts: watch::Sender<Facts>,
    /// From the reaper, for everyone. Never closes before the keeper ends.
    pub(crate) stop_all: watch::Receiver<Option<Stop>>,
    /// The leader's pidfd, so that its exit is noticed even if the shim is stopped.
    pub(crate) leader: Option<AsyncFd<OwnedFd>>,
    /// When a KILL could first have been sent.
    pub(crate) kill_from: Option<Instant>,
    pub(crate) shim_killed: bool,
    /// The shim's last word.
    pub(crate) empty: Option<(Option<Exit>, u32)>,
    pub(crate) stray_names: Vec<String>,
}

impl Keeper {
    /// The helper's whole life.
    pub(crate) async fn keep(mut self, frame: Vec<u8>, birth: Birth) {
        let Birth { program, fds, cgroup_required, mut reply } = birth;
        let deadline = Instant::now() + self.limits.start;
        let mut stop_all = self.stop_all.clone();
        let brought_up = tokio::select! {
            result = self.bring_up(program, &frame, fds, cgroup_required) => result.map_err(Some),
            () = reply.closed() => Err(None),
            () = sleep_until(deadline) => Err(Some(SpawnError::TimedOut { limit: self.limits.start })),
            _ = stop_all.wait_for(Option::is_some) => Err(Some(SpawnError::ShuttingDown)),
        };
        drop(frame);
        let (stop, stopped) = watch::channel(None);
        let failure = match brought_up {
            Ok(pid) => {
                self.facts.send_modify(|facts| facts.state = HelperState::Running);
                let custody = Custody::new(self.id, self.name.clone(), pid, stop, self.facts.subscribe());
                tracing::debug!(helper = %self.name, id = self.id, pid, level = %custody.level(), "helper runs");
                // If nobody receives it, it is dropped here or with the receiver: both kill.
                reply.send(Ok(custody)).ok();
                None
            }
            Err(error) => {
                // The lifeline and not an order: `Start` may be half-sent.
                self.ending(Duration::ZERO);
                self.channel.close().await;
                stop.send_replace(Some(Stop::Kill));
                let (facts, name) = (self.facts.subscribe(), self.name.clone());
                let pid = facts.borrow().pid.unwrap_or(0);
                let custody = Custody::new(self.id, name, pid, stop, facts);
                error.map(|error| Failure { error, reply, custody })
            }
        };
        let proven = async move {
            self.watch(stopped).await;
            self.prove().await;
        };
        match failure {
            None => proven.await,
            // An error says that nothing is left, or what is: its caller waits for that, but not for ever.
            Some(failure) => tokio::join!(proven, failure.tell()).0,
        }
    }

    /// From `Start` to `Running`; the leader's pid.
    async fn bring_up(
        &mut self,
        program: PathBuf,
        frame: &[u8],
        fds: Vec<OwnedFd>,
        cgroup_required: bool,
    ) -> Result<u32, SpawnError> {
        // A shim that cannot be one says why and does not listen: what it said comes before what we could not say.
        let told = self.channel.start(frame, &fds).await;
        // Our copies of the helper's ends would hide its end of file.
        drop(fds);
        if let Err(e) = told {
            tracing::debug!(helper = %self.name, "its shim does not listen: {e}");
        }
        let exec_error = |stage, errno| {
            let source = io::Error::from_raw_os_error(errno);
            match pidns::doing(stage) {
                Some(doing) => SpawnError::NoPidns { doing, source },
                None => SpawnError::Exec { program: program.clone(), stage, source },
            }
        };
        let (pid, cgroup_errno) = match self.report().await? {
            Some(Report::Forked { pid, cgroup_errno }) => (pid, cgroup_errno),
            Some(Report::ExecFailed { stage, errno }) => return Err(exec_error(stage, errno)),
            _ => return Err(SpawnError::ShimDied),
        };
        if cgroup_errno != 0 {
            let reason = format!("clone3: {}", io::Error::from_raw_os_error(cgroup_errno));
            if cgroup_required {
                return Err(SpawnError::NoCgroup(reason));
            }
            tracing::warn!(helper = %self.name, "contained by its shim only: {reason}");
            self.remains.leaf = None;
            self.facts.send_modify(|facts| facts.level = Level::Shim);
        }
        self.register(pid).map_err(|source| SpawnError::Resources { doing: "watch the helper", source })?;
        if self.remains.init.is_none() && self.facts.borrow().level == Level::Pidns {
            // Someone has killed it since.
            return Err(SpawnError::ShimDied);
        }
        self.channel.order(Order::Go).map_err(|_| SpawnError::ShimDied)?;
        match self.report().await? {
            Some(Report::Running) => Ok(pid),
            Some(Report::ExecFailed { stage, errno }) => Err(exec_error(stage, errno)),
            _ => Err(SpawnError::ShimDied),
        }
    }

    /// The next word of a shim that starts its helper. One that is silent for long may have been stopped by that helper
    /// before it could say that it runs: it is woken.
    async fn report(&mut self) -> Result<Option<Report>, SpawnError> {
        loop {
            tokio::select! {
                report = self.channel.report() => return report.map_err(|_| SpawnError::ShimDied),
                () = sleep_until(Instant::now() + self.limits.shim) => self.wake_shim(),
            }
        }
    }

    fn register(&mut self, pid: u32) -> io::Result<()> {
        self.remains.leader = pid;
        let pidfd = process::open(pid)?;
        let shim = self.remains.shim.pid;
        let parent = Stat::read(pid).map(|stat| stat.parent);
        if self.facts.borrow().level == Level::Pidns {
            self.remains.init = parent.map(|init| Init::open(init, shim)).transpose()?.flatten();
        }
        // It waits for `Go`, so it is there unless it was killed; a number that is no child of ours is a stranger's.
        let init = self.remains.init.as_ref().map(|init| init.pid);
        if parent == Some(init.unwrap_or(shim)) {
            self.leader = pidfd.map(|fd| watched(fd, Interest::READABLE)).transpose()?;
        }
        self.facts.send_modify(|facts| (facts.pid, facts.init_pid) = (Some(pid), init));
        Ok(())
    }

    /// Until the shim is gone, or shutdown does not want to wait for what is stuck.
    async fn watch(&mut self, mut stopped: watch::Receiver<Option<Stop>>) {
        let mut stop_all = self.stop_all.clone();
        let mut asked = None;
        loop {
            let overdue = self.next_limit();
            tokio::select! {
                report = self.channel.report() => match report {
                    Ok(Some(report)) => self.note(report),
                    Ok(None) => break,
                    Err(e) => {
                        tracing::error!(helper = %self.name, "its shim does not make sense and is killed: {e}");
                        self.kill_shim();
                        break;
                    }
                },
                () = exited(self.leader.as_ref()), if self.leader.is_some() => {
                    self.leader = None;
                    self.leader_exited();
                    // Should its helper have stopped it.
                    self.wake_shim();
                }
                more = asked_for(&mut stopped, asked) => {
                    asked = Some(more);
                    self.stop(more);
                }
                more = asked_for(&mut stop_all, asked) => {
                    asked = Some(more);
                    self.stop(more);
                }
                () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => self.handle_overdue(),
            }
            if self.is_abandoned() {
                return;
            }
        }
        self.leader = None;
        self.ending(Duration::ZERO);
        self.leader_exited();
    }

    fn note(&mut self, report: Report) {
        match report {
            Report::LeaderExited(_) => self.leader_exited(),
            Report::Stray(stray) => self.stray_names.push(stray.name()),
            Report::Empty { exit, strays } => {
                self.empty = Some((exit, strays));
                self.facts.send_modify(|facts| facts.strays = strays);
                self.leader_exited();
                if strays > 0 {
                    let first = self.stray_names.join(", ");
                    tracing::warn!(
                        helper = %self.name, id = self.id, strays, %first,
                        "leaky: processes outlived their leader and were killed"
                    );
                }
            }
            // After a failed start these are still under way.
            Report::Forked { .. } | Report::Running | Report::ExecFailed { .. } => {}
        }
        self.stray_names.truncate(MAX_NAMED_STRAYS as usize);
    }

    fn leader_exited(&mut self) {
        self.ending(self.graces.leave);
        self.facts.send_if_modified(|facts| !std::mem::replace(&mut facts.leader_exited, true));
    }

    /// A KILL is possible after `grace` at the latest.
    fn ending(&mut self, grace: Duration) {
        let from = Instant::now().checked_add(grace);
        self.kill_from = match (self.kill_from, from) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.facts.send_if_modified(|facts| {
            let changes = matches!(facts.state, HelperState::Starting | HelperState::Running);
            if changes {
                facts.state = HelperState::Stopping;
            }
            changes
        });
    }

    fn stop(&mut self, how: Stop) {
        match how {
            Stop::Orderly => self.ending(self.graces.stdin.saturating_add(self.graces.term)),
            Stop::Kill => {
                self.ending(Duration::ZERO);
                if let Some(leaf) = &self.remains.leaf
                    && let Err(e) = leaf.kill()
                {
                    tracing::warn!(helper = %self.name, "cannot kill its cgroup, its shim will: {e}");
                }
                if let Some(init) = &self.remains.init
                    && let Err(e) = init.kill()
                {
                    tracing::warn!(helper = %self.name, "cannot kill its init, its shim will: {e}");
                }
            }
        }
        self.wake_shim();
        if let Err(e) = self.channel.order(Order::Stop(how)) {
            tracing::debug!(helper = %self.name, "its shim is gone already: {e}");
        }
    }

    /// When [`handle_overdue`](Self::handle_overdue) wants to be called.
    fn next_limit(&self) -> Option<Instant> {
        let from = self.kill_from?;
        let shim = (!self.shim_killed).then(|| from + self.limits.shim);
        let proof = (!self.is_stuck()).then(|| from + self.limits.proof);
        shim.into_iter().chain(proof).min()
    }

    fn handle_overdue(&mut self) {
        let Some(from) = self.kill_from else { return };
        let late = Instant::now().saturating_duration_since(from);
        if late >= self.limits.shim && !self.shim_killed {
            self.shim_killed = true;
            tracing::warn!(helper = %self.name, "its shim has not ended it in time and is killed; its orphans are ours");
            self.kill_shim();
        }
        if late >= self.limits.proof && !self.is_stuck() {
            self.call_stuck();
        }
    }

    fn is_stuck(&self) -> bool {
        self.facts.borrow().state == HelperState::Stuck
    }

    fn is_abandoned(&self) -> bool {
        self.is_stuck() && self.stop_all.borrow().is_some()
    }

    fn call_stuck(&self) {
        let reason = self.remains.waits_for();
        let unproven = Unproven { name: self.name.clone(), reason };
        tracing::error!(helper = %self.name, id = self.id, "{unproven}");
        self.facts.send_modify(|facts| {
            facts.state = HelperState::Stuck;
            facts.outcome = Some(Err(unproven));
        });
    }

    /// Until nothing is left, or shutdown does not want to wait for what is stuck.
    async fn prove(mut self) {
        let mut stop_all = self.stop_all.clone();
        let mut failed = false;
        while !self.is_abandoned() {
            let mut proven = None;
            let overdue = self.next_limit();
            let stuck = self.is_stuck();
            tokio::select! {
                // Starting over after a limit loses nothing: what was found and killed stays killed.
                result = self.remains.proven(self.empty.is_some()), if !failed => proven = Some(result),
                () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => self.handle_overdue(),
                _ = stop_all.wait_for(Option::is_some), if stuck => {}
            }
            match proven {
                None => {}
                Some(Ok(())) => return self.conclude(),
                Some(Err(e)) => {
                    // Nothing is left to wait for but shutdown; until then it is listed as stuck.
                    failed = true;
                    self.remains.now_waits_for(format!("looking for what it left failed: {e}"));
                    self.call_stuck();
                }
            }
        }
    }

    fn conclude(self) {
        let Self { id, name, facts, empty, remains, channel, .. } = self;
        // Whoever hears of the end finds neither a descriptor nor a cgroup of it.
        drop((remains, channel));
        let (exit, strays) = empty.unwrap_or_default();
        tracing::debug!(helper = %name, id, ?exit, strays, "helper is gone");
        facts.send_modify(|facts| facts.outcome = Some(Ok(Gone { level: facts.level, exit, strays })));
    }

    fn wake_shim(&self) {
        if let Err(e) = self.remains.shim.wake() {
            tracing::warn!(helper = %self.name, "cannot wake its shim: {e}");
        }
    }

    fn kill_shim(&self) {
        if let Err(e) = self.remains.shim.kill() {
            tracing::error!(helper = %self.name, "cannot kill its shim: {e}");
        }
    }
}

/// What is asked for beyond `asked`. Pending for ever when nobody is left to ask for more.
async fn asked_for(stopped: &mut watch::Receiver<Option<Stop>>, asked: Option<Stop>) -> Stop {
    let more = stopped.wait_for(|now| *now > asked).await.map(|now| *now);
    match (more, asked) {
        (Ok(Some(how)), _) => how,
        // The last custody was dropped without a word.
        (Err(_), None) => Stop::Kill,
        (Ok(None) | Err(_), _) => std::future::pending().await,
    }
}

async fn exited(leader: Option<&AsyncFd<OwnedFd>>) {
    match leader.map(AsyncFd::readable) {
        // An error means that the runtime is shutting down, and this task with it.
        Some(readable) => drop(readable.await),
        None => std::future::pending().await,
    }
}
