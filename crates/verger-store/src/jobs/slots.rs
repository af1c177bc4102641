//! The slots that have come are put down, each once, together with how far the job has come by it.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use verger_core::ids::{JobId, JobRunId};
use verger_core::job::{Entry, Overlap, Skipped, Slots, Standing, Tick};

use super::error::JobError;
use super::life::prune_skipped;
use super::row::{self, ACTIVE, Cause, JOB, JobRunRow, Moment, RunState, insert_run, job_from};
use crate::change::Change;
use crate::claim::{Liveness, Runs};

/// So many more rows of skipped slots than are put down are removed with them at most.
const MORE_PRUNED: u32 = 16;

/// A tick of a job, to be put down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutSlots {
    /// Of which job.
    pub job: JobId,
    /// How far it had come when the tick was worked out: only then it is put down.
    pub seen: Timestamp,
    /// The revision that it had then, if it is put down only where the job was not changed in another way, either.
    pub revision: Option<u64>,
    /// What has come.
    pub tick: Tick,
    /// What becomes of a slot while an earlier run has not ended.
    pub overlap: Overlap,
    /// So many of the job's runs may wait to begin.
    pub most_waiting: u32,
    /// So many of the job's rows of skipped slots stay: the newest. A run that takes long ends none, and has many skipped.
    pub keep: u32,
    /// Runs of the server that are gone and have left something that does not die: what they ran is not over.
    pub unproven: Vec<String>,
    /// When what is skipped was skipped.
    pub now: Timestamp,
}

/// What came of a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// How far the job has come now.
    pub standing: Standing,
    /// What was put down, skipped slots among it. Empty where the tick was not of the present standing, or the job is paused.
    pub runs: Vec<JobRunRow>,
}

/// A run that waits to begin, owned by this server.
fn scheduled_row(runs: &Runs, job: JobId, due: Timestamp, cause: Cause) -> JobRunRow {
    JobRunRow {
        id: JobRunId(0),
        job,
        slot: None,
        last_slot: None,
        slots: 0,
        more: false,
        attempt: 1,
        cause,
        state: RunState::Scheduled,
        reason: None,
        server: Some(runs.own.clone()),
        thread: None,
        owns_thread: false,
        due_at: due,
        started_at: None,
        ended_at: None,
        summary: None,
        notice: None,
    }
}

/// Slots that are not run.
pub(super) fn skipped_row(job: JobId, slots: Slots, why: Skipped, now: Timestamp) -> JobRunRow {
    let cause = match why {
        Skipped::Missed | Skipped::Merged => Cause::Missed,
        Skipped::Overlap | Skipped::QueueFull | Skipped::Paused => Cause::Schedule,
    };
    JobRunRow {
        id: JobRunId(0),
        job,
        slot: Some(slots.first),
        last_slot: Some(slots.last),
        slots: slots.count,
        more: slots.more,
        attempt: 1,
        cause,
        state: RunState::Skipped,
        reason: Some(why.name().to_owned()),
        server: None,
        thread: None,
        owns_thread: false,
        due_at: slots.first,
        started_at: None,
        ended_at: Some(now),
        summary: None,
        notice: None,
    }
}

impl Change for PutSlots {
    type Done = Put;
    type Refused = JobError;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<Put, JobError>> {
        let Some(job) = row::job(tx, self.job)? else {
            return Ok(Err(JobError::Removed(self.job)));
        };
        // As it is kept: the asker may have it from elsewhere, to the nanosecond.
        let is_stale = Moment(job.standing.cursor).millis() != Moment(self.seen).millis()
            || self.revision.is_some_and(|revision| revision != job.standing.revision);
        if is_stale || job.standing.paused {
            return Ok(Ok(Put { standing: job.standing, runs: Vec::new() }));
        }
        if let Some(run) = self.abandoned(tx, runs)? {
            return Ok(Err(JobError::Abandoned { name: job.name, run }));
        }
        let mut put = Vec::with_capacity(self.tick.entries.len());
        for entry in &self.tick.entries {
            put.push(insert_run(tx, &self.row(tx, runs, entry)?)?);
        }
        let mut skipped = put.iter().filter(|run| run.state == RunState::Skipped);
        if let Some(newest) = skipped.next_back() {
            // Faster than they come, so that what there is too much of from before goes, too.
            let most = u32::try_from(skipped.count() + 1).unwrap_or(u32::MAX).saturating_add(MORE_PRUNED);
            prune_skipped(tx, self.job, (self.keep, most), newest.id)?;
        }
        let fired = put.iter().filter(|run| run.state == RunState::Scheduled).count();
        let job = tx
            .prepare_cached(&format!(
                "UPDATE job SET cursor = max(cursor, ?2), fired = fired + ?3, revision = revision + 1
                 WHERE job_no = ?1 RETURNING {JOB}"
            ))?
            .query_row(
                params![self.job.0, Moment(self.tick.cursor).millis_up(), i64::try_from(fired).unwrap_or(0)],
                job_from,
            )?;
        Ok(Ok(Put { standing: job.standing, runs: put }))
    }
}

