//! Why the ledger would not.

use std::fmt;

use verger_core::ids::{JobId, JobRunId};

use crate::error::StoreError;

/// Where a job's definition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the config: the ledger knows no more than its name.
    Config,
    /// In the ledger.
    RunTime,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "from config.toml",
            Self::RunTime => "added at run time",
        })
    }
}

/// Why nothing in the ledger was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JobError {
    /// No job has this name.
    #[error("job {0}: is not in the store; it was removed, or never added")]
    NotFound(String),
    /// No job has this number.
    #[error("job number {0}: is not in the store; it was removed")]
    Removed(JobId),
    /// The name is taken.
    #[error("job {name}: exists already, {origin}; choose another name, or remove that one")]
    Exists {
        /// The name.
        name: String,
        /// Of the job that has it.
        origin: Origin,
    },
    /// It was to be removed, and a server runs it, or is about to.
    #[error("job {name}: run {run} has not ended; pause the job and cancel the run, or wait for its end")]
    Active {
        /// The job.
        name: String,
        /// The oldest of those that have not ended.
        run: JobRunId,
    },
    /// It was to be removed, or a slot of it to be put down, and a server died that had begun a run of it, or was about to: what that
    /// has left is still to be cleaned up.
    #[error(
        "job {name}: run {run} is of a server that is gone and is still to be cleaned up after; try again when `verger serve` has done so"
    )]
    Abandoned {
        /// The job.
        name: String,
        /// The oldest of those.
        run: JobRunId,
    },
    /// It was to be changed as it was not any more.
    #[error("job {0}: was changed meanwhile, or a slot of it came; look at it again, then repeat the change")]
    Moved(String),
    /// A run was to be started by hand, and as many wait as may.
    #[error("job {name}: {most} of its runs wait already; let them begin or cancel some")]
    QueueFull {
        /// The job.
        name: String,
        /// How many may.
        most: u32,
    },
    /// The run has ended, or belongs to another server.
    #[error("job run {0}: has ended, was removed, or belongs to another server; look at the job's history")]
    Over(JobRunId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
