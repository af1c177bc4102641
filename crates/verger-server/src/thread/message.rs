//! What reaches a thread's owner.

use tokio::sync::mpsc;
use verger_core::ids::{SubscriptionId, Ticket};
use verger_wire::Notification;

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
    Request {
        ticket: Ticket,
        replier: Replier,
        request: OwnerRequest,
    },
    /// The orphan rules, an archive or the shutdown: end the active turn, if there is one.
    Interrupt,
    /// Tell the subscribers.
    Notify(Box<Notification>),
    /// Servers that start with their thread may be new.
    ConfigChanged,
    Stop,
}

/// What the client asked for when it attached.
#[derive(Debug)]
pub(crate) enum Attach {
    Start,
    Resume { exclude_turns: bool, over: Box<Overrides> },
}

/// The way to one thread's owner.
pub(crate) type ThreadHandle = mpsc::UnboundedSender<ToThread>;
