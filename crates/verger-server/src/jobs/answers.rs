//! What clients ask of jobs. What the ledger has to say is waited for beside the scheduler, which then puts it together with what
//! it knows itself.
//!
//! - `changes`: jobs are added, edited, paused, removed
//! - `runs`: job runs are asked for, and ended

mod changes;
mod runs;

use verger_core::ids::JobRunId;
use verger_store::{JobError, JobOverview, JobRunRow, MAX_PAGE, StoreError};
use verger_wire::requests::{
    ClientRequest, JobHistoryParams, JobHistoryResponse, JobListResponse, JobNextParams, JobNextResponse,
    JobResponse, JobRunResponse, PageParams,
};
use verger_wire::{JobChangedNotification, Notification, RpcError};

pub(super) use runs::answer_cancelled;

use super::book::Entry;
use super::scheduler::{Report, Scheduler};
use super::shown;
use crate::listing;
use crate::replier::Replier;

/// Slots that are told at once where nobody says how many, and at most.
const NEXT: u32 = 10;
const MOST_NEXT: u32 = 1_000;

/// What the ledger has said, to be put together with what the scheduler knows.
pub(super) enum Asked {
    List {
        replier: Replier,
        limit: usize,
        found: Result<Vec<JobOverview>, RpcError>,
    },
    Read {
        replier: Replier,
        name: String,
        found: Result<Runs, RpcError>,
    },
    /// Of jobs that came or changed with the configuration, or by another server.
    Changed(Vec<(String, Option<JobRunRow>)>),
}

/// The runs of a job, in brief.
pub(super) struct Runs {
    last: Option<Box<JobRunRow>>,
    /// How many have begun and not ended, and how many have not begun.
    counts: (u32, u32),
}

impl Scheduler {
    pub(super) fn answer(&mut self, replier: Replier, request: ClientRequest) {
        let answered = match request {
            ClientRequest::JobList(params) => self.list(replier, params),
            ClientRequest::JobRead(params) => self.show(replier, &params.name),
            ClientRequest::JobAdd(params) => self.add(replier, *params),
            ClientRequest::JobEdit(params) => self.edit(replier, &params),
            ClientRequest::JobPause(params) => self.pause(replier, &params.name, true),
            ClientRequest::JobResume(params) => self.pause(replier, &params.name, false),
            ClientRequest::JobRemove(params) => self.remove(replier, params.name),
            ClientRequest::JobRunNow(params) => self.run_now(replier, params.name),
            ClientRequest::JobCancel(params) => {
                self.cancel(replier, JobRunId(params.run));
                Ok(())
            }
            ClientRequest::JobNext(params) => self.next(replier, &params),
            ClientRequest::JobHistory(params) => self.history(replier, params),
            ClientRequest::JobRunRead(params) => {
                self.read_run(replier, JobRunId(params.run));
                Ok(())
            }
            other => Err((replier, RpcError::method_not_found(other.method()))),
        };
        if let Err((replier, error)) = answered {
            replier.refuse(&error);
        }
        // Who asks wants to see what is, and not what a server has left that is gone.
        self.adopt();
    }

    fn entry(&self, replier: Replier, name: &str) -> Result<(Replier, &Entry), Refused> {
        match self.book.get(name) {
            Some(entry) => Ok((replier, entry)),
            None => Err((replier, RpcError::job_not_found(name))),
        }
    }

    fn list(&mut self, replier: Replier, params: PageParams) -> Result<(), Refused> {
        let (store, limit) = (self.shared.store.clone(), page(params.limit));
        self.tasks.spawn(async move {
            // One more than a page says whether there is another.
            let found = store.jobs_with_last(params.cursor.as_deref(), limit + 1).await.map_err(internal);
            Report::Asked(Asked::List { replier, limit, found })
        });
        Ok(())
    }

    fn show(&mut self, replier: Replier, name: &str) -> Result<(), Refused> {
        let (replier, entry) = self.entry(replier, name)?;
        let (store, job, name) = (self.shared.store.clone(), entry.id, name.to_owned());
        self.tasks.spawn(async move {
            let found = async {
                let last = store.last_run(job).await?.map(Box::new);
                Ok::<_, StoreError>(Runs { last, counts: store.unended_runs(job).await? })
            };
            let found = found.await.map_err(internal);
            Report::Asked(Asked::Read { replier, name, found })
        });
        Ok(())
    }

