//! Forks: a thread whose first records are another's. Nothing is copied; `seq` runs on from where the fork began.

use rusqlite::{Connection, OptionalExtension};
use verger_core::ids::{Generation, Seq, ThreadId};

use crate::change::Change;
use crate::claim::{self, Runs};
use crate::error::ClaimError;
use crate::log;
use crate::thread::{self, Base, NewThread, ThreadRow};

/// A run of a thread's records: those after `after`, up to and with `upto`, as thread `thread_no` holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) thread_no: u32,
    pub(crate) after: Seq,
    pub(crate) upto: Seq,
}

/// Where the thread's records are, oldest first.
pub(crate) fn segments(conn: &Connection, thread_no: u32) -> rusqlite::Result<Vec<Segment>> {
    let (mut thread_no, mut upto) = (thread_no, Seq(u32::MAX));
    let mut segments = Vec::new();
    loop {
        let base = base(conn, thread_no)?;
        let after = base.map_or(Seq(0), |base| base.upto);
        segments.push(Segment { thread_no, after, upto });
        match base {
            None => break,
            Some(base) => (thread_no, upto) = (base.thread_no, base.upto),
        }
    }
    segments.reverse();
    Ok(segments)
}

/// What the thread was forked from, if its history still is there.
pub(crate) fn base(conn: &Connection, thread_no: u32) -> rusqlite::Result<Option<Base>> {
    conn.prepare_cached("SELECT base_no, base_seq FROM thread WHERE thread_no = ?1 AND base_no IS NOT NULL")?
        .query_row([thread_no], |row| Ok(Base { thread_no: row.get(0)?, upto: Seq(row.get(1)?) }))
        .optional()
}

/// Whether another thread's history is in this one's log.
pub(crate) fn is_base(conn: &Connection, thread_no: u32) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM thread WHERE base_no = ?1)")?
        .query_row([thread_no], |row| row.get(0))
}

/// Makes a thread that begins with another's records, and this owner's claim on it.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) source: ThreadId,
    pub(crate) upto: Seq,
    pub(crate) thread: ThreadId,
    pub(crate) generation: Generation,
    pub(crate) new: NewThread,
}

impl Change for Fork {
    type Done = ThreadRow;
    type Refused = ClaimError;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<ThreadRow, ClaimError>> {
        let source = self.source;
        let (Some(mut at), Some(row)) = (thread::number(tx, source)?, thread::get(tx, source)?) else {
            return Ok(Err(ClaimError::NotFound(source)));
        };
        if row.archived {
            return Ok(Err(ClaimError::Archived(source)));
        }
        let upto = self.upto.min(log::head(tx, at)?);
        // Refers to the thread that holds the records, so that no other is kept for their sake.
        while let Some(base) = base(tx, at)?.filter(|base| upto <= base.upto) {
            at = base.thread_no;
        }
        let base = (upto > Seq(0)).then_some(Base { thread_no: at, upto });
        let thread_no = thread::insert(tx, self.thread, &self.new, base)?;
        claim::set(tx, runs, thread_no, self.generation)?;
        // The row that was inserted a line above, by the same transaction.
        let forked = thread::get(tx, self.thread)?;
        Ok(forked.ok_or(ClaimError::NotFound(self.thread)))
    }
}
