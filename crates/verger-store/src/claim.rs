//! The owner fence: who may write to a thread, and when a claim is void.

use std::fmt;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use verger_core::ids::{Generation, ThreadId};

use crate::change::Change;
use crate::error::ClaimError;
use crate::thread::{self, ThreadRow};

/// Whether another run, named in a claim, still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Its process holds its lock.
    Live {
        /// That process.
        pid: u32,
    },
    /// Its lock is free, or nothing is known of it: its claims are void.
    Gone,
}

/// This process among those that share the store.
pub(crate) struct Runs {
    pub(crate) own: String,
    pub(crate) liveness: Arc<dyn Fn(&str) -> Liveness + Send + Sync>,
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs").field("own", &self.own).finish_non_exhaustive()
    }
}

/// A row of the claim table.
struct Held {
    run: String,
    generation: Generation,
}

fn held(conn: &Connection, thread_no: u32) -> rusqlite::Result<Option<Held>> {
    conn.prepare_cached("SELECT run, gen FROM claim WHERE thread_no = ?1")?
        .query_row([thread_no], |row| {
            Ok(Held { run: row.get(0)?, generation: Generation(row.get::<_, i64>(1)?.cast_unsigned()) })
        })
        .optional()
}

/// Whether exactly this owner holds the thread: what every append must prove.
pub(crate) fn is_owner(
    tx: &Connection,
    runs: &Runs,
    thread_no: u32,
    generation: Generation,
) -> rusqlite::Result<bool> {
    Ok(held(tx, thread_no)?.is_some_and(|held| held.run == runs.own && held.generation == generation))
}

/// The process whose valid claim forbids `generation` of this run (or `None`: someone who owns nothing) to take,
/// archive or delete the thread. A claim is void when its run is gone, or when it is this run's under a generation that
/// is not later than the asker's.
pub(crate) fn rival(
    tx: &Connection,
    runs: &Runs,
    thread_no: u32,
    generation: Option<Generation>,
) -> rusqlite::Result<Option<u32>> {
    let Some(held) = held(tx, thread_no)? else { return Ok(None) };
    if held.run == runs.own {
        let void = generation.is_some_and(|asker| held.generation <= asker);
        return Ok((!void).then(std::process::id));
    }
    Ok(match (runs.liveness)(&held.run) {
        Liveness::Live { pid } => Some(pid),
        Liveness::Gone => None,
    })
}

/// Makes this owner the holder, whoever held it before.
pub(crate) fn set(
    tx: &Connection,
    runs: &Runs,
    thread_no: u32,
    generation: Generation,
) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO claim (thread_no, run, gen) VALUES (?1, ?2, ?3)")?
        .execute(params![thread_no, runs.own, generation.0.cast_signed()])?;
    Ok(())
}

/// Takes a stored thread for an owner.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) thread: ThreadId,
    pub(crate) generation: Generation,
}

impl Change for Claim {
    type Done = ThreadRow;
    type Refused = ClaimError;

    // A claim says who of the living owns a thread. The only crash that loses a commit without a sync is one of the
    // whole machine, and that ends every run: all claims are void after it, kept or lost.
    const DURABLE: bool = false;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<ThreadRow, ClaimError>> {
        let thread = self.thread;
        let (Some(thread_no), Some(row)) = (thread::number(tx, thread)?, thread::get(tx, thread)?) else {
            return Ok(Err(ClaimError::NotFound(thread)));
        };
        if row.archived {
            return Ok(Err(ClaimError::Archived(thread)));
        }
        if let Some(pid) = rival(tx, runs, thread_no, Some(self.generation))? {
            return Ok(Err(ClaimError::Owned { thread, pid }));
        }
        set(tx, runs, thread_no, self.generation)?;
        Ok(Ok(row))
    }
}

/// Gives a thread up. Without effect when the owner does not hold it (any more).
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) thread: ThreadId,
    pub(crate) generation: Generation,
}

impl Change for Release {
    type Done = ();
    type Refused = crate::error::StoreError;

    // As for claims: lost only together with the run that made it.
    const DURABLE: bool = false;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<(), Self::Refused>> {
        tx.prepare_cached(
            "DELETE FROM claim WHERE thread_no = (SELECT thread_no FROM thread WHERE id = ?1)
             AND run = ?2 AND gen = ?3",
        )?
        .execute(params![self.thread.0.as_bytes(), runs.own, self.generation.0.cast_signed()])?;
        Ok(Ok(()))
    }
}
