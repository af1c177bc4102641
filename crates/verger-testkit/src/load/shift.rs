//! One client's share of a load: threads of its own, and turns on them.

use std::path::Path;

use super::client::Client;
use super::latency::Latency;
use super::timed::Bounds;
use crate::client::NoResult;
use crate::clock::now;

/// What a share came to.
#[derive(Debug, Default)]
pub struct Shift {
    /// The threads, which the client still follows.
    pub threads: Vec<String>,
    /// From `turn/start` to its answer, which comes once the turn is durable.
    pub writes: Latency,
    /// From `turn/start` to `turn/completed`.
    pub turns: Latency,
}

/// Starts `threads` threads in `folder`, and runs turns on them one after another, round and round, within `bounds`. `says`
/// is told each turn's number, from 0.
///
/// # Errors
///
/// The first refusal; a turn that does not complete.
pub async fn shift(
    client: &Client,
    folder: &Path,
    threads: usize,
    bounds: Bounds,
    mut says: impl FnMut(usize) -> String,
) -> Result<Shift, NoResult> {
    let mut shift = Shift::default();
    for _ in 0..threads {
        shift.threads.push(client.start_thread(folder).await?);
    }
    let begun = now();
    for (number, thread) in (0..bounds.count).zip(shift.threads.iter().cycle()) {
        let asked = now();
        if asked.duration_since(begun) >= bounds.time {
            break;
        }
        let turn = client.begin_turn(thread, &says(number)).await?;
        shift.writes.record(now().duration_since(asked));
        let status = client.ended(thread, &turn).await?;
        shift.turns.record(now().duration_since(asked));
        if status != "completed" {
            return Err(NoResult::Unexpected { what: "the turn's end", got: status });
        }
    }
    Ok(shift)
}
