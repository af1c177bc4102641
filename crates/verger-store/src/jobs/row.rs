//! What is kept of a job and of each run of it, and how it is written in the tables.

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;
use verger_core::ids::{JobId, JobRunId, ThreadId};
use verger_core::job::{Skipped, Standing};

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// The job; a later one of the same name has another.
    pub id: JobId,
    /// Unique.
    pub name: String,
    /// When it came into the ledger.
    pub created_at: Timestamp,
    /// What it runs and when, JSON, opaque here; nothing where that is in the config.
    pub definition: Option<String>,
    /// When the config last said that it is due, in words that are opaque here; nothing where its definition is kept here.
    pub schedule: Option<String>,
    /// How far it has come.
    pub standing: Standing,
}

/// One row of a job's history: a slot, or a start by hand, that is run; or slots in a row that are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRunRow {
    /// Later rows have larger numbers.
    pub id: JobRunId,
    /// Of which job.
    pub job: JobId,
    /// The slot, or the first of those that were skipped; nothing where it was started by hand.
    pub slot: Option<Timestamp>,
    /// The last of them; `slot` where it is one.
    pub last_slot: Option<Timestamp>,
    /// How many slots it stands for; none where it was started by hand.
    pub slots: u32,
    /// They are more than `slots` says.
    pub more: bool,
    /// From 1 on.
    pub attempt: u32,
    /// Why it was put down.
    pub cause: Cause,
    /// What has become of it.
    pub state: RunState,
    /// Why it ended so, or was skipped: then it begins with the name of a [`Skipped`].
    pub reason: Option<String>,
    /// The server run that owns it, or owned it to its end; none for what was skipped.
    pub server: Option<String>,
    /// In which it runs, or ran.
    pub thread: Option<ThreadId>,
    /// The thread was made for it, and is nobody else's.
    pub owns_thread: bool,
    /// When it was, or is, to begin.
    pub due_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it turned to its last state.
    pub ended_at: Option<Timestamp>,
    /// What it said in the end.
    pub summary: Option<String>,
    /// What came of telling somebody.
    pub notice: Option<JobNotice>,
}

impl JobRunRow {
    /// Why it was skipped, if it was.
    #[must_use]
    pub fn skipped(&self) -> Option<Skipped> {
        let reason = self.reason.as_deref().filter(|_| self.state == RunState::Skipped)?;
        let name = reason.split_once(':').map_or(reason, |(name, _)| name);
        [Skipped::Missed, Skipped::Merged, Skipped::Overlap, Skipped::QueueFull, Skipped::Paused]
            .into_iter()
            .find(|why| why.name() == name)
    }
}

/// What came of telling somebody of a run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobNotice {
    /// When.
    pub at: Timestamp,
    /// They were told.
    pub ok: bool,
    /// In words.
    pub message: String,
}

/// Why a row was put down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its slot came.
    Schedule,
    /// Its slot had come while nobody was there.
    Missed,
    /// Somebody asked for it.
    Manual,
    /// The attempt before it failed.
    Retry,
}

/// What has become of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Put down, not begun.
    Scheduled,
    /// Begun.
    Running,
    /// It is over.
    Ended(End),
    /// It never was to run.
    Skipped,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// As it should.
    Succeeded,
    /// Otherwise.
    Failed,
    /// It took too long, or was silent for too long.
    TimedOut,
    /// Somebody ended it.
    Cancelled,
    /// The server that ran it ended.
    Interrupted,
}

impl RunState {
    /// It never changes again.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Running)
    }
}

/// Each with its code in the table; those of states that a row may leave are below 2, which the indexes and the trigger know.
const STATES: [RunState; 8] = [
    RunState::Scheduled,
    RunState::Running,
    RunState::Ended(End::Succeeded),
    RunState::Ended(End::Failed),
    RunState::Ended(End::TimedOut),
    RunState::Ended(End::Cancelled),
    RunState::Ended(End::Interrupted),
    RunState::Skipped,
];

const CAUSES: [Cause; 4] = [Cause::Schedule, Cause::Missed, Cause::Manual, Cause::Retry];

/// One that is in no list would be NULL, which the tables refuse.
fn to_code<T: Copy + PartialEq>(all: &[T], one: T) -> rusqlite::Result<ToSqlOutput<'static>> {
    let code = all.iter().zip(0_i64..).find(|(other, _)| **other == one).map(|(_, code)| code);
    Ok(ToSqlOutput::Owned(Value::from(code)))
}

fn from_code<T: Copy>(all: &[T], value: ValueRef<'_>) -> FromSqlResult<T> {
    let code = value.as_i64()?;
    let found = usize::try_from(code).ok().and_then(|code| all.get(code));
    found.copied().ok_or(FromSqlError::OutOfRange(code))
}

impl ToSql for RunState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        to_code(&STATES, *self)
    }
}

impl FromSql for RunState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        from_code(&STATES, value)
    }
}

impl ToSql for Cause {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        to_code(&CAUSES, *self)
    }
}

impl FromSql for Cause {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        from_code(&CAUSES, value)
    }
}

/// A moment as the tables have it: milliseconds since 1970, what is less cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) Timestamp);

impl Moment {
    pub(super) fn millis(self) -> i64 {
        self.0.as_nanosecond().div_euclid(1_000_000).try_into().unwrap_or(i64::MIN)
    }

    /// As one that is cut off, but never before this one: for a cursor, before which nothing may be left.
    pub(super) fn millis_up(self) -> i64 {
        let cut_off = self.millis();
        cut_off + i64::from(self.0.as_nanosecond().rem_euclid(1_000_000) != 0)
    }
}

