//! The ledger as methods of the store. What is kept is durable when a method returns, but for a run's thread.

use jiff::Timestamp;
use verger_core::ids::{JobId, JobRunId, ThreadId};
use verger_core::job::Overlap;

use super::adopt::{self, AdoptRuns, Adopted};
use super::definition::{AddJob, ChangeJob, JobChange, NewJob, RemoveJob, Removed, Taken, of_config};
use super::error::JobError;
use super::life::{BeginRun, Begun, EndRun, Ended, PutNotice, RunEnd, SetRunThread};
use super::read::{self, JobOverview};
use super::row::{self, JobNotice, JobRow, JobRunRow};
use super::slots::{AddRun, Put, PutSlots};
use crate::error::StoreError;
use crate::store::Store;

impl Store {
    /// Adds a job.
    ///
    /// # Errors
    /// [`JobError::Exists`], or the store failed.
    pub async fn add_job(&self, new: NewJob) -> Result<JobRow, JobError> {
        self.write(AddJob { new, taken: Taken::Refuse }).await
    }

    /// The job of the config that has this name, and is due by `schedule`, which is opaque here. Where there is none yet, or it had
    /// another schedule, its slots begin after `now` and are counted anew. One that is there is only read.
    ///
    /// # Errors
    /// [`JobError::Exists`] where a job added at run time has the name, or the store failed.
    pub async fn ensure_job(&self, name: &str, schedule: &str, now: Timestamp) -> Result<JobRow, JobError> {
        if let Some(job) = self.job(name).await?
            && (job.definition.is_some() || job.schedule.as_deref() == Some(schedule))
        {
            return of_config(job, Taken::Keep);
        }
        let (name, schedule) = (name.to_owned(), Some(schedule.to_owned()));
        let new = NewJob { name, definition: None, schedule, cursor: now, created_at: now };
        self.write(AddJob { new, taken: Taken::Keep }).await
    }

    /// Changes a job, which has a new revision then; the job as it is then.
    ///
    /// # Errors
    /// [`JobError::NotFound`]; [`JobError::Moved`] where the revision is not the one that was seen, the definition not the one that it
    /// was, or where skipped slots begin where the job has been; or the store failed.
    pub async fn change_job(&self, name: &str, change: JobChange) -> Result<JobRow, JobError> {
        self.write(ChangeJob { name: name.to_owned(), change }).await
    }

    /// Removes a job, its rows and their notices.
    ///
    /// # Errors
    /// [`JobError::NotFound`]; [`JobError::Active`] while a server that lives owns a row that is not over;
    /// [`JobError::Abandoned`] while one that is gone ran it; or the store failed.
    pub async fn remove_job(&self, name: &str) -> Result<Removed, JobError> {
        self.write(RemoveJob { name: name.to_owned() }).await
    }

    /// Puts down the slots that have come, owned by this run, if the job has come as far as was seen, was not changed if that
    /// matters, and is not paused.
    ///
    /// # Errors
    /// [`JobError::Removed`]; [`JobError::Abandoned`] where all that would have a slot skipped is of servers that are gone, and nobody has
    /// adopted it yet; or the store failed; that is also what becomes of a slot that was put down before.
    pub async fn put_slots(&self, put: PutSlots) -> Result<Put, JobError> {
        self.write(put).await
    }

    /// Puts down a run that somebody asked for, whatever the job's overlap, unless `most_waiting` of its runs wait.
    ///
    /// # Errors
    /// [`JobError::Removed`], [`JobError::QueueFull`], or the store failed.
    pub async fn add_run(
        &self,
        job: JobId,
        due: Timestamp,
        most_waiting: u32,
    ) -> Result<JobRunRow, JobError> {
        self.write(AddRun { job, due, most_waiting }).await
    }

    /// Begins a run, if it is scheduled and this server's, and none goes on beside which it is not to run. What the run does may be
    /// done only after this.
    ///
    /// # Errors
    /// The store failed.
    pub async fn begin_run(
        &self,
        run: JobRunId,
        overlap: Overlap,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        self.write(BeginRun { run, overlap, now }).await
    }

    /// Says in which thread a run runs, and whether that was made for it and is nobody else's, before anything is appended to that for it; false where it does not run, or not
    /// here. Durable with the next durable write.
    ///
    /// # Errors
    /// The store failed.
    pub async fn set_run_thread(
        &self,
        run: JobRunId,
        thread: ThreadId,
        owns: bool,
    ) -> Result<bool, StoreError> {
        self.write(SetRunThread { run, thread, owns }).await
    }

