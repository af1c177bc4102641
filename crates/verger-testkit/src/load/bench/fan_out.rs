//! One thread with many followers, some of whom do not read: how late the others hear of what happens, and what the
//! stalled ones cost in memory.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::figures::Sample;
use super::stage::{Stage, turn};
use super::steps::leave;
use super::{Bench, BenchError, Subject};
use crate::NoResult;
use crate::clock::unix_ms;
use crate::link::{Link, Receiver};
use crate::load::client::Client;
use crate::load::latency::Latency;

/// Bytes of a delta of the turn that all of them follow, and milliseconds from one to the next.
const SIZE: usize = 200;
const APART: usize = 5;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Longer than the turn can take.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn run(subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
    let mut samples = Vec::new();
    for stalled in [0, bench.sizes.followers.1] {
        samples.extend(follow(subject, bench, stalled).await?);
    }
    Ok(samples)
}

async fn follow(subject: &Subject, bench: &Bench, stalled: usize) -> Result<Vec<Sample>, BenchError> {
    let mut stage = Stage::running(subject, None)?;
    let speaker = stage.client().await?;
    let thread = speaker.start_thread(&stage.home.work()).await?;
    turn(&speaker, &thread).await?;
    let (fast, deltas) = (bench.sizes.followers.0, bench.sizes.deltas);
    let (mut followers, mut silent) = (Vec::new(), Vec::new());
    for n in 0..fast + stalled {
        let link = follower(&stage.url(), &thread).await?;
        if n < fast { followers.push(link) } else { silent.push(link) }
    }
    let before = stage.rss(bench).await?;
    let mut reading = JoinSet::new();
    for link in followers {
        // The way to the server stays open with it.
        reading.spawn(async move { (listen(link.receiver, deltas).await, link.sender) });
    }
    let (status, most) = speak(&stage, &speaker, (&thread, deltas), before).await?;
    if status != "completed" {
        return Err(NoResult::Unexpected { what: "the turn", got: status }.into());
    }
    let mut delays = Latency::new();
    let heard = async {
        while let Some(heard) = reading.join_next().await {
            let (heard, _sender) = heard.expect("followers do not panic and are not aborted");
            heard?.into_iter().for_each(|delay| delays.record(delay));
        }
        Ok::<(), BenchError>(())
    };
    timeout(LIMIT, heard).await.map_err(|_| BenchError::Late(LIMIT))??;
    drop(silent);
    leave([speaker]).await?;
    stage.stop();
    let beside = format!("{fast} who read, {stalled} who do not");
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory, for people to compare")]
    let grown = most.saturating_sub(before) as f64;
    Ok(vec![
        Sample::starts(format!("{beside}: an event's delay"), delays),
        Sample::bytes(format!("{beside}: resident at most, beyond before"), grown),
    ])
}

/// Runs the turn; its status, and the most that was resident meanwhile.
async fn speak(
    stage: &Stage<'_>,
    speaker: &Client,
    (thread, deltas): (&str, usize),
    before: u64,
) -> Result<(String, u64), BenchError> {
    let text = format!("STREAM n={deltas} size={SIZE} delay_ms={APART}");
    let speaking = speaker.turn(thread, &text);
    tokio::pin!(speaking);
    let (mut looks, mut most) = (interval(LOOK), before);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            status = &mut speaking => return Ok((status?, most)),
            _ = looks.tick() => most = most.max(stage.rss_now()?),
        }
    }
}

/// A connection that follows the thread and has heard all of its past.
async fn follower(url: &str, thread: &str) -> Result<Link, NoResult> {
    let mut link = Link::open(url).await?;
    let info = json!({ "name": "follower", "title": "follower", "version": "0" });
    let asks = [
        json!({ "id": 1, "method": "initialize", "params": { "clientInfo": info } }),
        json!({ "id": 2, "method": "thread/resume", "params": { "threadId": thread } }),
    ];
    for (id, ask) in (1..).zip(&asks) {
        link.sender.send(ask).await?;
        loop {
            let message = next(&mut link.receiver).await?;
            if message["id"] == id && message.get("method").is_none() {
                break;
            }
        }
    }
    Ok(link)
}

async fn next(receiver: &mut Receiver) -> Result<Value, NoResult> {
    let message = receiver.next().await.map_err(|_| NoResult::Closed)?;
    message.map_err(|got| NoResult::Unexpected { what: "a frame", got })
}

/// How late each delta was, by the clock that both ends share, whose unit is a millisecond.
async fn listen(mut receiver: Receiver, deltas: usize) -> Result<Vec<Duration>, BenchError> {
    let mut delays = Vec::with_capacity(deltas);
    let mut bytes = 0;
    loop {
        let message = next(&mut receiver).await?;
        match message["method"].as_str() {
            Some("item/agentMessage/delta") => {
                let at = message["emittedAtMs"].as_u64().unwrap_or_default();
                delays.push(Duration::from_millis(unix_ms().saturating_sub(at)));
                bytes += message["params"]["delta"].as_str().map_or(0, str::len);
            }
            Some("turn/completed") if bytes == deltas * SIZE => return Ok(delays),
            Some("turn/completed") => {
                return Err(BenchError::Unexpected(format!("{bytes} bytes of {} came", deltas * SIZE)));
            }
            _ => {}
        }
    }
}