    pub(super) fn asked(&self, asked: Asked) {
        match asked {
            Asked::List { replier, limit, found } => replier.with(found.map(|found| {
                let next_cursor = found.get(limit).and(found.get(limit.saturating_sub(1)));
                let next_cursor = next_cursor.map(|overview| overview.job.name.clone());
                let shown = found.iter().take(limit).filter_map(|overview| {
                    let JobOverview { job, last, scheduled, running } = overview;
                    // One that the configuration has no more is in nobody's list.
                    let entry = self.book.get(&job.name)?;
                    Some(shown::job(&job.name, entry, (*running, *scheduled), last.as_ref()))
                });
                JobListResponse { data: shown.collect(), next_cursor }
            })),
            Asked::Read { replier, name, found } => match (self.book.get(&name), found) {
                (Some(entry), Ok(Runs { last, counts })) => {
                    let job = shown::job(&name, entry, counts, last.as_deref());
                    replier.ok(&JobResponse { job });
                }
                (None, _) => replier.refuse(&RpcError::job_not_found(&name)),
                (_, Err(error)) => replier.refuse(&error),
            },
            Asked::Changed(changed) => {
                for (name, last) in changed {
                    // Or it has gone again.
                    let Some(entry) = self.book.get(&name) else { continue };
                    let job = Box::new(shown::job(&name, entry, self.counts(entry), last.as_ref()));
                    self.shared
                        .announce_to_job_clients(Notification::JobChanged(JobChangedNotification { job }));
                }
            }
        }
    }

    /// How many of a job's runs run here, and how many wait.
    fn counts(&self, entry: &Entry) -> (u32, u32) {
        let (running, waiting) = self.machine.counts(entry.id);
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        (number(running), number(waiting))
    }

    fn next(&self, replier: Replier, params: &JobNextParams) -> Result<(), Refused> {
        let (replier, entry) = self.entry(replier, &params.name)?;
        if let Err(problem) = &entry.plan {
            return Err((replier, RpcError::invalid_job("definition", problem)));
        }
        let count = params.count.unwrap_or(NEXT).min(MOST_NEXT);
        replier.ok(&JobNextResponse { data: shown::next(entry, count as usize) });
        Ok(())
    }

    fn history(&mut self, replier: Replier, params: JobHistoryParams) -> Result<(), Refused> {
        let JobHistoryParams { name, cursor, limit } = params;
        let before = match cursor.as_deref().map(str::parse).transpose() {
            Ok(before) => before.map(JobRunId),
            Err(_) => return Err((replier, RpcError::invalid_cursor(&cursor.unwrap_or_default()))),
        };
        let (store, limit) = (self.shared.store.clone(), page(limit));
        self.tasks.spawn(async move {
            let found = async {
                // Also of one that the configuration has no more.
                let job = store.job(&name).await.map_err(internal)?;
                let job = job.ok_or_else(|| RpcError::job_not_found(&name))?;
                let rows = store.job_runs(job.id, before, limit + 1).await.map_err(internal)?;
                let next_cursor = rows.get(limit).and(rows.get(limit.saturating_sub(1)));
                let next_cursor = next_cursor.map(|row| row.id.to_string());
                let data = rows.iter().take(limit).map(|row| shown::run(&name, row)).collect();
                Ok(JobHistoryResponse { data, next_cursor })
            };
            replier.with(found.await);
            Report::Done
        });
        Ok(())
    }

    fn read_run(&mut self, replier: Replier, run: JobRunId) {
        let store = self.shared.store.clone();
        self.tasks.spawn(async move {
            let found = async {
                let row = store.job_run(run).await.map_err(internal)?;
                let row = row.ok_or_else(|| RpcError::job_run_not_found(run.0))?;
                let job = store.job_by_id(row.job).await.map_err(internal)?;
                let name = job.map_or_else(|| "(removed)".to_owned(), |job| job.name);
                Ok(JobRunResponse { run: shown::run(&name, &row) })
            };
            replier.with(found.await);
            Report::Done
        });
    }
}

/// A request that is refused, and why.
type Refused = (Replier, RpcError);

fn page(limit: Option<u32>) -> usize {
    listing::limit(limit).min(MAX_PAGE - 1)
}

fn internal(error: impl std::fmt::Display) -> RpcError {
    RpcError::internal(error.to_string())
}

/// The ledger would not.
fn refused(replier: Replier, name: &str, error: &JobError) -> Report {
    replier.refuse(&match error {
        JobError::NotFound(_) | JobError::Removed(_) => RpcError::job_not_found(name),
        JobError::Exists { .. } => RpcError::job_name_taken(name),
        JobError::Active { run, .. } => RpcError::job_is_running(name, run.0),
        JobError::Store(error) => internal(error),
        other => RpcError::invalid_request(other.to_string()),
    });
    Report::Done
}
