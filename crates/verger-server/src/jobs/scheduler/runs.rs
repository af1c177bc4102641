//! From a slot to a job run: put down in the ledger, waited for, begun, and, where a server is gone, taken over.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;
use verger_core::ids::{JobId, JobRunId};
use verger_core::job::{JobEffect, JobEvent};
use verger_store::{End, JobError, JobRunRow, Put, PutSlots, RunEnd, RunState};

use super::super::execute::Execution;
use super::super::plan::JobPlan;
use super::super::{answers, notify, shown};
use super::{AFTER_FAILURE, Report, Running, Scheduler};

/// Ticks that are put down at once: they share the ledger's commits.
const PUTS: usize = 64;

/// So many of a job's runs may wait to begin.
pub(in super::super) const MOST_WAITING: u32 = 64;

impl Scheduler {
    pub(super) fn perform_all(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            self.perform(effect);
        }
        for job in self.disowned.drain(..) {
            self.names.remove(&job);
        }
        while self.has_looked_after
            && self.putting < PUTS
            && let Some(put) = self.puts.pop_front()
        {
            self.putting += 1;
            let store = self.shared.store.clone();
            self.tasks.spawn(async move { Report::Put(put.job, store.put_slots(put).await) });
        }
    }

    pub(super) fn perform(&mut self, effect: JobEffect) {
        match effect {
            JobEffect::Put { job, seen, tick, overlap } => {
                let now = self.shared.clock.timestamp();
                let keep = self.plan(job).map_or(u32::MAX, |(_, plan)| plan.keep);
                self.puts.push_back(PutSlots {
                    job,
                    seen: seen.cursor,
                    revision: Some(seen.revision),
                    tick,
                    overlap,
                    most_waiting: MOST_WAITING,
                    keep,
                    unproven: self.unproven.iter().cloned().collect(),
                    now,
                });
            }
            JobEffect::Begin { job, run } => self.begin(job, run),
            JobEffect::Drop { run } => {
                if let Some(row) = self.waiting.remove(&run) {
                    self.drop_run(row);
                }
            }
        }
    }

    pub(super) fn has_put(&mut self, job: JobId, put: Result<Put, JobError>) {
        self.putting -= 1;
        match put {
            Ok(Put { standing, runs }) => {
                let was_stale = runs.is_empty();
                for row in runs {
                    self.tell_of(&row);
                    self.wait_for(row);
                }
                let known = self.known(job).and_then(|name| self.book.get_mut(&name));
                match known {
                    // Not what this server did with it alone: it may be told to be another by now.
                    Some(entry) if was_stale || standing.revision != entry.standing.revision + 1 => {
                        self.look_again(job);
                    }
                    known => {
                        if let Some(entry) = known {
                            entry.standing = standing;
                        }
                        self.decide(JobEvent::Put { job, standing });
                    }
                }
            }
            Err(JobError::Store(error)) => {
                tracing::error!(job = self.name(job), %error, "the slots of a job are not put down yet");
                self.decide(JobEvent::NotPut { job });
            }
            // What is in the way is looked after first. The job's slots wait for that.
            Err(JobError::Abandoned { .. }) => self.held.push(job),
            // Removed by another server.
            Err(error) => {
                tracing::info!(job = self.name(job), %error, "a job is no more");
                match self.known(job) {
                    Some(name) => self.forget(&name, job),
                    None => self.decide(JobEvent::Removed { job }),
                }
            }
        }
        // Who puts slots down looks after those whom others had put down and did not live to begin.
        self.adopt();
    }

    /// Lets the machine decide when a row begins, if it is to.
    pub(in super::super) fn wait_for(&mut self, row: JobRunRow) {
        if row.state == RunState::Scheduled {
            let (job, run, due) = (row.job, row.id, row.due_at);
            self.waiting.insert(run, row);
            self.decide(JobEvent::Waits { job, run, due });
        }
    }

    /// A row that waited does not any more.
    pub(in super::super) fn withdraw(&mut self, run: JobRunId) {
        self.waiting.remove(&run);
        self.decide(JobEvent::Withdrawn { run });
    }

    fn begin(&mut self, job: JobId, run: JobRunId) {
        let known = self.plan(job).map(|(name, plan)| (name.to_owned(), Arc::clone(plan)));
        let Some(row) = self.waiting.remove(&run) else { return self.decide(JobEvent::Ended { run }) };
        let Some((name, plan)) = known else {
            self.decide(JobEvent::Ended { run });
            return self.drop_run(row);
        };
        let (stop, stopped) = watch::channel(None);
        let execution = Execution {
            shared: Arc::clone(&self.shared),
            house: self.house.clone(),
            jobs: self.jobs.clone(),
            name: name.clone(),
            run: row,
            plan,
            config: self.shared.config(),
            stop: stopped,
            ending: self.ending.clone(),
        };
        self.running.insert(run, Running { name, stop, cancelling: Vec::new() });
        self.tasks.spawn(async move {
            execution.execute().await;
            Report::Done
        });
    }

    pub(super) fn ended(&mut self, run: JobRunId, row: Option<JobRunRow>, retry: Option<JobRunRow>) {
        let running = self.running.remove(&run);
        self.decide(JobEvent::Ended { run });
        if let Some(Running { name, cancelling, .. }) = running {
            let shown = row.map(|row| shown::run(&name, &row));
            answers::answer_cancelled(cancelling, run, shown);
            if let Some(retry) = &retry {
                self.tell_of_run(&name, retry);
            }
        }
        if let Some(retry) = retry {
            self.wait_for(retry);
        }
    }

    /// Ends a row that never began, and never will.
    fn drop_run(&mut self, row: JobRunRow) {
        let (run, name) = (row.id, self.name(row.job).to_owned());
        let (store, now) = (self.shared.store.clone(), self.shared.clock.timestamp());
        let reason = Some("its job was removed, or cannot run any more".to_owned());
        let shutdown = self.ending.shutdown.clone();
        self.tasks.spawn(async move {
            let end = RunEnd {
                end: End::Cancelled,
                reason,
                summary: None,
                now,
                retry_at: None,
                keep: u32::MAX,
                only_scheduled: true,
            };
            loop {
                match store.end_run(run, end.clone()).await {
                    Ok(ended) => return Report::Dropped { name, row: Box::new(ended.row) },
                    Err(JobError::Over(_)) => return Report::Done,
                    Err(error) => {
                        tracing::error!(%run, %error, "a job run that is not wanted any more is not ended yet")
                    }
                }
                tokio::select! {
                    () = sleep(AFTER_FAILURE) => {}
                    () = shutdown.cancelled() => return Report::Done,
                }
            }
        });
    }

    /// Tells whoever the job names that a run was interrupted.
    pub(in super::super) fn notify_of(&mut self, row: &JobRunRow) {
        let Some((name, plan)) = self.plan(row.job) else { return };
        let (shared, plan, ending) = (Arc::clone(&self.shared), Arc::clone(plan), self.ending.clone());
        let run = shown::run(name, row);
        self.tasks.spawn(async move {
            notify::of_end(&shared, &plan, &run, &ending).await;
            Report::Done
        });
    }

    /// Tells those who have asked about jobs how a run stands.
    pub(in super::super) fn tell_of(&self, row: &JobRunRow) {
        self.tell_of_run(self.name(row.job), row);
    }

    pub(super) fn tell_of_run(&self, name: &str, row: &JobRunRow) {
        self.shared.announce_job_run(shown::run(name, row));
    }

    /// The name and the plan of a job that is in the book and can run.
    fn plan(&self, job: JobId) -> Option<(&str, &Arc<JobPlan>)> {
        let (name, entry) = self.book.get_key_value(self.names.get(&job)?)?;
        (entry.id == job).then_some((name.as_str(), entry.plan.as_ref().ok()?))
    }

    /// The name of a job that is in the book.
    pub(in super::super) fn known(&self, job: JobId) -> Option<String> {
        let name = self.names.get(&job)?;
        self.book.get(name).is_some_and(|entry| entry.id == job).then(|| name.clone())
    }

    pub(in super::super) fn name(&self, job: JobId) -> &str {
        self.names.get(&job).map_or("(removed)", String::as_str)
    }
}
