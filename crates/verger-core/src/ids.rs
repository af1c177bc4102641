//! Names of things: small, `Copy`, ordered, never reused within a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, ":{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    };
}

uuid! {
    /// A saved conversation. Version 7, so that ids sort by creation time.
    ThreadId, "thread"
}
uuid! {
    /// One request and the work it causes. Version 7.
    TurnId, "turn"
}

number! {
    /// One client transport of this run.
    ConnectionId(u64)
}
number! {
    /// A connection following a thread's events.
    SubscriptionId(u64)
}
number! {
    /// A thread's current owner. Unique within a run; a later owner has the larger number (K4).
    Generation(u64)
}
number! {
    /// One start of one MCP server: its leader process and everything it started.
    HelperId(u64)
}
number! {
    /// A client's request while it waits for its reply; the executor keeps the payload under it.
    Ticket(u64)
}
number! {
    /// A question to the clients, under which they answer. Unique within a run.
    QuestionId(i64)
}
number! {
    /// Position of a durable record in its thread's log: dense, the first record has 1, 0 is "before the first".
    Seq(u32)
}
number! {
    /// A job, in its store. Never reused.
    JobId(u32)
}
number! {
    /// One entry of a job's ledger: a slot that is run, or slots that were skipped. Never reused in its store.
    JobRunId(u64)
}