    /// Ends a run of this server that is not over, puts down its next attempt and removes what is not kept any more.
    ///
    /// # Errors
    /// [`JobError::Over`], also of one that has begun where only one that has not is to end; or the store failed.
    pub async fn end_run(&self, run: JobRunId, end: RunEnd) -> Result<Ended, JobError> {
        self.write(EndRun { run, end }).await
    }

    /// Takes over the rows of these runs, as far as they are gone. Whatever they had started must have been ended before: so they
    /// were found to be gone before that was seen to, and are named here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn adopt_runs(&self, of: Vec<String>, now: Timestamp) -> Result<Adopted, StoreError> {
        self.write(AdoptRuns { of, now }).await
    }

    /// The other runs, gone or not, to which rows belong that are not over: only of those is there anything to adopt.
    ///
    /// # Errors
    /// The store failed.
    pub async fn other_owners(&self) -> Result<Vec<String>, StoreError> {
        let own = self.run().to_owned();
        self.on_reader(move |conn| adopt::other_owners(conn, &own).map(Ok)).await
    }

    /// Keeps what came of telling somebody of a run; false where the run is not kept any more.
    ///
    /// # Errors
    /// The store failed.
    pub async fn put_notice(
        &self,
        run: JobRunId,
        now: Timestamp,
        ok: bool,
        message: String,
    ) -> Result<bool, StoreError> {
        self.write(PutNotice { run, notice: JobNotice { at: now, ok, message } }).await
    }

    /// The job of this name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn job(&self, name: &str) -> Result<Option<JobRow>, StoreError> {
        let name = name.to_owned();
        self.on_reader(move |conn| row::job_named(conn, &name).map(Ok)).await
    }

    /// A job.
    ///
    /// # Errors
    /// The store failed.
    pub async fn job_by_id(&self, job: JobId) -> Result<Option<JobRow>, StoreError> {
        self.on_reader(move |conn| row::job(conn, job).map(Ok)).await
    }

    /// At most `limit` (1 to [`MAX_PAGE`](crate::MAX_PAGE)) jobs in the order of their names, from the first after `after`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn jobs(&self, after: Option<&str>, limit: usize) -> Result<Vec<JobRow>, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        self.on_reader(move |conn| read::jobs(conn, &after, limit).map(Ok)).await
    }

    /// As [`Store::jobs`], each with its newest row and how many of its runs wait and run.
    ///
    /// # Errors
    /// The store failed.
    pub async fn jobs_with_last(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<JobOverview>, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        self.on_reader(move |conn| read::jobs_with_last(conn, &after, limit).map(Ok)).await
    }

    /// At most `limit` (1 to [`MAX_PAGE`](crate::MAX_PAGE)) rows of a job's history, newest first, from the first before
    /// `before`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn job_runs(
        &self,
        job: JobId,
        before: Option<JobRunId>,
        limit: usize,
    ) -> Result<Vec<JobRunRow>, StoreError> {
        self.on_reader(move |conn| read::history(conn, job, before, limit).map(Ok)).await
    }

    /// A row of a job's history.
    ///
    /// # Errors
    /// The store failed.
    pub async fn job_run(&self, run: JobRunId) -> Result<Option<JobRunRow>, StoreError> {
        self.on_reader(move |conn| row::run(conn, run).map(Ok)).await
    }

    /// A job's newest row.
    ///
    /// # Errors
    /// The store failed.
    pub async fn last_run(&self, job: JobId) -> Result<Option<JobRunRow>, StoreError> {
        self.on_reader(move |conn| read::last(conn, job).map(Ok)).await
    }

    /// How many of a job's runs have begun and not ended, and how many have not begun, in whichever server.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unended_runs(&self, job: JobId) -> Result<(u32, u32), StoreError> {
        self.on_reader(move |conn| read::unended(conn, job).map(Ok)).await
    }

    /// The thread of the job's newest run that had one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn last_thread(&self, job: JobId) -> Result<Option<ThreadId>, StoreError> {
        self.on_reader(move |conn| read::last_thread(conn, job).map(Ok)).await
    }

    /// What this run owns and has not ended, oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn active_runs(&self) -> Result<Vec<JobRunRow>, StoreError> {
        let own = self.run().to_owned();
        self.on_reader(move |conn| read::active(conn, &own).map(Ok)).await
    }
}
