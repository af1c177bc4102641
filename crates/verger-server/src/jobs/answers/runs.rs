//! Job runs are asked for by hand, and ended before they are done.

use verger_core::ids::JobRunId;
use verger_store::{End, JobError, JobRunRow, RunEnd, RunState};
use verger_wire::RpcError;
use verger_wire::requests::JobRunResponse;
use verger_wire::types::JobRun;

use super::super::scheduler::{MOST_WAITING, Report, Scheduler};
use super::super::shown;
use super::super::work::Stop;
use super::{Refused, internal, refused};
use crate::replier::Replier;

impl Scheduler {
    pub(super) fn run_now(&mut self, replier: Replier, name: String) -> Result<(), Refused> {
        let (replier, entry) = self.entry(replier, &name)?;
        if let Err(problem) = &entry.plan {
            return Err((replier, RpcError::invalid_job("definition", problem)));
        }
        if !self.runs_jobs {
            let why = "this server ends with its one client, and so runs no jobs; start `verger serve`, and ask that";
            return Err((replier, RpcError::invalid_request(why)));
        }
        let (store, job, now) = (self.shared.store.clone(), entry.id, self.shared.clock.timestamp());
        self.tasks.spawn(async move {
            match store.add_run(job, now, MOST_WAITING).await {
                Ok(row) => Report::Added { replier, row: Box::new(row) },
                Err(error) => refused(replier, &name, &error),
            }
        });
        Ok(())
    }

    pub(in super::super) fn run_added(&mut self, replier: Replier, row: JobRunRow) {
        let run = shown::run(self.name(row.job), &row);
        replier.ok(&JobRunResponse { run });
        self.tell_of(&row);
        self.wait_for(row);
    }

    pub(in super::super) fn cancel(&mut self, replier: Replier, run: JobRunId) {
        let Some(replier) = self.stop(replier, run) else { return };
        let (store, now) = (self.shared.store.clone(), self.shared.clock.timestamp());
        let own = self.me.id().to_owned();
        self.tasks.spawn(async move {
            let end = RunEnd {
                end: End::Cancelled,
                reason: Some("it was cancelled before it began".to_owned()),
                summary: None,
                now,
                retry_at: None,
                keep: u32::MAX,
                only_scheduled: true,
            };
            let refusal = match store.job_run(run).await {
                Err(error) => internal(error),
                Ok(None) => RpcError::job_run_not_found(run.0),
                Ok(Some(row)) if row.state.is_over() => {
                    RpcError::invalid_request(format!("run {run} has ended; there is nothing to cancel"))
                }
                Ok(Some(row)) if row.server.as_ref() != Some(&own) => RpcError::invalid_request(format!(
                    "run {run} is of another server of this home; cancel it there"
                )),
                Ok(Some(row)) if row.state == RunState::Running => return Report::Begun { replier, run },
                Ok(Some(_)) => match store.end_run(run, end).await {
                    Ok(ended) => return Report::Withdrawn { replier, row: Box::new(ended.row) },
                    Err(JobError::Over(_)) => return Report::Begun { replier, run },
                    Err(error) => internal(error),
                },
            };
            replier.refuse(&refusal);
            Report::Done
        });
    }

    /// What was to be cancelled before it began has begun meanwhile.
    pub(in super::super) fn begun(&mut self, replier: Replier, run: JobRunId) {
        if let Some(replier) = self.stop(replier, run) {
            // And ended, or it belongs to another by now.
            replier.refuse(&RpcError::invalid_request(JobError::Over(run).to_string()));
        }
    }

    /// Stops a run that is under way here; where it is not, the replier is handed back.
    fn stop(&mut self, replier: Replier, run: JobRunId) -> Option<Replier> {
        let Some(running) = self.running.get_mut(&run) else { return Some(replier) };
        // Also where the server is to stop: a turn would go on until the house has drained.
        running.stop.send_replace(Some(Stop::Cancelled));
        running.cancelling.push(replier);
        None
    }

    pub(in super::super) fn withdrawn(&mut self, replier: Replier, row: &JobRunRow) {
        self.withdraw(row.id);
        replier.ok(&JobRunResponse { run: shown::run(self.name(row.job), row) });
        self.tell_of(row);
    }
}

/// Answers those who have asked for the end of a run, which has come.
pub(in super::super) fn answer_cancelled(repliers: Vec<Replier>, run: JobRunId, shown: Option<JobRun>) {
    let answer = shown.map(|run| JobRunResponse { run }).ok_or_else(|| {
        RpcError::internal(format!("the end of run {run} could not be kept; see the server's log"))
    });
    for replier in repliers {
        replier.with(answer.clone());
    }
}
