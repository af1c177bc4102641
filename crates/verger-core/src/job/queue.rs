//! Which job runs begin, in which order, and when to look again.
//!
//! The machine knows what the ledger has said and nothing else: a slot is put down in the ledger before it is waited for, a
//! job run begins only where the ledger says so, and both may have been done by another server meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{JobRules, Overlap, Standing, Tick};
use crate::ids::{JobId, JobRunId};

/// How long a job is left alone whose slots could not be put down.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(5);

/// How many jobs are looked at in one go: what comes of them is then carried out, and the server's inbox seen to.
const AT_ONCE: usize = 64;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// A job is there, or has changed.
    Known {
        /// Which.
        job: JobId,
        /// What it keeps to.
        rules: Arc<JobRules>,
        /// How far it has come.
        standing: Standing,
    },
    /// A job is there no longer. What of it runs goes on, what waits is dropped.
    Removed {
        /// Which.
        job: JobId,
    },
    /// The answer to [`JobEffect::Put`]: what is in the ledger now, whoever put it there.
    Put {
        /// Whose slots.
        job: JobId,
        /// How far it has come.
        standing: Standing,
    },
    /// The slots could not be put down.
    NotPut {
        /// Whose.
        job: JobId,
    },
    /// A job run waits in the ledger for this server to begin it: it has just been put down, asked for by hand, is a
    /// second attempt, or was left by a server that is gone.
    Waits {
        /// Whose.
        job: JobId,
        /// Which.
        run: JobRunId,
        /// Not before.
        due: Timestamp,
    },
    /// One that waited does not any more: it was cancelled.
    Withdrawn {
        /// Which.
        run: JobRunId,
    },
    /// A job run is done, and what it has started is not proven gone for long: it keeps its own job waiting, and no other.
    Lingers {
        /// Which.
        run: JobRunId,
    },
    /// The answer to [`JobEffect::Begin`] where it did not, and to a job run that has ended: its helpers are proven gone and
    /// the ledger knows.
    Ended {
        /// Which.
        run: JobRunId,
    },
    /// The server is to stop: nothing begins any more.
    Shutdown,
}

/// Something that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEffect {
    /// Put the slots that have come into the ledger, if the job still stands as it did. One at a time for a job.
    Put {
        /// Whose.
        job: JobId,
        /// How it stood.
        seen: Standing,
        /// What becomes of them.
        tick: Tick,
        /// What becomes of them while an earlier one runs.
        overlap: Overlap,
    },
    /// Begin a job run.
    Begin {
        /// Whose.
        job: JobId,
        /// Which.
        run: JobRunId,
    },
    /// A job run that waited is not wanted any more.
    Drop {
        /// Which.
        run: JobRunId,
    },
}

/// Jobs and their runs.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// So many run at once.
    most: usize,
    jobs: BTreeMap<JobId, Job>,
    /// Which job each run is of that waits or runs.
    runs: BTreeMap<JobRunId, (JobId, State)>,
    /// How many run, without those that linger.
    running: usize,
    /// When to look at a job again.
    looks: BTreeSet<(Timestamp, JobId)>,
    /// Jobs whose first run may begin: those of which fewest run come first, so that none fills the house, then who has waited
    /// longest.
    ready: BTreeSet<(usize, Timestamp, JobId)>,
    is_over: bool,
    effects: VecDeque<JobEffect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits(Timestamp),
    Runs,
    Lingers,
}

#[derive(Clone, Debug)]
struct Job {
    rules: Arc<JobRules>,
    standing: Standing,
    is_putting: bool,
    /// Not to be ticked before.
    held: Option<Timestamp>,
    waiting: BTreeSet<(Timestamp, JobRunId)>,
    running: usize,
    /// It was removed, and goes when the last of it has ended.
    is_gone: bool,
    look: Option<Timestamp>,
    ready: Option<(usize, Timestamp)>,
}

