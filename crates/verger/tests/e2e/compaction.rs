//! Compaction: what the model is told when a conversation is summed up, what clients see of it, and what a failure leaves.

use serde_json::{Value, json};
use verger_testkit::{Client, Home};

use crate::stage::{Stage, begin_turn, ended, resume, turn};

/// The prompt decides what the fake model does.
fn stage(prompt: &str) -> Stage {
    Stage::new(|home: &Home| home.config().key("compact_prompt", &json!(prompt).to_string()))
}

async fn three_turns(stage: &Stage, client: &Client) -> String {
    let thread = stage.thread(client).await;
    for text in ["one", "two", "three"] {
        turn(client, &thread, text).await;
    }
    thread
}

async fn compact(client: &Client, thread: &str) -> String {
    let from = client.mark();
    let answer = client.call("thread/compact/start", json!({ "threadId": thread })).await;
    assert_eq!(answer, json!({}));
    let started = client.note(from, "turn/started", |params| params["threadId"] == thread).await;
    started["turn"]["id"].as_str().expect("an id").to_owned()
}

async fn compacted(client: &Client, thread: &str) -> Value {
    let from = client.mark();
    let id = compact(client, thread).await;
    ended(client, from, &id).await
}

/// The texts that the model was told last.
fn heard(stage: &Stage) -> Vec<String> {
    let body = stage.home.model().requests().last().expect("a request").body.clone();
    let input = body["input"].as_array().expect("input").clone();
    input.iter().map(|item| item["content"][0]["text"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn items(client: &Client, thread: &str) -> Vec<String> {
    let page = client.call("thread/items/list", json!({ "threadId": thread })).await;
    let of = |entry: &Value| entry["item"]["type"].as_str().expect("a type").to_owned();
    page["data"].as_array().expect("a page").iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_model_is_told_the_summary_and_clients_the_whole() {
    let mut stage = stage("sum it up");
    let client = stage.client("client").await;
    let thread = three_turns(&stage, &client).await;
    let from = client.mark();
    let over = compacted(&client, &thread).await;
    assert_eq!((&over["status"], &over["items"]), (&json!("completed"), &json!([])));
    let told: Vec<String> = client
        .since(from)
        .iter()
        .filter_map(|message| message["method"].as_str().map(str::to_owned))
        .filter(|method| method != "thread/tokenUsage/updated")
        .collect();
    let order = [
        "thread/status/changed",
        "turn/started",
        "item/started",
        "item/completed",
        "thread/status/changed",
        "turn/completed",
    ];
    assert_eq!(told, order);
    let item = client.notes(from, "item/completed")[0]["item"].clone();
    assert_eq!(item["type"], "contextCompaction");
    let request = stage.home.model().requests().last().expect("a request").body.clone();
    assert_eq!(request.get("tools"), None, "no tool is offered: {request}");
    assert_eq!(heard(&stage), ["one", "ok", "two", "ok", "three", "ok", "sum it up"]);

    turn(&client, &thread, "four").await;
    let told = heard(&stage);
    assert_eq!((told.len(), told[1].as_str()), (2, "four"), "{told:?}");
    assert!(told[0].starts_with("Summary of this conversation") && told[0].ends_with("\n\nok"), "{told:?}");
    let all =
        [["userMessage", "agentMessage"].repeat(3), vec!["contextCompaction", "userMessage", "agentMessage"]];
    assert_eq!(items(&client, &thread).await, all.concat());
    drop(client);
    stage.restart();
    let client = stage.client("client").await;
    let turns = resume(&client, &thread).await["thread"]["turns"].clone();
    assert_eq!(turns.as_array().map(Vec::len), Some(5));
    turn(&client, &thread, "five").await;
    assert_eq!(heard(&stage)[1..], ["four", "ok", "five"]);
    // A summary of the summary and what came after it.
    compacted(&client, &thread).await;
    let asked = heard(&stage);
    assert!(
        asked[0].starts_with("Summary of this") && asked[1..] == ["four", "ok", "five", "ok", "sum it up"],
        "{asked:?}"
    );
    turn(&client, &thread, "six").await;
    assert_eq!(heard(&stage).len(), 2);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn forks_and_reverts_know_which_summary_is_theirs() {
    let stage = stage("sum it up");
    let client = stage.client("client").await;
    let thread = three_turns(&stage, &client).await;
    let from = client.mark();
    let summary = compact(&client, &thread).await;
    ended(&client, from, &summary).await;
    turn(&client, &thread, "four").await;
    let fork = async |params: Value| {
        let forked = client.call("thread/fork", params).await;
        forked["thread"]["id"].as_str().expect("an id").to_owned()
    };
    for ephemeral in [false, true] {
        let forked = fork(json!({ "threadId": thread, "ephemeral": ephemeral })).await;
        turn(&client, &forked, "five").await;
        assert_eq!(heard(&stage)[1..], ["four", "ok", "five"], "a fork of what was summed up");
        compacted(&client, &forked).await;
        turn(&client, &forked, "six").await;
        assert_eq!(heard(&stage)[1..], ["six"]);
    }
    let before = fork(json!({ "threadId": thread, "beforeTurnId": summary })).await;
    turn(&client, &before, "else").await;
    assert_eq!(heard(&stage), ["one", "ok", "two", "ok", "three", "ok", "else"]);
    client.call("thread/revert", json!({ "threadId": thread, "beforeTurnId": summary })).await;
    turn(&client, &thread, "else").await;
    assert_eq!(heard(&stage), ["one", "ok", "two", "ok", "three", "ok", "else"]);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_summary_that_fails_or_is_interrupted_changes_nothing() {
    let failing = stage("FAIL status=400");
    let client = failing.client("client").await;
    let thread = three_turns(&failing, &client).await;
    let from = client.mark();
    let over = compacted(&client, &thread).await;
    assert_eq!(over["status"], "failed");
    let message = over["error"]["message"].as_str().expect("a message");
    assert!(message.starts_with("the conversation could not be summed up: provider mock"), "{message}");
    assert_eq!(client.notes(from, "item/started").len(), client.notes(from, "item/completed").len());
    turn(&client, &thread, "four").await;
    assert_eq!(heard(&failing), ["one", "ok", "two", "ok", "three", "ok", "four"]);
    client.close().await;
    failing.finish();

    let slow = stage("STREAM n=1000 size=10 delay_ms=5");
    let client = slow.client("client").await;
    let thread = three_turns(&slow, &client).await;
    let from = client.mark();
    let id = compact(&client, &thread).await;
    let again = client.refused("thread/compact/start", json!({ "threadId": thread })).await;
    assert_eq!(again, (-32600, format!("cannot compact thread {thread} while turn {id} is in progress")));
    client.call("turn/interrupt", json!({ "threadId": thread, "turnId": id })).await;
    assert_eq!(ended(&client, from, &id).await["status"], "interrupted");
    slow.home.model().wait_until(|counts| counts.abandoned == 1).await;
    turn(&client, &thread, "four").await;
    assert_eq!(heard(&slow), ["one", "ok", "two", "ok", "three", "ok", "four"]);
    // What is said meanwhile is answered after it.
    let from = client.mark();
    let id = compact(&client, &thread).await;
    assert_eq!(begin_turn(&client, &thread, "and five").await, id, "it joins the turn");
    client.call("turn/interrupt", json!({ "threadId": thread, "turnId": id })).await;
    ended(&client, from, &id).await;
    client.close().await;
    slow.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_said_during_a_summary_is_answered_after_it() {
    let stage = stage("STREAM n=20 size=10 delay_ms=5");
    let client = stage.client("client").await;
    let thread = three_turns(&stage, &client).await;
    let from = client.mark();
    let id = compact(&client, &thread).await;
    begin_turn(&client, &thread, "and five").await;
    assert_eq!(ended(&client, from, &id).await["status"], "completed");
    let told = heard(&stage);
    assert_eq!((told.len(), told[1].as_str()), (2, "and five"), "{told:?}");
    turn(&client, &thread, "six").await;
    assert_eq!(heard(&stage)[1..], ["and five", "ok", "six"]);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_offline_model_sums_up_what_it_can_count() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let started =
        client.call("thread/start", json!({ "modelProvider": "offline", "cwd": stage.home.work() })).await;
    let thread = started["thread"]["id"].as_str().expect("an id").to_owned();
    for text in ["good morning", "good night"] {
        turn(&client, &thread, text).await;
    }
    assert_eq!(compacted(&client, &thread).await["status"], "completed");
    // Asked by another model, which shows what it was told.
    let how = json!({ "threadId": thread, "modelProvider": "mock", "model": "mock-model" });
    let forked = client.call("thread/fork", how).await;
    turn(&client, forked["thread"]["id"].as_str().expect("an id"), "and?").await;
    let told = heard(&stage);
    assert_eq!(told.len(), 2, "{told:?}");
    for part in [
        "The user wrote 2 messages",
        "The first message: good morning",
        "The last answer: You said: good night",
    ] {
        assert!(told[0].contains(part), "{part} is not in {told:?}");
    }
    client.close().await;
    stage.finish();
}

/// A stage whose model is full after every answer: the fake model says that each leaves it with 15 tokens.
fn full(prompt: &str) -> Stage {
    Stage::new(|home: &Home| {
        let config = home.config().key("compact_prompt", &json!(prompt).to_string());
        config.key("model_auto_compact_token_limit", "15").server("helper", &home.bad_helper(&["polite"]))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_model_sums_up_without_being_asked() {
    let mut stage = full("sum it up");
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    turn(&client, &thread, "one").await;
    assert_eq!(heard(&stage), ["one"]);
    drop(client);
    // That it is full is remembered.
    stage.restart();
    let client = stage.client("client").await;
    resume(&client, &thread).await;
    let before = stage.home.model().requests().len();
    assert_eq!(turn(&client, &thread, "two").await["status"], "completed");
    let asked = |n: usize| {
        let input = stage.home.model().requests()[n].body["input"].as_array().expect("input").clone();
        input
            .iter()
            .map(|item| item["content"][0]["text"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(before), ["one", "ok", "sum it up"], "without what the user says now");
    assert_eq!((asked(before + 1).len(), asked(before + 1)[1].as_str()), (2, "two"));
    assert_eq!(stage.home.model().requests().len(), before + 2);
    let kinds = ["userMessage", "agentMessage", "userMessage", "contextCompaction", "agentMessage"];
    assert_eq!(items(&client, &thread).await, kinds);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_model_sums_up_between_two_calls_of_one_turn() {
    let stage = full("sum it up");
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let over = turn(&client, &thread, "CALL mcp__helper pid {}").await;
    assert_eq!(over["status"], "completed");
    let requests = stage.home.model().requests();
    assert_eq!(requests.len(), 3, "the call, the summary, the answer");
    let asked = requests[1].body["input"].to_string();
    assert!(asked.contains("function_call_output") && asked.contains("sum it up"), "{asked}");
    assert_eq!(requests[1].body.get("tools"), None);
    assert_eq!(heard(&stage).len(), 1, "the summary alone: {:?}", heard(&stage));
    assert!(requests[2].body["tools"].is_array(), "it may go on with its tools");
    assert_eq!(
        items(&client, &thread).await,
        ["userMessage", "mcpToolCall", "contextCompaction", "agentMessage"]
    );
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_model_that_cannot_sum_up_fails_the_turn_and_is_asked_again() {
    let stage = full("FAIL status=400 times=1");
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    turn(&client, &thread, "one").await;
    let over = turn(&client, &thread, "two").await;
    assert_eq!(over["status"], "failed");
    let message = over["error"]["message"].as_str().expect("a message");
    assert!(message.starts_with("the conversation could not be summed up"), "{message}");
    // It still is full, and this time it can.
    assert_eq!(turn(&client, &thread, "three").await["status"], "completed");
    let told = heard(&stage);
    assert_eq!((told.len(), told[1].as_str()), (2, "three"), "{told:?}");
    client.close().await;
    stage.finish();
}
