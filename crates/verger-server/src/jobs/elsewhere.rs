//! Jobs that were changed elsewhere: with the configuration, or by another server on the same store.

use verger_core::ids::JobId;
use verger_core::job::JobEvent;
use verger_store::{JobRow, StoreError};

use super::answers::Asked;
use super::book::Entry;
use super::scheduler::{Report, Scheduler};

impl Scheduler {
    /// Finds out what a job is told to be by now. Its next slots wait for that.
    pub(super) fn look_again(&mut self, job: JobId) {
        let store = self.shared.store.clone();
        self.tasks.spawn(async move { Report::Looked(job, store.job_by_id(job).await) });
    }

    pub(super) fn has_looked(&mut self, job: JobId, row: Result<Option<JobRow>, StoreError>) {
        // Or it was removed here meanwhile.
        let Some(name) = self.known(job) else { return self.decide(JobEvent::NotPut { job }) };
        let entry = match row {
            Ok(row) => row.and_then(|row| Entry::new(&row, &self.shared.config())),
            Err(error) => {
                tracing::error!(job = name, %error, "a job that another server has changed cannot be read yet");
                return self.decide(JobEvent::NotPut { job });
            }
        };
        let Some(entry) = entry else { return self.forget(&name, job) };
        // What was changed here since is newer.
        let known = self.book.get(&name).filter(|known| known.standing.revision > entry.standing.revision);
        let standing = known.map_or(entry.standing, |known| known.standing);
        if known.is_none() {
            self.outdate();
            let is_changed = self.book.get(&name).is_none_or(|known| !known.looks_like(&entry));
            self.enter(name.clone(), entry);
            if is_changed {
                self.tell_of_changed(vec![(name, job)]);
            }
        }
        self.decide(JobEvent::Put { job, standing });
    }

    /// Tells those who have asked about jobs what has come or changed without their doing.
    pub(super) fn tell_of_changed(&mut self, jobs: Vec<(String, JobId)>) {
        let store = self.shared.store.clone();
        self.tasks.spawn(async move {
            let mut changed = Vec::with_capacity(jobs.len());
            for (name, job) in jobs {
                match store.last_run(job).await {
                    Ok(last) => changed.push((name, last)),
                    Err(error) => {
                        tracing::warn!(job = name, %error, "nobody is told of a job that has changed")
                    }
                }
            }
            Report::Asked(Asked::Changed(changed))
        });
    }
}
