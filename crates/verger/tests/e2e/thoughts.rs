//! Reasoning: told as it grows, kept as it was told, and given back to its provider, whose sealed copy nobody else sees.

use serde_json::{Value, json};

use crate::stage::{Stage, begin_turn, ended, resume, turn};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thought_is_told_kept_and_given_back() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let from = client.mark();
    let id = begin_turn(&client, &thread, "THINK first this").await;
    assert_eq!(ended(&client, from, &id).await["status"], "completed");
    let of_thoughts = |method: &str| {
        let notes = client.notes(from, method).into_iter();
        notes.filter(|note| note["item"]["type"] == "reasoning").collect::<Vec<_>>()
    };
    let (starts, ends) = (of_thoughts("item/started"), of_thoughts("item/completed"));
    assert_eq!((starts.len(), ends.len()), (1, 1), "it starts and completes once");
    assert_eq!(
        (&starts[0]["item"]["summary"], &ends[0]["item"]["summary"]),
        (&json!([]), &json!(["first this"]))
    );
    let added = client.notes(from, "item/reasoning/summaryPartAdded");
    assert_eq!(added.len(), 1);
    assert_eq!((&added[0]["summaryIndex"], &added[0]["itemId"]), (&json!(0), &ends[0]["item"]["id"]));
    let deltas = client.notes(from, "item/reasoning/summaryTextDelta");
    let whole: String = deltas.iter().filter_map(|delta| delta["delta"].as_str()).collect();
    assert!(deltas.len() > 1 && whole == "first this", "{deltas:?}");

    // By the same thread, and by its next owner.
    turn(&client, &thread, "and now?").await;
    let given_back = |stage: &Stage| {
        let asked = stage.home.model().requests().last().expect("it was asked").body["input"].clone();
        let thoughts = asked.as_array().expect("a list").iter().filter(|item| item["type"] == "reasoning");
        thoughts.cloned().collect::<Vec<Value>>()
    };
    let sealed = json!({
        "type": "reasoning", "id": "rs", "encrypted_content": "sealed: first this",
        "summary": [{ "type": "summary_text", "text": "first this" }],
    });
    assert_eq!(given_back(&stage), std::slice::from_ref(&sealed));
    assert!(!format!("{:?}", client.since(0)).contains("sealed"), "the seal is for the provider alone");
    drop(client);
    stage.restart();
    let client = stage.client("after").await;
    let resumed = resume(&client, &thread).await;
    assert_eq!(resumed["thread"]["turns"][0]["items"][1], ends[0]["item"]);
    turn(&client, &thread, "and now?").await;
    assert_eq!(given_back(&stage), [sealed]);
    assert!(!format!("{:?}", client.since(0)).contains("sealed"));
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thought_whose_answer_was_cut_is_kept_and_not_given_back() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let from = client.mark();
    let id = begin_turn(&client, &thread, "THINK s=30 about this").await;
    let thought = client.note(from, "item/completed", |note| note["item"]["type"] == "reasoning").await;
    let steer = json!({
        "threadId": thread, "expectedTurnId": id,
        "input": [{ "type": "text", "text": "enough", "text_elements": [] }],
    });
    client.call("turn/steer", steer).await;
    assert_eq!(ended(&client, from, &id).await["status"], "completed");
    // Providers refuse a thought that nothing follows.
    let asked = stage.home.model().requests().last().expect("it was asked").body["input"].clone();
    let kinds: Vec<_> = asked.as_array().expect("a list").iter().map(|item| item["type"].clone()).collect();
    assert_eq!(kinds, ["message", "message"], "{asked}");
    let read = client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    assert_eq!(read["thread"]["turns"][0]["items"][1], thought["item"]);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_provider_is_not_given_what_it_cannot_read() {
    let stage = Stage::new(|home| {
        let other = format!("[model_providers.other]\nbase_url = {}\n", json!(home.model().base_url()));
        home.config().table(&other)
    });
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    turn(&client, &thread, "THINK first this").await;
    for (provider, thoughts) in [("other", 0), ("mock", 1)] {
        client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
        client.call("thread/resume", json!({ "threadId": thread, "modelProvider": provider })).await;
        turn(&client, &thread, "and now?").await;
        let asked = stage.home.model().requests().last().expect("it was asked").body["input"].clone();
        let asked = asked.as_array().expect("a list").iter();
        assert_eq!(asked.filter(|item| item["type"] == "reasoning").count(), thoughts, "{provider}");
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn raw_events_reach_who_asked_for_them() {
    let stage = Stage::lazy(&["polite"]);
    let (client, other) = (stage.client("client").await, stage.client("other").await);
    let params = json!({ "cwd": stage.home.work(), "experimentalRawEvents": true });
    let thread =
        client.call("thread/start", params).await["thread"]["id"].as_str().expect("an id").to_owned();
    turn(&client, &thread, "hi").await;
    resume(&other, &thread).await;
    let from = client.mark();
    turn(&client, &thread, "CALL mcp__helper echo {\"text\":\"x\"}").await;
    // A round trip: what belongs to the turn has come by then.
    other.call("thread/loaded/list", json!({})).await;
    let raw = client.notes(from, "rawResponseItem/completed");
    let kinds: Vec<_> =
        raw.iter().map(|note| (note["item"]["type"].clone(), note["item"]["role"].clone())).collect();
    let kind = |kind: &str, role: Value| (json!(kind), role);
    assert_eq!(
        kinds,
        [
            kind("message", json!("user")),
            kind("function_call", Value::Null),
            kind("function_call_output", Value::Null),
            kind("message", json!("assistant")),
        ],
        "{raw:?}"
    );
    assert_eq!(raw[1]["item"]["call_id"], raw[2]["item"]["call_id"]);
    assert_eq!(raw[3]["item"]["content"][0]["text"], "done");
    assert_eq!(other.notes(0, "rawResponseItem/completed"), [Value::Null; 0], "who did not ask is not told");
    let careful = stage.daemon.url();
    let careful = verger_testkit::Client::open_with(&careful, "careful", json!({})).await;
    let (code, message) = careful.refused("thread/start", json!({ "experimentalRawEvents": true })).await;
    assert_eq!(code, -32600);
    assert_eq!(message, "thread/start.experimentalRawEvents requires experimentalApi capability");
    drop((client, other, careful));
    stage.finish();
}
