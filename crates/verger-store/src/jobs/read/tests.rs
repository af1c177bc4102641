//! What a page costs, in SQLite's own count: the same among 10,000 jobs as among 200, and no table walked.

use rusqlite::{StatementStatus, ToSql};

use super::*;
use crate::files::{self, Role};
use crate::schema;

/// Every job has `runs` rows, of which the newest is running.
fn ledger(jobs: u32, runs: u32) -> (tempfile::TempDir, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let path = files::create_database(dir.path()).unwrap();
    let conn = files::connect(&path, Role::Writer).unwrap();
    schema::prepare(&conn, &path).unwrap();
    conn.execute_batch(&format!(
        "BEGIN;
         WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n + 1 < {jobs})
         INSERT INTO job (name, created_at, paused, revision, cursor, fired)
         SELECT printf('job-%05d', n), 0, 0, 0, 0, 0 FROM n;
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n + 1 <= {runs})
         INSERT INTO job_run (job_no, slot, last_slot, slots, more, attempt, cause, state, server, due_at)
         SELECT job_no, n, n, 1, 0, 1, 0, iif(n = {runs}, 1, 2), 'run', n FROM n, job;
         COMMIT;"
    ))
    .unwrap();
    (dir, conn)
}

/// Rows, and the steps they took.
fn cost(conn: &Connection, sql: &str, values: &[&dyn ToSql]) -> (usize, i32) {
    let mut statement = conn.prepare(sql).unwrap();
    let count = statement.query_map(values, |_| Ok(())).unwrap().count();
    assert_eq!(statement.get_status(StatementStatus::FullscanStep), 0, "a table is walked: {sql}");
    assert_eq!(statement.get_status(StatementStatus::Sort), 0, "something is sorted: {sql}");
    (count, statement.get_status(StatementStatus::VmStep))
}

fn plan(conn: &Connection, sql: &str, values: &[&dyn ToSql]) -> String {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = statement.query_map(values, |row| row.get::<_, String>(3)).unwrap();
    steps.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("\n")
}

#[test]
fn a_page_of_jobs_costs_the_same_among_ten_thousand() {
    let ((_few_dir, few), (_many_dir, many)) = (ledger(200, 2), ledger(10_000, 6));
    for (sql, index) in [(jobs_sql(), "sqlite_autoindex_job_1"), (overview_sql(), "job_run_active")] {
        let values: [&dyn ToSql; 2] = [&"job-00049", &100];
        let (count, steps) = cost(&few, &sql, &values);
        assert_eq!(count, 100);
        assert_eq!(cost(&many, &sql, &values), (count, steps), "{sql}");
        let plan = plan(&many, &sql, &values);
        assert!(plan.contains(index) && !plan.contains("SCAN"), "{plan}");
    }
    let page = jobs_with_last(&many, "job-09900", 1_000).unwrap();
    assert_eq!(page.len(), 99);
    for entry in page {
        let last = entry.last.unwrap();
        assert_eq!((last.job, last.slot.unwrap().as_millisecond()), (entry.job.id, 6));
        assert_eq!((entry.scheduled, entry.running), (0, 1));
    }
}

#[test]
fn a_page_of_history_and_what_is_active_do_not_grow_with_the_past() {
    let ((_few_dir, few), (_many_dir, many)) = (ledger(3, 200), ledger(3, 20_000));
    let history: [&dyn ToSql; 3] = [&2, &i64::MAX, &100];
    let active: [&dyn ToSql; 1] = [&"run"];
    for (sql, values, rows, index) in [
        (history_sql(), &history[..], 100, "job_run_of_job"),
        (active_sql(), &active[..], 3, "job_run_active"),
    ] {
        let cost_of = |conn| {
            let mut statement = Connection::prepare(conn, &sql).unwrap();
            let count = statement.query_map(values, |_| Ok(())).unwrap().count();
            (count, statement.get_status(StatementStatus::VmStep))
        };
        let (count, steps) = cost_of(&few);
        assert_eq!(count, rows);
        assert_eq!(cost_of(&many), (count, steps), "{sql}");
        let plan = plan(&many, &sql, values);
        assert!(plan.contains(index), "{plan}");
    }
}
