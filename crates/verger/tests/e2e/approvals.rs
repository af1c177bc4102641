//! Approvals: asked of every subscriber under one id, answered once, kept while nobody is there, and gone with their turn (K8).

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use verger_testkit::{Client, Home};

use crate::stage::{SOON, Stage, begin_turn, ended, resume, say, turn};

pub(crate) const ASK: &str = "mcpServer/elicitation/request";
pub(crate) const WRITE: &str = "CALL mcp__helper write {\"text\":\"x\"}";
/// What a call is told that nobody had approved when its turn ended.
const NOT_SENT: &str = "cancelled before anyone approved it: the call was not sent";

/// A thread that asks for approvals, with a turn behind it.
pub(crate) async fn asking(stage: &Stage, client: &Client) -> String {
    let cwd = stage.home.work();
    let started = client.call("thread/start", json!({ "cwd": cwd, "approvalPolicy": "on-request" })).await;
    let thread = started["thread"]["id"].as_str().expect("a thread has an id").to_owned();
    turn(client, &thread, "hi").await;
    thread
}

/// The tool call of the turn, as it completed.
async fn completed(client: &Client, from: usize) -> Value {
    let note = client.note(from, "item/completed", |params| params["item"]["type"] == "mcpToolCall").await;
    note["item"].clone()
}

/// Waits for the end of a question.
pub(crate) async fn resolved(client: &Client, from: usize, question: &Value) {
    client.note(from, "serverRequest/resolved", |params| params["requestId"] == question["id"]).await;
}

/// Kills the one helper there is.
pub(crate) fn kill_helper(stage: &Stage) {
    let live = stage.home.tag().live();
    assert_eq!(live.len(), 1, "{live:?}");
    let pid = Pid::from_raw(live[0].pid).expect("a pid");
    kill_process(pid, Signal::KILL).expect("it lives");
}

/// How often `write` reached a helper.
fn writes(home: &Home) -> usize {
    home.helper_events("call").iter().filter(|call| call["tool"] == "write").count()
}

fn accept() -> Value {
    json!({ "action": "accept" })
}

/// The status that clients were told last.
fn flags(client: &Client, from: usize) -> Value {
    let told = client.notes(from, "thread/status/changed");
    told.last().map(|params| params["status"]["activeFlags"].clone()).unwrap_or_default()
}

