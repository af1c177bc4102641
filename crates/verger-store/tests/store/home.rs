//! A home for a test: a folder, the runs that share it, and short ways to say what is appended.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use uuid::Uuid;
use verger_core::ids::{Generation, Seq, ThreadId};
use verger_store::{Append, Liveness, NewThread, Record, Store, StoreError, ThreadPatch};

/// A folder and what is known of the runs in it.
pub(crate) struct Home {
    dir: TempDir,
    live: Arc<Mutex<HashMap<String, u32>>>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), live: Arc::default() }
    }

    /// The store's folder; not there before the first open.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("state/store")
    }

    /// The one place that knows which backend is under test.
    pub(crate) fn open(&self, run: &str) -> Store {
        let live = Arc::clone(&self.live);
        let liveness = move |run: &str| match live.lock().unwrap().get(run) {
            Some(&pid) => Liveness::Live { pid },
            None => Liveness::Gone,
        };
        Store::open(&self.path(), run, Arc::new(liveness)).unwrap()
    }

    /// From now on `run` counts as living, in the process `pid`.
    pub(crate) fn lives(&self, run: &str, pid: u32) {
        self.live.lock().unwrap().insert(run.to_owned(), pid);
    }

    /// From now on `run` counts as gone.
    pub(crate) fn dies(&self, run: &str) {
        self.live.lock().unwrap().remove(run);
    }
}

/// Opens a store, should all its other runs be gone.
pub(crate) fn try_open(dir: &Path, run: &str) -> Result<Store, StoreError> {
    Store::open(dir, run, Arc::new(|_: &str| Liveness::Gone))
}

pub(crate) fn some_thread() -> ThreadId {
    ThreadId(Uuid::now_v7())
}

pub(crate) const FIRST: Generation = Generation(1);

pub(crate) fn record(body: &str) -> Record {
    Record { kind: 7, body: body.as_bytes().to_vec() }
}

/// The append that makes a thread.
pub(crate) fn create(thread: ThreadId, bodies: &[&str]) -> Append {
    let new = NewThread {
        created_at: 1_000,
        cwd: "/home/me".to_owned(),
        model_provider: "offline".to_owned(),
        settings: "{}".to_owned(),
        ..NewThread::default()
    };
    Append { create: Some(new), ..append(thread, FIRST, 0, bodies) }
}

/// An append to a thread that exists.
pub(crate) fn append(thread: ThreadId, generation: Generation, after: u32, bodies: &[&str]) -> Append {
    Append {
        thread,
        generation,
        after: Seq(after),
        create: None,
        patch: ThreadPatch::default(),
        records: bodies.iter().map(|body| record(body)).collect(),
    }
}

/// A thread's bodies as text, all of them.
pub(crate) async fn bodies(store: &Store, thread: ThreadId) -> Vec<String> {
    let records = store.read(thread, Seq(0), usize::MAX, usize::MAX).await.unwrap();
    records.into_iter().map(|record| String::from_utf8(record.body).unwrap()).collect()
}
