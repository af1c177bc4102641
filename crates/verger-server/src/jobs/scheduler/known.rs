//! Which jobs there are: the book is read, kept up to date, and made known to the machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use verger_core::ids::JobId;
use verger_core::job::JobEvent;
use verger_store::JobError;
use verger_wire::Notification;
use verger_wire::types::JobSource;

use super::super::book::{self, Entry};
use super::{AFTER_FAILURE, Chore, Reading, Report, Scheduler};

impl Scheduler {
    pub(super) fn read(&mut self) {
        let (store, config, now) =
            (self.shared.store.clone(), self.shared.config(), self.shared.clock.timestamp());
        self.tasks.spawn(async move { Report::Read(book::read(&store, &config, now).await) });
        self.reading = Reading::Now;
    }

    /// Reads the book anew, after whatever is being read of it.
    pub(in super::super) fn read_again(&mut self) {
        match self.reading {
            Reading::No => self.read(),
            _ => self.reading = Reading::Again,
        }
    }

    pub(super) fn has_read(&mut self, read: Result<BTreeMap<String, Entry>, JobError>) {
        // What was read while something changed is out of date.
        let again = std::mem::replace(&mut self.reading, Reading::No) == Reading::Again;
        match read {
            Ok(_) if again => {}
            Ok(book) => self.has_new(book),
            Err(error) => {
                tracing::error!(%error, "the jobs cannot be read yet; none of them runs that was not known before");
                self.later(Chore::Read, AFTER_FAILURE);
            }
        }
        if again {
            self.read();
        }
    }

    /// The book is this now.
    fn has_new(&mut self, book: BTreeMap<String, Entry>) {
        let is_first = !std::mem::replace(&mut self.has_book, true);
        let is_gone = |(name, was): &(&String, &Entry)| book.get(*name).is_none_or(|is| is.id != was.id);
        let gone: Vec<_> =
            self.book.iter().filter(is_gone).map(|(name, was)| (name.clone(), was.id)).collect();
        for (name, job) in gone {
            self.forget(&name, job);
        }
        let mut changed = Vec::new();
        for (name, mut entry) in book {
            let was = self.book.get(&name);
            if was.is_none_or(|was| !was.looks_like(&entry)) {
                changed.push((name.clone(), entry.id));
            }
            if let Some(was) = was {
                entry.standing = was.standing.newer(entry.standing);
            }
            self.enter(name, entry);
        }
        if !is_first && !changed.is_empty() {
            self.tell_of_changed(changed);
        }
        let left = std::mem::take(&mut self.left);
        self.take_over(left);
        self.adopt();
        for (replier, request) in std::mem::take(&mut self.early) {
            self.answer(replier, *request);
        }
    }

    /// What is being read of the book does not hold what has just changed.
    pub(in super::super) fn outdate(&mut self) {
        if self.reading == Reading::Now {
            self.reading = Reading::Again;
        }
    }

    /// Takes a job into the book, and lets the machine know it.
    pub(in super::super) fn enter(&mut self, name: String, entry: Entry) {
        let job = entry.id;
        if let Some(other) = self.book.get(&name).map(|known| known.id).filter(|other| *other != job) {
            self.disown(other);
        }
        self.names.insert(job, name.clone());
        match &entry.plan {
            Ok(_) if !self.runs_jobs => {}
            Ok(plan) => {
                let (rules, standing) = (Arc::clone(&plan.rules), entry.standing);
                self.decide(JobEvent::Known { job, rules, standing });
            }
            Err(problem) => {
                // Of the configuration's the warnings tell.
                if entry.source == JobSource::Added {
                    tracing::warn!(job = name, problem, "a job does not run");
                }
                self.decide(JobEvent::Removed { job });
            }
        }
        self.book.insert(name, entry);
    }

    /// Takes it out.
    pub(in super::super) fn forget(&mut self, name: &str, job: JobId) {
        self.disown(job);
        // Or another has the name by now: it was removed and added again elsewhere.
        if self.book.get(name).is_some_and(|entry| entry.id == job) {
            self.book.remove(name);
            let name = name.to_owned();
            let removed = Notification::JobRemoved(verger_wire::JobRemovedNotification { name });
            self.shared.announce_to_job_clients(removed);
        }
    }

    /// A job has no name any more once its rows are dropped: whatever is said of it by that later is said of another.
    fn disown(&mut self, job: JobId) {
        self.disowned.push(job);
        self.decide(JobEvent::Removed { job });
    }
}
