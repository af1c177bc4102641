//! What a long thread costs: the same questions about a thread of thousands of items and about a short one.

use serde_json::json;

use super::figures::Sample;
use super::stage::{Stage, times, turn};
use super::steps::leave;
use super::{Bench, BenchError, Subject};
use crate::NoResult;
use crate::load::client::Client;
use crate::load::ledger::Ledger;
use crate::load::timed::repeat;

/// Turns of the thread beside it.
const SHORT: usize = 10;

/// After so many turns the conversation is summed up, as it would be long before the model is full: what each turn sends to
/// its model stays about the same.
const SUMMED_UP: usize = 100;

pub(super) async fn run(subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
    let mut stage = Stage::running(subject, None)?;
    let mut samples = Vec::new();
    for turns in [SHORT, bench.sizes.long] {
        let client = stage.client().await?;
        let thread = client.start_thread(&stage.home.work()).await?;
        for n in 1..=turns {
            turn(&client, &thread).await?;
            if n % SUMMED_UP == 0 {
                summed_up(&client, &thread).await?;
            }
        }
        leave([client]).await?;
        // What was made is not what is measured.
        stage.stop();
        stage.start()?;
        samples.extend(look(&stage, bench, &thread, 2 * turns).await?);
    }
    stage.stop();
    Ok(samples)
}

async fn summed_up(client: &Client, thread: &str) -> Result<(), NoResult> {
    let ended = |ledger: &Ledger| ledger.account(thread).map_or(0, |account| account.turns().1);
    let before = client.ledger(ended);
    client.ask("thread/compact/start", json!({ "threadId": thread })).await?;
    // Its turn is named nowhere but in what follows.
    client.until("the summary", |ledger| (ended(ledger) > before).then_some(())).await
}

async fn look(
    stage: &Stage<'_>,
    bench: &Bench,
    thread: &str,
    items: usize,
) -> Result<Vec<Sample>, BenchError> {
    let client = stage.client().await?;
    let count = bench.sizes.threads;
    let mut samples = Vec::new();
    let idle = stage.rss(bench).await?;
    for (what, method, more) in [
        ("the newest turns", "thread/turns/list", json!({ "limit": 25, "sortDirection": "desc" })),
        ("the oldest turns", "thread/turns/list", json!({ "limit": 25, "sortDirection": "asc" })),
        ("the newest items", "thread/items/list", json!({ "limit": 25, "sortDirection": "desc" })),
    ] {
        let mut params = more;
        params["threadId"] = thread.into();
        let ask = async |_| client.ask(method, params.clone()).await.map(drop);
        let found = stage.timed(repeat(times(count), ask)).await?;
        samples.push(Sample::times(format!("{items} items: {what}"), found));
    }
    let cold = async |_| {
        client.ask("thread/resume", json!({ "threadId": thread, "excludeTurns": true })).await?;
        client.unsubscribe(thread).await
    };
    let found = stage.timed(repeat(times(count), cold)).await?;
    samples.push(Sample::times(format!("{items} items: load, resume without turns, unload"), found));
    client.resume(thread).await?;
    let found = stage.timed(repeat(times(count), async |_| turn(&client, thread).await)).await?;
    samples.push(Sample::times(format!("{items} items: a turn"), found));
    let used = stage.rss(bench).await?;
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory, for people to compare")]
    samples.push(Sample::bytes(
        format!("{items} items: resident, beyond idle"),
        used.saturating_sub(idle) as f64,
    ));
    leave([client]).await?;
    Ok(samples)
}
