//! A run begins and ends, at the hand of its owner.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use verger_core::ids::{JobId, JobRunId, ThreadId};
use verger_core::job::Overlap;

use super::error::JobError;
use super::row::{
    ACTIVE_RUNS, Cause, End, JobNotice, JobRunRow, Moment, RUN, RUNS, RunState, insert_run, run_from,
    run_that_is,
};
use crate::change::Change;
use crate::claim::Runs;
use crate::error::StoreError;

/// Whether a run has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It has.
    Yes,
    /// Another of its job goes on, wherever that is, and it is not to run beside it.
    NotYet,
    /// It is not this server's to begin.
    No,
}

/// Begins a run.
#[derive(Debug)]
pub(super) struct BeginRun {
    pub(super) run: JobRunId,
    pub(super) overlap: Overlap,
    pub(super) now: Timestamp,
}

impl Change for BeginRun {
    type Done = Begun;
    type Refused = StoreError;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<Begun, StoreError>> {
        let number = self.run.0.cast_signed();
        let may_overlap = self.overlap == Overlap::Parallel;
        let begun = tx
            .prepare_cached(&format!(
                "UPDATE job_run SET state = ?3, started_at = ?4
                 WHERE run_no = ?1 AND server = ?2 AND state = 0
                   AND (?5 OR NOT EXISTS (SELECT 1 FROM {ACTIVE_RUNS}
                                          WHERE r.job_no = job_run.job_no AND r.state < 2 AND r.state = 1))"
            ))?
            .execute(params![number, runs.own, RunState::Running, Moment(self.now), may_overlap])?;
        if begun == 1 {
            return Ok(Ok(Begun::Yes));
        }
        let waits = tx
            .prepare_cached("SELECT 1 FROM job_run WHERE run_no = ?1 AND server = ?2 AND state = 0")?
            .exists(params![number, runs.own])?;
        Ok(Ok(if waits { Begun::NotYet } else { Begun::No }))
    }
}

/// Says in which thread a run runs; false where it does not run, or not here.
#[derive(Debug)]
pub(super) struct SetRunThread {
    pub(super) run: JobRunId,
    pub(super) thread: ThreadId,
    pub(super) owns: bool,
}

impl Change for SetRunThread {
    type Done = bool;
    type Refused = StoreError;

    // Only a crash of the whole machine loses it, and never alone: it comes before the run's first append to the thread,
    // and the sync of a later commit takes the earlier ones along. So what is lost names a thread in which nothing happened.
    const DURABLE: bool = false;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<bool, StoreError>> {
        let set = tx
            .prepare_cached(
                "UPDATE job_run SET thread = ?3, owns_thread = ?4 WHERE run_no = ?1 AND server = ?2 AND state = 1",
            )?
            .execute(params![self.run.0.cast_signed(), runs.own, self.thread.0.as_bytes(), self.owns])?;
        Ok(Ok(set == 1))
    }
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// How.
    pub end: End,
    /// Why so.
    pub reason: Option<String>,
    /// What it said in the end.
    pub summary: Option<String>,
    /// When.
    pub now: Timestamp,
    /// It is tried again, then.
    pub retry_at: Option<Timestamp>,
    /// So many of the job's rows that ran and are over stay, and as many that were skipped: the newest.
    pub keep: u32,
    /// Only where it has not begun.
    pub only_scheduled: bool,
}

/// What came of the end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// As it is now, for good.
    pub row: JobRunRow,
    /// The next attempt.
    pub retry: Option<JobRunRow>,
    /// What is not kept any more; the threads are left to the caller.
    pub pruned: Vec<JobRunRow>,
}

/// Ends a run, and puts down its next attempt.
#[derive(Debug)]
pub(super) struct EndRun {
    pub(super) run: JobRunId,
    pub(super) end: RunEnd,
}

impl Change for EndRun {
    type Done = Ended;
    type Refused = JobError;

    fn bytes(&self) -> usize {
        self.end.summary.as_ref().map_or(0, String::len)
    }

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<Ended, JobError>> {
        let RunEnd { end, reason, summary, now, retry_at, keep, only_scheduled } = &self.end;
        let number = self.run.0.cast_signed();
        let ended = tx
            .prepare_cached(
                "UPDATE job_run SET state = ?3, reason = ?4, summary = ?5, ended_at = ?6
                 WHERE run_no = ?1 AND server = ?2 AND state < 2 AND (state = 0 OR NOT ?7)",
            )?
            .execute(params![
                number,
                runs.own,
                RunState::Ended(*end),
                reason,
                summary,
                Moment(*now),
                only_scheduled
            ])?;
        if ended == 0 {
            return Ok(Err(JobError::Over(self.run)));
        }
        let row = run_that_is(tx, self.run)?;
        let retry = match retry_at {
            None => None,
            Some(retry_at) => Some(insert_run(tx, &next_attempt(&row, *retry_at))?),
        };
        let pruned = prune(tx, row.job, self.run, *keep)?;
        Ok(Ok(Ended { row, retry, pruned }))
    }
}

