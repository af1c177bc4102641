//! The writer thread: takes whatever is queued, keeps it in one durable transaction, then answers.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::mpsc::{self, error::TryRecvError};

use crate::change::Write;
use crate::claim::Runs;
use crate::error::StoreError;
use crate::files::WriterLock;
use crate::garbage;

/// How many writes may wait before callers do.
const QUEUE: usize = 256;

/// A group commit takes no further write past this many ...
const GROUP_WRITES: usize = 256;

/// ... or past this many bytes, so that the first caller does not wait for the last one's megabytes.
const GROUP_BYTES: usize = 1 << 20;

/// What the writer is sent.
pub(crate) enum WriteMessage {
    /// Apply this, answer after the commit.
    Write(Box<dyn Write>),
    /// Keep what is queued, take no more, end.
    Close,
}

/// The writer's queue: bounded to [`QUEUE`] messages. Closed by [`WriteMessage::Close`] or when the last sender is gone;
/// both mean that the writer commits and answers what is queued and ends.
pub(crate) fn queue() -> (mpsc::Sender<WriteMessage>, mpsc::Receiver<WriteMessage>) {
    mpsc::channel(QUEUE)
}

/// How far a commit goes before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    /// To the disk.
    Full,
    /// To the kernel: survives a crash of the process, not one of the machine.
    Normal,
}

/// Everything the writer thread owns.
pub(crate) struct Writer {
    conn: Connection,
    path: Arc<Path>,
    lock: WriterLock,
    runs: Runs,
    queue: mpsc::Receiver<WriteMessage>,
    sync: Option<Sync>,
    /// There may be records of deleted threads left; unknown at start.
    garbage: bool,
}

impl Writer {
    pub(crate) fn new(
        conn: Connection,
        path: Arc<Path>,
        lock: WriterLock,
        runs: Runs,
        queue: mpsc::Receiver<WriteMessage>,
    ) -> Self {
        Self { conn, path, lock, runs, queue, sync: None, garbage: true }
    }

    /// The thread's life.
    pub(crate) fn run(mut self) {
        while let Some(message) = self.next() {
            match message {
                WriteMessage::Close => self.queue.close(),
                WriteMessage::Write(first) => self.commit_group(first),
            }
        }
        self.close();
    }

    /// The next message; while there is none, time to collect garbage.
    fn next(&mut self) -> Option<WriteMessage> {
        while self.garbage {
            match self.queue.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.collect_garbage(),
            }
        }
        self.queue.blocking_recv()
    }

    fn commit_group(&mut self, first: Box<dyn Write>) {
        let mut group = vec![first];
        match self.transact(&mut group, Admit::More) {
            // Perhaps one of them is too big for what is left: it must not fail its neighbours.
            Err(StoreError::Full { .. }) if group.len() > 1 => {
                for write in group {
                    let mut alone = vec![write];
                    let commit = self.transact(&mut alone, Admit::NoMore);
                    answer(alone, &commit);
                }
            }
            commit => answer(group, &commit),
        }
        self.garbage = true;
    }

    /// Applies the group in one transaction, under the lock of all runs.
    fn transact(&mut self, group: &mut Vec<Box<dyn Write>>, admit: Admit) -> Result<(), StoreError> {
        let held = self.lock.hold()?;
        if admit == Admit::More {
            // The wait for the lock is when most of a group comes together.
            absorb(&mut self.queue, group);
        }
        let sync = if group.iter().any(|write| write.durable()) { Sync::Full } else { Sync::Normal };
        let result = set_sync(&self.conn, &mut self.sync, sync)
            .and_then(|()| begin(&self.conn))
            .and_then(|()| {
                let mut next = 0;
                while let Some(write) = group.get_mut(next) {
                    apply(&self.conn, &self.runs, &self.path, write.as_mut())?;
                    next += 1;
                    if next == group.len() && admit == Admit::More && sync == Sync::Full {
                        absorb(&mut self.queue, group);
                    }
                }
                self.conn.prepare_cached("COMMIT")?.execute([]).map(drop)
            })
            .map_err(|error| StoreError::sqlite(&self.path, error));
        if result.is_err() {
            rollback(&self.conn);
        }
        drop(held);
        result
    }

    fn collect_garbage(&mut self) {
        // Needs no sync of its own: what is lost is collected again.
        let result = self.lock.hold().and_then(|_held| {
            set_sync(&self.conn, &mut self.sync, Sync::Normal)
                .and_then(|()| begin(&self.conn))
                .and_then(|()| garbage::collect_some(&self.conn))
                .and_then(|more| self.conn.execute_batch("COMMIT").map(|()| more))
                .inspect_err(|_| rollback(&self.conn))
                .map_err(|error| StoreError::sqlite(&self.path, error))
        });
        self.garbage = result.unwrap_or_else(|error| {
            tracing::warn!(%error, "records of deleted threads stay until the next write");
            false
        });
    }

    /// The last connection to close moves the WAL into the database: a write, so under the lock.
    fn close(self) {
        match self.lock.hold() {
            Ok(_held) => {
                if let Err((_, error)) = self.conn.close() {
                    tracing::warn!(path = %self.path.display(), %error, "the store was not closed cleanly");
                }
            }
            Err(error) => tracing::warn!(%error, "the store was not closed cleanly"),
        }
    }
}

/// Whether a transaction may take more from the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admit {
    More,
    NoMore,
}

/// Takes what is queued, up to the bounds of a group.
fn absorb(queue: &mut mpsc::Receiver<WriteMessage>, group: &mut Vec<Box<dyn Write>>) {
    let mut bytes: usize = group.iter().map(|write| write.bytes()).sum();
    while group.len() < GROUP_WRITES && bytes < GROUP_BYTES {
        match queue.try_recv() {
            Ok(WriteMessage::Write(write)) => {
                bytes = bytes.saturating_add(write.bytes());
                group.push(write);
            }
            // What was queued before is still received after this, then nothing more.
            Ok(WriteMessage::Close) => queue.close(),
            // A closed and empty queue is noticed where the next group begins.
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
        }
    }
}

fn answer(group: Vec<Box<dyn Write>>, commit: &Result<(), StoreError>) {
    for write in group {
        write.answer(commit.clone());
    }
}

fn set_sync(conn: &Connection, current: &mut Option<Sync>, wanted: Sync) -> rusqlite::Result<()> {
    if *current != Some(wanted) {
        let value = match wanted {
            Sync::Full => "FULL",
            Sync::Normal => "NORMAL",
        };
        conn.pragma_update(None, "synchronous", value)?;
        *current = Some(wanted);
    }
    Ok(())
}

fn begin(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
}

/// Applies one write inside a savepoint, so that it fails alone. An error means that the whole transaction is gone.
fn apply(conn: &Connection, runs: &Runs, path: &Arc<Path>, write: &mut dyn Write) -> rusqlite::Result<()> {
    let execute = |sql| conn.prepare_cached(sql)?.execute([]).map(drop);
    execute("SAVEPOINT one")?;
    let keep = match write.apply(conn, runs) {
        Ok(keep) => keep,
        // On some errors, a full disk among them, SQLite itself rolls everything back.
        Err(error) if conn.is_autocommit() => return Err(error),
        Err(error) => {
            write.fail(StoreError::sqlite(path, error));
            false
        }
    };
    if !keep {
        execute("ROLLBACK TO one")?;
    }
    execute("RELEASE one")
}

fn rollback(conn: &Connection) {
    if !conn.is_autocommit()
        && let Err(error) = conn.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a failed group commit could not be rolled back");
    }
}

#[cfg(test)]
mod tests;
