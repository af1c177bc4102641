//! Talks MCP: client sessions on the pipes of a helper.
//!
//! Guard rails: this crate never starts, signals or waits for a process. It is given a helper's stdin, stdout and
//! stderr by whoever owns the helper, and giving up a session means closing those. It is the only crate that
//! knows `rmcp`, and none of `rmcp`'s types leave it.
//!
//! What is `rmcp`'s and what is ours: the vocabulary of the protocol (versions, `initialize`, cancellation, error
//! codes) is `rmcp::model`. Its service loop is not used: it starts tasks that nobody awaits, can send a
//! cancellation ahead of the request it cancels, replaces the caller's progress token, drops members it does not
//! know from results, and cannot close stdin while a write is stuck (measured: still open after 15 s). [`Session`]
//! is one task that does none of that.

#![forbid(unsafe_code)]

mod catalog;
mod error;
mod handshake;
mod ledger;
mod lines;
mod message;
mod oversized;
mod protocol_task;
mod question;
mod session;
mod shared;
mod stderr;

pub use catalog::{Hints, Tool};
pub use error::{CallError, ConnectError};
pub use question::{HelperQuestion, MAX_QUESTIONS};
pub use session::{Session, SessionOptions};
pub use stderr::StderrRing;

/// Most bytes of one message, in either direction, as everywhere in Verger.
pub const MAX_LINE: usize = 16 * 1024 * 1024;

/// Most requests that one session has on its helper at once; the next ones wait for room within their own timeout.
pub const MAX_IN_FLIGHT: u32 = 128;
