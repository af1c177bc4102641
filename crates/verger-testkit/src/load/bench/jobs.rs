//! What thousands of jobs cost: a start, memory, a page of their list, a moment in which many of them are due, and all the time in
//! which none is.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::figures::Sample;
use super::stage::{Stage, times};
use super::steps::leave;
use super::{Bench, BenchError, Subject};
use crate::NoResult;
use crate::clock::{now, unix_ms};
use crate::link::Link;
use crate::load::client::Client;
use crate::load::latency::Latency;
use crate::load::timed::repeat;

/// The most that a page of the list holds.
const PAGE: usize = 99;

/// Longer than one tick can take.
const LIMIT: Duration = Duration::from_secs(60);

/// What no job is due for in this century.
const NEVER: &str = "at 2099-12-31T09:00";

pub(super) async fn run(subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
    let (all, due) = bench.sizes.jobs;
    let mut samples = Vec::new();
    let none = quiet(subject, bench, 0, &mut samples).await?;
    let many = quiet(subject, bench, all, &mut samples).await?;
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory, for people to compare")]
    samples.push(Sample::bytes(
        format!("{all} jobs: resident, beyond a server without any"),
        many.saturating_sub(none) as f64,
    ));
    for due in [1, due] {
        samples.push(ticks(subject, bench, due).await?);
    }
    Ok(samples)
}

/// A server with so many jobs of which none is due; what is resident of it.
async fn quiet(
    subject: &Subject,
    bench: &Bench,
    jobs: usize,
    samples: &mut Vec<Sample>,
) -> Result<u64, BenchError> {
    let mut stage = Stage::new(subject, None)?;
    stage.configure(&[], &tables(jobs, NEVER, "quiet"))?;
    // The first start puts down that there are these jobs; a fresh home's other costs are in it, too.
    for (what, starts) in [("first start", 1), ("start", bench.sizes.starts)] {
        let mut took = Latency::new();
        for _ in 0..starts {
            stage.stop();
            let begun = now();
            let url = stage.start()?;
            let mut client = Client::open(&url, "bench").await?;
            client.ask("verger/job/list", json!({ "limit": 1 })).await?;
            took.record(now().duration_since(begun));
            client.close().await?;
        }
        samples.push(Sample::starts(format!("{jobs} jobs: {what}, until they are listed"), took));
    }
    // Before anything is asked of it that leaves something behind.
    let resident = stage.rss(bench).await?;
    let watched = bench.sizes.settling * 5 / 2;
    let wake_ups = stage.wake_ups(bench, watched).await?;
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    samples
        .push(Sample::count(format!("{jobs} jobs: wake-ups in {watched:?}, nothing due"), wake_ups as f64));
    if jobs > 0 {
        let client = stage.client().await?;
        let ask = async |_| {
            let page = client.ask("verger/job/list", json!({ "limit": PAGE })).await?;
            match page["data"].as_array().map_or(0, Vec::len) {
                count if count == PAGE.min(jobs) => Ok(()),
                count => Err(NoResult::Unexpected { what: "the page", got: format!("{count} jobs") }),
            }
        };
        let found = stage.timed(repeat(times(bench.sizes.threads), ask)).await?;
        samples.push(Sample::times(format!("{jobs} jobs: a page of {PAGE}"), found));
        leave([client]).await?;
    }
    stage.stop();
    Ok(resident)
}

/// Ticks of `due` jobs beside all the others. One run goes on and the rest wait behind it, so that each further slot is put down as
/// skipped, and that is all that is done of it.
async fn ticks(subject: &Subject, bench: &Bench, due: usize) -> Result<Sample, BenchError> {
    let (all, _) = bench.sizes.jobs;
    let (ticks, apart) = bench.sizes.ticks;
    let mut stage = Stage::new(subject, None)?;
    let (quiet, often) = (tables(all - due, NEVER, "quiet"), tables(due, &format!("every {apart}s"), "due"));
    // The run that goes on is cut in the end, and not waited for.
    let tables = format!("[threads]\ndrain_limit = \"10ms\"\n{quiet}{often}");
    stage.configure(&[("max_parallel_jobs", "1")], &tables)?;
    stage.start()?;
    let mut link = Link::open(&stage.url()).await?;
    let info = json!({ "name": "bench", "title": "bench", "version": "0" });
    let asks = [
        json!({ "id": 1, "method": "initialize", "params": { "clientInfo": info } }),
        // Who has asked about jobs is told of their runs.
        json!({ "id": 2, "method": "verger/job/list", "params": { "limit": 1 } }),
    ];
    for ask in &asks {
        link.sender.send(ask).await?;
    }
    let mut latency = Latency::new();
    let counted = async {
        // The first may have begun before this client asked, and is of runs that wait.
        whole_tick(&mut link, due).await?;
        let before = stage.cpu()?;
        for _ in 0..ticks {
            latency.record(whole_tick(&mut link, due).await?);
        }
        Ok::<_, BenchError>(stage.cpu()?.saturating_sub(before))
    };
    let cpu = counted.await?;
    link.sender.close().await?;
    stage.stop();
    Ok(Sample::times(format!("{all} jobs: a tick, {due} due, until all is told"), (latency, cpu)))
}

/// Waits until it is told of one slot that all `due` jobs have skipped it; how long after the slot that was.
async fn whole_tick(link: &mut Link, due: usize) -> Result<Duration, BenchError> {
    let mut told: HashMap<u64, usize> = HashMap::new();
    let search = async {
        loop {
            let message = link.receiver.next().await.map_err(|_| NoResult::Closed)?;
            let message = message.map_err(|got| NoResult::Unexpected { what: "a frame", got })?;
            if let Some(slot) = skipped(&message) {
                let count = told.entry(slot).or_default();
                *count += 1;
                if *count == due {
                    return Ok(Duration::from_millis(unix_ms().saturating_sub(slot * 1000)));
                }
            }
        }
    };
    timeout(LIMIT, search).await.unwrap_or(Err(BenchError::Late(LIMIT)))
}

/// The slot of a run that was skipped, in seconds since 1970.
fn skipped(message: &Value) -> Option<u64> {
    let run = &message["params"]["run"];
    let is_skipped = message["method"] == "verger/job/run/updated" && run["state"] == "skipped";
    if is_skipped { run["slotAt"].as_u64() } else { None }
}

/// So many jobs with one schedule.
fn tables(count: usize, schedule: &str, name: &str) -> String {
    let job = |number| {
        // Nothing is said for so long that the first run outlasts the step.
        format!("[jobs.{name}-{number:05}]\nschedule = \"{schedule}\"\nprompt = \"SLEEP s=3600\"\n")
    };
    (0..count).map(job).collect()
}