impl PutSlots {
    /// The run of a server that is gone, and of none else, that has not ended and would have a slot skipped.
    fn abandoned(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Option<JobRunId>> {
        let may_be_skipped = |entry: &Entry| matches!(entry, Entry::Run { .. });
        if self.overlap != Overlap::Skip || !self.tick.entries.iter().any(may_be_skipped) {
            return Ok(None);
        }
        let owners = tx
            .prepare_cached(&format!(
                "SELECT server, min(run_no) FROM {ACTIVE} WHERE job_no = ?1 AND state < 2 GROUP BY server"
            ))?
            .query_map([self.job.0], |row| Ok((row.get::<_, String>(0)?, row::run_id(row, 1)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let is_gone = |owner: &str| {
            let may_be_adopted = owner != runs.own && !self.unproven.iter().any(|run| run == owner);
            may_be_adopted && (runs.liveness)(owner) == Liveness::Gone
        };
        let are_gone = owners.iter().all(|(owner, _)| is_gone(owner));
        Ok(owners.into_iter().map(|(_, run)| run).min().filter(|_| are_gone))
    }

    /// What becomes of an entry, those before it being put down.
    fn row(&self, tx: &Connection, runs: &Runs, entry: &Entry) -> rusqlite::Result<JobRunRow> {
        let (slot, due, late) = match *entry {
            Entry::Skip { slots, why } => return Ok(skipped_row(self.job, slots, why, self.now)),
            Entry::Run { slot, due, late } => (slot, due, late),
        };
        let cause = if late { Cause::Missed } else { Cause::Schedule };
        let only = Slots { first: slot, last: slot, count: 1, more: false };
        let refused = match self.overlap {
            Overlap::Skip => unended(tx, self.job)?.map(|run| {
                (Skipped::Overlap, format!("{}: run {run} has not ended", Skipped::Overlap.name()))
            }),
            Overlap::Queue | Overlap::Parallel => (waiting(tx, self.job)? >= self.most_waiting).then(|| {
                let full = Skipped::QueueFull.name();
                (Skipped::QueueFull, format!("{full}: {} runs wait already", self.most_waiting))
            }),
        };
        Ok(match refused {
            Some((why, reason)) => JobRunRow {
                cause,
                due_at: due,
                reason: Some(reason),
                ..skipped_row(self.job, only, why, self.now)
            },
            None => JobRunRow {
                slot: Some(slot),
                last_slot: Some(slot),
                slots: 1,
                ..scheduled_row(runs, self.job, due, cause)
            },
        })
    }
}

/// A run of the job that has not ended, whoever's: the oldest.
fn unended(tx: &Connection, job: JobId) -> rusqlite::Result<Option<JobRunId>> {
    tx.prepare_cached(&format!(
        "SELECT run_no FROM {ACTIVE} WHERE job_no = ?1 AND state < 2 ORDER BY run_no LIMIT 1"
    ))?
    .query_row([job.0], |row| row::run_id(row, 0))
    .optional()
}

/// How many of the job's runs have not begun.
fn waiting(tx: &Connection, job: JobId) -> rusqlite::Result<u32> {
    tx.prepare_cached(&format!(
        "SELECT count(*) FROM {ACTIVE} WHERE job_no = ?1 AND state < 2 AND state = 0"
    ))?
    .query_row([job.0], |row| row.get(0))
}

/// Puts down a run that somebody asked for.
#[derive(Debug)]
pub(super) struct AddRun {
    pub(super) job: JobId,
    pub(super) due: Timestamp,
    pub(super) most_waiting: u32,
}

impl Change for AddRun {
    type Done = JobRunRow;
    type Refused = JobError;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<JobRunRow, JobError>> {
        let Some(job) = row::job(tx, self.job)? else {
            return Ok(Err(JobError::Removed(self.job)));
        };
        if waiting(tx, self.job)? >= self.most_waiting {
            return Ok(Err(JobError::QueueFull { name: job.name, most: self.most_waiting }));
        }
        insert_run(tx, &scheduled_row(runs, self.job, self.due, Cause::Manual)).map(Ok)
    }
}
