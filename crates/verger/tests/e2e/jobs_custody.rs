//! Custody over weeks of ticks, told in minutes: whatever shape of helper a run is cut with, nothing of it is left when it has
//! ended, and live chats are not disturbed.

use futures_util::future::join_all;
use serde_json::{Value, json};
use verger_testkit::{Client, ConfigFile, Home, RunTag};

use crate::jobs::{BY_HAND, add, is_over, run, told};
use crate::stage::{Stage, loaded, scale, thread};

/// Each a server of its own, that all jobs of a tick use.
const SHAPES: [&str; 11] = [
    "polite",
    "stubborn",
    "wrapper",
    "wrapper-stubborn",
    "wrapper-chain",
    "grandchild",
    "orphan",
    "own-group",
    "setsid",
    "daemon-empty-env",
    "never-init",
];

const JOBS: usize = 7;
/// So many of them have a turn, with a connection to the model, which is kept for a while: what stands may differ by these.
const PROMPTS: usize = 4;
const TICKS: usize = 2;

/// Long enough for a helper to be at work, shorter than any of its calls.
const TIMEOUT: &str = "1500ms";

/// What an allocator may keep or give back between two looks; measured: 0.2 MB, at scale 1 as at
/// scale 10, where 2 kB leaked by each of 770 runs would show.
const RSS_TOLERANCE_MB: f64 = 1.4;

#[derive(Debug)]
struct Standing {
    tasks: u64,
    descriptors: usize,
    rss_mb: f64,
}

/// A live chat, and the helper that has answered in it.
struct Chat {
    client: Client,
    thread: String,
    pid: i32,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn jobs_cut_with_every_shape_of_helper_leave_nothing_and_disturb_nobody() {
    let of_runs = RunTag::new();
    let stage = Stage::new(|home| config(home, &of_runs));
    let client = stage.client("client").await;
    for number in 0..JOBS {
        add(&client, &format!("job{number}"), definition(number, SHAPES[0])).await;
    }
    let chats = [chat(&stage, "one").await, chat(&stage, "other").await];
    let helpers = stage.helpers();
    let ticks = TICKS * scale();
    let warm_after = ticks / 2;
    let mut warm = None;
    for tick in 1..=ticks {
        for shape in SHAPES {
            one_tick(&client, shape, tick, &of_runs).await;
            assert_eq!(helpers.alive().len(), helpers.len(), "{shape}, tick {tick}: a chat's helper is gone");
        }
        for chat in &chats {
            assert_eq!(touch(chat).await, chat.pid, "tick {tick}: a chat has another helper");
        }
        if tick == warm_after {
            warm = Some(standing(&stage, &client).await);
        }
    }
    let (warm, end) = (warm.expect("half of them"), standing(&stage, &client).await);
    let calls = stage.home.helper_events("call").len();
    let figures = json!({
        "runs": JOBS * SHAPES.len() * ticks,
        "calls_cut": calls - chats.len() * (1 + ticks),
        "left": of_runs.live().len(),
        "tasks": end.tasks,
        "descriptors": end.descriptors,
        "rss_mb_half_way": rounded(warm.rss_mb),
        "rss_mb_at_end": rounded(end.rss_mb),
    });
    println!("SOAK {figures}");
    assert_eq!(loaded(&client).await.len(), chats.len(), "only the chats are loaded");
    // All but those that never come so far.
    assert!(calls > JOBS * (SHAPES.len() - 1) * ticks / 2, "hardly a run came to its call: {figures}");
    assert!(end.tasks <= warm.tasks + PROMPTS as u64, "tasks: {} -> {figures}", warm.tasks);
    assert!(end.descriptors <= warm.descriptors + PROMPTS, "descriptors: {} -> {figures}", warm.descriptors);
    assert!(end.rss_mb - warm.rss_mb <= RSS_TOLERANCE_MB, "resident: {figures}");
    for chat in chats {
        chat.client.close().await;
    }
    client.close().await;
    stage.finish();
}

fn config(home: &Home, of_runs: &RunTag) -> ConfigFile {
    let config = home.config().key("max_parallel_jobs", &JOBS.to_string());
    let config = config.server("chat", &home.bad_helper(&["polite"]));
    SHAPES.iter().fold(config, |config, shape| {
        // The last tag counts for what it starts of itself.
        let helper = home.bad_helper(&[shape]).arg("--tag").arg(of_runs.as_str());
        config.server(shape, &helper.key("stdin_grace", "\"50ms\"").key("term_grace", "\"50ms\""))
    })
}

/// Of the seven, four have a model that calls, and three call.
fn definition(number: usize, shape: &str) -> Value {
    let common = json!({ "schedule": BY_HAND, "servers": [shape], "timeout": TIMEOUT, "keep": 1 });
    let Value::Object(mut definition) = common else { return common };
    if number < PROMPTS {
        let said = format!("CALL mcp__{shape} slow {{\"seconds\":120}}");
        definition.insert("prompt".into(), json!(said));
    } else {
        let call = json!({ "server": shape, "tool": "slow", "arguments": { "seconds": 120 } });
        definition.insert("call".into(), call);
    }
    definition.into()
}

/// All jobs run once with helpers of this shape, and each is cut; nothing of a run is left once all have ended.
async fn one_tick(client: &Client, shape: &str, tick: usize, of_runs: &RunTag) {
    let from = client.mark();
    let jobs = (0..JOBS).map(|number| async move {
        let name = format!("job{number}");
        let Value::Object(mut changes) = definition(number, shape) else { panic!("a definition") };
        changes.remove("schedule");
        client.call("verger/job/edit", json!({ "name": name, "changes": changes })).await;
        let run = run(client, &name).await;
        told(client, from, |told| told["id"] == run && is_over(told)).await
    });
    let ended = join_all(jobs).await;
    assert_eq!(of_runs.live(), [], "{shape}, tick {tick}: of runs that have ended");
    for run in ended {
        assert_eq!(run["state"], "timedOut", "{shape}, tick {tick}: {run}");
    }
}

async fn chat(stage: &Stage, name: &str) -> Chat {
    let client = stage.client(name).await;
    let thread = thread(&client, &stage.home).await;
    let mut chat = Chat { client, thread, pid: 0 };
    chat.pid = touch(&chat).await;
    chat
}

/// Uses the chat's helper; its pid.
async fn touch(chat: &Chat) -> i32 {
    let call = json!({ "threadId": chat.thread, "server": "chat", "tool": "pid", "arguments": {} });
    let answer = chat.client.call("mcpServer/tool/call", call).await;
    let text = answer["content"][0]["text"].as_str().unwrap_or_default();
    text.parse().unwrap_or_else(|_| panic!("no pid in {answer}"))
}

/// Nothing tells a client when the last task of a run has ended, so this asks 200 times, each a round trip in which the
/// server's tasks run: what is there every time stays, the lowest count tells.
async fn standing(stage: &Stage, client: &Client) -> Standing {
    let (mut tasks, mut descriptors) = (u64::MAX, usize::MAX);
    for _ in 0..200 {
        let ps = client.call("verger/ps", json!({})).await;
        tasks = tasks.min(ps["tasks"].as_u64().expect("a number"));
        descriptors = descriptors.min(stage.daemon.descriptors().expect("it runs"));
    }
    #[expect(clippy::cast_precision_loss, reason = "megabytes, to compare with a tolerance of several")]
    let rss_mb = stage.daemon.rss().expect("it runs") as f64 / 1e6;
    Standing { tasks, descriptors, rss_mb }
}

fn rounded(megabytes: f64) -> f64 {
    (megabytes * 100.0).round() / 100.0
}
