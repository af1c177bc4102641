//! turn/interrupt: answered once, when the turn has really ended, wherever it was.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, begin_turn, touch, turn};

/// Interrupts `id`; requires one answer and then the end of the turn.
async fn interrupt(client: &Client, from: usize, thread: &str, id: &str) -> Value {
    let request = client.begin("turn/interrupt", json!({ "threadId": thread, "turnId": id })).await;
    let request = request.expect("the connection is open");
    assert_eq!(client.answer(from, request, "an answer").await, Ok(json!({})));
    let over = client.note(from, "turn/completed", |params| params["turn"]["id"] == id).await;
    assert_eq!(over["turn"]["status"], "interrupted");
    client.call("thread/loaded/list", json!({})).await;
    let seen = client.since(from);
    let answers: Vec<usize> = places(&seen, |m| m["id"] == request && m.get("method").is_none());
    let ends: Vec<usize> = places(&seen, |m| m["method"] == "turn/completed");
    assert_eq!((answers.len(), ends.len()), (1, 1), "each once: {seen:?}");
    assert!(answers[0] < ends[0], "the answer comes before the end");
    over["turn"].clone()
}

fn places(seen: &[Value], fits: impl Fn(&Value) -> bool) -> Vec<usize> {
    seen.iter().enumerate().filter(|(_, m)| fits(m)).map(|(place, _)| place).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn in_the_middle_of_a_stream() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let id = begin_turn(&client, &thread, "STREAM n=10000 size=10 delay_ms=5").await;
    client.note(from, "item/agentMessage/delta", |_| true).await;
    let abandoned = stage.home.model().counts().abandoned;
    interrupt(&client, from, &thread, &id).await;
    let limit = std::time::Duration::from_secs(10);
    let let_go = stage.home.model().wait_until(|counts| counts.abandoned > abandoned);
    tokio::time::timeout(limit, let_go).await.expect("the model's stream was let go");
    assert_eq!(turn(&client, &thread, "hi").await["status"], "completed", "the thread goes on");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn in_a_tool_call() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let pid = touch(&client, &thread).await;
    let from = client.mark();
    let id = begin_turn(&client, &thread, "CALL mcp__helper slow {\"seconds\":60}").await;
    let calls = stage.home.wait_for_helper_event("call", 2);
    assert_eq!(calls[1]["tool"], "slow");
    interrupt(&client, from, &thread, &id).await;
    let item = client.note(from, "item/completed", |params| params["item"]["type"] == "mcpToolCall").await;
    assert_eq!(item["item"]["status"], "failed", "{item}");
    stage.home.wait_for_helper_event("call-cancelled", 1);
    assert_eq!(touch(&client, &thread).await, pid, "the helper was told, not ended");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_no_turn_or_another_is_refused() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let other = "0199a213-81a0-7800-8aa0-bbab2a035a53";
    let wrong = json!({ "threadId": thread, "turnId": other });
    assert_eq!(client.refused("turn/interrupt", wrong.clone()).await.0, -32600);
    let from = client.mark();
    let id = begin_turn(&client, &thread, "SLEEP s=30").await;
    let (code, message) = client.refused("turn/interrupt", wrong).await;
    assert_eq!(code, -32600);
    assert!(message.contains(&id), "it names the turn that runs: {message}");
    interrupt(&client, from, &thread, &id).await;
    client.close().await;
    stage.finish();
}
