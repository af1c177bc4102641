//! Tests of the machine of one thread: stories as transcripts, and random histories against the log.

mod behind;
mod client;
mod compaction;
mod executor;
mod histories;
mod marathon;
mod reverts;
mod spending;
mod steering;
mod stories;
mod thoughts;
mod twice;
