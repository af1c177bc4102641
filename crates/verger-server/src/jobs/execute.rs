//! One job run from its beginning to its end: begun in the ledger, worked, its helpers proven gone, ended in the ledger, and
//! somebody told.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use verger_core::ids::{ConnectionId, JobRunId, ThreadId};
use verger_core::job::retry_at;
use verger_store::{Begun, End, Ended, JobError, JobRunRow, RunEnd};
use verger_wire::types::ThreadStatus;

use super::client::Client;
use super::limits::Limits;
use super::notify;
use super::plan::{JobPlan, LONGEST_BACKOFF, Place, Work};
use super::shown;
use super::work::{Doing, Outcome, STOPPED, Stop};
use super::{JobsHandle, ToJobs};
use crate::config::Config;
use crate::dispatch::{ANSWERS, Dispatch};
use crate::house::{HouseHandle, Vacated};
use crate::shared::Shared;

/// How long the ledger is left alone that has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// How long a run that is done keeps others waiting until its helpers are proven gone: longer than it takes where they are told to end
/// and do not listen.
const LINGERS: Duration = Duration::from_secs(30);

/// What one job run needs.
pub(super) struct Execution {
    pub(super) shared: Arc<Shared>,
    pub(super) house: HouseHandle,
    pub(super) jobs: JobsHandle,
    /// The job's name.
    pub(super) name: String,
    pub(super) run: JobRunRow,
    pub(super) plan: Arc<JobPlan>,
    pub(super) config: Arc<Config>,
    pub(super) stop: watch::Receiver<Option<Stop>>,
    pub(super) ending: Ending,
}

/// What a job run is told of the server's end.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    /// Cancelled when nobody is served any more.
    pub(super) shutdown: CancellationToken,
    /// How many helpers could not be proven gone, once all others are.
    pub(super) stuck: watch::Receiver<Option<usize>>,
}

impl Execution {
    /// The whole of it.
    pub(super) async fn execute(self) {
        let run = self.run.id;
        let now = self.shared.clock.timestamp();
        match self.shared.store.begin_run(run, self.plan.rules.overlap, now).await {
            Ok(Begun::Yes) => {}
            // It goes on in another server, of which nobody hears here.
            Ok(Begun::NotYet) => return self.jobs.send(ToJobs::NotBegun { row: Box::new(self.run) }),
            Ok(Begun::No) => return self.jobs.send(ToJobs::Ended { run, row: None, retry: None }),
            Err(error) => {
                tracing::error!(%run, job = self.name, %error, "a job run could not begin");
                return self.jobs.send(ToJobs::NotBegun { row: Box::new(self.run) });
            }
        }
        self.tell_of(run).await;
        let connection = self.shared.next_connection();
        let (client, serving) = Client::connect(self.dispatch(connection), self.ending.shutdown.clone());
        let both = async { tokio::join!(self.in_custody(client, connection), serving) };
        let ended = match AssertUnwindSafe(both).catch_unwind().await {
            Ok((ended, ())) => ended,
            Err(_panic) => {
                tracing::error!(%run, job = self.name, "a job run's own task failed; its row stays open until the next start");
                None
            }
        };
        let retry = ended.as_ref().and_then(|ended| ended.retry.clone());
        let row = ended.map(|ended| ended.row);
        self.jobs.send(ToJobs::Ended { run, row: row.clone().map(Box::new), retry: retry.map(Box::new) });
        if let Some(row) = row {
            let shown = shown::run(&self.name, &row);
            self.shared.announce_job_run(shown.clone());
            notify::of_end(&self.shared, &self.plan, &shown, &self.ending).await;
        }
    }

    /// Works, and ends the run in the ledger once its helpers are proven gone. Nothing where that could not be done.
    async fn in_custody(&self, mut client: Client, connection: ConnectionId) -> Option<Ended> {
        let mut thread = None;
        // Whatever happens in there, what it has started is looked after.
        let working = AssertUnwindSafe(self.work(&mut client, &mut thread)).catch_unwind();
        let outcome = working.await.unwrap_or_else(|_panic| {
            Outcome::new(End::Failed, "the run's own task failed; see the server's log")
        });
        let is_stopping = *self.stop.borrow() == Some(Stop::Shutdown);
        let outcome = match outcome.end {
            // What became of it then says nothing of the run.
            End::Failed | End::Cancelled if is_stopping => {
                Outcome { reason: Some(STOPPED.to_owned()), end: End::Cancelled, ..outcome }
            }
            _ => outcome,
        };
        if let Some(thread) = thread
            && !self.is_vacated(connection, thread).await
        {
            return None;
        }
        let ended = self.end(outcome).await?;
        if let Some(thread) = thread {
            let params = json!({ "threadId": thread.to_string() });
            if let Err(error) = client.request::<serde_json::Value>("thread/unsubscribe", &params).await {
                tracing::debug!(%thread, %error, "a job run leaves its thread with its connection");
            }
        }
        self.prune(&mut client, &ended.pruned).await;
        Some(ended)
    }

