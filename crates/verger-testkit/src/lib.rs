//! For tests: a helper that misbehaves, LeakGuard, a fake model endpoint, a server to start and a client of it.
//!
//! Guard rails: nothing here signals a process by name or pattern, only by the pid of a direct child or by a
//! pidfd; nothing here listens anywhere but on the loopback interface.

#![forbid(unsafe_code)]

pub mod bad_helper;
pub mod client;
pub mod clock;
pub mod config_file;
pub mod crowd;
pub mod daemon;
pub mod fake_model;
pub mod gone;
pub mod home;
pub mod http;
pub mod leak_guard;
mod link;
pub mod load;
mod namespaces;
mod proc_fs;
pub mod proxy;
mod raw_socket;
pub mod run_tag;
mod wire_log;

pub use client::{Client, NoResult};
pub use config_file::{ConfigFile, ServerEntry};
pub use daemon::{Daemon, Launch, Refused};
pub use gone::Gone;
pub use home::Home;
pub use leak_guard::LeakGuard;
pub use link::{Goodbye, Link};
pub use namespaces::namespaces_can_be_had;
pub use proxy::{Proxy, Weather};
pub use raw_socket::{RawFrame, RawSocket};
pub use run_tag::RunTag;
