//! Jobs are added, edited, paused and removed. The ledger has the last word, and whoever was slower is told so.

use verger_core::ids::JobId;
use verger_core::job::Skipped;
use verger_store::{JobChange, JobError, JobRow, JobRunRow, NewJob, NewSkip, Store};
use verger_wire::requests::{Empty, JobAddParams, JobEditParams, JobResponse};
use verger_wire::types::{JobDefinition, JobSource};
use verger_wire::{JobChangedNotification, Notification, RpcError};

use super::super::book::{Entry, schedule_of};
use super::super::plan::plan;
use super::super::scheduler::{Report, Scheduler};
use super::super::shown;
use super::{Refused, internal, refused};
use crate::replier::Replier;

impl Scheduler {
    pub(super) fn add(&mut self, replier: Replier, params: JobAddParams) -> Result<(), Refused> {
        let JobAddParams { name, definition } = params;
        let now = self.shared.clock.timestamp();
        let json = match self.sound(&name, &definition) {
            Ok(json) => json,
            Err(error) => return Err((replier, error)),
        };
        let store = self.shared.store.clone();
        self.tasks.spawn(async move {
            let new = NewJob {
                name: name.clone(),
                definition: Some(json),
                schedule: None,
                cursor: now,
                created_at: now,
            };
            match store.add_job(new).await {
                Ok(row) => Report::Changed { replier, row, last: None },
                Err(error) => refused(replier, &name, &error),
            }
        });
        Ok(())
    }

    /// How a definition is kept, if it is one that can be run.
    fn sound(&self, name: &str, definition: &JobDefinition) -> Result<String, RpcError> {
        plan(name, definition, &self.shared.config(), self.shared.clock.timestamp())?;
        serde_json::to_string(definition).map_err(internal)
    }

    pub(super) fn edit(&mut self, replier: Replier, params: &JobEditParams) -> Result<(), Refused> {
        let name = params.name.clone();
        let (replier, entry) = self.entry(replier, &name)?;
        if entry.source == JobSource::Config {
            return Err((replier, RpcError::job_is_configured(&name)));
        }
        let edited = params
            .apply(&entry.definition)
            .and_then(|definition| Ok((self.sound(&name, &definition)?, definition)));
        let (json, definition) = match edited {
            Ok(edited) => edited,
            Err(error) => return Err((replier, error)),
        };
        let (store, job, now) = (self.shared.store.clone(), entry.id, self.shared.clock.timestamp());
        let was = &entry.definition;
        let is_another = schedule_of(was) != schedule_of(&definition);
        let change = JobChange {
            // What another edit has made of it meanwhile is not undone unseen.
            was: entry.kept.as_deref().map(str::to_owned),
            definition: Some(json),
            // Slots of the schedule that it had have come to what they have come to; those of the new one are ahead. One that is put
            // off by its jitter is still to come where the schedule stays.
            cursor: is_another.then_some(now),
            fired: is_another.then_some(0),
            ..JobChange::default()
        };
        self.tasks.spawn(async move {
            match change_job(&store, (&name, job), change).await {
                Ok((row, last)) => Report::Changed { replier, row, last },
                Err(error) => outdated(&store, replier, (&name, job), error).await,
            }
        });
        Ok(())
    }

    /// Pauses a job, or lets it go on.
    pub(super) fn pause(&mut self, replier: Replier, name: &str, paused: bool) -> Result<(), Refused> {
        let (replier, entry) = self.entry(replier, name)?;
        let now = self.shared.clock.timestamp();
        let mut change = JobChange { paused: Some(paused), ..JobChange::default() };
        if !paused && entry.standing.paused {
            let passed =
                entry.plan.as_ref().ok().and_then(|plan| plan.rules.passed(entry.standing.cursor, now));
            change.skipped = passed.map(|slots| NewSkip { slots, why: Skipped::Paused, now });
            change.cursor = Some(now);
        }
        let (store, name, job) = (self.shared.store.clone(), name.to_owned(), entry.id);
        self.tasks.spawn(async move {
            match change_job(&store, (&name, job), change).await {
                Ok((row, last)) => Report::Changed { replier, row, last },
                Err(error) => outdated(&store, replier, (&name, job), error).await,
            }
        });
        Ok(())
    }

    /// A job was added or changed: it is known, and everybody who asks about jobs is told.
    pub(in super::super) fn changed(&mut self, replier: Replier, row: &JobRow, last: Option<&JobRunRow>) {
        self.outdate();
        let Some(entry) = Entry::new(row, &self.shared.config()) else {
            return replier.refuse(&RpcError::job_not_found(&row.name));
        };
        // Answers may overtake each other: what was changed since stays.
        if let Some(known) = self.book.get(&row.name).filter(|known| known.is_newer(&entry)) {
            let job = shown::job(&row.name, known, self.counts(known), last);
            return replier.ok(&JobResponse { job });
        }
        let job = shown::job(&row.name, &entry, self.counts(&entry), last);
        self.enter(row.name.clone(), entry);
        replier.ok(&JobResponse { job: job.clone() });
        let job = Box::new(job);
        self.shared.announce_to_job_clients(Notification::JobChanged(JobChangedNotification { job }));
    }

    pub(super) fn remove(&mut self, replier: Replier, name: String) -> Result<(), Refused> {
        let (replier, entry) = self.entry(replier, &name)?;
        if entry.source == JobSource::Config {
            return Err((replier, RpcError::job_is_configured(&name)));
        }
        let (store, job) = (self.shared.store.clone(), entry.id);
        self.tasks.spawn(async move {
            match store.remove_job(&name).await {
                Ok(removed) => Report::Removed { replier, name, job: removed.job.id },
                Err(error) => outdated(&store, replier, (&name, job), error).await,
            }
        });
        Ok(())
    }

    pub(in super::super) fn removed(&mut self, replier: Replier, name: &str, job: JobId) {
        self.outdate();
        self.forget(name, job);
        replier.ok(&Empty {});
    }
}

/// Changes a job; what it is then, and its last run.
async fn change_job(
    store: &Store,
    (name, job): (&str, JobId),
    change: JobChange,
) -> Result<(JobRow, Option<Box<JobRunRow>>), JobError> {
    // Read first: what cannot be shown is not changed.
    let last = store.last_run(job).await?.map(Box::new);
    Ok((store.change_job(name, change).await?, last))
}

/// The ledger would not, maybe because another server has come first: whoever asks again asks of what is there by now.
async fn outdated(store: &Store, replier: Replier, (name, job): (&str, JobId), error: JobError) -> Report {
    refused(replier, name, &error);
    Report::Looked(job, store.job_by_id(job).await)
}
