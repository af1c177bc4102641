//! Jobs: work that the server begins by itself, and that leaves nothing behind.
//!
//! ```text
//! scheduler -> verger_core::job decides -> ledger (store) -> execute -> client -> dispatch -> house -> ...
//! ```
//!
//! - `scheduler`: the one task that decides, woken when something is due, has ended or is asked; it waits for nothing else
//! - `alarm`: its timer, on the clock that people set
//! - `book`, `plan`: what each job is told to be, and what that comes to
//! - `adopt`: what servers that are gone have left; `elsewhere`: what others, or the configuration, have changed
//! - `execute`: one job run, from the ledger to the ledger; `work` is what it does, as a `client` of its own server, and
//!   `limits` what ends it before it is done
//! - `notify`: somebody is told of its end
//! - `answers`, `shown`: what clients ask of jobs, and see of them

mod adopt;
mod alarm;
mod answers;
mod book;
mod client;
mod elsewhere;
mod execute;
mod limits;
mod notify;
mod plan;
mod scheduler;
mod shown;
mod work;

use tokio::sync::mpsc;
use verger_core::ids::JobRunId;
use verger_store::JobRunRow;
use verger_wire::requests::ClientRequest;

pub(crate) use alarm::Alarm;
pub(crate) use plan::check;
pub(crate) use scheduler::Scheduler;

use crate::replier::Replier;

/// What reaches the scheduler.
#[derive(Debug)]
pub(crate) enum ToJobs {
    /// A client asks.
    Request { replier: Replier, request: Box<ClientRequest> },
    /// The configuration was read anew.
    ConfigChanged,
    /// A job run has ended, its helpers are proven gone and the ledger knows; or it was never this server's to begin, or
    /// could not be ended: then there is no row.
    Ended {
        run: JobRunId,
        row: Option<Box<JobRunRow>>,
        /// Its next attempt.
        retry: Option<Box<JobRunRow>>,
    },
    /// A job run is done, and what it has started is not proven gone for long.
    Lingers { run: JobRunId },
    /// The ledger failed when it was to begin, or another run of its job goes on in another server.
    NotBegun { row: Box<JobRunRow> },
    /// Nothing is to begin any more.
    Shutdown,
    /// The house has ended: so many helpers are not proven gone, and all others are.
    HouseEnded { stuck: usize },
}

/// The way to the scheduler. What waits there is bounded by the requests in flight of each connection and by the job runs
/// that are under way.
#[derive(Clone, Debug)]
pub(crate) struct JobsHandle(mpsc::UnboundedSender<ToJobs>);

/// What only the scheduler has.
pub(crate) type JobsInbox = mpsc::UnboundedReceiver<ToJobs>;

impl JobsHandle {
    pub(crate) fn new() -> (Self, JobsInbox) {
        let (sender, inbox) = mpsc::unbounded_channel();
        (Self(sender), inbox)
    }

    pub(crate) fn send(&self, message: ToJobs) {
        // The error hands the message back; dropping it answers what it carried.
        drop(self.0.send(message));
    }
}
