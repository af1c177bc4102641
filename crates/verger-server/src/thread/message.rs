//! What reaches a thread's owner.

use tokio::sync::{mpsc, oneshot};
use verger_core::ids::{QuestionId, SubscriptionId, Ticket};
use verger_core::thread::{Ask, Outcome};
use verger_wire::Notification;
use verger_wire::requests::ReplaySince;

use super::asking::Answered;
use super::forking::Seed;
use super::pages::TurnsQuery;
use crate::house::OwnerRequest;
use crate::meta::Overrides;
use crate::replier::Replier;

/// One message. The channel is unbounded in the way that the house's is (see there), and closes with the owner.
#[derive(Debug)]
pub(crate) enum ToThread {
    /// Answer with a snapshot and subscribe the connection, in one step (K5).
    Attach {
        replier: Replier,
        how: Attach,
        subscription: SubscriptionId,
        replaces: Option<SubscriptionId>,
    },
    Detach {
        subscription: SubscriptionId,
    },
    /// Answer who has unsubscribed: it is told nothing more.
    Left {
        replier: Replier,
    },
    Request {
        ticket: Ticket,
        replier: Replier,
        request: OwnerRequest,
    },
    /// The orphan rules, an archive or the shutdown: end the active turn, if there is one.
    Interrupt,
    /// A fork of this thread begins: what it takes along, nothing if it must not. Asked by the fork's owner, which goes
    /// to the store if nobody answers.
    Seed(oneshot::Sender<Option<Box<Seed>>>),
    /// Ask the clients. Each comes from a tool call or a helper, which has few at once.
    Ask {
        question: QuestionId,
        ask: Box<Ask>,
        asker: oneshot::Sender<Outcome>,
    },
    /// Whoever asked is gone.
    Withdraw {
        question: QuestionId,
    },
    /// A client answered.
    Answered(Box<Answered>),
    /// Tell the subscribers.
    Notify(Box<Notification>),
    /// Servers that start with their thread may be new.
    ConfigChanged,
    Stop,
}

/// What the client asked for when it attached.
#[derive(Debug)]
pub(crate) enum Attach {
    Start {
        raw: bool,
    },
    Fork {
        exclude_turns: bool,
    },
    Resume {
        exclude_turns: bool,
        raw: bool,
        page: Option<TurnsQuery>,
        since: Option<ReplaySince>,
        over: Box<Overrides>,
    },
}

/// The way to one thread's owner.
pub(crate) type ThreadHandle = mpsc::UnboundedSender<ToThread>;
