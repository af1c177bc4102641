//! The scheduler: carries out what the machine of jobs decides.
//!
//! One task, one inbox. It waits for nothing but that inbox, its alarm and its own tasks: the ledger, job runs and whoever is told
//! of them are waited for elsewhere, so that no slow or dead run delays another's slot.
//!
//! - `known`: which jobs there are
//! - `runs`: from a slot to a job run

mod known;
mod runs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use verger_core::ids::{JobId, JobRunId};
use verger_core::job::{JobEvent, Jobs};
use verger_reaper::Run;
use verger_store::{Adopted, JobError, JobRow, JobRunRow, Put, PutSlots, StoreError};
use verger_wire::requests::ClientRequest;

pub(super) use self::runs::MOST_WAITING;

use super::adopt::Look;
use super::alarm::Alarm;
use super::answers::Asked;
use super::book::Entry;
use super::execute::Ending;
use super::work::Stop;
use super::{JobsHandle, JobsInbox, ToJobs};
use crate::house::HouseHandle;
use crate::replier::Replier;
use crate::shared::Shared;

/// How long the ledger is left alone that has failed.
pub(super) const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The task's state.
pub(crate) struct Scheduler {
    pub(super) shared: Arc<Shared>,
    house: HouseHandle,
    jobs: JobsHandle,
    /// For sweeping after others.
    pub(super) me: Arc<Run>,
    /// Whether slots are put down here, and runs begun; else the book is kept only to answer from.
    pub(super) runs_jobs: bool,
    pub(super) machine: Jobs,
    alarm: Alarm,
    /// By name.
    pub(super) book: BTreeMap<String, Entry>,
    pub(super) names: HashMap<JobId, String>,
    /// Jobs whose names go as soon as it is said what became of their rows.
    disowned: Vec<JobId>,
    reading: Reading,
    /// The book was read.
    has_book: bool,
    /// Requests that came before there was one.
    early: Vec<(Replier, Box<ClientRequest>)>,
    /// Rows that this server is to begin.
    waiting: HashMap<JobRunId, JobRunRow>,
    pub(super) running: HashMap<JobRunId, Running>,
    /// Nothing is put down before it is known what servers that are gone have left.
    puts: VecDeque<PutSlots>,
    putting: usize,
    pub(super) is_adopting: bool,
    /// What others have left was looked after, or could not be.
    pub(super) has_looked_after: bool,
    /// Servers that are gone, of which something is not proven gone: left alone for a while, and what they ran still runs.
    pub(super) unproven: BTreeSet<String>,
    /// Jobs whose slots wait until what others have left is looked after, which has not begun.
    pub(super) held: Vec<JobId>,
    /// Those that wait for the look that is under way.
    pub(super) freeing: Vec<JobId>,
    /// What is tried again after a while.
    later: BTreeSet<Chore>,
    /// What was taken over of jobs that are not in the book yet.
    pub(super) left: Adopted,
    pub(super) tasks: JoinSet<Report>,
    ending: Ending,
    stuck: watch::Sender<Option<usize>>,
}

/// A job run that is under way here.
pub(super) struct Running {
    /// Of its job, which may be out of the book by now.
    name: String,
    pub(super) stop: watch::Sender<Option<Stop>>,
    /// Who has asked for its end.
    pub(super) cancelling: Vec<Replier>,
}

/// Whether the book is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Now,
    /// And is out of date already.
    Again,
    No,
}

/// What the ledger would not let it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chore {
    /// To read the book.
    Read,
    /// To look after what servers that are gone have left.
    Adopt,
}

/// What a task of the scheduler's brings.
pub(super) enum Report {
    /// It has said what it had to.
    Done,
    Read(Result<BTreeMap<String, Entry>, JobError>),
    Put(JobId, Result<Put, JobError>),
    /// How a job stands in the ledger that another server has come further with, or has changed.
    Looked(JobId, Result<Option<JobRow>, StoreError>),
    Adopted(Result<Look, String>),
    /// A job was added or changed.
    Changed {
        replier: Replier,
        row: JobRow,
        last: Option<Box<JobRunRow>>,
    },
    Removed {
        replier: Replier,
        name: String,
        job: JobId,
    },
    Added {
        replier: Replier,
        row: Box<JobRunRow>,
    },
    Withdrawn {
        replier: Replier,
        row: Box<JobRunRow>,
    },
    /// A row that never began has ended.
    Dropped {
        name: String,
        row: Box<JobRunRow>,
    },
    /// A run was to be cancelled before it began, and has begun.
    Begun {
        replier: Replier,
        run: JobRunId,
    },
    Asked(Asked),
    /// It is time to try again.
    Again(Chore),
}

