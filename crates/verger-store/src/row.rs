//! Changes of a thread's row that are no event of the thread: archiving and labelling.

use rusqlite::{Connection, params};
use verger_core::ids::{Generation, ThreadId};

use crate::change::Change;
use crate::claim::{self, Runs};
use crate::error::ChangeError;
use crate::thread::{self, ThreadRow};

/// Moves a thread into the archive or back.
#[derive(Debug)]
pub(crate) struct SetArchived {
    pub(crate) thread: ThreadId,
    pub(crate) archived: bool,
    pub(crate) generation: Option<Generation>,
}

impl Change for SetArchived {
    /// The row as it is then.
    type Done = ThreadRow;
    type Refused = ChangeError;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<ThreadRow, ChangeError>> {
        let (thread_no, row) = match changeable(tx, runs, self.thread, self.generation)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        match (row.archived, self.archived) {
            (true, true) => return Ok(Err(ChangeError::Archived(self.thread))),
            (false, false) => return Ok(Err(ChangeError::NotArchived(self.thread))),
            _ => {}
        }
        tx.prepare_cached("UPDATE thread SET archived = ?2 WHERE thread_no = ?1")?
            .execute(params![thread_no, self.archived])?;
        Ok(Ok(ThreadRow { archived: self.archived, ..row }))
    }
}

/// What is written on a thread from outside. `None` leaves a label as it is, `Some(None)` takes it off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The title a user gave. Archived threads keep the one they have.
    pub name: Option<Option<String>>,
    /// JSON, opaque here.
    pub git_info: Option<Option<String>>,
}

/// Changes a thread's labels.
#[derive(Debug)]
pub(crate) struct Relabel {
    pub(crate) thread: ThreadId,
    pub(crate) labels: Labels,
    pub(crate) generation: Option<Generation>,
}

impl Change for Relabel {
    /// The row as it is then.
    type Done = ThreadRow;
    type Refused = ChangeError;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<ThreadRow, ChangeError>> {
        let (thread_no, mut row) = match changeable(tx, runs, self.thread, self.generation)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let Labels { name, git_info } = &self.labels;
        if name.is_some() && row.archived {
            return Ok(Err(ChangeError::Archived(self.thread)));
        }
        row.name = name.clone().unwrap_or(row.name);
        row.git_info = git_info.clone().unwrap_or(row.git_info);
        tx.prepare_cached("UPDATE thread SET name = ?2, git_info = ?3 WHERE thread_no = ?1")?
            .execute(params![thread_no, row.name, row.git_info])?;
        Ok(Ok(row))
    }
}

/// The thread's number and row, where nobody but `generation` of this run owns it.
fn changeable(
    tx: &Connection,
    runs: &Runs,
    thread: ThreadId,
    generation: Option<Generation>,
) -> rusqlite::Result<Result<(u32, ThreadRow), ChangeError>> {
    let (Some(thread_no), Some(row)) = (thread::number(tx, thread)?, thread::get(tx, thread)?) else {
        return Ok(Err(ChangeError::NotFound(thread)));
    };
    Ok(match claim::rival(tx, runs, thread_no, generation)? {
        Some(pid) => Err(ChangeError::Owned { thread, pid }),
        None => Ok((thread_no, row)),
    })
}
