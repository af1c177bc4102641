//! What is kept: the thread log and its index.
//!
//! One SQLite file per home, written by one thread per process that groups whatever is queued into one durable
//! transaction, and read by a small fixed set of reader threads. [`Store`] is the whole port: there is no trait above
//! it until a second backend exists. The conformance tests (`tests/store/conformance.rs`) reach it through one function
//! that opens a store for a run, so a second backend can be held to the same promises.
//!
//! *Invariants.* An answer to a write is sent only after its COMMIT returned (K7). An append by anyone but the thread's
//! current owner, the pair of run and generation, changes nothing (K4). `seq` is dense per thread. Record bodies and
//! the settings text are opaque here: this crate knows of threads only that they have a log and a row in a list. Jobs have
//! a ledger beside the threads (`jobs`), in the same transactions: a slot is put down once, and what is over never changes.

#![forbid(unsafe_code)]

mod append;
mod change;
mod claim;
mod cursor;
mod error;
mod files;
mod garbage;
mod jobs;
mod lineage;
mod list;
mod log;
mod readers;
mod row;
mod schema;
mod store;
mod thread;
mod writer;

pub use append::Append;
pub use claim::Liveness;
pub use error::{AppendError, ChangeError, ClaimError, StoreError};
pub use jobs::{
    Adopted, Begun, Cause, End, Ended, JobChange, JobError, JobNotice, JobOverview, JobRow, JobRunRow,
    NewJob, NewSkip, Origin, Put, PutSlots, Removed, RunEnd, RunState,
};
pub use list::{Direction, ListPage, ListQuery, MAX_PAGE, SortKey};
pub use log::{LANDMARKS, Record, StoredRecord};
pub use row::Labels;
pub use store::Store;
pub use thread::{NewThread, ThreadPatch, ThreadRow};
