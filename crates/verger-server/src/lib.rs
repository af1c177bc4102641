//! The daemon: listeners, connections, outboxes, one task per thread, executor of core's effects.
//!
//! ```text
//! listen -> connection (reads) -> dispatch -> house -> thread's owner -> outbox -> connection (writes)
//!                                               |            |
//!                                         helper's keeper   store, model
//! ```
//!
//! `house` carries out what `verger_core::server` decides, `thread` what `verger_core::thread` decides; neither decides
//! anything itself. Every task is in a set that someone awaits: connections and the listener in `daemon`, owners,
//! keepers and errands in `house`, tool calls in their thread's owner, job runs in `jobs`, whose scheduler `daemon` awaits.

#![forbid(unsafe_code)]

mod catalog;
mod clock;
pub mod config;
mod connection;
mod daemon;
mod dispatch;
mod event;
mod grants;
mod home;
mod house;
mod invocation;
mod jobs;
mod labels;
mod listen;
mod listing;
mod meta;
mod outbox;
mod questions;
mod replier;
mod run_file;
mod settings;
mod shared;
mod thread;
mod token;

pub use daemon::{AuthOptions, DaemonError, Listen, Options, Presented, Serving, address, run};
pub use home::{Home, NoHome};
pub use invocation::invocation;
pub use listen::{BadHash, TokenHash};
pub use run_file::RunFile;
