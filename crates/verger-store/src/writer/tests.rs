//! Groups: together when queued together, bounded, and a bad write fails alone.

use std::fs::{self, File};
use std::future::{Future, poll_fn};
use std::task::Poll;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use uuid::Uuid;
use verger_core::ids::{Generation, Seq, ThreadId};

use super::*;
use crate::change::Queued;
use crate::claim::{Claim, Release};
use crate::files::{self, Role};
use crate::schema;
use crate::{Append, AppendError, Liveness, NewThread, Record, Store, ThreadPatch};

fn open(dir: &TempDir, max_pages: Option<u32>) -> Store {
    Store::open_limited(dir.path(), "run", Arc::new(|_| Liveness::Gone), max_pages).unwrap()
}

fn create(n: u128, bytes: usize) -> Append {
    Append {
        thread: ThreadId(Uuid::from_u128(n)),
        generation: Generation(1),
        after: Seq(0),
        create: Some(NewThread::default()),
        patch: ThreadPatch::default(),
        records: vec![Record { kind: 0, body: vec![0; bytes] }],
    }
}

/// Queues all appends while another process, so to speak, is writing; then lets them go as one group.
async fn in_one_group(dir: &TempDir, store: &Store, appends: Vec<Append>) -> Vec<Result<Seq, AppendError>> {
    let other = File::open(dir.path().join("writer.flock")).unwrap();
    flock(&other, FlockOperation::LockExclusive).unwrap();
    let mut waiting: Vec<_> = appends.into_iter().map(|append| Box::pin(store.append(append))).collect();
    for append in &mut waiting {
        let queued = poll_fn(|context| Poll::Ready(append.as_mut().poll(context))).await;
        assert!(queued.is_pending(), "the writer answers nobody while the lock is taken");
    }
    flock(&other, FlockOperation::Unlock).unwrap();
    let mut results = Vec::new();
    for append in waiting {
        results.push(append.await);
    }
    results
}

/// Frames of the WAL that end a transaction.
fn commits(dir: &TempDir) -> usize {
    let wal = fs::read(dir.path().join("store.db-wal")).unwrap();
    wal[32..].chunks(24 + 4096).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn what_is_queued_together_is_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, None);
    store.append(create(1000, 1)).await.unwrap();
    let before = commits(&dir);
    let results = in_one_group(&dir, &store, (0..100).map(|n| create(n, 10)).collect()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(commits(&dir) - before, 1);
    store.close().await;
}

#[tokio::test]
async fn a_group_is_bounded_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, None);
    store.append(create(1000, 1)).await.unwrap();
    let before = commits(&dir);
    let appends = (0..8).map(|n| create(n, GROUP_BYTES / 2)).collect();
    let results = in_one_group(&dir, &store, appends).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(commits(&dir) - before, 4);
    store.close().await;
}

/// Commits of claims may stay in the kernel's hands; one append in the group, and all of it goes to the disk.
#[test]
fn only_groups_without_an_append_go_without_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let path = files::create_database(dir.path()).unwrap();
    let conn = files::connect(&path, Role::Writer).unwrap();
    schema::prepare(&conn, &path).unwrap();
    let runs = Runs { own: "run".to_owned(), liveness: Arc::new(|_| Liveness::Gone) };
    let (sender, messages) = queue();
    let lock = WriterLock::open(dir.path()).unwrap();
    let mut writer = Writer::new(conn, path, lock, runs, messages);
    let (thread, generation) = (ThreadId(Uuid::from_u128(1)), Generation(1));
    let claim = || Box::new(Queued::new(Claim { thread, generation }).0);
    let release = || Box::new(Queued::new(Release { thread, generation }).0);
    let append = |n| Box::new(Queued::new(create(n, 1)).0);
    let mut level = |first: Box<dyn Write>, then: Option<Box<dyn Write>>| -> i64 {
        if let Some(write) = then {
            assert!(sender.try_send(WriteMessage::Write(write)).is_ok());
        }
        writer.commit_group(first);
        writer.conn.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap()
    };
    const FULL: i64 = 2;
    const NORMAL: i64 = 1;
    assert_eq!(level(append(1), None), FULL);
    assert_eq!(level(claim(), None), NORMAL);
    assert_eq!(level(claim(), Some(append(2))), FULL);
    assert_eq!(level(claim(), Some(release())), NORMAL);
}

#[tokio::test]
async fn a_bad_write_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, None);
    store.append(create(1, 1)).await.unwrap();
    let before = commits(&dir);
    let results = in_one_group(&dir, &store, vec![create(2, 1), create(1, 1), create(3, 1)]).await;
    assert!(matches!(results[..], [Ok(Seq(1)), Err(AppendError::Exists(_)), Ok(Seq(1))]), "{results:?}");
    assert_eq!(commits(&dir) - before, 1);
    store.close().await;
}

#[tokio::test]
async fn a_write_too_big_for_the_disk_does_not_fail_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, Some(40));
    let results = in_one_group(&dir, &store, vec![create(1, 10), create(2, 400_000), create(3, 10)]).await;
    assert!(
        matches!(results[..], [Ok(Seq(1)), Err(AppendError::Store(StoreError::Full { .. })), Ok(Seq(1))]),
        "{results:?}"
    );
    store.close().await;
}

#[tokio::test]
async fn a_full_store_goes_on_when_a_thread_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, Some(100));
    let mut stored = 0;
    let error = loop {
        match store.append(create(stored, 10_000)).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Store(StoreError::Full { .. })), "{error:?}");
    assert!(stored > 5, "{stored}");
    for n in [0, 1] {
        store.delete(ThreadId(Uuid::from_u128(n)), Some(Generation(1))).await.unwrap();
    }
    store.append(create(stored, 10_000)).await.unwrap();
    for n in 2..=stored {
        let records = store.read(ThreadId(Uuid::from_u128(n)), Seq(0), 9, 99_999).await.unwrap();
        assert_eq!(records[0].body.len(), 10_000);
    }
    store.close().await;
}
