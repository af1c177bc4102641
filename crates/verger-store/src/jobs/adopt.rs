//! What a server that is gone has left: what it ran was interrupted, what it was about to run is run by another.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::row::{ACTIVE, ACTIVE_RUNS, End, JobRunRow, Moment, RUN, RunState, run_from, run_that_is};
use crate::change::Change;
use crate::claim::{Liveness, Runs};
use crate::error::StoreError;

/// Why what it ran is over.
const REASON: &str = "the server that ran it ended without a word";

/// What was taken over, as it is now, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// What servers that are gone ran.
    pub interrupted: Vec<JobRunRow>,
    /// What they had not begun: this server's now.
    pub adopted: Vec<JobRunRow>,
}

/// Takes over all rows of these servers, as far as they are gone.
#[derive(Debug)]
pub(super) struct AdoptRuns {
    pub(super) of: Vec<String>,
    pub(super) now: Timestamp,
}

impl Change for AdoptRuns {
    type Done = Adopted;
    type Refused = StoreError;

    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<Adopted, StoreError>> {
        let mut adopted = Adopted::default();
        let others = self.of.iter().filter(|owner| **owner != runs.own);
        for owner in others.filter(|owner| (runs.liveness)(owner) == Liveness::Gone) {
            self.take_over(tx, runs, owner, &mut adopted)?;
        }
        adopted.interrupted.sort_unstable_by_key(|run| run.id);
        adopted.adopted.sort_unstable_by_key(|run| run.id);
        Ok(Ok(adopted))
    }
}

impl AdoptRuns {
    fn take_over(
        &self,
        tx: &Connection,
        runs: &Runs,
        owner: &str,
        adopted: &mut Adopted,
    ) -> rusqlite::Result<()> {
        let left = tx
            .prepare_cached(&format!("SELECT {RUN} FROM {ACTIVE_RUNS} WHERE r.state < 2 AND r.server = ?1"))?
            .query_map([owner], |row| run_from(row, 0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for run in left {
            let number = run.id.0.cast_signed();
            let list = if run.state == RunState::Running {
                let interrupted = RunState::Ended(End::Interrupted);
                tx.prepare_cached(
                    "UPDATE job_run SET state = ?2, reason = ?3, ended_at = ?4 WHERE run_no = ?1",
                )?
                .execute(params![number, interrupted, REASON, Moment(self.now)])?;
                &mut adopted.interrupted
            } else {
                tx.prepare_cached("UPDATE job_run SET server = ?2 WHERE run_no = ?1")?
                    .execute(params![number, runs.own])?;
                &mut adopted.adopted
            };
            list.push(run_that_is(tx, run.id)?);
        }
        Ok(())
    }
}

/// The runs other than `own`, gone or not, to which rows belong that are not over.
pub(super) fn other_owners(conn: &Connection, own: &str) -> rusqlite::Result<Vec<String>> {
    conn.prepare_cached(&format!("SELECT DISTINCT server FROM {ACTIVE} WHERE state < 2 AND server <> ?1"))?
        .query_map([own], |row| row.get(0))?
        .collect()
}
