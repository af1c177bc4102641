//! thread/tokenUsage/updated: what a thread has spent, told when it is kept, and the same to whoever comes later.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, begin_turn, ended, resume, turn};

/// What the fake model says that every answer costs.
fn cost(answers: i64) -> Value {
    json!({
        "totalTokens": 15 * answers, "inputTokens": 10 * answers, "cachedInputTokens": 4 * answers,
        "cacheWriteInputTokens": 0, "outputTokens": 5 * answers, "reasoningOutputTokens": 2 * answers,
    })
}

/// What `client` was told of the thread from `from` on, oldest first.
fn told(client: &Client, from: usize, thread: &str) -> Vec<Value> {
    let told = client.notes(from, "thread/tokenUsage/updated").into_iter();
    told.filter(|params| params["threadId"] == thread).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_answer_of_the_model_adds_to_the_total() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let started = json!({ "cwd": stage.home.work(), "config": { "model_context_window": 1000 } });
    let started = client.call("thread/start", started).await;
    let thread = started["thread"]["id"].as_str().expect("an id");
    assert_eq!(told(&client, 0, thread), [Value::Null; 0], "nothing is spent yet");
    let first = turn(&client, thread, "hi").await;
    let from = client.mark();
    // Two answers: the call, and what the model makes of its result.
    let id = begin_turn(&client, thread, "CALL mcp__helper echo {\"text\":\"x\"}").await;
    ended(&client, from, &id).await;
    let usage = |turn: &Value, all: i64| {
        let usage = json!({ "total": cost(all), "last": cost(1), "modelContextWindow": 1000 });
        json!({ "threadId": thread, "turnId": turn, "tokenUsage": usage })
    };
    let expected = [usage(&first["id"], 1), usage(&json!(id), 2), usage(&json!(id), 3)];
    assert_eq!(told(&client, 0, thread), expected);
    let methods: Vec<_> =
        client.since(from).iter().filter_map(|m| Some(m["method"].as_str()?.to_owned())).collect();
    let place = |method: &str| methods.iter().rposition(|m| m == method).expect("it was told");
    assert!(place("thread/tokenUsage/updated") < place("turn/completed"), "{methods:?}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whoever_comes_later_is_told_the_same_after_the_answer() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    turn(&client, &thread, "again").await;
    let last = told(&client, 0, &thread).pop().expect("two turns were told");
    assert_eq!(last["tokenUsage"]["total"], cost(2));
    assert_eq!(last["tokenUsage"]["modelContextWindow"], Value::Null, "nobody has said how much it holds");

    let (second, silent) = (stage.client("second").await, client.mark());
    resume(&second, &thread).await;
    second.note(0, "thread/tokenUsage/updated", |params| *params == last).await;
    let seen = second.since(0);
    let place = |fits: &dyn Fn(&Value) -> bool| seen.iter().position(fits).expect("it came");
    let answered = place(&|message| message["result"]["thread"]["id"] == thread.as_str());
    let told_at = place(&|message| message["method"] == "thread/tokenUsage/updated");
    assert!(answered < told_at, "the answer comes first: {seen:?}");
    // A round trip: whatever the resume caused has come by then.
    client.call("thread/loaded/list", json!({})).await;
    assert_eq!(told(&client, silent, &thread), [Value::Null; 0], "who knows is not told again");

    drop((client, second));
    stage.restart();
    let client = stage.client("after").await;
    resume(&client, &thread).await;
    client.note(0, "thread/tokenUsage/updated", |params| *params == last).await;
    turn(&client, &thread, "once more").await;
    let total = told(&client, 0, &thread).pop().expect("the turn was told")["tokenUsage"]["total"].clone();
    assert_eq!(total, cost(3), "it goes on from what was kept");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fork_goes_on_from_what_its_history_had_spent() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let first = client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    let first = first["thread"]["turns"][0]["id"].clone();
    turn(&client, &thread, "again").await;
    for (ephemeral, cut, spent) in [(false, json!(null), 2), (true, json!(null), 2), (false, first, 1)] {
        let params = json!({ "threadId": thread, "ephemeral": ephemeral, "lastTurnId": cut });
        let forked = client.call("thread/fork", params).await["thread"]["id"].clone();
        let forked = forked.as_str().expect("an id");
        turn(&client, forked, "elsewhere").await;
        let told = told(&client, 0, forked).pop().expect("the turn was told");
        assert_eq!(told["tokenUsage"]["total"], cost(spent + 1), "{told}");
    }
    client.close().await;
    stage.finish();
}
