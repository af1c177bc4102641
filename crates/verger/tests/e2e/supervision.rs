//! Helpers that fail again and again: waited for, then crashed; seen in `ps`, told to clients, mended by a restart.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use verger_testkit::{Client, ConfigFile, Home, Launch, ServerEntry, clock};

use crate::stage::{STUBBORN, Stage, tool, touch, verger};

/// Waits so short that a test need not sit through them.
const QUICK: &str = "[helpers]\nrestart_delay = \"2ms\"\nrestart_delay_limit = \"20ms\"\n";

/// Waits that no test sits through.
const LONG: &str = "[helpers]\nrestart_delay = \"10m\"\nrestart_delay_limit = \"10m\"\n";

fn with(helpers: &str, entry: impl FnOnce(&Home) -> ServerEntry) -> impl FnOnce(&Home) -> ConfigFile {
    move |home: &Home| home.config().table(helpers).server("helper", &entry(home))
}

/// Calls `pid`, which must fail; why.
async fn refused(client: &Client, thread: &str) -> String {
    let (code, message) = client.refused("mcpServer/tool/call", tool(thread, "pid", json!({}))).await;
    assert_eq!(code, -32603, "{message}");
    message
}

/// What `verger ps` shows of helpers, when they are all in this state.
async fn in_state(client: &Client, state: &str) -> Value {
    let ps = client.call("verger/ps", json!({})).await;
    let helpers = ps["helpers"].as_array().expect("a list").clone();
    assert!(!helpers.is_empty() && helpers.iter().all(|helper| helper["state"] == state), "{ps}");
    helpers[0].clone()
}

/// Waits until every process of the helpers has ended and `verger ps` knows it.
async fn proven_gone(client: &Client) {
    loop {
        let ps = client.call("verger/ps", json!({})).await;
        let helpers = ps["helpers"].as_array().expect("a list");
        if helpers.iter().all(|helper| helper["state"] != "stopping") {
            return;
        }
    }
}

fn starts(stage: &Stage) -> usize {
    stage.home.helper_events("start").len()
}

/// `verger helper restart helper...`; what it prints.
fn restart(stage: &Stage, args: &[&str]) -> String {
    let args = [&["helper", "restart", "helper"], args].concat();
    let output = Launch::new(verger(), &stage.home, &args).output().expect("it can be executed");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{failed}");
    said.into_owned()
}