impl Jobs {
    /// None yet. `most` of them run at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            jobs: BTreeMap::new(),
            runs: BTreeMap::new(),
            running: 0,
            looks: BTreeSet::new(),
            ready: BTreeSet::new(),
            is_over: false,
            effects: VecDeque::new(),
        }
    }

    /// Changes how many run at once; what runs goes on.
    pub fn set_most(&mut self, now: Timestamp, most: usize) {
        self.most = most;
        self.fill(now);
    }

    /// Takes one input. Poll the effects until there are none before the next.
    pub fn handle(&mut self, now: Timestamp, event: JobEvent) {
        match event {
            JobEvent::Known { job, rules, standing } => self.known(now, job, rules, standing),
            JobEvent::Removed { job } => self.removed(now, job),
            JobEvent::Put { job, standing } => {
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.is_putting = false;
                    entry.standing = entry.standing.newer(standing);
                }
                self.settle(now, job);
            }
            JobEvent::NotPut { job } => {
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.is_putting = false;
                    entry.held = now.checked_add(AFTER_FAILURE).ok();
                }
                self.settle(now, job);
            }
            JobEvent::Waits { job, run, due } => self.waits(now, job, run, due),
            JobEvent::Withdrawn { run } => {
                if let Some((job, State::Waits(due))) = self.runs.get(&run).copied() {
                    self.runs.remove(&run);
                    if let Some(entry) = self.jobs.get_mut(&job) {
                        entry.waiting.remove(&(due, run));
                    }
                    self.settle(now, job);
                }
            }
            JobEvent::Lingers { run } => {
                if let Some((_, state @ State::Runs)) = self.runs.get_mut(&run) {
                    *state = State::Lingers;
                    self.running -= 1;
                }
            }
            JobEvent::Ended { run } => {
                if let Some((job, state @ (State::Runs | State::Lingers))) = self.runs.get(&run).copied() {
                    self.runs.remove(&run);
                    self.running -= usize::from(state == State::Runs);
                    if let Some(entry) = self.jobs.get_mut(&job) {
                        entry.running -= 1;
                        if entry.is_gone && entry.running == 0 {
                            self.jobs.remove(&job);
                        }
                    }
                    self.settle(now, job);
                }
            }
            JobEvent::Shutdown => {
                self.is_over = true;
                self.looks.clear();
                self.ready.clear();
            }
        }
        self.fill(now);
    }

    /// The next thing to do; nothing when all is done.
    pub fn poll_effect(&mut self) -> Option<JobEffect> {
        self.effects.pop_front()
    }

    /// When to call [`Self::handle_timeout`], if nothing happens before; nothing where nothing is due ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.looks.first().map(|&(at, _)| at)
    }

    /// Looks at jobs whose time has come, and at no other; at a bounded number, that nothing waits long for it. Where that is not all,
    /// [`Self::poll_timeout`] is still past.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        for _ in 0..AT_ONCE {
            let Some(&(at, job)) = self.looks.first().filter(|(at, _)| *at <= now) else { break };
            self.looks.remove(&(at, job));
            if let Some(entry) = self.jobs.get_mut(&job) {
                entry.look = None;
                if entry.held.is_some_and(|held| held <= now) {
                    entry.held = None;
                }
                if !entry.is_putting
                    && entry.held.is_none()
                    && let Some(tick) = entry.rules.tick(&entry.standing, now)
                {
                    entry.is_putting = true;
                    let (seen, overlap) = (entry.standing, entry.rules.overlap);
                    self.effects.push_back(JobEffect::Put { job, seen, tick, overlap });
                }
            }
            self.settle(now, job);
        }
        self.fill(now);
    }

    /// Whether nothing runs, and nothing of a tick is under way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.running == 0 && self.jobs.values().all(|job| !job.is_putting)
    }

    /// How far a job has come, as far as is known here.
    #[must_use]
    pub fn standing(&self, job: JobId) -> Option<&Standing> {
        self.jobs.get(&job).map(|entry| &entry.standing)
    }

    /// How many of a job's runs run, and how many wait.
    #[must_use]
    pub fn counts(&self, job: JobId) -> (usize, usize) {
        self.jobs.get(&job).map_or((0, 0), |entry| (entry.running, entry.waiting.len()))
    }

    fn known(&mut self, now: Timestamp, job: JobId, rules: Arc<JobRules>, standing: Standing) {
        match self.jobs.get_mut(&job) {
            Some(entry) => {
                entry.standing = entry.standing.newer(standing);
                (entry.rules, entry.is_gone, entry.held) = (rules, false, None);
            }
            None => {
                let entry = Job {
                    rules,
                    standing,
                    is_putting: false,
                    held: None,
                    waiting: BTreeSet::new(),
                    running: 0,
                    is_gone: false,
                    look: None,
                    ready: None,
                };
                self.jobs.insert(job, entry);
            }
        }
        self.settle(now, job);
    }

    fn removed(&mut self, now: Timestamp, job: JobId) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        entry.is_gone = true;
        for (_, run) in std::mem::take(&mut entry.waiting) {
            self.runs.remove(&run);
            self.effects.push_back(JobEffect::Drop { run });
        }
        self.settle(now, job);
        if self.jobs.get(&job).is_some_and(|entry| entry.running == 0) {
            self.jobs.remove(&job);
        }
    }

    fn waits(&mut self, now: Timestamp, job: JobId, run: JobRunId, due: Timestamp) {
        // Said twice, by the answer to what put it down and by a look at the ledger, it waits once.
        if self.runs.contains_key(&run) {
            return;
        }
        let Some(entry) = self.jobs.get_mut(&job).filter(|entry| !entry.is_gone) else {
            return self.effects.push_back(JobEffect::Drop { run });
        };
        entry.waiting.insert((due, run));
        self.runs.insert(run, (job, State::Waits(due)));
        self.settle(now, job);
    }

    /// Finds out when to look at a job again, and whether one of its runs may begin. Called after every change to it.
    fn settle(&mut self, now: Timestamp, job: JobId) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        let (look, ready) = match self.is_over {
            true => (None, None),
            false => entry.step(now),
        };
        if look != entry.look {
            self.looks.extend(look.map(|at| (at, job)));
            if let Some(old) = std::mem::replace(&mut entry.look, look) {
                self.looks.remove(&(old, job));
            }
        }
        if ready != entry.ready {
            self.ready.extend(ready.map(|(running, due)| (running, due, job)));
            if let Some((running, due)) = std::mem::replace(&mut entry.ready, ready) {
                self.ready.remove(&(running, due, job));
            }
        }
    }

    fn fill(&mut self, now: Timestamp) {
        while self.running < self.most
            && let Some(&(.., job)) = self.ready.first()
        {
            let Some(entry) = self.jobs.get_mut(&job) else { return };
            let Some((_, run)) = entry.waiting.pop_first() else { return };
            entry.running += 1;
            self.running += 1;
            self.runs.insert(run, (job, State::Runs));
            self.effects.push_back(JobEffect::Begin { job, run });
            self.settle(now, job);
        }
    }
}

impl Job {
    /// When to look again, and the place in the queue of those that may begin.
    fn step(&self, now: Timestamp) -> (Option<Timestamp>, Option<(usize, Timestamp)>) {
        if self.is_gone {
            return (None, None);
        }
        let slot = match self.is_putting {
            true => None,
            false => {
                self.rules.next(&self.standing).map(|due| self.held.map_or(due.at, |held| held.max(due.at)))
            }
        };
        let first = self.waiting.first().map(|&(due, _)| due);
        let later = first.filter(|due| *due > now);
        let may_begin = self.running == 0 || self.rules.overlap == Overlap::Parallel;
        let ready = first.filter(|due| *due <= now && may_begin).map(|due| (self.running, due));
        ([slot, later].into_iter().flatten().min(), ready)
    }
}

/// When the attempt after `attempt` is made: the longer the more there were.
#[must_use]
pub fn retry_at(ended: Timestamp, attempt: u32, backoff: Duration, longest: Duration) -> Timestamp {
    let doubled = backoff.saturating_mul(1 << (attempt.saturating_sub(1)).min(30)).min(longest.max(backoff));
    SignedDuration::try_from(doubled)
        .ok()
        .and_then(|wait| ended.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}
