//! Lists of jobs and of their histories: a page costs the same wherever it is in the list, and however long the rest is.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;
use verger_core::ids::{JobId, JobRunId, ThreadId};

use super::row::{ACTIVE, ACTIVE_RUNS, JOB, JOB_COLUMNS, JobRow, JobRunRow, RUN, RUNS, job_from, run_from};
use crate::list::MAX_PAGE;

/// A job as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOverview {
    /// The job.
    pub job: JobRow,
    /// Its newest row, whatever has become of it.
    pub last: Option<JobRunRow>,
    /// How many of its runs have not begun.
    pub scheduled: u32,
    /// How many have begun and not ended.
    pub running: u32,
}

/// A job and, in the columns after it, its newest row; `?1` is the name it comes after, `?2` the most.
fn overview_sql() -> String {
    format!(
        "SELECT {JOB}, {RUN},
                (SELECT count(*) FROM {ACTIVE} WHERE job_no = job.job_no AND state < 2 AND state = 0),
                (SELECT count(*) FROM {ACTIVE} WHERE job_no = job.job_no AND state < 2 AND state = 1)
         FROM job LEFT JOIN job_run r ON r.run_no = (SELECT max(l.run_no) FROM job_run l WHERE l.job_no = job.job_no)
                    LEFT JOIN job_notice n ON n.run_no = r.run_no
         WHERE job.name > ?1 ORDER BY job.name LIMIT ?2"
    )
}

fn jobs_sql() -> String {
    format!("SELECT {JOB} FROM job WHERE job.name > ?1 ORDER BY job.name LIMIT ?2")
}

fn history_sql() -> String {
    format!("SELECT {RUN} FROM {RUNS} WHERE r.job_no = ?1 AND r.run_no < ?2 ORDER BY r.run_no DESC LIMIT ?3")
}

fn active_sql() -> String {
    format!("SELECT {RUN} FROM {ACTIVE_RUNS} WHERE r.state < 2 AND r.server = ?1 ORDER BY r.run_no")
}

/// How many columns [`RUN`] has.
const RUN_COLUMNS: usize = 20;

/// No page is longer than [`MAX_PAGE`].
fn page(limit: usize) -> i64 {
    i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(1)
}

pub(super) fn jobs(conn: &Connection, after: &str, limit: usize) -> rusqlite::Result<Vec<JobRow>> {
    conn.prepare_cached(&jobs_sql())?.query_map(params![after, page(limit)], job_from)?.collect()
}

pub(super) fn jobs_with_last(
    conn: &Connection,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<JobOverview>> {
    conn.prepare_cached(&overview_sql())?
        .query_map(params![after, page(limit)], |row| {
            let has_run = row.get::<_, Option<i64>>(JOB_COLUMNS)?.is_some();
            Ok(JobOverview {
                job: job_from(row)?,
                last: has_run.then(|| run_from(row, JOB_COLUMNS)).transpose()?,
                scheduled: row.get(JOB_COLUMNS + RUN_COLUMNS)?,
                running: row.get(JOB_COLUMNS + RUN_COLUMNS + 1)?,
            })
        })?
        .collect()
}

pub(super) fn history(
    conn: &Connection,
    job: JobId,
    before: Option<JobRunId>,
    limit: usize,
) -> rusqlite::Result<Vec<JobRunRow>> {
    let before = before.map_or(i64::MAX, |run| run.0.cast_signed());
    conn.prepare_cached(&history_sql())?
        .query_map(params![job.0, before, page(limit)], |row| run_from(row, 0))?
        .collect()
}

pub(super) fn last(conn: &Connection, job: JobId) -> rusqlite::Result<Option<JobRunRow>> {
    conn.prepare_cached(&history_sql())?
        .query_row(params![job.0, i64::MAX, 1], |row| run_from(row, 0))
        .optional()
}

/// How many of a job's runs have begun and not ended, and how many have not begun, in whichever server.
pub(super) fn unended(conn: &Connection, job: JobId) -> rusqlite::Result<(u32, u32)> {
    conn.prepare_cached(&format!(
        "SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 0) FROM {ACTIVE}
         WHERE job_no = ?1 AND state < 2"
    ))?
    .query_row([job.0], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// A step for each row since then, as long as the job's runs have no threads.
pub(super) fn last_thread(conn: &Connection, job: JobId) -> rusqlite::Result<Option<ThreadId>> {
    let sql =
        "SELECT thread FROM job_run WHERE job_no = ?1 AND thread IS NOT NULL ORDER BY run_no DESC LIMIT 1";
    let id: Option<[u8; 16]> = conn.prepare_cached(sql)?.query_row([job.0], |row| row.get(0)).optional()?;
    Ok(id.map(|id| ThreadId(Uuid::from_bytes(id))))
}

pub(super) fn active(conn: &Connection, own: &str) -> rusqlite::Result<Vec<JobRunRow>> {
    conn.prepare_cached(&active_sql())?.query_map([own], |row| run_from(row, 0))?.collect()
}

#[cfg(test)]
mod tests;
