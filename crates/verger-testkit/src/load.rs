//! Load: many clients in one process, each of which keeps an account of what it saw, and times what it does.
//!
//! [`Client`](crate::Client) keeps every message, for a test that tells one story. [`load::Client`](Client) keeps none, for
//! thousands of them: it counts per thread, notices what came twice or never, and its verbs return errors instead of
//! panicking, so that a scenario can go on.

mod account;
pub mod bench;
mod client;
mod crowd;
mod latency;
mod ledger;
mod shift;
mod timed;
mod verbs;

pub use crate::link::Link;
pub use account::Account;
pub use client::Client;
pub use crowd::Load;
pub use latency::Latency;
pub use ledger::Ledger;
pub use shift::{Shift, shift};
pub use timed::{Bounds, connect, repeat, together};
