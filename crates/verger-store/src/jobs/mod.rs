//! The ledger of jobs: which slots of which job were dealt with, by whom, and what came of it.
//!
//! - `row`: what is kept of a job and of each run of it
//! - `definition`: jobs are added, changed, removed
//! - `slots`: the slots that have come are put down, each once
//! - `life`: a run begins and ends
//! - `adopt`: what a server that is gone has left
//! - `read`: lists
//! - `port`: all of it, as methods of [`Store`](crate::Store)
//!
//! A row that is not over has an owner, the server run that put it down, began it or adopted it; nobody else moves it. *Invariants.* A
//! job's cursor never goes back, so no slot is put down twice, and the database itself refuses a second row of one slot and attempt. A
//! row that is over never changes: a trigger refuses it.

mod adopt;
mod definition;
mod error;
mod life;
mod port;
mod read;
mod row;
mod slots;

pub use adopt::Adopted;
pub use definition::{JobChange, NewJob, NewSkip, Removed};
pub use error::{JobError, Origin};
pub use life::{Begun, Ended, RunEnd};
pub use read::JobOverview;
pub use row::{Cause, End, JobNotice, JobRow, JobRunRow, RunState};
pub use slots::{Put, PutSlots};
