//! What the executor must do: the outputs of [`Server`](super::Server).

use std::time::Duration;

use crate::ids::{ConnectionId, Generation, HelperId, SubscriptionId, ThreadId, Ticket};

use super::{Edit, Ending, OpenError, Scope, ServerName, StoreFailure};

/// One output. Effects are carried out in the order in which they are polled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Answer a request with an error.
    Refuse {
        /// The request.
        ticket: Ticket,
        /// Why.
        refusal: Refusal,
    },
    /// Answer a request with success.
    Answer {
        /// The request.
        ticket: Ticket,
        /// How it went.
        answer: Answer,
    },
    /// Start the owner task; for a saved thread claim it in the store first. Answered by `Opened`.
    Open {
        /// Which thread.
        thread: ThreadId,
        /// Its owner's number.
        generation: Generation,
        /// Where the thread comes from.
        origin: Origin,
    },
    /// Let the owner answer `ticket` with a snapshot and subscribe the connection, in one step (K5).
    Attach {
        /// Which thread.
        thread: ThreadId,
        /// Its owner's number.
        generation: Generation,
        /// The request that asked.
        ticket: Ticket,
        /// The new subscription.
        subscription: SubscriptionId,
        /// Whose it is.
        connection: ConnectionId,
        /// The subscription that ends with it.
        replaces: Option<SubscriptionId>,
    },
    /// Let the owner forget a subscription.
    Detach {
        /// Which thread.
        thread: ThreadId,
        /// Its owner's number.
        generation: Generation,
        /// The subscription that ended.
        subscription: SubscriptionId,
    },
    /// Hand a request to the owner, which answers it.
    Forward {
        /// Which thread.
        thread: ThreadId,
        /// Its owner's number.
        generation: Generation,
        /// The request.
        ticket: Ticket,
    },
    /// Interrupt the active turn, if one still is.
    Interrupt {
        /// Which thread.
        thread: ThreadId,
        /// Its owner's number.
        generation: Generation,
    },
    /// End the owner task and release its claim. Answered by `Stopped`.
    Stop {
        /// Which thread.
        thread: ThreadId,
        /// Its owner's number.
        generation: Generation,
    },
    /// Archive or delete in the store. Answered by `Stored`.
    Store {
        /// Which thread.
        thread: ThreadId,
        /// The closing that asks.
        generation: Generation,
        /// What to do.
        ending: Ending,
    },
    /// Change the row of a thread that has no owner. Answered by `Edited`.
    Edit {
        /// Which thread.
        thread: ThreadId,
        /// The number under which it is asked.
        generation: Generation,
        /// The request that asked.
        ticket: Ticket,
        /// What kind of change.
        edit: Edit,
    },
    /// Start a helper. Answered by `HelperReady` or `HelperFailed`, and in the end by `HelperGone`.
    StartHelper {
        /// Its number.
        helper: HelperId,
        /// What it belongs to.
        scope: Scope,
        /// Which MCP server.
        server: ServerName,
    },
    /// End a helper. Answered by `HelperGone` or `HelperStuck`.
    StopHelper {
        /// Which helper.
        helper: HelperId,
        /// With how much patience.
        how: StopHow,
    },
    /// The answer to `HelperWanted`, or to `Probe`.
    HelperFor {
        /// Who waits.
        ticket: Ticket,
        /// The helper, or why there is none.
        result: Result<HelperId, Refusal>,
    },
    /// Tell that a server is crashed: it failed too often, and is not started again before a restart or a reload.
    HelperCrashed {
        /// The helper that failed last.
        helper: HelperId,
        /// What it belonged to.
        scope: Scope,
        /// Which MCP server.
        server: ServerName,
        /// What who wants one is told from now on.
        refusal: Refusal,
    },
    /// Tell every connection.
    Announce {
        /// Which thread.
        thread: ThreadId,
        /// What happened to it.
        news: News,
    },
    /// Shutdown is complete: no thread is loaded and no helper is alive, but for those named stuck.
    Finished {
        /// Helpers that could not be proven gone.
        stuck: Vec<HelperId>,
    },
}

/// Where an opened thread comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// `thread/start`: nothing is stored yet.
    Fresh {
        /// Nothing ever will be.
        ephemeral: bool,
    },
    /// The store.
    Saved,
    /// `thread/fork`: the history of another thread.
    Forked {
        /// Which.
        source: ThreadId,
        /// Nothing of the new thread will ever be stored.
        ephemeral: bool,
    },
}

/// With how much patience a helper is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StopHow {
    /// As `AfterCalls`, because nobody has called it for long.
    Idle,
    /// Calls in flight may finish first, within their own time limits.
    AfterCalls,
    /// Close stdin, then TERM, then KILL, a grace between each.
    Orderly,
    /// KILL.
    Kill,
}

/// A request's success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// `thread/unsubscribe`: there was a subscription and it is gone.
    Unsubscribed,
    /// `thread/unsubscribe`: the thread is loaded, without a subscription of this connection.
    NotSubscribed,
    /// `thread/unsubscribe`: the thread is not loaded.
    NotLoaded,
    /// `thread/archive` or `thread/delete`: its helpers are proven gone, and the store has done it.
    Ended,
    /// A thread's row was changed.
    Edited,
    /// The probe's helper is proven gone.
    Probed,
    /// Helpers of changed and removed servers are proven gone.
    Reloaded,
    /// The helpers of a thread that a job run used are proven gone.
    Vacated,
    /// They are others' as well, and go on.
    Shared,
    /// The helpers that were to be started again are proven gone.
    Restarted {
        /// How many they were.
        ended: usize,
        /// In how many threads its failures were forgotten; probes count as one.
        forgiven: usize,
    },
}

/// A request's failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No such thread is loaded.
    NotLoaded,
    /// The thread could not be opened.
    Open(OpenError),
    /// The thread is being archived or deleted.
    Ending(Ending),
    /// The store could not change, archive or delete it.
    Store(StoreFailure),
    /// A helper could not be proven gone.
    Unproven,
    /// The helper could not be started.
    Helper(String),
    /// The server failed and is not started yet.
    BackingOff {
        /// Why it failed last.
        reason: String,
        /// How long until it is.
        left: Duration,
    },
    /// The server failed too often and is not started any more.
    Crashed {
        /// Why it failed last.
        reason: String,
        /// How often it had failed.
        failures: usize,
    },
    /// So many helpers run that no other may be started.
    TooManyHelpers {
        /// How many may.
        limit: usize,
    },
    /// The connection follows as many threads as one may.
    TooManyThreads {
        /// How many may.
        limit: usize,
    },
    /// The thread was unloaded, or its owner replaced, while the request waited.
    Closed,
    /// The server is shutting down.
    ShuttingDown,
}

/// What every connection is told about a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum News {
    /// It is no longer loaded and its helpers are proven gone. `Closed`, `Archived` or `Deleted` follows.
    Unloaded,
    /// It can be resumed, if it was ever saved.
    Closed,
    /// It is archived.
    Archived,
    /// It is no longer archived.
    Unarchived,
    /// It is deleted.
    Deleted,
}
