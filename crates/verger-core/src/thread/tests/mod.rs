//! Tests of the machine of one thread: stories as transcripts, and random histories against the log.

mod executor;
mod histories;
mod stories;
