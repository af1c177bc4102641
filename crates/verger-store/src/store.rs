//! The handle: what the rest of Verger calls, and the life of the store's threads.

use std::fmt;
use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use verger_core::ids::{Generation, Seq, ThreadId};

use crate::append::Append;
use crate::change::{Change, Queued};
use crate::claim::{Claim, Liveness, Release, Runs};
use crate::error::{AppendError, ChangeError, ClaimError, StoreError};
use crate::files::{self, Role, WriterLock};
use crate::garbage::Delete;
use crate::lineage::{self, Fork, Segment};
use crate::list::{Direction, ListPage, ListQuery, list};
use crate::log::{self, Span, StoredRecord};
use crate::readers::{self, READERS, ReadMessage};
use crate::row::{Labels, Relabel, SetArchived};
use crate::schema;
use crate::thread::{self, NewThread, ThreadRow};
use crate::writer::{self, WriteMessage, Writer};

/// An open store. Cheap to clone; every clone is the same store.
///
/// A write whose future is dropped before its answer may still be kept. Reads see every write that was answered.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    log_epoch: String,
    /// This process among those that share the store.
    run: String,
    path: Arc<Path>,
    records_read: AtomicU64,
    /// `None` only while dropping.
    writes: Option<mpsc::Sender<WriteMessage>>,
    reads: Option<mpsc::Sender<ReadMessage>>,
    threads: Mutex<Threads>,
}

/// The store's threads, each with a message that comes when it is about to end.
#[derive(Default)]
struct Threads {
    readers: Vec<Thread>,
    writer: Option<Thread>,
}

struct Thread {
    handle: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Store {
    /// Opens the store in `dir`, making the folder (0700) and its files (0600) where they are missing. Blocks for a few
    /// milliseconds, longer while another process is writing.
    ///
    /// `run` names this process among all that ever opened the store and must never be used again. `liveness` tells
    /// about the others; the writer thread calls it inside a transaction, so it must be quick and must not use the store.
    ///
    /// # Errors
    /// Any [`StoreError`] about the folder or the file; nothing is overwritten then.
    pub fn open(
        dir: &Path,
        run: &str,
        liveness: Arc<dyn Fn(&str) -> Liveness + Send + Sync>,
    ) -> Result<Self, StoreError> {
        Self::open_limited(dir, run, liveness, None)
    }

    /// As [`Store::open`], in a file that must not grow past `max_pages`: a full disk that a test can order.
    pub(crate) fn open_limited(
        dir: &Path,
        run: &str,
        liveness: Arc<dyn Fn(&str) -> Liveness + Send + Sync>,
        max_pages: Option<u32>,
    ) -> Result<Self, StoreError> {
        files::create_folder(dir)?;
        let lock = WriterLock::open(dir)?;
        let held = lock.hold()?;
        let path = files::create_database(dir)?;
        let conn = files::connect(&path, Role::Writer)?;
        let log_epoch = schema::prepare(&conn, &path)?;
        if let Some(pages) = max_pages {
            conn.pragma_update(None, "max_page_count", pages)
                .map_err(|error| StoreError::sqlite(&path, error))?;
        }
        drop(held);

        let (writes, write_queue) = writer::queue();
        let (reads, read_queue) = readers::queue();
        // From here on, dropping `inner` ends and joins whatever was started.
        let inner = Inner {
            log_epoch,
            run: run.to_owned(),
            path: Arc::clone(&path),
            records_read: AtomicU64::new(0),
            writes: Some(writes),
            reads: Some(reads),
            threads: Mutex::default(),
        };
        for _ in 0..READERS {
            let conn = files::connect(&path, Role::Reader)?;
            let queue = read_queue.clone();
            let reader = Thread::start("store-read", move || queue.serve(&conn))?;
            inner.threads().readers.push(reader);
        }
        let runs = Runs { own: run.to_owned(), liveness };
        let writer = Writer::new(conn, path, lock, runs, write_queue);
        inner.threads().writer = Some(Thread::start("store-write", || writer.run())?);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The lineage of this store's sequence numbers: a client's cursor from another one means nothing here.
    pub fn log_epoch(&self) -> &str {
        &self.inner.log_epoch
    }

    /// Makes `generation` of this run the owner of a stored thread.
    ///
    /// # Errors
    /// [`ClaimError`]: not stored, archived, owned by a live run or a later generation, or the store failed.
    pub async fn claim(&self, thread: ThreadId, generation: Generation) -> Result<ThreadRow, ClaimError> {
        self.write(Claim { thread, generation }).await
    }

    /// Appends records for the thread's owner; durable when it returns. Returns the new head.
    ///
    /// # Errors
    /// [`AppendError`]: not the owner, not the head, a thread that exists or does not, or the store failed. Nothing is
    /// kept then.
    pub async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        self.write(append).await
    }

    /// Gives a thread up. Without effect when `generation` does not own it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn release(&self, thread: ThreadId, generation: Generation) -> Result<(), StoreError> {
        self.write(Release { thread, generation }).await
    }

