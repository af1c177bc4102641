//! The tables, and the proof that a file is ours before anything is written to it.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::error::StoreError;

/// "Vrgr", in the header of every store.
const APPLICATION_ID: i32 = 0x5672_6772;

/// The schema that this build reads and writes.
const VERSION: i32 = 4;

/// `thread_no` is never reused (AUTOINCREMENT), so that records still waiting to be deleted can never be taken for
/// another thread's. `base_no` and `base_seq` say where a fork's records before its own are. `settings` comes last:
/// SQLite overwrites a row of unchanged size in place, and leaves the pages that a long text spills to alone.
/// `event_landmark` finds the records that [`LANDMARKS`](crate::LANDMARKS) names; the others do not pay for it.
pub(crate) const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('log_epoch', lower(hex(randomblob(16))));

CREATE TABLE thread (
    thread_no INTEGER PRIMARY KEY AUTOINCREMENT CHECK (thread_no < 1 << 31),
    id BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    recency_at INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    name TEXT,
    cwd TEXT NOT NULL,
    model TEXT,
    model_provider TEXT NOT NULL,
    preview TEXT NOT NULL,
    forked_from BLOB,
    git_info TEXT,
    base_no INTEGER,
    base_seq INTEGER NOT NULL,
    settings TEXT NOT NULL
) STRICT;
CREATE INDEX thread_by_created ON thread (archived, created_at, id);
CREATE INDEX thread_by_updated ON thread (archived, updated_at, id);
CREATE INDEX thread_by_recency ON thread (archived, recency_at, id);
CREATE INDEX thread_by_base ON thread (base_no) WHERE base_no IS NOT NULL;

CREATE TABLE claim (thread_no INTEGER PRIMARY KEY, run TEXT NOT NULL, gen INTEGER NOT NULL) STRICT;

CREATE TABLE event (
    key INTEGER PRIMARY KEY,
    gen INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX event_landmark ON event (kind) WHERE kind >= 16;

CREATE TABLE garbage (thread_no INTEGER PRIMARY KEY) STRICT;
";

/// From version 1, which knew neither forks nor when a user last spoke. The defaults are for a version 1 that still runs.
const FROM_1: &str = "
ALTER TABLE thread ADD COLUMN recency_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE thread ADD COLUMN base_no INTEGER;
ALTER TABLE thread ADD COLUMN base_seq INTEGER NOT NULL DEFAULT 0;
UPDATE thread SET recency_at = updated_at;
CREATE INDEX thread_by_recency ON thread (archived, recency_at, id);
CREATE INDEX thread_by_base ON thread (base_no) WHERE base_no IS NOT NULL;
";

/// From version 2, which found every record by walking.
const FROM_2: &str = "CREATE INDEX event_landmark ON event (kind) WHERE kind >= 16;";

/// The ledger of jobs, all of what version 3 lacks. Moments are milliseconds since 1970; `cause` and `state` are the codes
/// in `jobs::row`, of which the states below 2 are those that a row may leave. A job's history is `job_run_of_job`, whose
/// last part is the `run_no` that SQLite puts into each index; what is under way is in `job_run_active` alone, which the
/// past does not make longer.
const JOBS: &str = "
CREATE TABLE job (
    job_no INTEGER PRIMARY KEY AUTOINCREMENT CHECK (job_no < 1 << 31),
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    definition TEXT,
    schedule TEXT,
    paused INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    cursor INTEGER NOT NULL,
    fired INTEGER NOT NULL
) STRICT;

CREATE TABLE job_run (
    run_no INTEGER PRIMARY KEY AUTOINCREMENT,
    job_no INTEGER NOT NULL,
    slot INTEGER,
    last_slot INTEGER,
    slots INTEGER NOT NULL,
    more INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    cause INTEGER NOT NULL,
    state INTEGER NOT NULL,
    reason TEXT,
    server TEXT,
    thread BLOB,
    owns_thread INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    summary TEXT,
    UNIQUE (job_no, slot, attempt)
) STRICT;
CREATE INDEX job_run_of_job ON job_run (job_no);
CREATE INDEX job_run_active ON job_run (job_no, state, server) WHERE state < 2;
CREATE TRIGGER job_run_is_over BEFORE UPDATE ON job_run WHEN OLD.state >= 2
BEGIN SELECT RAISE(ABORT, 'a job run that is over never changes'); END;

CREATE TABLE job_notice (run_no INTEGER PRIMARY KEY, at INTEGER NOT NULL, ok INTEGER NOT NULL, message TEXT NOT NULL) STRICT;
";

/// From version 3, which had no jobs.
const FROM_3: &str = JOBS;

/// Makes sure that the open file is a store of this version, creating the tables in an empty one and bringing those of
/// an older one up to date, and returns its log epoch. The caller holds the writer lock.
pub(crate) fn prepare(conn: &Connection, path: &Arc<Path>) -> Result<String, StoreError> {
    let sqlite = |error| StoreError::sqlite(path, error);
    // Until the file is known to be ours, closing it must not move its WAL into it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    let number = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(sqlite);
    let (application_id, version) = (number("application_id")?, number("user_version")?);
    let objects: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    match (application_id, version) {
        (0, 0) if objects == 0 => create(conn).map_err(sqlite)?,
        (APPLICATION_ID, VERSION) => {}
        (APPLICATION_ID, 1) => upgrade(conn, &[FROM_1, FROM_2, FROM_3]).map_err(sqlite)?,
        (APPLICATION_ID, 2) => upgrade(conn, &[FROM_2, FROM_3]).map_err(sqlite)?,
        (APPLICATION_ID, 3) => upgrade(conn, &[FROM_3]).map_err(sqlite)?,
        (APPLICATION_ID, found) if found > VERSION => {
            return Err(StoreError::Newer { path: Arc::clone(path), found, known: VERSION });
        }
        _ => return Err(StoreError::Foreign { path: Arc::clone(path), application_id }),
    }
    // Outside any transaction, and after the tables are there: so the header of the main file names us from its first
    // byte on, and a crash between the two leaves a complete store.
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(sqlite)?;
    if mode != "wal" {
        return Err(StoreError::unwritable(path, "its file system has no shared memory for a WAL"));
    }
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(sqlite)?;
    conn.query_row("SELECT value FROM meta WHERE key = 'log_epoch'", [], |row| row.get(0)).map_err(sqlite)
}

fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(&format!(
        "BEGIN EXCLUSIVE; {TABLES} {JOBS} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    ))
}

/// All of it or nothing: a crash in between leaves the older version.
fn upgrade(conn: &Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let steps = steps.concat();
    let upgraded =
        conn.execute_batch(&format!("BEGIN EXCLUSIVE; {steps} PRAGMA user_version = {VERSION}; COMMIT;"));
    if upgraded.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    upgraded
}
