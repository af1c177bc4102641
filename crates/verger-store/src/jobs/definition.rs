//! Jobs come into the ledger, are changed, and go.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;
use verger_core::ids::{JobRunId, ThreadId};
use verger_core::job::{Skipped, Slots};

use super::error::{JobError, Origin};
use super::row::{self, ACTIVE, JOB, JobRow, Moment, insert_run, job_from, job_named};
use super::slots::skipped_row;
use crate::change::Change;
use crate::claim::{Liveness, Runs};

/// A job about to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Unique among all jobs.
    pub name: String,
    /// JSON, opaque here; nothing where it is in the config.
    pub definition: Option<String>,
    /// When the config says that it is due; nothing where its definition is kept here.
    pub schedule: Option<String>,
    /// Its first slot is the first after this.
    pub cursor: Timestamp,
    /// When it came into the ledger.
    pub created_at: Timestamp,
}

/// What is changed of a job: `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobChange {
    /// The revision that the change was made for; another refuses it.
    pub seen: Option<u64>,
    /// The definition that the change was made of; another refuses it.
    pub was: Option<String>,
    /// JSON, opaque here.
    pub definition: Option<String>,
    /// Nothing of it is due.
    pub paused: Option<bool>,
    /// Every slot up to and with this has been dealt with; without effect where the job has come further.
    pub cursor: Option<Timestamp>,
    /// How many slots were put down to be run, counted anew from here.
    pub fired: Option<u64>,
    /// Slots that passed meanwhile. They are put down as skipped, and the job has come to their end with it.
    pub skipped: Option<NewSkip>,
}

/// Slots that are not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSkip {
    /// Which.
    pub slots: Slots,
    /// Why.
    pub why: Skipped,
    /// When that was seen.
    pub now: Timestamp,
}

/// What was removed with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The job as it was.
    pub job: JobRow,
    /// The threads that its runs ran in, each once.
    pub threads: Vec<ThreadId>,
}

fn insert(tx: &Connection, new: &NewJob) -> rusqlite::Result<JobRow> {
    tx.prepare_cached(&format!(
        "INSERT INTO job (name, created_at, definition, paused, revision, cursor, fired, schedule)
         VALUES (?1, ?2, ?3, 0, 0, ?4, 0, ?5) RETURNING {JOB}"
    ))?
    .query_row(
        params![new.name, Moment(new.created_at), new.definition, Moment(new.cursor), new.schedule],
        job_from,
    )
}

fn taken(job: JobRow) -> JobError {
    let origin = if job.definition.is_some() { Origin::RunTime } else { Origin::Config };
    JobError::Exists { name: job.name, origin }
}

/// What becomes of a name that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// No job is added.
    Refuse,
    /// The job is the one that is meant, where its definition is in the config.
    Keep,
}

/// Adds a job.
#[derive(Debug)]
pub(super) struct AddJob {
    pub(super) new: NewJob,
    pub(super) taken: Taken,
}

impl Change for AddJob {
    type Done = JobRow;
    type Refused = JobError;

    fn bytes(&self) -> usize {
        self.new.definition.as_ref().map_or(0, String::len)
    }

    fn apply(&self, tx: &Connection, _: &Runs) -> rusqlite::Result<Result<JobRow, JobError>> {
        match job_named(tx, &self.new.name)? {
            None => insert(tx, &self.new).map(Ok),
            Some(job) => match of_config(job, self.taken) {
                Ok(job) if job.schedule != self.new.schedule => reschedule(tx, &job, &self.new).map(Ok),
                found => Ok(found),
            },
        }
    }
}

/// Gives a job of the config the schedule that it has there now, whose slots begin after `new.cursor`: those before were none, nor is
/// what was run by another schedule counted.
fn reschedule(tx: &Connection, job: &JobRow, new: &NewJob) -> rusqlite::Result<JobRow> {
    tx.prepare_cached(&format!(
        "UPDATE job SET schedule = ?2, cursor = max(cursor, ?3), fired = 0, revision = revision + 1 WHERE job_no = ?1 RETURNING {JOB}"
    ))?
    .query_row(params![job.id.0, new.schedule, Moment(new.cursor)], job_from)
}

/// The job that has the name, where it may be it.
pub(super) fn of_config(job: JobRow, may: Taken) -> Result<JobRow, JobError> {
    if may == Taken::Keep && job.definition.is_none() { Ok(job) } else { Err(taken(job)) }
}

/// Changes a job.
#[derive(Debug)]
pub(super) struct ChangeJob {
    pub(super) name: String,
    pub(super) change: JobChange,
}