    /// Reads records after `after`: at most `limit` of them, and no more than `max_bytes` of bodies unless the first
    /// alone is longer. An empty answer means that the log ends at `after`.
    ///
    /// # Errors
    /// The thread is not stored, a record is damaged, or the store failed.
    pub async fn read(
        &self,
        thread: ThreadId,
        after: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        self.read_upto(thread, after, Seq(u32::MAX), limit, max_bytes).await
    }

    /// As [`Store::read`], but nothing past `upto`: what a snapshot at `upto` was made of.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_upto(
        &self,
        thread: ThreadId,
        after: Seq,
        upto: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        let span = Span { after, upto, limit, max_bytes };
        let read = self.on_log(thread, move |conn, segments| log::read(conn, thread, segments, span)).await?;
        Ok(self.counted(read))
    }

    /// A thread's records of one kind: at most `limit` of them after `after`, up to and with `upto`, beginning at the end
    /// that `direction` names. What lies between is passed over unread, and where `kind` is a landmark not even passed
    /// over.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn find(
        &self,
        thread: ThreadId,
        kind: u8,
        (after, upto): (Seq, Seq),
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        let found = self.on_log(thread, move |conn, segments| {
            log::find(conn, thread, segments, kind, (after, upto), direction, limit)
        });
        Ok(self.counted(found.await?))
    }

    /// How many records reads have returned so far: what looking at a thread costs, without a clock.
    #[must_use]
    pub fn records_read(&self) -> u64 {
        self.inner.records_read.load(Ordering::Relaxed)
    }

    fn counted(&self, records: Vec<StoredRecord>) -> Vec<StoredRecord> {
        self.inner.records_read.fetch_add(records.len() as u64, Ordering::Relaxed);
        records
    }

    /// A thread's row, if it is stored.
    ///
    /// # Errors
    /// The store failed.
    pub async fn thread(&self, thread: ThreadId) -> Result<Option<ThreadRow>, StoreError> {
        self.on_reader(move |conn| thread::get(conn, thread).map(Ok)).await
    }

    /// A page of stored threads.
    ///
    /// # Errors
    /// The cursor is not of this list, or the store failed.
    pub async fn list(&self, query: ListQuery) -> Result<ListPage, StoreError> {
        self.on_reader(move |conn| list(conn, &query)).await
    }

    /// Makes `new` a thread that begins with the records of `source` up to and with `upto` (none where that is 0, all
    /// where it is past the end), owned by `generation` of this run. Nothing is copied: while the fork is stored, a thread
    /// that holds its history cannot be deleted. Durable when it returns.
    ///
    /// # Errors
    /// [`ClaimError`]: the source is not stored or is archived, or the store failed.
    pub async fn fork(
        &self,
        source: ThreadId,
        upto: Seq,
        thread: ThreadId,
        generation: Generation,
        new: NewThread,
    ) -> Result<ThreadRow, ClaimError> {
        self.write(Fork { source, upto, thread, generation, new }).await
    }

    /// Whether a fork's history is in the thread's log, so that it cannot be deleted.
    ///
    /// # Errors
    /// The store failed.
    pub async fn is_forked(&self, thread: ThreadId) -> Result<bool, StoreError> {
        self.on_reader(move |conn| {
            let thread_no = thread::number(conn, thread)?;
            thread_no.map_or(Ok(false), |thread_no| lineage::is_base(conn, thread_no)).map(Ok)
        })
        .await
    }

    /// Archives or unarchives a thread that nobody owns, or that `generation` of this run owns; the row as it is then.
    /// Durable when it returns.
    ///
    /// # Errors
    /// [`ChangeError`]: not stored, already so, owned by another, or the store failed.
    pub async fn set_archived(
        &self,
        thread: ThreadId,
        archived: bool,
        generation: Option<Generation>,
    ) -> Result<ThreadRow, ChangeError> {
        self.write(SetArchived { thread, archived, generation }).await
    }

    /// Deletes a thread that nobody owns, or that `generation` of this run owns. It is gone for good when this returns;
    /// the room of a long log is given back little by little.
    ///
    /// # Errors
    /// [`ChangeError`]: not stored, forked from, owned by another, or the store failed.
    pub async fn delete(&self, thread: ThreadId, generation: Option<Generation>) -> Result<(), ChangeError> {
        self.write(Delete { thread, generation }).await
    }

    /// Changes the labels of a thread that nobody owns, or that `generation` of this run owns; the row as it is then.
    /// Durable when it returns.
    ///
    /// # Errors
    /// [`ChangeError`]: not stored, archived where a name was to be given, owned by another, or the store failed.
    pub async fn relabel(
        &self,
        thread: ThreadId,
        labels: Labels,
        generation: Option<Generation>,
    ) -> Result<ThreadRow, ChangeError> {
        self.write(Relabel { thread, labels, generation }).await
    }

    /// Keeps what is queued, closes the files and ends the threads. Other clones get [`StoreError::Closed`] from then on.
    pub async fn close(self) {
        let Threads { readers, writer } = mem::take(&mut *self.inner.threads());
        // Readers first: so the writer's is the last connection, which puts the files in order. A send fails only when
        // the threads have ended already.
        if let Some(reads) = &self.inner.reads {
            drop(reads.send(ReadMessage::Close).await);
        }
        for reader in readers {
            reader.join().await;
        }
        if let Some(writes) = &self.inner.writes {
            drop(writes.send(WriteMessage::Close).await);
        }
        if let Some(writer) = writer {
            writer.join().await;
        }
    }

    pub(crate) fn run(&self) -> &str {
        &self.inner.run
    }

    pub(crate) async fn write<C: Change>(&self, change: C) -> Result<C::Done, C::Refused> {
        let closed = || C::Refused::from(StoreError::Closed);
        let writes = self.inner.writes.as_ref().ok_or_else(closed)?;
        let (queued, answer) = Queued::new(change);
        writes.send(WriteMessage::Write(Box::new(queued))).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    async fn on_log<T, F>(&self, thread: ThreadId, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Connection, &[Segment]) -> rusqlite::Result<Result<T, StoreError>>
            + Send
            + 'static,
    {
        self.on_reader(move |conn| match thread::number(conn, thread)? {
            Some(thread_no) => read(conn, &lineage::segments(conn, thread_no)?),
            None => Ok(Err(StoreError::UnknownThread(thread))),
        })
        .await
    }

    pub(crate) async fn on_reader<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Connection) -> rusqlite::Result<Result<T, StoreError>> + Send + 'static,
    {
        let reads = self.inner.reads.as_ref().ok_or(StoreError::Closed)?;
        readers::read(reads, &self.inner.path, read).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Inner {
    fn threads(&self) -> std::sync::MutexGuard<'_, Threads> {
        // Only moved in and out of under the lock: a panic cannot leave it half done.
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    /// For stores that were not closed: waits for the threads, as long as the writes under way take.
    fn drop(&mut self) {
        let Threads { readers, writer } = mem::take(&mut *self.threads());
        self.reads = None;
        readers.into_iter().for_each(|thread| thread.join_blocking());
        self.writes = None;
        writer.into_iter().for_each(|thread| thread.join_blocking());
    }
}

impl Thread {
    fn start(name: &str, life: impl FnOnce() + Send + 'static) -> Result<Self, StoreError> {
        let (ending, ended) = oneshot::channel();
        let body = move || {
            life();
            drop(ending);
        };
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(|error| StoreError::Threads { cause: error.to_string() })?;
        Ok(Self { handle, ended })
    }

    /// Waits without blocking the caller's thread: the join comes when there is nothing left to wait for.
    async fn join(mut self) {
        // Nothing is ever sent: the error is the message, that the sender went with the thread's body.
        drop((&mut self.ended).await);
        self.join_blocking();
    }

    fn join_blocking(self) {
        if self.handle.join().is_err() {
            tracing::error!("a thread of the store panicked; what it had not answered is unknown");
        }
    }
}
