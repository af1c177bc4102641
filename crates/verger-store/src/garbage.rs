//! Deleting a thread: its row at once, a long log in small portions while nobody waits for the writer.

use rusqlite::{Connection, OptionalExtension, params};
use verger_core::ids::{Generation, ThreadId};

use crate::change::Change;
use crate::claim::{self, Runs};
use crate::error::ChangeError;
use crate::{lineage, log, thread};

/// Records deleted in one transaction: about what a turn of group commits takes.
const PORTION: u32 = 256;

/// Deletes a thread.
#[derive(Debug)]
pub(crate) struct Delete {
    pub(crate) thread: ThreadId,
    pub(crate) generation: Option<Generation>,
}

impl Change for Delete {
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
        if lineage::is_base(tx, thread_no)? {
            return Ok(Err(ChangeError::Forked(thread)));
        }
        tx.execute("DELETE FROM claim WHERE thread_no = ?1", [thread_no])?;
        tx.execute("DELETE FROM thread WHERE thread_no = ?1", [thread_no])?;
        if !log::delete_some(tx, thread_no, PORTION)? {
            tx.execute("INSERT INTO garbage (thread_no) VALUES (?1)", [thread_no])?;
        }
        Ok(Ok(()))
    }
}

/// Deletes one portion of one deleted thread's records. False when there was nothing to do.
pub(crate) fn collect_some(tx: &Connection) -> rusqlite::Result<bool> {
    let next: Option<u32> = tx
        .prepare_cached("SELECT thread_no FROM garbage LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(thread_no) = next else { return Ok(false) };
    if log::delete_some(tx, thread_no, PORTION)? {
        tx.execute("DELETE FROM garbage WHERE thread_no = ?1", params![thread_no])?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;
    use verger_core::ids::Seq;

    use super::*;
    use crate::claim::Liveness;
    use crate::files::{self, Role};
    use crate::log::{Record, head};
    use crate::thread::NewThread;
    use crate::{Append, ThreadPatch, schema};

    #[test]
    fn a_long_log_goes_in_portions_and_takes_no_other_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = files::create_database(dir.path()).unwrap();
        let conn = files::connect(&path, Role::Writer).unwrap();
        schema::prepare(&conn, &path).unwrap();
        let runs = Runs { own: "run".to_owned(), liveness: Arc::new(|_| Liveness::Gone) };
        let generation = Generation(1);
        let threads = [1, 2, 3].map(|n| ThreadId(Uuid::from_u128(n)));
        conn.execute_batch("BEGIN").unwrap();
        for thread in threads {
            let records = vec![Record { kind: 0, body: vec![] }; PORTION as usize * 2 + 1];
            let create = Some(NewThread::default());
            let patch = ThreadPatch::default();
            let append = Append { thread, generation, after: Seq(0), create, patch, records };
            append.apply(&conn, &runs).unwrap().unwrap();
        }
        Delete { thread: threads[1], generation: Some(generation) }.apply(&conn, &runs).unwrap().unwrap();
        let left = |table: &str| -> u32 {
            conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        let mut counts = vec![left("event")];
        while collect_some(&conn).unwrap() {
            counts.push(left("event"));
        }
        assert_eq!(counts, [5 * PORTION + 3, 4 * PORTION + 3, 4 * PORTION + 2]);
        assert_eq!((left("garbage"), left("claim"), left("thread")), (0, 2, 2));
        for thread_no in [1, 3] {
            assert_eq!(head(&conn, thread_no).unwrap(), Seq(2 * PORTION + 1));
        }
    }
}
