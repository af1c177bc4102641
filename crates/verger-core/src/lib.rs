//! What happens: threads, subscriptions, turns, helpers and timers as pure state machines.

#![forbid(unsafe_code)]

pub mod ids;
pub mod job;
pub mod server;
pub mod thread;
pub mod time;
