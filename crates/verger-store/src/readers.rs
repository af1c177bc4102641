//! The reader threads: a fixed few that share one queue, so that a long read never holds up a short one behind it
//! while another reader is idle.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;

/// How many threads read. Reads are bounded in records and bytes, so two keep a big one from blocking all others.
pub(crate) const READERS: usize = 2;

/// How many reads may wait before callers do.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// What the readers are sent.
pub(crate) enum ReadMessage {
    /// Run this.
    Job(Job),
    /// Run what is queued, take no more, end.
    Close,
}

/// The readers' queue: bounded to [`QUEUE`] messages. Closed by [`ReadMessage::Close`] or when the last sender is gone;
/// both mean that the readers finish what is queued and end.
pub(crate) fn queue() -> (mpsc::Sender<ReadMessage>, ReadQueue) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (sender, ReadQueue(Arc::new(Mutex::new(receiver))))
}

/// The receiving end, shared by the readers: whoever holds the lock waits for the next message.
#[derive(Clone)]
pub(crate) struct ReadQueue(Arc<Mutex<mpsc::Receiver<ReadMessage>>>);

impl ReadQueue {
    /// One reader's life.
    pub(crate) fn serve(&self, conn: &Connection) {
        while let Some(job) = self.next() {
            job(conn);
        }
    }

    fn next(&self) -> Option<Job> {
        // Jobs run outside the lock, so a poisoned one guards a sound receiver.
        let mut receiver = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match receiver.blocking_recv()? {
                ReadMessage::Job(job) => return Some(job),
                ReadMessage::Close => receiver.close(),
            }
        }
    }
}

/// Runs `read` on a reader thread. Outer error of `read`: SQLite failed; inner: the store's own.
pub(crate) async fn read<T, F>(
    readers: &mpsc::Sender<ReadMessage>,
    path: &Arc<Path>,
    read: F,
) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> rusqlite::Result<Result<T, StoreError>> + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    let path = Arc::clone(path);
    let job = Box::new(move |conn: &Connection| {
        let result = read(conn).unwrap_or_else(|error| Err(StoreError::sqlite(&path, error)));
        if caller.send(result).is_err() {
            tracing::trace!("a caller of the store did not wait for its read");
        }
    });
    readers.send(ReadMessage::Job(job)).await.map_err(|_| StoreError::Closed)?;
    answer.await.map_err(|_| StoreError::Closed)?
}
