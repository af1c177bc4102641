//! Scheduled work: when jobs run, and which run begins next.
//!
//! - `schedule`: the slots that a text and a time zone mean
//! - `rules`: what becomes of the slots that have come
//! - `queue`: which run begins, and when to look again

mod queue;
mod rules;
mod schedule;
#[cfg(test)]
mod tests;

pub use queue::{JobEffect, JobEvent, Jobs, retry_at};
pub use rules::{Due, Entry, JobRules, Missed, Overlap, Skipped, Slots, Standing, Tick};
pub use schedule::{Schedule, ScheduleError};