impl Change for ChangeJob {
    /// The job as it is then.
    type Done = JobRow;
    type Refused = JobError;

    fn bytes(&self) -> usize {
        self.change.definition.as_ref().map_or(0, String::len)
    }

    fn apply(&self, tx: &Connection, _: &Runs) -> rusqlite::Result<Result<JobRow, JobError>> {
        let JobChange { seen, was, definition, paused, cursor, fired, skipped } = &self.change;
        let Some(job) = job_named(tx, &self.name)? else {
            return Ok(Err(JobError::NotFound(self.name.clone())));
        };
        let has_moved = seen.is_some_and(|seen| seen != job.standing.revision)
            || was.as_ref().is_some_and(|was| job.definition.as_ref() != Some(was));
        // Whoever has come further has put them down.
        let is_late = skipped.is_some_and(|skip| Moment(skip.slots.first) <= Moment(job.standing.cursor));
        if has_moved || is_late {
            return Ok(Err(JobError::Moved(job.name)));
        }
        if let Some(NewSkip { slots, why, now }) = *skipped {
            insert_run(tx, &skipped_row(job.id, slots, why, now))?;
        }
        let cursor = cursor.map(|cursor| Moment(cursor).millis());
        let skipped_to = skipped.map(|skip| Moment(skip.slots.last).millis_up());
        tx.prepare_cached(&format!(
            "UPDATE job SET definition = coalesce(?2, definition), paused = coalesce(?3, paused),
                    cursor = max(cursor, coalesce(?4, cursor), coalesce(?5, cursor)), fired = coalesce(?6, fired),
                    revision = revision + 1
             WHERE job_no = ?1 RETURNING {JOB}"
        ))?
        .query_row(
            params![job.id.0, definition, paused, cursor, skipped_to, fired.map(u64::cast_signed)],
            job_from,
        )
        .map(Ok)
    }
}

/// Removes a job and its history.
#[derive(Debug)]
pub(super) struct RemoveJob {
    pub(super) name: String,
}

impl Change for RemoveJob {
    type Done = Removed;
    type Refused = JobError;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<Removed, JobError>> {
        let Some(job) = job_named(tx, &self.name)? else {
            return Ok(Err(JobError::NotFound(self.name.clone())));
        };
        if let Some(refused) = what_holds(tx, runs, &job)? {
            return Ok(Err(refused));
        }
        let threads = tx
            .prepare("SELECT DISTINCT thread FROM job_run WHERE job_no = ?1 AND thread IS NOT NULL")?
            .query_map([job.id.0], |row| Ok(ThreadId(Uuid::from_bytes(row.get(0)?))))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        tx.execute(
            "DELETE FROM job_notice WHERE run_no IN (SELECT run_no FROM job_run WHERE job_no = ?1)",
            [job.id.0],
        )?;
        tx.execute("DELETE FROM job_run WHERE job_no = ?1", [job.id.0])?;
        tx.execute("DELETE FROM job WHERE job_no = ?1", [job.id.0])?;
        Ok(Ok(Removed { job, threads }))
    }
}

/// Why a job cannot be removed yet. What a server that is gone had not begun does not hold it.
fn what_holds(tx: &Connection, runs: &Runs, job: &JobRow) -> rusqlite::Result<Option<JobError>> {
    let owners = tx
        .prepare(&format!(
            "SELECT server, min(run_no), max(state) FROM {ACTIVE} WHERE job_no = ?1 AND state < 2
             GROUP BY server ORDER BY 2"
        ))?
        .query_map([job.id.0], |row| Ok((row.get::<_, String>(0)?, row::run_id(row, 1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<Vec<(String, JobRunId, row::RunState)>>>()?;
    let mut abandoned = false;
    for (server, run, state) in owners {
        if server == runs.own || (runs.liveness)(&server) != Liveness::Gone {
            return Ok(Some(JobError::Active { name: job.name.clone(), run }));
        }
        abandoned |= state == row::RunState::Running;
    }
    if !abandoned {
        return Ok(None);
    }
    let oldest = format!(
        "SELECT run_no FROM {ACTIVE} WHERE job_no = ?1 AND state < 2 AND state = 1 ORDER BY 1 LIMIT 1"
    );
    tx.prepare(&oldest)?
        .query_row([job.id.0], |row| row::run_id(row, 0))
        .optional()
        .map(|run| run.map(|run| JobError::Abandoned { name: job.name.clone(), run }))
}
