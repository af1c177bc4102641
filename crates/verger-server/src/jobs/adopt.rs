//! What servers that are gone have left in the ledger: looked for only once nothing that they had started is left.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use verger_core::job::JobEvent;
use verger_reaper::{ReaperError, Run, RunState, run_state, sweep};
use verger_store::Adopted;

use super::scheduler::{AFTER_FAILURE, Chore, Report, Scheduler};
use crate::shared::Shared;

/// How long servers are left alone of which something does not die: to find that out takes a sweep its 10 s, and keeps other servers
/// from starting.
const AFTER_UNPROVEN: Duration = Duration::from_secs(60);

/// What a look has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) left: Adopted,
    /// Servers that are gone, of which something is not.
    pub(super) unproven: BTreeSet<String>,
}

impl Scheduler {
    /// Looks after what servers that are gone have left. One look at a time.
    pub(super) fn adopt(&mut self) {
        if self.runs_jobs && !std::mem::replace(&mut self.is_adopting, true) {
            self.freeing.append(&mut self.held);
            let (shared, me, unproven) =
                (Arc::clone(&self.shared), Arc::clone(&self.me), self.unproven.clone());
            self.tasks.spawn(async move { Report::Adopted(adopt(&shared, &me, unproven).await) });
        }
    }

    pub(super) fn has_adopted(&mut self, look: Result<Look, String>) {
        (self.is_adopting, self.has_looked_after) = (false, true);
        match look {
            Ok(Look { left, unproven }) => {
                self.unproven = unproven;
                if !self.unproven.is_empty() {
                    self.later(Chore::Adopt, AFTER_UNPROVEN);
                }
                self.free(&left);
                let mut rows = left.interrupted.iter().chain(&left.adopted);
                if rows.all(|row| self.names.contains_key(&row.job)) {
                    self.take_over(left);
                } else {
                    // They are of jobs that were added there while this server ran.
                    self.left.interrupted.extend(left.interrupted);
                    self.left.adopted.extend(left.adopted);
                    self.read_again();
                }
            }
            Err(error) => {
                tracing::error!(
                    error,
                    "what servers that are gone have left of jobs is not looked after yet"
                );
                self.free(&Adopted::default());
                self.later(Chore::Adopt, AFTER_FAILURE);
            }
        }
        // They came across something while that look was under way, which it may not have seen.
        if !self.held.is_empty() {
            self.adopt();
        }
    }

    /// Slots that waited are put down, at once where what was in their way was taken over. Else it is not proven gone, and still runs
    /// for all that is known, or it is another's by now: they wait a while, so that nobody asks without end.
    fn free(&mut self, left: &Adopted) {
        let rows = left.interrupted.iter().chain(&left.adopted);
        let found: HashSet<_> = rows.map(|row| row.job).collect();
        let held = std::mem::take(&mut self.held);
        let (freed, held) = held.into_iter().partition(|job| found.contains(job));
        self.held = held;
        for job in std::mem::take(&mut self.freeing).into_iter().chain::<Vec<_>>(freed) {
            match self.machine.standing(job).copied().filter(|_| found.contains(&job)) {
                Some(standing) => self.decide(JobEvent::Put { job, standing }),
                None => self.decide(JobEvent::NotPut { job }),
            }
        }
    }

    pub(super) fn take_over(&mut self, left: Adopted) {
        let Adopted { interrupted, adopted } = left;
        for row in interrupted {
            tracing::warn!(job = self.name(row.job), run = %row.id, "a job run was interrupted: its server ended without a word");
            self.tell_of(&row);
            self.notify_of(&row);
        }
        for row in adopted {
            tracing::info!(job = self.name(row.job), run = %row.id, "a job run is taken over from a server that is gone");
            self.wait_for(row);
        }
    }
}

/// Takes over what there is, if there is anything, but for what is left alone. What a dead server ran is interrupted: its processes are
/// gone, proven by the sweep, before its rows say so. Who dies meanwhile has its turn later.
///
/// # Errors
/// In words: the sweep or the store failed.
async fn adopt(shared: &Arc<Shared>, me: &Arc<Run>, mut unproven: BTreeSet<String>) -> Result<Look, String> {
    let mut gone = shared.store.other_owners().await.map_err(|error| error.to_string())?;
    let state = shared.home.state.clone();
    gone.retain(|run| !unproven.contains(run) && run_state(&state, run) == RunState::Gone);
    if gone.is_empty() {
        return Ok(Look { left: Adopted::default(), unproven });
    }
    let me = Arc::clone(me);
    let swept = tokio::task::spawn_blocking(move || {
        let swept = sweep(&state, &me)?;
        // Of a run that has no folder any more, it was another sweep that has proven it.
        let is_proven = |run: &String| match swept.runs.iter().find(|swept| swept.id == *run) {
            Some(swept) => swept.proven,
            None => matches!(state.join("runs").join(run).try_exists(), Ok(false)),
        };
        Ok::<_, ReaperError>(gone.into_iter().partition::<Vec<_>, _>(is_proven))
    });
    let swept = swept.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    // What does not die keeps its run's rows as they are: nothing was proven of it.
    let (gone, left_over) = swept;
    unproven.extend(left_over);
    let left = shared.store.adopt_runs(gone, shared.clock.timestamp()).await;
    Ok(Look { left: left.map_err(|error| error.to_string())?, unproven })
}