    async fn work(&self, client: &mut Client, opened: &mut Option<ThreadId>) -> Outcome {
        if let Err(failure) = client.initialize().await {
            return failure.into();
        }
        let (plan, config) = (&*self.plan, &*self.config);
        let last_thread = match plan.thread {
            Place::Same => self.shared.store.last_thread(self.run.job).await,
            Place::New | Place::Id(_) => Ok(None),
        };
        let last_thread = match last_thread {
            Ok(thread) => thread,
            Err(error) => return Outcome::failed(error.to_string()),
        };
        let title = shown::title(&self.name, &self.run, &plan.rules.zone);
        let is_open = match plan.thread {
            Place::Id(thread) => self.shared.statuses.get(thread) != ThreadStatus::NotLoaded,
            Place::New | Place::Same => false,
        };
        let limits = Limits::new(plan, self.stop.clone());
        let mut doing = Doing { client, plan, config, title, last_thread, is_open, limits };
        let thread = match doing.open().await {
            Ok(thread) => thread,
            Err(outcome) => return outcome,
        };
        *opened = Some(thread);
        // A thread in which nothing is kept cannot be opened later.
        if matches!(plan.work, Work::Prompt(_)) {
            let owns = plan.thread == Place::New;
            if let Err(error) = self.shared.store.set_run_thread(self.run.id, thread, owns).await {
                return Outcome::new(End::Failed, error.to_string());
            }
            self.tell_of(self.run.id).await;
        }
        doing.work(thread).await
    }

    /// Ends the thread's helpers; whether they are gone, or somebody else's.
    async fn is_vacated(&self, connection: ConnectionId, thread: ThreadId) -> bool {
        let mut vacating = pin!(self.house.vacate(connection, thread));
        let vacated = match timeout(LINGERS, &mut vacating).await {
            Ok(vacated) => vacated,
            Err(_) => {
                tracing::warn!(job = self.name, run = %self.run.id, "a job run's helpers are not proven gone yet; others begin meanwhile");
                self.jobs.send(ToJobs::Lingers { run: self.run.id });
                vacating.await
            }
        };
        match vacated {
            Ok(Vacated::Gone | Vacated::Shared) => true,
            Ok(Vacated::WithTheHouse) => {
                let mut stuck = self.ending.stuck.clone();
                let stuck = stuck.wait_for(Option::is_some).await.map_or(None, |stuck| *stuck);
                // What was not proven is left to the next start, which says that the run was interrupted.
                stuck == Some(0)
            }
            Err(why) => {
                tracing::error!(job = self.name, run = %self.run.id, why, "a job run's helpers are not proven gone");
                false
            }
        }
    }

    /// Ends the run in the ledger. What the ledger cannot keep now is tried again: it is all that is left to do.
    async fn end(&self, outcome: Outcome) -> Option<Ended> {
        let Outcome { end, reason, summary } = outcome;
        let plan = &self.plan;
        loop {
            let now = self.shared.clock.timestamp();
            let may_retry = matches!(end, End::Failed | End::TimedOut) && self.run.attempt <= plan.retries;
            let retry =
                may_retry.then(|| retry_at(now, self.run.attempt, plan.retry_backoff, LONGEST_BACKOFF));
            let how = RunEnd {
                end,
                reason: reason.clone(),
                summary: summary.clone(),
                now,
                retry_at: retry,
                keep: plan.keep,
                only_scheduled: false,
            };
            match self.shared.store.end_run(self.run.id, how).await {
                Ok(ended) => return Some(ended),
                Err(JobError::Store(error)) if !self.ending.shutdown.is_cancelled() => {
                    tracing::error!(run = %self.run.id, job = self.name, %error, "the end of a job run is not kept yet");
                    tokio::select! {
                        () = sleep(AFTER_FAILURE) => {}
                        () = self.ending.shutdown.cancelled() => {}
                    }
                }
                Err(error) => {
                    tracing::error!(run = %self.run.id, job = self.name, %error, "the end of a job run is not kept");
                    return None;
                }
            }
        }
    }

    /// Deletes the threads of runs that are not kept any more and were theirs alone, unless somebody has them open.
    async fn prune(&self, client: &mut Client, pruned: &[JobRunRow]) {
        for thread in pruned.iter().filter(|run| run.owns_thread).filter_map(|run| run.thread) {
            if self.shared.statuses.get(thread) != ThreadStatus::NotLoaded {
                continue;
            }
            let params = json!({ "threadId": thread.to_string() });
            if let Err(error) = client.request::<serde_json::Value>("thread/delete", &params).await {
                tracing::info!(%thread, %error, "the thread of a run that is not kept any more stays");
            }
        }
    }

    /// Tells those who have asked about jobs how a run stands.
    async fn tell_of(&self, run: JobRunId) {
        match self.shared.store.job_run(run).await {
            Ok(Some(row)) => self.shared.announce_job_run(shown::run(&self.name, &row)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%run, %error, "nobody is told of a job run"),
        }
    }

    fn dispatch(&self, connection: ConnectionId) -> Dispatch {
        Dispatch {
            shared: Arc::clone(&self.shared),
            house: self.house.clone(),
            jobs: self.jobs.clone(),
            connection,
            folder: None,
            full: None,
            experimental: false,
            answers: Arc::new(Semaphore::new(ANSWERS)),
        }
    }
}