impl Scheduler {
    /// One that has read nothing yet. `runs_jobs` is whether this server runs any; else it only answers of them.
    pub(crate) fn new(
        shared: Arc<Shared>,
        (house, jobs): (HouseHandle, JobsHandle),
        me: Arc<Run>,
        alarm: Alarm,
        runs_jobs: bool,
    ) -> Self {
        let (stuck, heard) = watch::channel(None);
        let most = most_parallel(&shared);
        Self {
            shared,
            house,
            jobs,
            me,
            runs_jobs,
            machine: Jobs::new(most),
            alarm,
            book: BTreeMap::new(),
            names: HashMap::new(),
            disowned: Vec::new(),
            reading: Reading::No,
            has_book: false,
            early: Vec::new(),
            waiting: HashMap::new(),
            running: HashMap::new(),
            puts: VecDeque::new(),
            putting: 0,
            is_adopting: false,
            has_looked_after: false,
            unproven: BTreeSet::new(),
            held: Vec::new(),
            freeing: Vec::new(),
            later: BTreeSet::new(),
            left: Adopted::default(),
            tasks: JoinSet::new(),
            ending: Ending { shutdown: CancellationToken::new(), stuck: heard },
            stuck,
        }
    }

    /// Runs until the house has ended, and whatever ran with it.
    pub(crate) async fn run(mut self, mut inbox: JobsInbox) {
        self.read();
        while !(self.ending.shutdown.is_cancelled() && self.tasks.is_empty()) {
            self.alarm.set(self.machine.poll_timeout());
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                () = self.alarm.rung() => self.machine.handle_timeout(self.shared.clock.timestamp()),
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(report) => self.report(report),
                    Err(error) => tracing::error!(%error, "a task of the scheduler did not end well"),
                },
            }
            self.perform_all();
        }
    }

    fn take(&mut self, message: ToJobs) {
        match message {
            ToJobs::Request { replier, request } if !self.has_book => {
                self.early.push((replier, request));
            }
            ToJobs::Request { replier, request } => self.answer(replier, *request),
            ToJobs::ConfigChanged => {
                let most = most_parallel(&self.shared);
                self.machine.set_most(self.shared.clock.timestamp(), most);
                self.read_again();
            }
            ToJobs::Ended { run, row, retry } => self.ended(run, row.map(|row| *row), retry.map(|row| *row)),
            ToJobs::Lingers { run } => self.decide(JobEvent::Lingers { run }),
            ToJobs::NotBegun { mut row } => {
                let run = row.id;
                let running = self.running.remove(&run);
                self.decide(JobEvent::Ended { run });
                let later = self.shared.clock.timestamp().checked_add(AFTER_FAILURE);
                row.due_at = later.unwrap_or(row.due_at);
                self.wait_for(*row);
                // Whoever wanted its end meanwhile wants it still.
                for replier in running.into_iter().flat_map(|running| running.cancelling) {
                    self.cancel(replier, run);
                }
                // The one that goes on may be of a server that is gone.
                self.adopt();
            }
            ToJobs::Shutdown => {
                self.decide(JobEvent::Shutdown);
                for running in self.running.values() {
                    // Who is cancelled is not to go on until the house has drained.
                    running.stop.send_if_modified(|stop| {
                        let is_new = stop.is_none();
                        stop.get_or_insert(Stop::Shutdown);
                        is_new
                    });
                }
            }
            ToJobs::HouseEnded { stuck } => {
                self.stuck.send_replace(Some(stuck));
                self.ending.shutdown.cancel();
                // What was not put down is put down by whoever is there next.
                self.puts.clear();
            }
        }
    }

    pub(super) fn decide(&mut self, event: JobEvent) {
        self.machine.handle(self.shared.clock.timestamp(), event);
    }

    /// Tries something again, after a while.
    pub(super) fn later(&mut self, chore: Chore, after: Duration) {
        if self.later.insert(chore) {
            let shutdown = self.ending.shutdown.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    () = sleep(after) => Report::Again(chore),
                    () = shutdown.cancelled() => Report::Done,
                }
            });
        }
    }

    fn again(&mut self, chore: Chore) {
        self.later.remove(&chore);
        match chore {
            Chore::Read => self.read_again(),
            Chore::Adopt => {
                self.unproven.clear();
                self.adopt();
            }
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Done => {}
            Report::Read(read) => self.has_read(read),
            Report::Put(job, put) => self.has_put(job, put),
            Report::Looked(job, row) => self.has_looked(job, row),
            Report::Adopted(adopted) => self.has_adopted(adopted),
            Report::Changed { replier, row, last } => self.changed(replier, &row, last.as_deref()),
            Report::Removed { replier, name, job } => self.removed(replier, &name, job),
            Report::Added { replier, row } => self.run_added(replier, *row),
            Report::Withdrawn { replier, row } => self.withdrawn(replier, &row),
            Report::Dropped { name, row } => self.tell_of_run(&name, &row),
            Report::Begun { replier, run } => self.begun(replier, run),
            Report::Asked(asked) => self.asked(asked),
            Report::Again(chore) => self.again(chore),
        }
    }
}

fn most_parallel(shared: &Shared) -> usize {
    usize::try_from(shared.config().max_parallel_jobs).unwrap_or(usize::MAX)
}