/// The only item of the last turn that is a tool call, as a reader finds it.
async fn kept(client: &Client, thread: &str) -> (Value, Value) {
    let read = client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    let turns = read["thread"]["turns"].as_array().expect("turns").clone();
    let last = turns.last().expect("a turn").clone();
    let items = last["items"].as_array().expect("items");
    let call = items.iter().find(|item| item["type"] == "mcpToolCall").cloned().unwrap_or_default();
    (last["status"].clone(), call)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_subscriber_is_asked_and_the_first_answer_counts() {
    let stage = Stage::lazy(&["polite"]);
    let (a, b, c) = (stage.client("a").await, stage.client("b").await, stage.client("c").await);
    let thread = asking(&stage, &a).await;
    resume(&b, &thread).await;
    let (from_a, from_b, from_c) = (a.mark(), b.mark(), c.mark());
    let id = begin_turn(&a, &thread, WRITE).await;
    let question = a.question(from_a, ASK).await;
    assert_eq!(b.question(from_b, ASK).await, question, "both are asked the same");
    assert_eq!(flags(&a, from_a), json!(["waitingOnApproval"]));
    let params = &question["params"];
    assert_eq!(
        (&params["threadId"], &params["turnId"], &params["serverName"], &params["mode"]),
        (&json!(thread), &json!(id), &json!("helper"), &json!("form"))
    );
    let meta = &params["_meta"];
    assert_eq!(meta["codex_approval_kind"], "mcp_tool_call");
    assert_eq!((&meta["tool_name"], &meta["tool_params"]), (&json!("write"), &json!({ "text": "x" })));
    assert_eq!(meta["persist"], json!(["session", "always"]));
    assert_eq!(writes(&stage.home), 0, "nothing is sent before the answer");

    // One who was not asked has no say; the first of the others has.
    c.reply(&question, json!({ "action": "decline" })).await;
    c.call("thread/loaded/list", json!({})).await;
    b.reply(&question, accept()).await;
    resolved(&a, from_a, &question).await;
    resolved(&b, from_b, &question).await;
    a.reply(&question, json!({ "action": "decline" })).await;
    let item = completed(&a, from_a).await;
    assert_eq!((&item["status"], &item["error"]), (&json!("completed"), &Value::Null), "{item}");
    assert_eq!(ended(&a, from_a, &id).await["status"], "completed");
    assert_eq!(writes(&stage.home), 1);
    assert_eq!(a.notes(from_a, "serverRequest/resolved").len(), 1, "it ends once");
    assert_eq!(
        c.notes(from_c, "serverRequest/resolved"),
        [] as [Value; 0],
        "who follows nothing hears nothing"
    );
    for client in [a, b, c] {
        client.close().await;
    }
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_no_fails_the_call_and_the_turn_goes_on() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = asking(&stage, &client).await;
    for (answer, error) in [
        (json!({ "result": { "action": "decline" } }), "user rejected MCP tool call"),
        (json!({ "result": { "action": "cancel" } }), "user cancelled MCP tool call"),
        (
            json!({ "error": { "code": -32601, "message": "what?" } }),
            "user rejected MCP tool call: no client could answer: what?",
        ),
        (
            json!({ "result": { "action": "maybe" } }),
            "user rejected MCP tool call: no client could answer: its answer is not readable",
        ),
        (
            json!({ "result": {} }),
            "user rejected MCP tool call: no client could answer: its answer is not readable",
        ),
    ] {
        let from = client.mark();
        let id = begin_turn(&client, &thread, WRITE).await;
        let question = client.question(from, ASK).await;
        let mut message = answer.clone();
        message["id"] = question["id"].clone();
        client.send(&message).await.expect("the connection is open");
        let item = completed(&client, from).await;
        assert_eq!(item["status"], "failed", "{answer}");
        let told = item["error"]["message"].as_str().expect("an error has a message");
        assert!(told.starts_with(error), "{answer}: {told}");
        assert_eq!(ended(&client, from, &id).await["status"], "completed", "{answer}");
        resolved(&client, from, &question).await;
    }
    assert_eq!(writes(&stage.home), 0);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_cannot_answer_leaves_it_to_the_others() {
    let stage = Stage::lazy(&["polite"]);
    let (a, b) = (stage.client("a").await, stage.client("b").await);
    let thread = asking(&stage, &a).await;
    resume(&b, &thread).await;
    let (from_a, from_b) = (a.mark(), b.mark());
    let id = begin_turn(&a, &thread, WRITE).await;
    let question = a.question(from_a, ASK).await;
    b.question(from_b, ASK).await;
    let unable = json!({ "id": question["id"], "error": { "code": -32601, "message": "not handled" } });
    a.send(&unable).await.expect("the connection is open");
    // Its next answer comes after the server has read that one.
    a.call("thread/read", json!({ "threadId": thread })).await;
    assert_eq!(flags(&a, from_a), json!(["waitingOnApproval"]), "the other may still answer");
    b.reply(&question, accept()).await;
    assert_eq!(ended(&b, from_b, &id).await["status"], "completed");

    // And when the only one who could has left, nobody is waited for.
    let (from_a, from_b) = (a.mark(), b.mark());
    let id = begin_turn(&a, &thread, WRITE).await;
    let question = a.question(from_a, ASK).await;
    b.question(from_b, ASK).await;
    let unable = json!({ "id": question["id"], "error": { "code": -32601, "message": "not handled" } });
    a.send(&unable).await.expect("the connection is open");
    a.call("thread/read", json!({ "threadId": thread })).await;
    b.close().await;
    assert_eq!(completed(&a, from_a).await["status"], "failed");
    assert_eq!(ended(&a, from_a, &id).await["status"], "completed");
    a.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_outlives_its_clients_and_is_asked_again_under_its_id() {
    let stage = Stage::lazy(&["polite"]);
    let (a, watcher) = (stage.client("a").await, stage.client("watcher").await);
    let thread = asking(&stage, &a).await;
    let from = a.mark();
    let id = begin_turn(&a, &thread, WRITE).await;
    let question = a.question(from, ASK).await;
    let from_watcher = watcher.mark();
    a.close().await;
    let read = watcher.call("thread/read", json!({ "threadId": thread })).await;
    assert_eq!(read["thread"]["status"], json!({ "type": "active", "activeFlags": ["waitingOnApproval"] }));

    let b = stage.client("b").await;
    let from = b.mark();
    let resumed = resume(&b, &thread).await;
    assert_eq!(resumed["thread"]["turns"][1]["items"][1]["status"], "inProgress", "{resumed}");
    assert_eq!(b.question(from, ASK).await, question, "the same question under the same id");
    let seen = b.since(from);
    let place = |fits: &dyn Fn(&Value) -> bool| seen.iter().position(fits).expect("it came");
    assert!(place(&|m| m.get("result").is_some()) < place(&|m| m["method"] == ASK), "the answer comes first");
    b.reply(&question, accept()).await;
    assert_eq!(ended(&b, from, &id).await["status"], "completed");
    assert_eq!(writes(&stage.home), 1);
    assert_eq!(watcher.notes(from_watcher, "thread/closed"), [] as [Value; 0], "it was never unloaded");
    b.close().await;
    watcher.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nobody_waits_for_ever() {
    let stage = Stage::new(|home| {
        home.config()
            .server("helper", &home.bad_helper(&["polite"]))
            .table("[threads]\norphan_request_limit = \"200ms\"")
    });
    let (a, watcher) = (stage.client("a").await, stage.client("watcher").await);
    let thread = asking(&stage, &a).await;
    let (from, from_watcher) = (a.mark(), watcher.mark());
    begin_turn(&a, &thread, WRITE).await;
    a.question(from, ASK).await;
    let helpers = stage.helpers();
    a.close().await;
    crate::stage::closed(&watcher, from_watcher, &thread).await;
    assert_eq!(helpers.wait(SOON), Ok(()));
    let b = stage.client("b").await;
    let from = b.mark();
    resume(&b, &thread).await;
    let (status, call) = kept(&b, &thread).await;
    assert_eq!((status, &call["error"]["message"]), (json!("interrupted"), &json!(NOT_SENT)), "{call}");
    assert_eq!(turn(&b, &thread, "hi").await["status"], "completed");
    let asked = b.since(from).iter().filter(|m| m["method"] == ASK).count();
    assert_eq!((asked, writes(&stage.home)), (0, 0), "nothing is offered again");
    b.close().await;
    watcher.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_interrupt_ends_it() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = asking(&stage, &client).await;
    let from = client.mark();
    let id = begin_turn(&client, &thread, WRITE).await;
    let question = client.question(from, ASK).await;
    let answer = client.call("turn/interrupt", json!({ "threadId": thread, "turnId": id })).await;
    assert_eq!(answer, json!({}));
    assert_eq!(ended(&client, from, &id).await["status"], "interrupted");
    resolved(&client, from, &question).await;
    let item = completed(&client, from).await;
    assert_eq!((&item["status"], &item["error"]["message"]), (&json!("failed"), &json!(NOT_SENT)));
    // Too late.
    client.reply(&question, accept()).await;
    assert_eq!(turn(&client, &thread, "hi").await["status"], "completed");
    assert_eq!(writes(&stage.home), 0);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_death_of_its_helper_does_not() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = asking(&stage, &client).await;
    let from = client.mark();
    let id = begin_turn(&client, &thread, WRITE).await;
    let question = client.question(from, ASK).await;
    let helpers = stage.helpers();
    kill_helper(&stage);
    assert_eq!(helpers.wait(SOON), Ok(()));
    client.reply(&question, accept()).await;
    // Nothing was sent to the one that died, so the next one gets it.
    assert_eq!(completed(&client, from).await["status"], "completed");
    assert_eq!(ended(&client, from, &id).await["status"], "completed");
    assert_eq!(writes(&stage.home), 1);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_crash_cancels_it_and_nothing_is_offered_again() {
    let mut stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = asking(&stage, &client).await;
    let from = client.mark();
    begin_turn(&client, &thread, WRITE).await;
    client.question(from, ASK).await;
    stage.daemon.signal(Signal::KILL);
    stage.daemon.wait(Duration::from_secs(15));
    stage.start_again();
    let client = stage.client("client").await;
    let from = client.mark();
    resume(&client, &thread).await;
    let (status, call) = kept(&client, &thread).await;
    assert_eq!((status, &call["error"]["message"]), (json!("interrupted"), &json!(NOT_SENT)), "{call}");
    assert_eq!(turn(&client, &thread, "hi").await["status"], "completed");
    let asked = client.since(from).iter().filter(|m| m["method"] == ASK).count();
    assert_eq!((asked, writes(&stage.home)), (0, 0));

    // Once approved, it may have had its effect.
    let from = client.mark();
    begin_turn(&client, &thread, "CALL mcp__helper exit {}").await;
    let question = client.question(from, ASK).await;
    client.reply(&question, accept()).await;
    let item = completed(&client, from).await;
    assert_eq!(item["status"], "failed", "{item}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_stops_waits_for_no_answer() {
    let stage = Stage::new(|home| {
        let limit = "[threads]\ndrain_limit = \"1h\"";
        home.config().server("helper", &home.bad_helper(&["polite"])).table(limit)
    });
    let client = stage.client("client").await;
    let thread = asking(&stage, &client).await;
    let from = client.mark();
    let id = begin_turn(&client, &thread, WRITE).await;
    client.question(from, ASK).await;
    stage.daemon.signal(Signal::TERM);
    assert_eq!(ended(&client, from, &id).await["status"], "interrupted");
    client.closed().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_yes_is_kept_as_long_as_the_user_says() {
    let mut stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let (thread, other) = (asking(&stage, &client).await, asking(&stage, &client).await);
    let yes = |persist: &str| json!({ "action": "accept", "_meta": { "persist": persist } });

    let from = client.mark();
    let id = begin_turn(&client, &thread, WRITE).await;
    let question = client.question(from, ASK).await;
    client.reply(&question, yes("session")).await;
    ended(&client, from, &id).await;
    // Not asked again, even after the thread was unloaded.
    client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
    client.note(from, "thread/closed", |params| params["threadId"] == thread).await;
    resume(&client, &thread).await;
    let from = client.mark();
    assert_eq!(turn(&client, &thread, WRITE).await["status"], "completed");
    assert_eq!(completed(&client, from).await["status"], "completed");
    assert!(client.since(from).iter().all(|m| m["method"] != ASK), "asked again");

    // In another thread it is another conversation; there the user says always.
    let from = client.mark();
    let id = begin_turn(&client, &other, WRITE).await;
    let question = client.question(from, ASK).await;
    client.reply(&question, yes("always")).await;
    ended(&client, from, &id).await;
    let config = std::fs::read_to_string(stage.home.path().join("config.toml")).expect("there is one");
    assert!(config.contains("[mcp_servers.helper.tools.write]\napproval_mode = \"approve\""), "{config}");
    let third = asking(&stage, &client).await;
    let from = client.mark();
    turn(&client, &third, WRITE).await;
    assert!(client.since(from).iter().all(|m| m["method"] != ASK), "asked again");
    // What only approvals differ in restarts no helper.
    let before = stage.home.tag().live().len();
    client.call("config/mcpServer/reload", json!({})).await;
    assert_eq!(stage.home.tag().live().len(), before, "a helper was restarted for an approval");
    client.close().await;

    stage.restart();
    let client = stage.client("client").await;
    let fourth = asking(&stage, &client).await;
    let from = client.mark();
    turn(&client, &fourth, WRITE).await;
    assert!(client.since(from).iter().all(|m| m["method"] != ASK), "asked again after a restart");
    assert_eq!(completed(&client, from).await["status"], "completed");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn where_nobody_may_be_asked_the_call_is_refused() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let cwd = stage.home.work();
    let params = json!({ "cwd": cwd, "approvalPolicy": "never", "sandbox": "read-only" });
    let started = client.call("thread/start", params).await;
    let thread = started["thread"]["id"].as_str().expect("a thread has an id").to_owned();
    let from = client.mark();
    assert_eq!(turn(&client, &thread, WRITE).await["status"], "completed");
    let item = completed(&client, from).await;
    let message = item["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("MCP tool call requires approval, but approval policy is never"), "{item}");
    assert!(message.contains("[mcp_servers.helper.tools.write]"), "it names the remedy: {message}");
    let from = client.mark();
    client.call("turn/start", say(&thread, "CALL mcp__helper echo {\"text\":\"x\"}")).await;
    assert_eq!(completed(&client, from).await["status"], "completed", "what only reads runs");
    client.close().await;
    stage.finish();
}
