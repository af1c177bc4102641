//! The steps: what is asked of each server, in words that both understand.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::json;

use super::figures::Sample;
use super::long_thread;
use super::stage::{Stage, times, turn};
use super::{Bench, BenchError, Subject, fan_out, jobs};
use crate::NoResult;
use crate::clock::now;
use crate::load::client::Client;
use crate::load::latency::Latency;
use crate::load::timed::{repeat, together};

/// Round trips before those that count.
const WARM_UP: usize = 100;

/// At so many connections are round trips timed.
const CONNECTIONS: [usize; 3] = [1, 8, 64];

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// One step; each begins on a fresh home.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Step {
            /// All, in the order in which they run.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As people type it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

steps! {
    /// From the start of the process to the answer to `initialize`.
    StartUp = "start-up",
    /// `thread/loaded/list` with nothing loaded: as little as can be asked.
    RoundTrip = "round-trip",
    /// `thread/start`.
    ThreadStart = "thread-start",
    /// `thread/resume` of a thread with one turn, loaded and from the store.
    Resume = "resume",
    /// `turn/start` to `turn/completed` of a one-word answer.
    Turn = "turn",
    /// `mcpServer/tool/call` of a helper that runs.
    ToolCall = "tool-call",
    /// Memory of the server's own process.
    Memory = "memory",
    /// A thread of 10,000 items beside one of 20. Runs only when it is named: making the thread takes minutes.
    LongThread = "long-thread",
    /// A thread that 100 clients follow, alone and beside 20 more that do not read. Runs only when it is named.
    FanOut = "fan-out",
    /// A server with 10,000 jobs beside one without. Runs only when it is named: it is about nothing that the peer has.
    Jobs = "jobs",
}

impl Step {
    /// Whether it runs where nobody names it.
    #[must_use]
    pub fn is_usual(self) -> bool {
        !matches!(self, Self::LongThread | Self::FanOut | Self::Jobs)
    }

    /// How long it may take.
    pub(super) fn limit(self) -> Duration {
        Duration::from_secs(if self.is_usual() { 120 } else { 900 })
    }

