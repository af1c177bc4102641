//! What reads an answer, one for each wire: the provider's events in, ours out.

use std::collections::VecDeque;

use serde::Deserialize;

use crate::event::ModelEvent;
use crate::said::Said;

/// How an answer fails from within its stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Fault {
    Failed(Said),
    Incomplete(String),
    BrokenOff(String),
    Unreadable(String),
}

/// Reads one answer's events. A new attempt needs a new one.
pub(crate) trait Decoder: Default + Send + Sync + 'static {
    /// What says that an answer is whole, for the error when it does not come.
    const END: &'static str;

    /// Appends what one event's data means to `out`; nothing, for most kinds.
    ///
    /// # Errors
    /// The answer's failure; what was appended before it still counts.
    fn read(&mut self, data: &str, out: &mut VecDeque<ModelEvent>) -> Result<(), Fault>;

    /// The stream has ended, well or not. Whether the answer is whole all the same; then what was kept back is appended.
    ///
    /// # Errors
    /// The answer's failure; what was appended before it still counts.
    fn end(&mut self, _out: &mut VecDeque<ModelEvent>) -> Result<bool, Fault> {
        Ok(false)
    }

    /// Whether the rest of a large event can be dropped, going by its head.
    fn knows_rest(&self, _head: &str) -> bool {
        false
    }

    /// Reads an event that was cut because [`knows_rest`](Self::knows_rest) said so.
    fn read_head(&mut self, _head: &str, _out: &mut VecDeque<ModelEvent>) {}
}

/// Reads a part of an event.
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Fault> {
    serde_json::from_str(json).map_err(|error| Fault::Unreadable(error.to_string()))
}
