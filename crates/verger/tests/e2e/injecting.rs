//! Items that a client puts into the model's history.

use rustix::process::Signal;
use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{SOON, Stage, begin_turn, ended, resume, turn};

fn message(role: &str, text: &str) -> Value {
    let kind = if role == "assistant" { "output_text" } else { "input_text" };
    json!({ "type": "message", "role": role, "content": [{ "type": kind, "text": text }] })
}

async fn inject(client: &Client, thread: &str, items: Value) {
    let answer = client.call("thread/inject_items", json!({ "threadId": thread, "items": items })).await;
    assert_eq!(answer, json!({}));
}

/// What the model was told last: role or type, and text.
fn heard(stage: &Stage) -> Vec<(String, String)> {
    let requests = stage.home.model().requests();
    let input = requests.last().expect("a request").body["input"].as_array().expect("input").clone();
    let of = |item: &Value| {
        let kind = item["role"].as_str().or(item["type"].as_str()).unwrap_or_default().to_owned();
        let text = item["content"][0]["text"].as_str().or(item["output"].as_str());
        (kind, text.or(item["name"].as_str()).unwrap_or_default().to_owned())
    };
    input.iter().map(of).collect()
}

fn expected(said: &[(&str, &str)]) -> Vec<(String, String)> {
    said.iter().map(|(kind, text)| ((*kind).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn injected_items_are_heard_by_the_model_and_are_no_turn() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let call = json!({ "type": "function_call", "call_id": "c", "name": "look", "arguments": "{}" });
    let output = json!({ "type": "function_call_output", "call_id": "c", "output": "seen" });
    inject(
        &client,
        &thread,
        json!([message("user", "by the way"), message("assistant", "noted"), call, output]),
    )
    .await;
    assert_eq!(client.notes(from, "turn/started"), [Value::Null; 0]);
    stage.daemon.signal(Signal::KILL);
    stage.daemon.wait(SOON * 5);
    drop(client);
    stage.start_again();
    let client = stage.client("after").await;
    let turns = resume(&client, &thread).await["thread"]["turns"].clone();
    assert_eq!(turns.as_array().map(Vec::len), Some(1), "no turn");
    turn(&client, &thread, "and now").await;
    let told = expected(&[
        ("user", "hi"),
        ("assistant", "ok"),
        ("user", "by the way"),
        ("assistant", "noted"),
        ("function_call", "look"),
        ("function_call_output", "seen"),
        ("user", "and now"),
    ]);
    assert_eq!(heard(&stage), told, "kept over a kill");
    // What comes after a forgotten turn is forgotten with it.
    inject(&client, &thread, json!([message("user", "late")])).await;
    let last =
        client.call("thread/turns/list", json!({ "threadId": thread, "limit": 1 })).await["data"][0]["id"]
            .clone();
    client.call("thread/revert", json!({ "threadId": thread, "beforeTurnId": last })).await;
    turn(&client, &thread, "again").await;
    let told = [&told[..6], &expected(&[("user", "again")])].concat();
    assert_eq!(heard(&stage), told);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn injected_items_may_come_first_and_during_a_turn() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    inject(&client, &thread, json!([message("developer", "be kind")])).await;
    let page = client.call("thread/turns/list", json!({ "threadId": thread })).await;
    assert_eq!(page["data"], json!([]), "it is kept, and has no turn");
    let from = client.mark();
    let running = begin_turn(&client, &thread, "STREAM n=60 size=2 delay_ms=5").await;
    client.note(from, "item/agentMessage/delta", |_| true).await;
    inject(&client, &thread, json!([message("user", "meanwhile")])).await;
    let over = ended(&client, from, &running).await;
    assert_eq!(over["status"], "completed");
    let said = heard(&stage);
    let kinds: Vec<&str> = said.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["user", "user", "assistant", "user"], "asked again for it, after its answer");
    assert_eq!(said[3].1, "meanwhile");
    let shown = client.call("thread/items/list", json!({ "threadId": thread })).await;
    assert_eq!(
        shown["data"].as_array().map(Vec::len),
        Some(3),
        "one message of the user's, two answers: {shown}"
    );
    let listed = client.call("thread/list", json!({})).await;
    assert_eq!(listed["data"][0]["preview"], "STREAM n=60 size=2 delay_ms=5", "its first message");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_no_model_would_understand_is_refused_whole() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    for (item, why) in [
        (json!({ "type": "web_search_call" }), "items[1]: unknown variant `web_search_call`"),
        (json!({ "type": "message", "role": "user" }), "items[1]: missing field `content`"),
        (json!(7), "items[1]: "),
        (
            json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" }),
            "no function_call_output for 'c'",
        ),
    ] {
        let params = json!({ "threadId": thread, "items": [message("user", "never"), item] });
        let (code, message) = client.refused("thread/inject_items", params).await;
        assert_eq!(code, -32602);
        assert!(message.contains(why), "{message}");
    }
    turn(&client, &thread, "next").await;
    assert_eq!(heard(&stage), expected(&[("user", "hi"), ("assistant", "ok"), ("user", "next")]));
    client.close().await;
    stage.finish();
}
