//! The store's files: the folder, the database and its connections, and the lock that writers of all runs share.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::StoreError;

/// Makes the folder (0700) where it is missing.
pub(crate) fn create_folder(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| StoreError::unwritable(dir, error))
}

/// Makes an empty database file (0600; SQLite gives its WAL and index the same mode) where it is missing. The caller
/// holds the writer lock. A file that exists is not opened, not even to look at it: closing any descriptor of a file
/// drops all POSIX locks of the process on it, those of SQLite's open connections too.
pub(crate) fn create_database(dir: &Path) -> Result<Arc<Path>, StoreError> {
    let path = dir.join("store.db");
    match private().create_new(true).open(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(StoreError::unwritable(&path, error)),
    }
    Ok(path.into())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

/// Opens a connection. Page caches are small: the kernel has the file cached already, and every connection of an idle
/// server counts.
pub(crate) fn connect(path: &Arc<Path>, role: Role) -> Result<Connection, StoreError> {
    let sqlite = |error| StoreError::sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    // Where it may not write, SQLite opens for reading without a word.
    if conn.is_readonly("main").map_err(sqlite)? {
        return Err(StoreError::unwritable(path, "permission denied or read-only file system"));
    }
    let cache_kib = if role == Role::Writer { -1024 } else { -256 };
    conn.pragma_update(None, "cache_size", cache_kib).map_err(sqlite)?;
    conn.pragma_update(None, "temp_store", "MEMORY").map_err(sqlite)?;
    match role {
        // After a burst the WAL shrinks to this again.
        Role::Writer => conn.pragma_update(None, "journal_size_limit", 4 << 20),
        Role::Reader => conn.pragma_update(None, "query_only", true),
    }
    .map_err(sqlite)?;
    Ok(conn)
}

/// The lock that runs sharing a home take around each commit: blocking, so that they queue in the kernel in turn instead
/// of in the sleeps of SQLite's busy handler.
#[derive(Debug)]
pub(crate) struct WriterLock {
    file: File,
    path: PathBuf,
}

impl WriterLock {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("writer.flock");
        let file = private().create(true).truncate(false).open(&path);
        Ok(Self { file: file.map_err(|error| StoreError::unwritable(&path, error))?, path })
    }

    /// Waits until no other run is writing.
    pub(crate) fn hold(&self) -> Result<Held<'_>, StoreError> {
        loop {
            match flock(&self.file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Held(self)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(StoreError::unwritable(&self.path, io::Error::from(error))),
            }
        }
    }
}

/// The lock, held until dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Held<'a>(&'a WriterLock);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Err(error) = flock(&self.0.file, FlockOperation::Unlock) {
            tracing::error!(path = %self.0.path.display(), %error, "the writer lock could not be given back");
        }
    }
}
