//! What can go wrong, in words a user can act on: the thing, the cause, the remedy.

use std::path::Path;
use std::sync::Arc;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use verger_core::ids::{Generation, Seq, ThreadId};

/// The store itself failed. `Clone`, because one failed group commit answers many writers.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A folder or file that must be writable is not.
    #[error("{}: cannot be written: {cause}; give this user write access to it or choose another state folder", path.display())]
    Unwritable {
        /// The folder or file.
        path: Arc<Path>,
        /// What the system said.
        cause: String,
    },
    /// The file has other content; it was left as it is.
    #[error("{}: is not a database; move it away and Verger creates a new one", path.display())]
    NotADatabase {
        /// The file.
        path: Arc<Path>,
    },
    /// The file is a database of another program; it was left as it is.
    #[error(
        "{}: is a database of another program (application id {application_id:#x}); move it away or choose another state folder",
        path.display()
    )]
    Foreign {
        /// The file.
        path: Arc<Path>,
        /// What it says in its header.
        application_id: i32,
    },
    /// A later Verger wrote the file; it was left as it is.
    #[error("{}: has schema {found}, this Verger knows {known}; use the newer Verger or another state folder", path.display())]
    Newer {
        /// The file.
        path: Arc<Path>,
        /// The file's schema version.
        found: i32,
        /// The newest version this build knows.
        known: i32,
    },
    /// No room. Nothing of the write was kept; the store goes on as soon as there is room.
    #[error("{}: the disk is full; free some space, then repeat what failed", path.display())]
    Full {
        /// The database.
        path: Arc<Path>,
    },
    /// SQLite found its own structures broken.
    #[error("{}: is corrupt: {cause}; stop Verger and restore it from a backup or with `sqlite3 FILE .recover`", path.display())]
    Corrupt {
        /// The database.
        path: Arc<Path>,
        /// What SQLite said.
        cause: String,
    },
    /// A record is missing or is not what was written. The thread's other records can still be read.
    #[error(
        "thread {thread}: record {seq} is damaged: {what}; restore the store from a backup or delete the thread"
    )]
    Damaged {
        /// The thread.
        thread: ThreadId,
        /// The record.
        seq: Seq,
        /// How it was noticed.
        what: &'static str,
    },
    /// The thread is not in the store: never materialized, or deleted meanwhile.
    #[error("thread {0}: is not in the store; it was deleted or has no turn yet")]
    UnknownThread(ThreadId),
    /// A list cursor that this store did not make for this order.
    #[error("cursor '{cursor}': was not made for this list; start again without a cursor")]
    BadCursor {
        /// As the client sent it.
        cursor: String,
    },
    /// The store was closed while, or before, this was asked.
    #[error("the store is closed; start the server again")]
    Closed,
    /// Any other failure of SQLite.
    #[error("{}: {cause}; see the server's log, and whether another program uses the file", path.display())]
    Sqlite {
        /// The database.
        path: Arc<Path>,
        /// What SQLite said.
        cause: Arc<rusqlite::Error>,
    },
    /// The system gave no thread.
    #[error("the store cannot start its threads: {cause}; raise the limit on tasks (ulimit -u, TasksMax)")]
    Threads {
        /// What the system said.
        cause: String,
    },
}

impl StoreError {
    /// Sorts SQLite's failure on `path` into what a user can do about it.
    pub(crate) fn sqlite(path: &Arc<Path>, error: rusqlite::Error) -> Self {
        let path = Arc::clone(path);
        let rusqlite::Error::SqliteFailure(code, _) = &error else {
            return Self::Sqlite { path, cause: Arc::new(error) };
        };
        match code.code {
            ErrorCode::DiskFull => Self::Full { path },
            // The WAL's index could not grow by a page: the same full disk, met by a reader.
            _ if code.extended_code == SQLITE_IOERR_SHMSIZE => Self::Full { path },
            ErrorCode::NotADatabase => Self::NotADatabase { path },
            ErrorCode::DatabaseCorrupt => Self::Corrupt { path, cause: error.to_string() },
            ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
                Self::Unwritable { path, cause: error.to_string() }
            }
            _ => Self::Sqlite { path, cause: Arc::new(error) },
        }
    }

    pub(crate) fn unwritable(path: &Path, cause: impl std::fmt::Display) -> Self {
        Self::Unwritable { path: path.into(), cause: cause.to_string() }
    }
}

/// Why a thread was not given to this owner.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClaimError {
    /// Never materialized, or deleted.
    #[error("thread {0}: is not in the store; it was deleted or has no turn yet")]
    NotFound(ThreadId),
    /// Archived threads have no owner.
    #[error("thread {0}: is archived; unarchive it first")]
    Archived(ThreadId),
    /// Another live run, or a later generation of this one, owns it.
    #[error("thread {thread} already has an active writer (pid {pid})")]
    Owned {
        /// The thread.
        thread: ThreadId,
        /// The process of the owner.
        pid: u32,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nothing was appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Never materialized, or deleted.
    #[error("thread {0}: is not in the store; it was deleted or has no turn yet")]
    NotFound(ThreadId),
    /// `create` was given for a thread that has a row.
    #[error("thread {0}: is in the store already; append to it without creating it")]
    Exists(ThreadId),
    /// The writer is not, or no longer, the thread's owner.
    #[error("thread {thread}: generation {generation} does not own it any more; resume the thread")]
    Fenced {
        /// The thread.
        thread: ThreadId,
        /// Under which the append was made.
        generation: Generation,
    },
    /// The log does not end where the writer thought.
    #[error("thread {thread}: the log ends at {head}, not at {after}; read it again from {after}")]
    SeqConflict {
        /// The thread.
        thread: ThreadId,
        /// What the writer expected.
        after: Seq,
        /// Where the log ends.
        head: Seq,
    },
    /// No sequence number is left.
    #[error("thread {0}: has no room for more records; fork it")]
    TooLong(ThreadId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a thread's row was not changed or deleted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// Never materialized, or deleted.
    #[error("thread {0}: is not in the store; it was deleted or has no turn yet")]
    NotFound(ThreadId),
    /// It is archived, and was to be archived or named.
    #[error("thread {0}: is archived; unarchive it first")]
    Archived(ThreadId),
    /// It is not archived, and was to be unarchived.
    #[error("thread {0}: is not archived; there is nothing to bring back")]
    NotArchived(ThreadId),
    /// It was to be deleted, and a fork's history is in its log.
    #[error("thread {0}: a fork still needs its history; delete the fork first")]
    Forked(ThreadId),
    /// A live owner that is not the caller.
    #[error("thread {thread} already has an active writer (pid {pid})")]
    Owned {
        /// The thread.
        thread: ThreadId,
        /// The process of the owner.
        pid: u32,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
