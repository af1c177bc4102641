//! The store as its users meet it: real files, real processes, real kills.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod children;
mod conformance;
mod damage;
mod forks;
mod full_disk;
mod home;
mod job_kills;
mod job_ledger;
mod job_owners;
mod jobs;
mod kills;
mod listing;
mod opening;
mod owners;
mod two_processes;
mod upgrade;