impl ToSql for Moment {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.millis()))
    }
}

impl FromSql for Moment {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let millis = value.as_i64()?;
        Timestamp::from_millisecond(millis).map(Self).map_err(|_| FromSqlError::OutOfRange(millis))
    }
}

fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<Moment>>(column)?.map(|moment| moment.0))
}

/// The columns that [`job_from`] expects, of a `job`.
pub(super) const JOB: &str = "job.job_no, job.name, job.created_at, job.definition, job.paused, job.revision, job.cursor, job.fired, job.schedule";

/// How many they are.
pub(super) const JOB_COLUMNS: usize = 9;

pub(super) fn job_from(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        id: JobId(row.get(0)?),
        name: row.get(1)?,
        created_at: row.get::<_, Moment>(2)?.0,
        definition: row.get(3)?,
        schedule: row.get(8)?,
        standing: Standing {
            paused: row.get(4)?,
            revision: row.get::<_, i64>(5)?.cast_unsigned(),
            cursor: row.get::<_, Moment>(6)?.0,
            fired: row.get::<_, i64>(7)?.cast_unsigned(),
        },
    })
}

/// The columns that [`run_from`] expects, of a `job_run` named `r` and its `job_notice` `n`.
pub(super) const RUN: &str =
    "r.run_no, r.job_no, r.slot, r.last_slot, r.slots, r.more, r.attempt, r.cause, r.state, r.reason,
    r.server, r.thread, r.due_at, r.started_at, r.ended_at, r.summary, n.at, n.ok, n.message, r.owns_thread";

/// Where they come from.
pub(super) const RUNS: &str = "job_run r LEFT JOIN job_notice n ON n.run_no = r.run_no";

/// As [`RUNS`], of rows that are not over.
pub(super) const ACTIVE_RUNS: &str =
    "job_run r INDEXED BY job_run_active LEFT JOIN job_notice n ON n.run_no = r.run_no";

/// Reads a run whose columns begin at `at`.
pub(super) fn run_from(row: &Row<'_>, at: usize) -> rusqlite::Result<JobRunRow> {
    let thread: Option<[u8; 16]> = row.get(at + 11)?;
    let notice = match moment(row, at + 16)? {
        None => None,
        Some(told) => Some(JobNotice { at: told, ok: row.get(at + 17)?, message: row.get(at + 18)? }),
    };
    Ok(JobRunRow {
        id: run_id(row, at)?,
        job: JobId(row.get(at + 1)?),
        slot: moment(row, at + 2)?,
        last_slot: moment(row, at + 3)?,
        slots: row.get(at + 4)?,
        more: row.get(at + 5)?,
        attempt: row.get(at + 6)?,
        cause: row.get(at + 7)?,
        state: row.get(at + 8)?,
        reason: row.get(at + 9)?,
        server: row.get(at + 10)?,
        thread: thread.map(|id| ThreadId(Uuid::from_bytes(id))),
        owns_thread: row.get(at + 19)?,
        due_at: row.get::<_, Moment>(at + 12)?.0,
        started_at: moment(row, at + 13)?,
        ended_at: moment(row, at + 14)?,
        summary: row.get(at + 15)?,
        notice,
    })
}

/// Rows that are not over, for queries that say `state < 2`. SQLite would sometimes rather walk the past to have them in their
/// order.
pub(super) const ACTIVE: &str = "job_run INDEXED BY job_run_active";

pub(super) fn run_id(row: &Row<'_>, column: usize) -> rusqlite::Result<JobRunId> {
    Ok(JobRunId(row.get::<_, i64>(column)?.cast_unsigned()))
}

pub(super) fn job_named(conn: &Connection, name: &str) -> rusqlite::Result<Option<JobRow>> {
    conn.prepare_cached(&format!("SELECT {JOB} FROM job WHERE name = ?1"))?
        .query_row([name], job_from)
        .optional()
}

pub(super) fn job(conn: &Connection, job: JobId) -> rusqlite::Result<Option<JobRow>> {
    conn.prepare_cached(&format!("SELECT {JOB} FROM job WHERE job_no = ?1"))?
        .query_row([job.0], job_from)
        .optional()
}

pub(super) fn run(conn: &Connection, run: JobRunId) -> rusqlite::Result<Option<JobRunRow>> {
    run_that_is(conn, run).optional()
}

/// A row that is there.
pub(super) fn run_that_is(conn: &Connection, run: JobRunId) -> rusqlite::Result<JobRunRow> {
    conn.prepare_cached(&format!("SELECT {RUN} FROM {RUNS} WHERE r.run_no = ?1"))?
        .query_row([run.0.cast_signed()], |row| run_from(row, 0))
}

/// Puts a row down as `row` has it, but under a number of its own and without a notice.
pub(super) fn insert_run(tx: &Connection, row: &JobRunRow) -> rusqlite::Result<JobRunRow> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO job_run (job_no, slot, last_slot, slots, more, attempt, cause, state, reason, server, thread, due_at,
                              started_at, ended_at, summary)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) RETURNING run_no",
    )?;
    let id = statement.query_row(
        params![
            row.job.0,
            row.slot.map(Moment),
            row.last_slot.map(Moment),
            row.slots,
            row.more,
            row.attempt,
            row.cause,
            row.state,
            row.reason,
            row.server,
            row.thread.as_ref().map(|id| id.0.as_bytes()),
            Moment(row.due_at),
            row.started_at.map(Moment),
            row.ended_at.map(Moment),
            row.summary,
        ],
        |row| run_id(row, 0),
    )?;
    // As it will be read: to the millisecond.
    run_that_is(tx, id)
}