/// A server whose helper was accepted once, died, and was rejected four times since: it is crashed.
async fn crashed() -> (Stage, Client, String) {
    let stage = Stage::new(with(QUICK, |home| {
        let once = home.path().join("accepted-once");
        home.bad_helper(&["reject-reinit", once.to_str().expect("temporary folders are UTF-8")])
    }));
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    touch(&client, &thread).await;
    client.refused("mcpServer/tool/call", tool(&thread, "exit", json!({ "code": 7 }))).await;
    let from = client.mark();
    for _ in 0..4 {
        let why = refused(&client, &thread).await;
        assert!(!why.contains("crashed"), "too early: {why}");
    }
    let crash = |params: &Value| params["error"].as_str().is_some_and(|error| error.contains("has crashed"));
    let note = client.note(from, "mcpServer/startupStatus/updated", crash).await;
    assert_eq!((&note["threadId"], &note["status"]), (&json!(thread), &json!("failed")), "{note}");
    proven_gone(&client).await;
    (stage, client, thread)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_fails_five_times_is_crashed_until_it_is_restarted() {
    let (stage, client, thread) = crashed().await;
    let (from, before) = (client.mark(), starts(&stage));
    assert_eq!(before, 5, "one that was accepted and four that were not");
    let why = refused(&client, &thread).await;
    let remedy = format!("verger helper restart helper --thread {thread}");
    for part in ["'helper' has crashed", "failed 5 times", "not in the mood", &remedy, "reload"] {
        assert!(why.contains(part), "no {part:?} in {why}");
    }
    let failed = |params: &Value| params["status"] == "failed";
    let note = client.note(from, "mcpServer/startupStatus/updated", failed).await;
    assert!(note["error"].as_str().is_some_and(|error| error.contains(&remedy)), "{note}");
    let shown = in_state(&client, "crashed").await;
    assert_eq!((&shown["scope"], &shown["pid"]), (&json!(thread), &Value::Null), "{shown}");
    assert!(shown["reason"].as_str().is_some_and(|reason| reason.contains("not in the mood")), "{shown}");
    let table = Launch::new(verger(), &stage.home, &["ps"]).output().expect("it can be executed");
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("crashed") && table.contains("not in the mood"), "{table}");
    let _log = stage.daemon.stderr_with("has crashed");
    assert_eq!(starts(&stage), before, "a crashed server was started");

    std::fs::remove_file(stage.home.path().join("accepted-once")).expect("the first helper made it");
    let said = restart(&stage, &["--thread", &thread]);
    assert!(said.contains("0 helper(s)") && said.contains("1 place"), "{said}");
    stage.home.wait_for_helper_event("start", before + 1);
    touch(&client, &thread).await;
    assert_eq!(starts(&stage), before + 1, "the call used what the restart had started");
    in_state(&client, "running").await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_crash_outlives_its_client_and_ends_with_a_reload() {
    let (stage, client, thread) = crashed().await;
    let before = starts(&stage);
    let other = stage.client("other").await;
    client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
    // It had no turn, so it stays for its client to come back.
    client.call("thread/resume", json!({ "threadId": thread })).await;
    assert!(refused(&client, &thread).await.contains("has crashed"));
    // Another thread is not affected by it.
    let elsewhere = stage.thread(&other).await;
    assert!(refused(&other, &elsewhere).await.contains("not in the mood"));
    std::fs::remove_file(stage.home.path().join("accepted-once")).expect("the first helper made it");
    client.call("config/mcpServer/reload", json!({})).await;
    touch(&client, &thread).await;
    assert_eq!(starts(&stage), before + 2);
    drop((client, other));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_cannot_wait_for_the_next_start_is_told_when_it_is_and_why_not_now() {
    let stage = Stage::new(with(LONG, |home| home.bad_helper(&["exit-in-init"])));
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    assert!(refused(&client, &thread).await.contains("initialize"));
    let why = refused(&client, &thread).await;
    for part in ["'helper' is backing off", "tried again in", "it failed last", "initialize"] {
        assert!(why.contains(part), "no {part:?} in {why}");
    }
    proven_gone(&client).await;
    let shown = in_state(&client, "backingOff").await;
    let left = shown["retryInMs"].as_u64().expect("a number");
    assert!((1..=600_000).contains(&left), "{shown}");
    assert!(shown["reason"].as_str().is_some_and(|reason| reason.contains("initialize")), "{shown}");
    let status = client.call("mcpServerStatus/list", json!({ "threadId": thread })).await;
    assert_eq!(status["data"][0]["runtimeStatus"], "failed", "{status}");
    assert_eq!(starts(&stage), 1);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn fifty_calls_at_once_after_a_death_wait_together_and_start_one_process() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let old = touch(&client, &thread).await;
    // Its failure is the death: a call made before it could still be sent to the dying one.
    client.refused("mcpServer/tool/call", tool(&thread, "exit", json!({}))).await;
    let pids = join_all((0..50).map(|_| touch(&client, &thread))).await;
    assert!(pids.iter().all(|pid| *pid == pids[0] && *pid != old), "{old}: {pids:?}");
    assert_eq!(starts(&stage), 2);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn fifty_calls_at_once_of_a_helper_that_exits_fail_once_each_with_one_start() {
    let stage = Stage::new(with(LONG, |home| home.bad_helper(&["exit-in-init"])));
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let whys = join_all((0..50).map(|_| refused(&client, &thread))).await;
    assert!(whys.iter().all(|why| why.contains("initialize")), "{whys:?}");
    assert_eq!(starts(&stage), 1);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_shutdown_while_a_call_waits_for_the_next_start_ends_at_once() {
    let stage =
        Stage::new(with(LONG, |home| home.bad_helper(&["exit-in-init"]).key("startup_timeout_sec", "3600")));
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    refused(&client, &thread).await;
    proven_gone(&client).await;
    let from = client.mark();
    let waiting =
        client.begin("mcpServer/tool/call", tool(&thread, "pid", json!({}))).await.expect("connected");
    in_state(&client, "backingOff").await;
    let began = clock::monotonic();
    stage.daemon.signal(Signal::TERM);
    // Answered, or cut off with the connection: it does not hold up the end either way.
    client.answer(from, waiting, "mcpServer/tool/call").await.expect_err("no helper came");
    let ended = stage.daemon.gone();
    ended.wait(STUBBORN).expect("the server ends");
    let took = clock::monotonic().saturating_sub(began);
    eprintln!("TERM to the end of a server with a back-off of minutes: {took:?}");
    assert_eq!(starts(&stage), 1, "something started after the shutdown began");
    drop(client);
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_start_over_max_helpers_is_refused_and_the_others_go_on() {
    let limit = "[helpers]\nmax_helpers = 1\n";
    let stage = Stage::new(with(limit, |home| home.bad_helper(&["polite"])));
    let client = stage.client("client").await;
    let (first, second) = (stage.thread(&client).await, stage.thread(&client).await);
    let pid = touch(&client, &first).await;
    let from = client.mark();
    let why = refused(&client, &second).await;
    assert!(why.contains("1 helpers run") && why.contains("max_helpers = 1 in [helpers]"), "{why}");
    let failed = |params: &Value| params["threadId"] == second.as_str() && params["status"] == "failed";
    let note = client.note(from, "mcpServer/startupStatus/updated", failed).await;
    assert!(note["error"].as_str().is_some_and(|error| error.contains("max_helpers")), "{note}");
    assert_eq!(touch(&client, &first).await, pid, "the other helper lives on");
    client.call("thread/delete", json!({ "threadId": first })).await;
    assert_ne!(touch(&client, &second).await, pid, "there is room again");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_without_a_thread_crash_a_server_for_themselves_alone() {
    let stage = Stage::new(with(QUICK, |home| home.bad_helper(&["exit-in-init"])));
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let read =
        || client.refused("mcpServer/resource/read", json!({ "server": "helper", "uri": "test://hello" }));
    for _ in 0..5 {
        let (_, why) = read().await;
        assert!(why.contains("initialize") && !why.contains("crashed"), "{why}");
    }
    let (_, why) = read().await;
    assert!(why.contains("has crashed") && why.contains("`verger helper restart helper`"), "{why}");
    assert_eq!(in_state(&client, "crashed").await["scope"], "probe");
    assert!(refused(&client, &thread).await.contains("initialize"), "a thread may still try");
    restart(&stage, &[]);
    let (_, why) = read().await;
    assert!(why.contains("initialize") && !why.contains("crashed"), "{why}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_restart_replaces_a_helper_that_runs_and_names_what_is_not_there() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let old = touch(&client, &thread).await;
    let family = stage.helpers();
    let answer =
        client.call("verger/helper/restart", json!({ "server": "helper", "threadId": thread })).await;
    assert_eq!(family.alive(), Vec::<i32>::new(), "the answer came before the proof");
    assert_eq!(answer, json!({ "ended": 1, "forgiven": 0 }));
    stage.home.wait_for_helper_event("start", 2);
    assert_ne!(touch(&client, &thread).await, old);
    assert_eq!(starts(&stage), 2);
    let (code, message) = client.refused("verger/helper/restart", json!({ "server": "hepler" })).await;
    assert_eq!((code, message.as_str()), (-32603, "unknown MCP server 'hepler'"));
    let nowhere = "01900000-0000-7000-8000-000000000000";
    let params = json!({ "server": "helper", "threadId": nowhere });
    let (code, message) = client.refused("verger/helper/restart", params).await;
    assert_eq!((code, message), (-32600, format!("thread not found: {nowhere}")));
    client.close().await;
    stage.finish();
}

/// Its stdout stays open, held by a child, so that nothing but the exit of the process can tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_exit_of_a_helper_is_noticed_by_itself() {
    let stage = Stage::new(with("[helpers]\nrestart_delay = \"0s\"\ncrash_limit = 100\n", |home| {
        home.bad_helper(&["grandchild"])
    }));
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let mut noticed = Vec::new();
    for round in 1..=10 {
        let leader = touch(&client, &thread).await;
        let from = client.mark();
        let slow = tool(&thread, "slow", json!({ "seconds": 60 }));
        let call = client.begin("mcpServer/tool/call", slow).await.expect("connected");
        // The call is with the helper, so that its failure is the helper's death.
        let calls = stage.home.wait_for_helper_event("call", 2 * round);
        assert_eq!(calls.last().expect("two a round")["tool"], "slow");
        let killed = clock::monotonic();
        kill_process(Pid::from_raw(leader).expect("a pid"), Signal::KILL).expect("it lives");
        client.answer(from, call, "mcpServer/tool/call").await.expect_err("the helper is dead");
        noticed.push(clock::monotonic().saturating_sub(killed));
    }
    assert_eq!(stage.home.helper_events("call").len(), 2 * noticed.len(), "a call was sent twice");
    noticed.sort_unstable();
    let (median, worst) = (noticed[5], noticed[9]);
    eprintln!(
        "KILL of a helper to the failure of its call at the client: median {median:?}, worst {worst:?}"
    );
    // What is left of the tree has 50 ms to leave by itself, and holds stdout open for so long.
    assert!(median < Duration::from_millis(50), "noticed after {noticed:?}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_over_its_budget_is_shown_with_the_reason_until_it_is_started_again() {
    let greedy = |home: &Home| home.bad_helper(&["alloc-unbounded"]).key("memory_max", "\"64MiB\"");
    let stage = Stage::new(with(LONG, greedy));
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let slow = tool(&thread, "slow", json!({ "seconds": 600 }));
    let (_, told) = client.refused("mcpServer/tool/call", slow).await;
    assert!(told.contains("over memory_max = 64 MiB"), "{told}");
    proven_gone(&client).await;
    let shown = in_state(&client, "backingOff").await;
    assert!(shown["reason"].as_str().is_some_and(|reason| reason.contains("over memory_max")), "{shown}");
    assert_eq!((&shown["pid"], &shown["processes"]), (&Value::Null, &json!(0)), "{shown}");
    client.close().await;
    stage.finish();
}
