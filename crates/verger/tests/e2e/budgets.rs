//! Budgets of a server: a helper that takes too much is killed with a reason that everyone is told, one that nobody calls
//! ends in order, and no other helper notices.

use std::time::Duration;

use serde_json::{Value, json};
use verger_testkit::clock::monotonic;
use verger_testkit::{Client, Gone};

use crate::stage::{STUBBORN, Stage, begin_turn, call, ended, tool, touch};

/// Calls a tool of any server; the text of its answer.
async fn call_of(client: &Client, thread: &str, server: &str, name: &str) -> String {
    let params = json!({ "threadId": thread, "server": server, "tool": name, "arguments": {} });
    let answer = client.call("mcpServer/tool/call", params).await;
    answer["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {answer}")).to_owned()
}

/// The next failure of `helper` that the client is told of.
async fn failure(client: &Client, from: usize, thread: &str) -> String {
    let failed = |params: &Value| params["name"] == "helper" && params["status"] == "failed";
    let note = client.note(from, "mcpServer/startupStatus/updated", failed).await;
    assert_eq!(note["threadId"], thread, "{note}");
    note["error"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_over_its_memory_is_killed_with_a_reason_and_no_other_notices() {
    let stage = Stage::new(|home| {
        let helper = home.bad_helper(&["stubborn"]).key("memory_max", "\"64MB\"");
        let config = home.config().server("helper", &helper);
        config.server("other", &home.bad_helper(&["alloc", "100"]))
    });
    let client = stage.client("client").await;
    let (thread, neighbour) = (stage.thread(&client).await, stage.thread(&client).await);
    let (pid, next_door) = (touch(&client, &thread).await, touch(&client, &neighbour).await);
    let other = call_of(&client, &thread, "other", "pid").await;
    let from = client.mark();
    let slow = tool(&thread, "slow", json!({ "seconds": 600 }));
    let slow = client.begin("mcpServer/tool/call", slow).await.expect("connected");
    // Three pids were asked for before.
    stage.home.wait_for_helper_event("call", 4);
    let greedy = tool(&thread, "alloc", json!({ "mib": 100 }));
    client.begin("mcpServer/tool/call", greedy).await.expect("connected");
    let refused = client.answer(from, slow, "the slow call").await.expect_err("it has no answer");
    let message = refused.to_string();
    assert!(message.contains("-32603") && message.contains("outcome unknown, not sent again"), "{message}");
    let log = stage.daemon.stderr_with("limit=64000000");
    assert!(log.contains(&thread), "{log}");
    for told in [message, failure(&client, from, &thread).await, log] {
        let figure = told.split("it used ").nth(1).and_then(|rest| rest.split(' ').next());
        let figure: f64 = figure.and_then(|figure| figure.parse().ok()).unwrap_or_else(|| panic!("{told}"));
        assert!((64.0..200.0).contains(&figure), "between the limit and all that it wanted: {told}");
        assert!(told.contains(" MB of memory, over memory_max = 64 MB"), "{told}");
    }
    assert_eq!(
        stage.home.helper_events("signal-ignored"),
        [Value::Null; 0],
        "it was not asked to leave first"
    );
    assert_ne!(touch(&client, &thread).await, pid, "the next call starts another");
    assert_eq!(
        stage.home.helper_events("signal-ignored"),
        [Value::Null; 0],
        "it was not asked to leave first"
    );
    assert_eq!(touch(&client, &neighbour).await, next_door, "the same server in another thread goes on");
    assert_eq!(call_of(&client, &thread, "other", "pid").await, other, "so does another of the same thread");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_takes_memory_without_bound_is_ended_in_a_turn_too() {
    let stage = Stage::new(|home| {
        let helper = home.bad_helper(&["alloc-unbounded"]).key("memory_max", "\"256MiB\"");
        home.config().server("helper", &helper)
    });
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let from = client.mark();
    let (_, message) =
        client.refused("mcpServer/tool/call", tool(&thread, "slow", json!({ "seconds": 600 }))).await;
    assert!(message.contains(" MiB of memory, over memory_max = 256 MiB"), "{message}");
    assert!(failure(&client, from, &thread).await.contains("over memory_max"), "the client is told");
    stage.home.tag().wait_gone(STUBBORN).expect("nothing of it is left");
    let from = client.mark();
    let id = begin_turn(&client, &thread, "hi").await;
    assert_eq!(ended(&client, from, &id).await["status"], "completed", "the thread goes on");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_of_too_many_processes_is_killed_and_one_of_just_enough_is_not() {
    let stage = Stage::new(|home| {
        let budget = |entry: verger_testkit::ServerEntry| entry.key("max_processes", "10");
        let config = home.config().server("helper", &budget(home.bad_helper(&["many", "60"])));
        // With its leader ten.
        config.server("other", &budget(home.bad_helper(&["many", "9"])))
    });
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let other = call_of(&client, &thread, "other", "pid").await;
    let just_enough = stage.helpers();
    assert_eq!(just_enough.len(), 10);
    // All that this one is looked at, the other is, too.
    for _ in 0..2 {
        let from = client.mark();
        let slow = tool(&thread, "slow", json!({ "seconds": 600 }));
        let (_, message) = client.refused("mcpServer/tool/call", slow).await;
        let over = " processes, over max_processes = 10";
        for told in [message, failure(&client, from, &thread).await, stage.daemon.stderr_with(over)] {
            assert!(told.contains(over), "{told}");
        }
    }
    assert_eq!(call_of(&client, &thread, "other", "pid").await, other);
    assert_eq!(just_enough.alive().len(), 10, "the other lost nobody");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_over_its_budget_before_it_serves_fails_its_start() {
    let stage = Stage::new(|home| {
        let helper = home.bad_helper(&["wrapper", "never-init"]).key("max_processes", "1");
        home.config().server("helper", &helper)
    });
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let from = client.mark();
    let (_, message) = client.refused("mcpServer/tool/call", tool(&thread, "pid", json!({}))).await;
    let over = "it had 2 processes, over max_processes = 1";
    for told in [message, failure(&client, from, &thread).await, stage.daemon.stderr_with(over)] {
        assert!(told.contains(over), "{told}");
    }
    stage.home.tag().wait_gone(STUBBORN).expect("nothing half-started remains");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_that_nobody_calls_ends_in_order_and_the_next_call_starts_another() {
    let stage = Stage::new(|home| {
        let helper = home.bad_helper(&["polite"]).key("idle_timeout", "\"400ms\"").eager();
        home.config().server("helper", &helper)
    });
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let from = client.mark();
    let mut last = 0;
    for round in 1..=2 {
        // Longer than it may be idle. Were it ended meanwhile, this would fail: no call is made twice.
        let slow = call(&client, &thread, "slow", json!({ "seconds": 1.2 })).await;
        assert_eq!(slow, "ok", "a call is no idleness");
        let pid = touch(&client, &thread).await;
        assert_ne!(pid, last, "another has come");
        Gone::watch([pid]).wait(STUBBORN).expect("it ends without a call");
        stage.home.wait_for_helper_event("stdin-eof", round);
        last = pid;
    }
    assert_eq!(stage.home.helper_events("signal"), [Value::Null; 0], "they were let go in order");
    let told = client.notes(from, "mcpServer/startupStatus/updated");
    assert!(told.iter().all(|note| note["status"] != "failed"), "an idle end is no failure: {told:?}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_meets_an_idle_end_is_served_all_the_same() {
    const IDLE: Duration = Duration::from_millis(20);
    let stage = Stage::new(|home| {
        let helper = home.bad_helper(&["polite"]).key("idle_timeout", "\"20ms\"");
        home.config().server("helper", &helper)
    });
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    for n in 0..60 {
        // Before, at and after the moment at which it ends.
        tokio::time::sleep(IDLE * (n % 12) / 6).await;
        touch(&client, &thread).await;
        tokio::time::sleep(IDLE * (n % 10) / 5).await;
        let resource = json!({ "threadId": thread, "server": "helper", "uri": "test://hello" });
        client.call("mcpServer/resource/read", resource).await;
    }
    let starts = stage.home.helper_events("start").len();
    assert!(starts > 10, "the end was not met often enough to mean anything: {starts} starts");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn graces_are_each_servers_own() {
    const GRACE: Duration = Duration::from_millis(2500);
    // Each end takes its one grace at least; with the usual ones it would be 0.5 s and 2 s.
    for (mode, stdin, term) in [("ignore-eof", "2.5s", "0s"), ("stubborn", "0s", "2.5s")] {
        let stage = Stage::new(|home| {
            let helper = home.bad_helper(&[mode]);
            let helper = helper
                .key("stdin_grace", &json!(stdin).to_string())
                .key("term_grace", &json!(term).to_string());
            home.config().server("helper", &helper)
        });
        let client = stage.client("client").await;
        let thread = stage.saved(&client).await;
        touch(&client, &thread).await;
        let began = monotonic();
        client.call("thread/archive", json!({ "threadId": thread })).await;
        let took = monotonic().saturating_sub(began);
        assert!(took >= GRACE, "{mode}: {took:?}");
        client.close().await;
        stage.finish();
    }
}
