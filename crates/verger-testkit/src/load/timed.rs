//! Doing one thing many times, alone or from many connections at once, within bounds of count and time.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::client::Client;
use super::latency::Latency;
use crate::client::NoResult;
use crate::clock::now;

/// Where repetition ends: whichever comes first. What is under way when the time is up is still waited for.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How often in all.
    pub count: usize,
    /// For how long.
    pub time: Duration,
}

/// Does `work` again and again, each after the last; `work` gets its number, from 0.
///
/// # Errors
///
/// The first of `work`: what failed has no meaningful time.
pub async fn repeat(
    bounds: Bounds,
    mut work: impl AsyncFnMut(usize) -> Result<(), NoResult>,
) -> Result<Latency, NoResult> {
    let (mut latency, begun) = (Latency::new(), now());
    let mut before = begun;
    for number in 0..bounds.count {
        if before.duration_since(begun) >= bounds.time {
            break;
        }
        work(number).await?;
        let after = now();
        latency.record(after.duration_since(before));
        before = after;
    }
    Ok(latency)
}

/// Does `work` on every client at once, on each again and again; together `bounds.count` times, or a few more where that
/// cannot be shared out evenly.
///
/// # Errors
///
/// The first of `work`.
pub async fn together(
    clients: &[Client],
    bounds: Bounds,
    work: impl AsyncFn(&Client) -> Result<(), NoResult>,
) -> Result<Latency, NoResult> {
    let each = Bounds { count: bounds.count.div_ceil(clients.len().max(1)), ..bounds };
    let (all, work) = (clients.iter(), &work);
    let parts = try_join_all(all.map(|client| repeat(each, async |_| work(client).await))).await?;
    let mut latency = Latency::new();
    parts.iter().for_each(|part| latency.merge(part));
    Ok(latency)
}

/// `count` clients of one server.
///
/// # Errors
///
/// The first that cannot connect.
pub async fn connect(url: &str, count: usize) -> Result<Vec<Client>, NoResult> {
    let names: Vec<String> = (0..count).map(|number| format!("load-{number}")).collect();
    try_join_all(names.iter().map(|name| Client::open(url, name))).await
}