/// Of the same slot and owner.
fn next_attempt(failed: &JobRunRow, due: Timestamp) -> JobRunRow {
    JobRunRow {
        attempt: failed.attempt.saturating_add(1),
        cause: Cause::Retry,
        state: RunState::Scheduled,
        reason: None,
        thread: None,
        owns_thread: false,
        due_at: due,
        started_at: None,
        ended_at: None,
        summary: None,
        ..failed.clone()
    }
}

/// Rows that one end removes at most, of each kind: what is left goes with the next.
const PRUNED: u32 = 1_000;

/// Rows that ran and are over.
const RAN: &str = "r.state >= 2 AND r.state < 7";

const SKIPPED: &str = "r.state = 7";

/// Removes the job's rows that are over, but for the newest `keep` that ran, as many of skipped slots, and the one that ends now,
/// than which later ones may have ended. Of both kinds apart: a job that is due each second and takes a day skips many.
fn prune(tx: &Connection, job: JobId, now_ends: JobRunId, keep: u32) -> rusqlite::Result<Vec<JobRunRow>> {
    let mut pruned = prune_kind(tx, job, RAN, (keep, PRUNED), now_ends)?;
    pruned.extend(prune_kind(tx, job, SKIPPED, (keep, PRUNED), now_ends)?);
    Ok(pruned)
}

/// Removes at most `most` rows of slots that were skipped, the oldest, but for the newest `keep`, and for `newest`.
pub(super) fn prune_skipped(
    tx: &Connection,
    job: JobId,
    (keep, most): (u32, u32),
    newest: JobRunId,
) -> rusqlite::Result<()> {
    prune_kind(tx, job, SKIPPED, (keep, most), newest).map(drop)
}

/// Removes at most `most` of the job's rows of a kind, the oldest, but for the newest `keep`, and for `stays`.
fn prune_kind(
    tx: &Connection,
    job: JobId,
    kind: &str,
    (keep, most): (u32, u32),
    stays: JobRunId,
) -> rusqlite::Result<Vec<JobRunRow>> {
    let newest: Option<i64> = tx
        .prepare_cached(&format!(
            "SELECT r.run_no FROM job_run r INDEXED BY job_run_of_job WHERE r.job_no = ?1 AND {kind}
             ORDER BY r.run_no DESC LIMIT 1 OFFSET ?2"
        ))?
        .query_row(params![job.0, keep], |row| row.get(0))
        .optional()?;
    let Some(newest) = newest else { return Ok(Vec::new()) };
    let pruned = tx
        .prepare_cached(&format!(
            "SELECT {RUN} FROM {RUNS}
             WHERE r.job_no = ?1 AND r.run_no <= ?2 AND r.run_no <> ?3 AND {kind} ORDER BY r.run_no LIMIT ?4"
        ))?
        .query_map(params![job.0, newest, stays.0.cast_signed(), most], |row| run_from(row, 0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for run in &pruned {
        for sql in ["DELETE FROM job_notice WHERE run_no = ?1", "DELETE FROM job_run WHERE run_no = ?1"] {
            tx.prepare_cached(sql)?.execute([run.id.0.cast_signed()])?;
        }
    }
    Ok(pruned)
}

/// Keeps what came of telling somebody; false where the row is not kept any more.
#[derive(Debug)]
pub(super) struct PutNotice {
    pub(super) run: JobRunId,
    pub(super) notice: JobNotice,
}

impl Change for PutNotice {
    type Done = bool;
    type Refused = StoreError;

    fn apply(&self, tx: &Connection, _: &Runs) -> rusqlite::Result<Result<bool, StoreError>> {
        let JobNotice { at, ok, message } = &self.notice;
        let put = tx
            .prepare_cached(
                "INSERT OR REPLACE INTO job_notice (run_no, at, ok, message)
                 SELECT run_no, ?2, ?3, ?4 FROM job_run WHERE run_no = ?1",
            )?
            .execute(params![self.run.0.cast_signed(), Moment(*at), ok, message])?;
        Ok(Ok(put == 1))
    }
}
