//! Changes of a thread's row that need no owner: archiving and naming.

use rusqlite::{Connection, params};
use verger_core::ids::{Generation, ThreadId};

use crate::change::Change;
use crate::claim::{self, Runs};
use crate::error::ChangeError;
use crate::thread;

/// Moves a thread into the archive or back.
#[derive(Debug)]
pub(crate) struct SetArchived {
    pub(crate) thread: ThreadId,
    pub(crate) archived: bool,
    pub(crate) generation: Option<Generation>,
}

impl Change for SetArchived {
    type Done = ();
    type Refused = ChangeError;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<(), ChangeError>> {
        let thread = self.thread;
        let Some(thread_no) = thread::number(tx, thread)? else {
            return Ok(Err(ChangeError::NotFound(thread)));
        };
        if let Some(pid) = claim::rival(tx, runs, thread_no, self.generation)? {
            return Ok(Err(ChangeError::Owned { thread, pid }));
        }
        tx.prepare_cached("UPDATE thread SET archived = ?2 WHERE thread_no = ?1")?
            .execute(params![thread_no, self.archived])?;
        Ok(Ok(()))
    }
}

/// Gives a thread a name, or none.
#[derive(Debug)]
pub(crate) struct SetName {
    pub(crate) thread: ThreadId,
    pub(crate) name: Option<String>,
}

impl Change for SetName {
    type Done = ();
    type Refused = ChangeError;

    fn apply(&self, tx: &Connection, _: &Runs) -> rusqlite::Result<Result<(), ChangeError>> {
        let named = tx
            .prepare_cached("UPDATE thread SET name = ?2 WHERE id = ?1")?
            .execute(params![self.thread.0.as_bytes(), self.name])?;
        Ok(if named == 1 { Ok(()) } else { Err(ChangeError::NotFound(self.thread)) })
    }
}