    /// Does the step once on one server.
    pub(super) async fn run(self, subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
        match self {
            Self::StartUp => start_up(subject, bench).await,
            Self::RoundTrip => round_trip(subject, bench).await,
            Self::ThreadStart => thread_start(subject, bench).await,
            Self::Resume => resume(subject, bench).await,
            Self::Turn => turns(subject, bench).await,
            Self::ToolCall => tool_call(subject, bench).await,
            Self::Memory => memory(subject, bench).await,
            Self::LongThread => long_thread::run(subject, bench).await,
            Self::FanOut => fan_out::run(subject, bench).await,
            Self::Jobs => jobs::run(subject, bench).await,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.iter().map(|step| step.name()).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().find(|step| step.name() == name).copied();
        found.ok_or_else(|| format!("'{name}' is no step of the bench; there are: {}", known()))
    }
}

async fn start_up(subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
    let mut stage = Stage::new(subject, None)?;
    let (mut fresh, mut again) = (Latency::new(), Latency::new());
    for start in 0..=bench.sizes.starts {
        let begun = now();
        let url = stage.start()?;
        let mut client = Client::open(&url, "bench").await?;
        let took = now().duration_since(begun);
        if start == 0 {
            fresh.record(took)
        } else {
            again.record(took)
        }
        client.close().await?;
        stage.stop();
    }
    Ok(vec![Sample::starts("start-up, fresh home", fresh), Sample::starts("start-up", again)])
}

async fn round_trip(subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
    let mut stage = Stage::running(subject, None)?;
    let mut samples = Vec::new();
    let ask = async |client: &Client| client.ask("thread/loaded/list", json!({})).await.map(drop);
    for count in CONNECTIONS {
        let clients = stage.clients(count).await?;
        together(&clients, times(WARM_UP), ask).await?;
        let found = stage.timed(together(&clients, times(bench.sizes.round_trips), ask)).await?;
        samples.push(Sample::times(format!("round trip, {count} at once"), found));
        leave(clients).await?;
    }
    stage.stop();
    Ok(samples)
}

async fn thread_start(subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
    let mut stage = Stage::running(subject, None)?;
    let client = stage.client().await?;
    let work = stage.home.work();
    client.start_thread(&work).await?;
    let start = async |_| client.start_thread(&work).await.map(drop);
    let found = stage.timed(repeat(times(bench.sizes.threads), start)).await?;
    leave([client]).await?;
    stage.stop();
    Ok(vec![Sample::times("thread/start", found)])
}

async fn resume(subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
    let mut stage = Stage::running(subject, None)?;
    let client = stage.client().await?;
    let threads = stage.saved(&client, bench.sizes.threads).await?;
    let loaded = async |i: usize| client.resume(&threads[i]).await.map(drop);
    let loaded = stage.timed(repeat(times(threads.len()), loaded)).await?;
    leave([client]).await?;
    stage.stop();
    stage.start()?;
    let client = stage.client().await?;
    let cold = async |i: usize| client.resume(&threads[i]).await.map(drop);
    let cold = stage.timed(repeat(times(threads.len()), cold)).await?;
    leave([client]).await?;
    stage.stop();
    Ok(vec![Sample::times("thread/resume, loaded", loaded), Sample::times("thread/resume, cold", cold)])
}

async fn turns(subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
    let mut stage = Stage::running(subject, None)?;
    let client = stage.client().await?;
    // The very first turn of a process makes its connection to the model.
    stage.saved(&client, 1).await?;
    let mut threads = Vec::new();
    for _ in 0..bench.sizes.threads {
        threads.push(client.start_thread(&stage.home.work()).await?);
    }
    let found = stage.timed(repeat(times(threads.len()), async |i| turn(&client, &threads[i]).await)).await?;
    leave([client]).await?;
    stage.stop();
    Ok(vec![Sample::times("turn", found)])
}

async fn tool_call(subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
    let mut stage = Stage::running(subject, Some(&bench.helper))?;
    let client = stage.client().await?;
    let thread = client.start_thread(&stage.home.work()).await?;
    let call = async |_| {
        let answer = client.call_tool(&thread, "helper", "echo", json!({ "text": "x" })).await?;
        if answer["content"][0]["text"] == "x" {
            Ok(())
        } else {
            Err(NoResult::Unexpected { what: "the tool's answer", got: answer.to_string() })
        }
    };
    repeat(times(WARM_UP.min(bench.sizes.tool_calls)), call).await?;
    let found = stage.timed(repeat(times(bench.sizes.tool_calls), call)).await?;
    leave([client]).await?;
    stage.stop();
    Ok(vec![Sample::times("tool call", found)])
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory and a small count, for people to compare")]
async fn memory(subject: &Subject, bench: &Bench) -> Result<Vec<Sample>, BenchError> {
    let mut stage = Stage::running(subject, None)?;
    let client = stage.client().await?;
    let idle = stage.rss(bench).await? as f64;
    // What one thread and one turn load once for all is no part of what each costs.
    stage.saved(&client, 1).await?;
    let before = stage.rss(bench).await? as f64;
    let mut threads = Vec::new();
    for _ in 0..bench.sizes.loaded {
        threads.push(client.start_thread(&stage.home.work()).await?);
    }
    let loaded = stage.rss(bench).await? as f64;
    for thread in &threads {
        turn(&client, thread).await?;
    }
    let used = stage.rss(bench).await? as f64;
    leave([client]).await?;
    let left = stage.rss(bench).await? as f64;
    stage.stop();
    Ok(vec![
        Sample::bytes("resident, idle", idle),
        Sample::bytes("resident, after one turn", before),
        Sample::bytes("resident, each thread loaded", (loaded - before) / threads.len() as f64),
        Sample::bytes(format!("resident, {} threads with a turn each", threads.len()), used),
        Sample::bytes("resident, after its client left", left),
    ])
}

/// Every client says goodbye, so that the server has nothing left to send when it is stopped.
pub(super) async fn leave(clients: impl IntoIterator<Item = Client>) -> Result<(), BenchError> {
    for mut client in clients {
        client.close().await?;
    }
    Ok(())
}
