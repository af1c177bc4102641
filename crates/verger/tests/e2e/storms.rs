//! Storms of reconnects: servers that accept once and then fail their clients, in each shape of processes. After every
//! round nothing of it is left, and after all of them the daemon stands where it stood.

use futures_util::future::join_all;
use serde_json::{Value, json};
use verger_testkit::{Client, ConfigFile, Home, ServerEntry};

use crate::stage::{STUBBORN, Stage, closed, scale, thread};

/// Each a server of its own on the same home, so that a round asks all of them at once.
const SHAPES: [&str; 10] = [
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
];

const ROUNDS: usize = 30;

/// Connections, tasks and descriptors of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    connections: u64,
    tasks: u64,
    descriptors: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_servers_that_reject_initialize() {
    storm("reject-init", "not in the mood").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_servers_that_hang_in_initialize() {
    storm("hang-in-init", "startup_timeout_sec").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_servers_that_crash_in_initialize() {
    storm("exit-in-init", "initialize").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_servers_that_crash_in_a_call() {
    storm("exit-in-call", "outcome unknown").await;
}

/// One server for each shape, all with `fault` but for the first process of each.
fn config(home: &Home, fault: &str, startup_timeout: &str) -> ConfigFile {
    // What a client leaves unsaved goes with it, so that rounds do not pile up threads that wait for it to come back.
    let threads = home.config().table("[threads]\nunsaved_grace = \"0s\"");
    SHAPES
        .iter()
        .fold(threads, |config, shape| config.server(shape, &entry(home, shape, fault, startup_timeout)))
}

fn entry(home: &Home, shape: &str, fault: &str, startup_timeout: &str) -> ServerEntry {
    let once = home.path().join(format!("once-{shape}"));
    let once = once.to_str().expect("temporary folders are UTF-8");
    let helper = home.bad_helper(&[shape]).arg("--fault").arg(fault).arg("--once").arg(once);
    let helper = helper.key("stdin_grace", "\"50ms\"").key("term_grace", "\"50ms\"");
    helper.key("startup_timeout_sec", startup_timeout)
}

async fn storm(fault: &str, why: &str) {
    let stage = Stage::new(|home| config(home, fault, "30.0"));
    let observer = stage.client("observer").await;
    let start = standing(&stage, &observer).await;
    let accepted = round(&stage, &observer, 0).await;
    for (shape, answer) in SHAPES.iter().zip(accepted) {
        answer.unwrap_or_else(|why| panic!("{shape}: the first is accepted: {why}"));
    }
    // What hangs from now on need not hang for long.
    stage.home.write_config(&config(&stage.home, fault, "1.0").text()).expect("the home is writable");
    observer.call("config/mcpServer/reload", json!({})).await;
    for number in 1..=ROUNDS * scale() {
        let started = stage.home.helper_events("start").len();
        let refused = round(&stage, &observer, number).await;
        let started = stage.home.helper_events("start").len() - started;
        assert!(started >= SHAPES.len(), "round {number} started {started} processes: it asked nobody");
        for (shape, answer) in SHAPES.iter().zip(refused) {
            let said = answer.expect_err(shape).to_string();
            assert!(said.contains(why), "round {number}: {shape}: {said}");
        }
    }
    let end = standing(&stage, &observer).await;
    assert_eq!(end, start, "after {} rounds", ROUNDS * scale());
    println!("{fault}: {} rounds with {} shapes; {end:?}", ROUNDS * scale(), SHAPES.len());
    observer.close().await;
    stage.finish();
}

/// A client comes, asks every server, sees all that it started end, and goes; what each server answered.
async fn round(
    stage: &Stage,
    observer: &Client,
    number: usize,
) -> Vec<Result<Value, verger_testkit::NoResult>> {
    let client = stage.client("client").await;
    let thread = thread(&client, &stage.home).await;
    let ask = |server: &'static str| {
        let call = json!({ "threadId": thread, "server": server, "tool": "pid", "arguments": {} });
        client.ask("mcpServer/tool/call", call)
    };
    let answers = join_all(SHAPES.into_iter().map(ask)).await;
    if number > 0 {
        let left = stage.home.tag().wait_gone(STUBBORN);
        left.unwrap_or_else(|live| panic!("round {number}: {live:?} live while their thread is open"));
    }
    let from = observer.mark();
    // Every third client crashes instead of leaving.
    if number % 3 == 2 {
        drop(client);
    } else {
        client.close().await;
    }
    closed(observer, from, &thread).await;
    assert_eq!(stage.home.tag().live(), [], "after round {number}");
    answers
}

/// Nothing tells a client when the last task of another's connection or helper has ended, so this asks 200 times, each
/// a round trip in which the server's tasks run: what is there every time stays, the lowest count tells.
async fn standing(stage: &Stage, observer: &Client) -> Standing {
    let mut lowest = Standing { connections: u64::MAX, tasks: u64::MAX, descriptors: usize::MAX };
    for _ in 0..200 {
        let ps = observer.call("verger/ps", json!({})).await;
        assert_eq!(ps["threads"], json!([]), "{ps}");
        // What failed is remembered for a while, without a process.
        let mut helpers = ps["helpers"].as_array().expect("a list").iter();
        assert!(helpers.all(|helper| helper["state"] == "backingOff" && helper["pid"].is_null()), "{ps}");
        let number = |name: &str| ps[name].as_u64().expect("a number");
        lowest.connections = lowest.connections.min(number("connections"));
        lowest.tasks = lowest.tasks.min(number("tasks"));
        lowest.descriptors = lowest.descriptors.min(stage.daemon.descriptors().expect("it runs"));
    }
    lowest
}
