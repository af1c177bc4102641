//! Several clients on one thread: they see the same, and whoever comes late misses nothing (K5).

use std::time::Duration;

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, begin_turn, ended, resume, say, scale};

fn of_turn(client: &Client, from: usize, thread: &str) -> Vec<Value> {
    let all = client.since(from).into_iter();
    all.filter(|m| m.get("id").is_none() && m["params"]["threadId"] == thread)
        .map(|mut m| {
            // When it was sent may differ; what and in which order may not.
            m.as_object_mut().expect("an object").remove("emittedAtMs");
            m
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_clients_see_the_same_order() {
    let stage = Stage::lazy(&["polite"]);
    let (first, second) = (stage.client("first").await, stage.client("second").await);
    let thread = stage.saved(&first).await;
    resume(&second, &thread).await;
    // A round trip: what the resume tells of the past has come by then.
    second.call("thread/loaded/list", json!({})).await;
    let (a, b) = (first.mark(), second.mark());
    for text in ["STREAM n=50 size=10", "CALL mcp__helper echo {\"text\":\"x\"}"] {
        let turn = begin_turn(&first, &thread, text).await;
        ended(&first, a, &turn).await;
        ended(&second, b, &turn).await;
    }
    // A round trip each: whatever belongs to the last turn has come by then.
    first.call("thread/loaded/list", json!({})).await;
    second.call("thread/loaded/list", json!({})).await;
    let (seen, also) = (of_turn(&first, a, &thread), of_turn(&second, b, &thread));
    assert!(seen.len() > 50, "{} messages", seen.len());
    assert_eq!(seen, also);
    drop((first, second));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_unsubscribed_hears_nothing_after_the_answer() {
    let stage = Stage::bare();
    let (first, second) = (stage.client("first").await, stage.client("second").await);
    let thread = stage.saved(&first).await;
    for round in 0..10 * scale() {
        resume(&second, &thread).await;
        let (a, b) = (first.mark(), second.mark());
        let turn = begin_turn(&first, &thread, "STREAM n=3000 size=10").await;
        second.note(b, "item/agentMessage/delta", |_| true).await;
        let id = second.begin("thread/unsubscribe", json!({ "threadId": thread })).await.expect("connected");
        second.answer(b, id, "the answer").await.expect("it is subscribed");
        ended(&first, a, &turn).await;
        // A round trip: what was sent before it has come by then.
        second.call("thread/loaded/list", json!({})).await;
        let all = second.since(b);
        let answered = all.iter().position(|m| m["id"] == id).expect("it was answered");
        let of_stream = |m: &&Value| {
            let method = m["method"].as_str().unwrap_or_default();
            m["params"]["threadId"] == thread.as_str() && !method.starts_with("thread/")
        };
        let late: Vec<_> = all[answered..].iter().filter(of_stream).collect();
        assert!(late.is_empty(), "round {round}: {} events after the answer", late.len());
    }
    drop((first, second));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_start_during_a_turn_joins_it() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let turn = begin_turn(&client, &thread, "STREAM n=60 size=10 delay_ms=5").await;
    client.note(from, "item/agentMessage/delta", |_| true).await;
    let joined = client.call("turn/start", say(&thread, "and this")).await;
    assert_eq!(joined["turn"]["id"], turn.as_str());
    assert_eq!(ended(&client, from, &turn).await["status"], "completed");
    let started = client.notes(from, "turn/started");
    assert_eq!(started.len(), 1, "no second turn: {started:?}");
    let read = client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    let turns = read["thread"]["turns"].as_array().expect("turns");
    assert_eq!(turns.len(), 2, "{read}");
    let said =
        turns[1]["items"].as_array().expect("items").iter().filter(|item| item["type"] == "userMessage");
    assert_eq!(said.count(), 2, "both messages are in the turn: {read}");
    client.close().await;
    stage.finish();
}

const CHUNKS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_resumes_during_a_turn_gets_the_whole_text() {
    let stage = Stage::bare();
    let first = stage.client("first").await;
    for round in 0..8 * scale() {
        let thread = stage.saved(&first).await;
        let second = stage.client("second").await;
        let from = first.mark();
        let text = format!("STREAM n={CHUNKS} size=10 delay_ms=4");
        let turn = begin_turn(&first, &thread, &text).await;
        // Every delta is another moment to come in at; the first rounds come before any.
        let already = round % CHUNKS;
        wait_for_deltas(&first, from, already).await;
        let resumed = resume(&second, &thread).await;
        let status = ended(&first, from, &turn).await["status"].clone();
        assert_eq!(status, "completed");
        let turns = resumed["thread"]["turns"].as_array().expect("turns").clone();
        let snapshot = turns.iter().find(|t| t["id"] == turn.as_str()).expect("the turn is in the snapshot");
        if snapshot["status"] == "inProgress" {
            ended(&second, 0, &turn).await;
        }
        let whole: String = deltas(&first, from);
        assert_eq!(whole.len(), CHUNKS * 10);
        let items = snapshot["items"].as_array().expect("items").iter();
        let so_far: String =
            items.filter(|i| i["type"] == "agentMessage").filter_map(|i| i["text"].as_str()).collect();
        let seen = format!("{so_far}{}", deltas(&second, 0));
        assert_eq!(seen, whole, "round {round}: {} bytes were in the snapshot", so_far.len());
        second.close().await;
    }
    first.close().await;
    stage.finish();
}

fn deltas(client: &Client, from: usize) -> String {
    let deltas = client.notes(from, "item/agentMessage/delta");
    deltas.iter().filter_map(|params| params["delta"].as_str()).collect()
}

async fn wait_for_deltas(client: &Client, from: usize, count: usize) {
    let seen = std::cell::Cell::new(0);
    if count > 0 {
        let counted = |_: &Value| {
            seen.set(seen.get() + 1);
            seen.get() == count
        };
        let limit = tokio::time::timeout(
            Duration::from_secs(15),
            client.note(from, "item/agentMessage/delta", counted),
        );
        limit.await.expect("deltas come");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_resume_while_the_thread_closes_succeeds() {
    // A stubborn helper keeps the thread closing for two seconds.
    let stage = Stage::lazy(&["stubborn"]);
    let (first, second) = (stage.client("first").await, stage.client("second").await);
    let thread = stage.saved(&first).await;
    let old = crate::stage::touch(&first, &thread).await;
    let helpers = stage.helpers();
    let left = json!({ "threadId": thread });
    first.call("thread/unsubscribe", left).await;
    assert_eq!(helpers.alive(), [old], "still on its way out");
    let resumed = resume(&second, &thread).await;
    assert_eq!(resumed["thread"]["id"], thread.as_str());
    assert_eq!(helpers.alive(), [old], "the resume waited for nobody");
    let new = crate::stage::touch(&second, &thread).await;
    assert_ne!(new, old);
    assert_eq!(helpers.alive(), [0; 0], "the next start of the same server waited for the old one's proof");
    drop((first, second));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_what_another_is_shown_of_a_long_thread() {
    let stage = Stage::bare();
    let (client, thread) = stage.long().await;
    let from = client.mark();
    let resumes = client.begin("thread/resume", json!({ "threadId": thread })).await.expect("connected");
    let asks = client.begin("thread/read", json!({ "threadId": thread })).await.expect("connected");
    let resumed = client.answer(from, resumes, "thread/resume").await.expect("the thread");
    let shown = resumed["thread"]["turns"].to_string().len();
    assert!(shown > 7 << 20, "{shown} bytes take their time");
    let answers: Vec<i64> = client.since(from).iter().filter_map(|message| message["id"].as_i64()).collect();
    assert_eq!(answers, [asks, resumes], "what asks for little is answered meanwhile");
    drop(client);
    stage.finish();
}
