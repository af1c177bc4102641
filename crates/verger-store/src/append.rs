//! The one write that grows a log: records, the row's changes and, the first time, the thread itself.

use rusqlite::Connection;
use verger_core::ids::{Generation, Seq, ThreadId};

use crate::change::Change;
use crate::claim::{self, Runs};
use crate::error::AppendError;
use crate::log::{self, Record};
use crate::thread::{self, NewThread, ThreadPatch};

/// An append: all of it is kept, or nothing.
#[derive(Clone, Debug)]
pub struct Append {
    /// The thread.
    pub thread: ThreadId,
    /// Of the owner that appends; it must be the current one.
    pub generation: Generation,
    /// Where the owner believes the log ends; `Seq(0)` for a new thread.
    pub after: Seq,
    /// Given once, with a thread's first append: makes its row and this owner's claim.
    pub create: Option<NewThread>,
    /// Changes of the row, kept together with the records.
    pub patch: ThreadPatch,
    /// May be empty, to change the row alone.
    pub records: Vec<Record>,
}

impl Change for Append {
    /// The new head.
    type Done = Seq;
    type Refused = AppendError;

    fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.body.len()).sum()
    }

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<Seq, AppendError>> {
        let Append { thread, generation, after, .. } = *self;
        let thread_no = match (&self.create, thread::number(tx, thread)?) {
            (None, None) => return Ok(Err(AppendError::NotFound(thread))),
            (Some(_), Some(_)) => return Ok(Err(AppendError::Exists(thread))),
            (None, Some(thread_no)) => {
                if !claim::is_owner(tx, runs, thread_no, generation)? {
                    return Ok(Err(AppendError::Fenced { thread, generation }));
                }
                thread_no
            }
            (Some(new), None) => {
                let thread_no = thread::insert(tx, thread, new, None)?;
                claim::set(tx, runs, thread_no, generation)?;
                thread_no
            }
        };
        let head = log::head(tx, thread_no)?;
        if head != after {
            return Ok(Err(AppendError::SeqConflict { thread, after, head }));
        }
        let added = u32::try_from(self.records.len()).ok();
        let Some(new_head) = added.and_then(|added| head.0.checked_add(added)).map(Seq) else {
            return Ok(Err(AppendError::TooLong(thread)));
        };
        log::insert(tx, thread_no, head, generation, &self.records)?;
        thread::patch(tx, thread_no, &self.patch)?;
        Ok(Ok(new_head))
    }
}
