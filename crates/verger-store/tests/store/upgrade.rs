//! A store of an older version is brought up to date where it is.

use rusqlite::{Connection, params};
use verger_core::ids::{Generation, Seq};
use verger_store::{Direction, End, LANDMARKS, ListQuery, NewThread, SortKey};

use crate::home::{FIRST, append, bodies, create, some_thread, try_open};
use crate::jobs::{end, running, some_job};

/// What version 1 made.
const VERSION_1: &str = "
PRAGMA journal_mode = WAL;
PRAGMA application_id = 0x56726772;
PRAGMA user_version = 1;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('log_epoch', 'the epoch');
CREATE TABLE thread (
    thread_no INTEGER PRIMARY KEY AUTOINCREMENT CHECK (thread_no < 1 << 31),
    id BLOB NOT NULL UNIQUE, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, archived INTEGER NOT NULL,
    name TEXT, cwd TEXT NOT NULL, model TEXT, model_provider TEXT NOT NULL, preview TEXT NOT NULL, forked_from BLOB,
    git_info TEXT, settings TEXT NOT NULL
) STRICT;
CREATE INDEX thread_by_created ON thread (archived, created_at, id);
CREATE INDEX thread_by_updated ON thread (archived, updated_at, id);
CREATE TABLE claim (thread_no INTEGER PRIMARY KEY, run TEXT NOT NULL, gen INTEGER NOT NULL) STRICT;
CREATE TABLE event (key INTEGER PRIMARY KEY, gen INTEGER NOT NULL, kind INTEGER NOT NULL, crc INTEGER NOT NULL,
    body BLOB NOT NULL) STRICT;
CREATE TABLE garbage (thread_no INTEGER PRIMARY KEY) STRICT;
";

/// Takes away what version 4 brought.
const NO_JOBS: &str = "DROP TABLE job; DROP TABLE job_run; DROP TABLE job_notice;";

#[tokio::test]
async fn version_1_keeps_its_threads_and_gains_forks() {
    let dir = tempfile::tempdir().unwrap();
    let (old, older) = (some_thread(), some_thread());
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    conn.execute_batch(VERSION_1).unwrap();
    for (thread, at) in [(older, 10), (old, 20)] {
        conn.execute(
            "INSERT INTO thread (id, created_at, updated_at, archived, cwd, model_provider, preview, settings)
             VALUES (?1, 5, ?2, 0, '/', 'offline', 'hi', '{}')",
            params![thread.0.as_bytes(), at],
        )
        .unwrap();
    }
    drop(conn);

    let store = try_open(dir.path(), "run").unwrap();
    assert_eq!(store.log_epoch(), "the epoch");
    let query =
        ListQuery { sort: SortKey::RecencyAt, direction: Direction::Descending, ..ListQuery::default() };
    let page = store.list(ListQuery { limit: 10, ..query }).await.unwrap();
    assert_eq!(
        page.rows.iter().map(|row| (row.id, row.recency_at)).collect::<Vec<_>>(),
        [(old, 20), (older, 10)]
    );
    assert_eq!(page.rows[0].head, Seq(0));
    store.claim(old, FIRST).await.unwrap();
    store.append(append(old, FIRST, 0, &["a", "b"])).await.unwrap();
    let forked = some_thread();
    store.fork(old, Seq(1), forked, Generation(2), NewThread::default()).await.unwrap();
    assert_eq!(bodies(&store, forked).await, ["a"]);
    store.close().await;
    let store = try_open(dir.path(), "later").unwrap();
    assert_eq!(bodies(&store, forked).await, ["a"]);
    store.close().await;
}

#[tokio::test]
async fn version_2_finds_its_landmarks() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path(), "run").unwrap();
    let thread = some_thread();
    let mut first = create(thread, &["a", "b", "c"]);
    first.records[1].kind = LANDMARKS;
    store.append(first).await.unwrap();
    store.close().await;
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    conn.execute_batch(&format!("DROP INDEX event_landmark; {NO_JOBS} PRAGMA user_version = 2;")).unwrap();
    drop(conn);
    let store = try_open(dir.path(), "later").unwrap();
    let all = (Seq(0), Seq(u32::MAX));
    let found = store.find(thread, LANDMARKS, all, Direction::Descending, 9).await.unwrap();
    assert_eq!(found.iter().map(|record| record.seq.0).collect::<Vec<_>>(), [2]);
    store.close().await;
}

#[tokio::test]
async fn version_3_keeps_its_threads_and_gains_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path(), "run").unwrap();
    let epoch = store.log_epoch().to_owned();
    let thread = some_thread();
    store.append(create(thread, &["a", "b"])).await.unwrap();
    store.close().await;
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    conn.execute_batch(&format!("{NO_JOBS} PRAGMA user_version = 3;")).unwrap();
    let jobs: u32 = conn
        .query_row("SELECT count(*) FROM sqlite_schema WHERE tbl_name LIKE 'job%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(jobs, 0);
    drop(conn);
    let store = try_open(dir.path(), "later").unwrap();
    assert_eq!(store.log_epoch(), epoch);
    assert_eq!(bodies(&store, thread).await, ["a", "b"]);
    let job = some_job(&store).await;
    let run = running(&store, &job, 1).await;
    store.end_run(run.id, end(End::Succeeded, 2)).await.unwrap();
    store.close().await;
    let version =
        |conn: &Connection| conn.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0));
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    assert_eq!(version(&conn).unwrap(), 4);
    let changed = conn.execute("UPDATE job_run SET state = 0", []).unwrap_err();
    assert!(changed.to_string().contains("never changes"), "the trigger came, too: {changed}");
}
