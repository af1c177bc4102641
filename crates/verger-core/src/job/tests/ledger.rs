//! The ledger as the machine is promised it: the plainest thing that keeps the promises.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::{Entry, Overlap, Skipped, Standing, Tick};
use crate::ids::{JobId, JobRunId};

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) job: JobId,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: u32,
    pub(super) attempt: u32,
    pub(super) due: Timestamp,
    pub(super) late: bool,
    pub(super) state: State,
    pub(super) owner: usize,
    /// When it was put down.
    pub(super) at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Scheduled,
    Running,
    Succeeded,
    Failed,
    Interrupted,
    Skipped(Skipped),
}

impl State {
    pub(super) fn is_terminal(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Running)
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) jobs: BTreeMap<JobId, Standing>,
    pub(super) rows: BTreeMap<JobRunId, Row>,
    pub(super) active: BTreeSet<(JobId, JobRunId)>,
}

impl Ledger {
    fn insert(&mut self, row: Row) -> JobRunId {
        let id = JobRunId(self.rows.len() as u64 + 1);
        if !row.state.is_terminal() {
            self.active.insert((row.job, id));
        }
        self.rows.insert(id, row);
        id
    }

    /// Puts slots down for `owner`, if the job stands as it was seen; returns what waits because of it.
    pub(super) fn put(
        &mut self,
        (owner, now): (usize, Timestamp),
        (job, seen): (JobId, Standing),
        tick: &Tick,
        overlap: Overlap,
    ) -> Vec<(JobRunId, Timestamp)> {
        if self.jobs[&job].revision != seen.revision {
            return Vec::new();
        }
        let mut waiting = Vec::new();
        for entry in &tick.entries {
            let of_job = (job, JobRunId(0))..=(job, JobRunId(u64::MAX));
            let is_active = self.active.range(of_job).next().is_some();
            let row = |first, last, count, due, late, state| Row {
                job,
                first,
                last,
                count,
                attempt: 1,
                due,
                late,
                state,
                owner,
                at: now,
            };
            match *entry {
                Entry::Skip { slots, why } => {
                    assert!(!slots.more, "they are few here");
                    let state = State::Skipped(why);
                    self.insert(row(slots.first, slots.last, slots.count, slots.first, false, state));
                }
                Entry::Run { slot, due, late } if overlap == Overlap::Skip && is_active => {
                    self.insert(row(slot, slot, 1, due, late, State::Skipped(Skipped::Overlap)));
                }
                Entry::Run { slot, due, late } => {
                    waiting.push((self.insert(row(slot, slot, 1, due, late, State::Scheduled)), due));
                }
            }
        }
        let standing = self.jobs.get_mut(&job).expect("a job");
        assert!(tick.cursor > standing.cursor, "a cursor went back: {tick:?}");
        standing.cursor = tick.cursor;
        standing.fired += waiting.len() as u64;
        standing.revision += 1;
        waiting
    }

    /// Whether it has begun; nothing where it has to wait for another of its job, wherever that goes on.
    pub(super) fn begin(&mut self, owner: usize, run: JobRunId, overlap: Overlap) -> Option<bool> {
        let row = &self.rows[&run];
        if row.state != State::Scheduled || row.owner != owner {
            return Some(false);
        }
        let mut of_job = self.active.range((row.job, JobRunId(0))..=(row.job, JobRunId(u64::MAX)));
        if overlap != Overlap::Parallel && of_job.any(|(_, run)| self.rows[run].state == State::Running) {
            return None;
        }
        self.rows.get_mut(&run).expect("a row").state = State::Running;
        Some(true)
    }

    /// Ends a job run; returns its second attempt, if it is to have one.
    pub(super) fn end(
        &mut self,
        (run, state): (JobRunId, State),
        (now, retry): (Timestamp, Option<Timestamp>),
    ) -> Option<(JobRunId, Timestamp)> {
        let row = self.rows.get_mut(&run).expect("a row");
        assert!(!row.state.is_terminal(), "{run} has ended before: {row:?}");
        row.state = state;
        self.active.remove(&(row.job, run));
        let again = Row { attempt: row.attempt + 1, state: State::Scheduled, at: now, ..row.clone() };
        retry.map(|due| (self.insert(Row { due, ..again }), due))
    }

    /// Takes over what servers that are gone have left; returns what waits because of it.
    pub(super) fn adopt(
        &mut self,
        owner: usize,
        is_gone: impl Fn(usize) -> bool,
    ) -> Vec<(JobId, JobRunId, Timestamp)> {
        let mut waiting = Vec::new();
        for (job, id) in self.active.clone() {
            let row = self.rows.get_mut(&id).expect("a row");
            if row.owner == owner || !is_gone(row.owner) {
                continue;
            }
            match row.state {
                State::Running => {
                    row.state = State::Interrupted;
                    self.active.remove(&(job, id));
                }
                State::Scheduled => {
                    row.owner = owner;
                    waiting.push((row.job, id, row.due));
                }
                _ => {}
            }
        }
        waiting
    }
}
