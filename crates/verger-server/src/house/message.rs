//! What reaches the house: the one inbox through which everything between threads goes.

use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use verger_core::ids::{ConnectionId, Generation, HelperId, ThreadId, Ticket};
use verger_core::server::{self, Ending, ServerName, StoreFailure};
use verger_mcp::Session;
use verger_store::ThreadRow;
use verger_wire::requests::{
    McpServerToolCallParams, ThreadForkParams, ThreadResumeParams, ThreadStartParams, TurnInterruptParams,
    TurnStartParams, TurnSteerParams,
};

use super::{Change, Probed, StatusQuery};
use crate::config::{Config, ConfigError};
use crate::labels::Label;
use crate::outbox::Outbox;
use crate::replier::Replier;
use crate::thread::PageQuery;

/// One message.
#[derive(Debug)]
pub(crate) enum ToHouse {
    Connected {
        connection: ConnectionId,
        outbox: Outbox,
    },
    Disconnected {
        connection: ConnectionId,
        /// It was cut, since its client did not keep up.
        cut: bool,
    },
    Request {
        connection: ConnectionId,
        replier: Replier,
        request: Request,
    },
    /// From a thread's owner or a helper's keeper.
    Core(server::Event),
    /// A thread's owner needs a helper.
    Want {
        thread: ThreadId,
        generation: Generation,
        server: ServerName,
        folder: PathBuf,
        answer: Wanted,
    },
    /// The store changed what is written on a thread without an owner, or would not.
    Edited {
        thread: ThreadId,
        generation: Generation,
        ticket: Ticket,
        result: Result<Box<ThreadRow>, StoreFailure>,
    },
    /// A probe's helper was asked, or there was none.
    Probed {
        ticket: Ticket,
        result: Probed,
    },
    /// A job run in this thread has ended: its helpers are to end with it.
    Vacate {
        /// Of the job run.
        connection: ConnectionId,
        thread: ThreadId,
        answer: Vacating,
    },
    HelperReady {
        helper: HelperId,
        session: Session,
    },
    ConfigRead {
        replier: Replier,
        config: Result<Box<Config>, ConfigError>,
    },
    /// SIGTERM or SIGINT.
    Shutdown,
}

/// Where the answer to `Want` goes.
pub(crate) type Wanted = oneshot::Sender<Result<Session, String>>;

/// Where the answer to `Vacate` goes. The error is for people.
pub(crate) type Vacating = oneshot::Sender<Result<Vacated, String>>;

/// What became of the helpers of a thread that a job run used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vacated {
    /// They are proven gone.
    Gone,
    /// Others follow the thread: they are theirs.
    Shared,
    /// The server is shutting down, which ends and proves all of them.
    WithTheHouse,
}

/// A request that concerns more than its own connection.
#[derive(Debug)]
pub(crate) enum Request {
    /// Decided by the machine.
    Machine(Asked),
    LoadedList {
        cursor: Option<ThreadId>,
        limit: usize,
    },
    ServerStatus(StatusQuery),
    /// `mcpServer/resource/read` without a thread.
    Probe {
        server: String,
        uri: String,
        /// Where the helper starts, if not where the daemon did.
        folder: Option<PathBuf>,
    },
    Ps,
}

/// A request that waits for the machine's verdict.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Under an id that is new.
    Start(ThreadId, Box<ThreadStartParams>),
    Resume(ThreadId, Box<ThreadResumeParams>),
    Fork(Box<Fork>),
    Unsubscribe(ThreadId),
    Owner(ThreadId, OwnerRequest),
    Edit(ThreadId, Change),
    End(ThreadId, Ending),
    Reload,
    /// In one thread, or everywhere.
    Restart {
        server: ServerName,
        thread: Option<ThreadId>,
    },
    Probe,
}

/// `thread/fork`.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) source: ThreadId,
    /// Under an id that is new.
    pub(crate) thread: ThreadId,
    pub(crate) params: ThreadForkParams,
}

/// A request that the thread's owner answers.
#[derive(Debug)]
pub(crate) enum OwnerRequest {
    TurnStart(Box<TurnStartParams>),
    TurnSteer(TurnSteerParams),
    TurnInterrupt(TurnInterruptParams),
    ToolCall(Box<McpServerToolCallParams>),
    ResourceRead {
        server: String,
        uri: String,
    },
    /// Answered from the store where the thread is not loaded.
    Read {
        include_turns: bool,
    },
    /// As `Read`.
    Page(PageQuery),
    Label(Label),
    /// Forget this turn and all after it.
    Revert {
        before: String,
    },
    Compact,
    Inject {
        items: Vec<Value>,
    },
}

/// The way to the house.
///
/// The channel has no bound of its own: what it holds is bounded by the requests in flight of each connection (see
/// `replier`), by a handful of messages for each thread and helper that exists, and by one per signal. So that nobody who
/// reports to the house ever waits for it, and the two can never wait for each other. It closes with the house, at the
/// end of the shutdown; what is sent later is dropped, and every replier in it answers.
#[derive(Clone, Debug)]
pub(crate) struct HouseHandle(mpsc::UnboundedSender<ToHouse>);

impl HouseHandle {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<ToHouse>) {
        let (sender, inbox) = mpsc::unbounded_channel();
        (Self(sender), inbox)
    }

    pub(crate) fn send(&self, message: ToHouse) {
        // The error hands the message back; dropping it answers what it carried.
        drop(self.0.send(message));
    }

    pub(crate) fn tell(&self, event: server::Event) {
        self.send(ToHouse::Core(event));
    }

    /// Ends the helpers of a thread that a job run used alone, and proves them gone. The error is for people.
    pub(crate) async fn vacate(&self, connection: ConnectionId, thread: ThreadId) -> Result<Vacated, String> {
        let (answer, answered) = oneshot::channel();
        self.send(ToHouse::Vacate { connection, thread, answer });
        answered.await.unwrap_or(Ok(Vacated::WithTheHouse))
    }

    /// A running helper of `server` for the thread, started in `folder` if need be. The error is for people.
    pub(crate) async fn want(
        &self,
        thread: ThreadId,
        generation: Generation,
        server: ServerName,
        folder: PathBuf,
    ) -> Result<Session, String> {
        let (answer, answered) = oneshot::channel();
        self.send(ToHouse::Want { thread, generation, server, folder, answer });
        answered.await.unwrap_or_else(|_| Err("the server is stopping".to_owned()))
    }
}
