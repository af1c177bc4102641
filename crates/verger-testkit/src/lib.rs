//! For tests: a helper that misbehaves, LeakGuard, a fake model endpoint, a client.
//!
//! Guard rails: nothing here signals a process by name or pattern, only by the pid of a direct child or by a
//! pidfd; nothing here listens anywhere but on the loopback interface.

#![forbid(unsafe_code)]

pub mod bad_helper;
pub mod fake_model;
pub mod leak_guard;
mod proc_fs;
pub mod run_tag;

pub use leak_guard::LeakGuard;
pub use run_tag::RunTag;
