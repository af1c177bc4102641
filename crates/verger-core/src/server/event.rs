//! What can happen to the facts between threads: the inputs of [`Server`](super::Server).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::{ConnectionId, Generation, HelperId, SubscriptionId, ThreadId, Ticket};

use super::ServerName;

/// One input. Everything that can race with something else is one of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A client finished its handshake.
    Connected {
        /// The new connection.
        connection: ConnectionId,
    },
    /// A connection is gone, however it ended.
    Disconnected {
        /// The connection that went.
        connection: ConnectionId,
        /// The server cut it, since its client did not keep up: that client is expected back.
        cut: bool,
    },
    /// `thread/start`: a new thread, its first subscription included.
    Start {
        /// The request to answer.
        ticket: Ticket,
        /// Who asks.
        connection: ConnectionId,
        /// The id that the executor chose.
        thread: ThreadId,
        /// Never stored.
        ephemeral: bool,
    },
    /// `thread/resume`.
    Resume {
        /// The request to answer.
        ticket: Ticket,
        /// Who asks.
        connection: ConnectionId,
        /// Which thread.
        thread: ThreadId,
        /// Watch only: does not keep the thread loaded.
        observe: bool,
    },
    /// `thread/fork`: a new thread that begins with another's history, its first subscription included.
    Fork {
        /// The request to answer.
        ticket: Ticket,
        /// Who asks.
        connection: ConnectionId,
        /// Whose history.
        source: ThreadId,
        /// The id that the executor chose for the new thread.
        thread: ThreadId,
        /// Never stored.
        ephemeral: bool,
    },
    /// `thread/unsubscribe`: drops all subscriptions of the connection to the thread.
    Unsubscribe {
        /// The request to answer.
        ticket: Ticket,
        /// Who asks.
        connection: ConnectionId,
        /// Which thread.
        thread: ThreadId,
    },
    /// A request that the thread's owner answers.
    Request {
        /// The request to answer.
        ticket: Ticket,
        /// Who asks.
        connection: ConnectionId,
        /// Which thread.
        thread: ThreadId,
        /// Whether it may begin a turn.
        begins_turn: bool,
    },
    /// A change of what is written on a thread.
    Edit {
        /// The request to answer.
        ticket: Ticket,
        /// Who asks.
        connection: ConnectionId,
        /// Which thread.
        thread: ThreadId,
        /// What kind of change; the executor knows the rest.
        edit: Edit,
    },
    /// A request that needs a helper and no thread: it gets a scope of its own.
    Probe {
        /// The request to answer; also who the helper is for.
        ticket: Ticket,
        /// Who asks.
        connection: ConnectionId,
        /// An id that no thread has, to tell its scope from all others.
        thread: ThreadId,
        /// Which MCP server.
        server: ServerName,
        /// How long its start may be put off.
        patience: Duration,
    },
    /// The executor is done with a probe's helper, or was given none.
    ProbeDone {
        /// The request.
        ticket: Ticket,
    },
    /// `thread/archive` or `thread/delete`.
    End {
        /// The request to answer.
        ticket: Ticket,
        /// Who asks.
        connection: ConnectionId,
        /// Which thread.
        thread: ThreadId,
        /// What becomes of the stored thread.
        ending: Ending,
    },
    /// `config/mcpServer/reload`, after the executor read the new configuration.
    Reload {
        /// The request to answer.
        ticket: Ticket,
        /// Servers that are no longer configured, or configured otherwise than when their helpers started.
        changed: BTreeSet<ServerName>,
    },
    /// `verger/helper/restart`: ends the helpers of a server, forgets their failures, and starts again what ran or failed.
    Restart {
        /// The request to answer.
        ticket: Ticket,
        /// Which MCP server.
        server: ServerName,
        /// In this thread only; without it in all, and for probes.
        thread: Option<ThreadId>,
    },
    /// A job run in this thread has ended: its helpers are to end with it.
    Vacate {
        /// The request to answer.
        ticket: Ticket,
        /// Of the job run.
        connection: ConnectionId,
        /// Which thread.
        thread: ThreadId,
    },
    /// The owner task of `thread` runs, or could not take the thread.
    Opened {
        /// Which thread.
        thread: ThreadId,
        /// Made under.
        generation: Generation,
        /// Why not, where it could not.
        result: Result<(), OpenError>,
    },
    /// The owner could not answer [`Effect::Attach`](super::Effect::Attach), and has forgotten the subscription.
    AttachFailed {
        /// Which thread.
        thread: ThreadId,
        /// Made under.
        generation: Generation,
        /// The subscription that never was.
        subscription: SubscriptionId,
    },
    /// The thread has its first durable turn.
    Materialized {
        /// Which thread.
        thread: ThreadId,
        /// Made under.
        generation: Generation,
    },
    /// The thread has no active turn.
    Idle {
        /// Which thread.
        thread: ThreadId,
        /// Made under.
        generation: Generation,
        /// How many requests that may begin a turn its owner had received by then. Fewer than were sent means that
        /// another is on its way, and that the thread is not idle.
        seen: u64,
    },
    /// The active turn waits for an answer that only a client can give, or does so no more.
    Waits {
        /// Which thread.
        thread: ThreadId,
        /// Made under.
        generation: Generation,
        /// Whether it waits.
        waits: bool,
    },
    /// The owner task has ended and released its claim.
    Stopped {
        /// Which thread.
        thread: ThreadId,
        /// Made under.
        generation: Generation,
    },
    /// The owner task failed: it panicked, and will report nothing more.
    OwnerDied {
        /// Which thread.
        thread: ThreadId,
        /// Which owner.
        generation: Generation,
    },
    /// The store did what [`Effect::Store`](super::Effect::Store) asked, or could not.
    Stored {
        /// Which thread.
        thread: ThreadId,
        /// The closing that asked.
        generation: Generation,
        /// Why not, where it could not.
        result: Result<(), StoreFailure>,
    },
    /// The store did what [`Effect::Edit`](super::Effect::Edit) asked, or could not.
    Edited {
        /// Which thread.
        thread: ThreadId,
        /// The number under which it was asked.
        generation: Generation,
        /// Why not, where it could not.
        result: Result<(), StoreFailure>,
    },
    /// A thread's owner needs a helper; answered by [`Effect::HelperFor`](super::Effect::HelperFor).
    HelperWanted {
        /// Which thread.
        thread: ThreadId,
        /// Made under.
        generation: Generation,
        /// Which MCP server.
        server: ServerName,
        /// Who waits.
        ticket: Ticket,
        /// How long its start may be put off.
        patience: Duration,
    },
    /// The helper answered `initialize` and listed its tools.
    HelperReady {
        /// Which helper.
        helper: HelperId,
    },
    /// The helper could not be started, or was ended for what it did; its processes are being ended.
    HelperFailed {
        /// Which helper.
        helper: HelperId,
        /// For people: names the server, the cause and the remedy.
        message: String,
    },
    /// The helper's leader exited by itself; the rest of its tree is being ended.
    HelperExited {
        /// Which helper.
        helper: HelperId,
    },
    /// The helper has had no call for as long as it may stay without.
    HelperIdle {
        /// Which helper.
        helper: HelperId,
        /// How often it had been lent by then. Fewer than it was means that whoever has it is about to call.
        lent: u64,
    },
    /// Proof: no process of the helper is left (K2).
    HelperGone {
        /// Which helper.
        helper: HelperId,
    },
    /// No proof within the limit. The helper stays known; [`Event::HelperGone`] may still come.
    HelperStuck {
        /// Which helper.
        helper: HelperId,
    },
    /// SIGTERM or SIGINT: the first drains, the second skips the waiting.
    Shutdown,
}

/// What becomes of a stored thread when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// It is put away and can be brought back.
    Archive,
    /// It is removed.
    Delete,
}

/// A change of what is written on a thread, which is no event of the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Edit {
    /// `thread/name/set`, `thread/metadata/update`: made by the thread's owner where it has one.
    Label,
    /// `thread/unarchive`: only for a thread that has none.
    Unarchive,
}

/// Why a thread could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OpenError {
    /// The store has no such thread.
    NotFound,
    /// It is archived.
    Archived,
    /// It was to begin as a fork at a turn that its source does not have; the turn's id.
    NoSuchTurn(String),
    /// It was to begin as a fork at a turn that has not ended; the turn's id.
    ActiveTurn(String),
    /// Another live run owns it.
    Owned {
        /// Process id of that run.
        pid: u32,
    },
    /// The store failed.
    Failed(String),
}

/// Why the store did not change, archive or delete a thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreFailure {
    /// The store has no such thread.
    NotFound,
    /// It is archived.
    Archived,
    /// It is not archived, and was to be brought back.
    NotArchived,
    /// A fork's history is in its log.
    Forked,
    /// Another live run owns it.
    Owned {
        /// Process id of that run.
        pid: u32,
    },
    /// The store failed.
    Failed(String),
}
