//! What a helper asks in the middle of a call: a person answers, and the call goes on.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::approvals::{ASK, asking, kill_helper, resolved};
use crate::stage::{SOON, Stage, begin_turn, ended, tool};

const CALL: &str = "CALL mcp__helper ask {}";

/// The text with which the tool call of the turn completed.
async fn answer(client: &Client, from: usize) -> Value {
    let note = client.note(from, "item/completed", |params| params["item"]["type"] == "mcpToolCall").await;
    let text = note["item"]["result"]["content"][0]["text"].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).expect("the helper repeats JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn answers_reach_the_helper_as_they_were_given() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = asking(&stage, &client).await;
    for (given, got) in [
        (
            json!({ "action": "accept", "content": { "name": "Bo" }, "_meta": { "k": 1 } }),
            json!({ "action": "accept", "content": { "name": "Bo" }, "_meta": { "k": 1 } }),
        ),
        (json!({ "action": "accept" }), json!({ "action": "accept", "content": {} })),
        (json!({ "action": "decline", "content": { "name": "Bo" } }), json!({ "action": "decline" })),
        (json!({ "action": "cancel" }), json!({ "action": "cancel" })),
        (json!({}), json!({ "action": "decline" })),
    ] {
        let from = client.mark();
        let id = begin_turn(&client, &thread, CALL).await;
        let question = client.question(from, ASK).await;
        let params = &question["params"];
        assert_eq!((&params["mode"], &params["message"]), (&json!("form"), &json!("who are you?")));
        assert_eq!(params["requestedSchema"]["required"], json!(["name"]));
        assert_eq!((&params["turnId"], &params["_meta"]), (&json!(id), &Value::Null));
        client.reply(&question, given.clone()).await;
        assert_eq!(answer(&client, from).await, got, "{given}");
        assert_eq!(ended(&client, from, &id).await["status"], "completed");
        resolved(&client, from, &question).await;
    }
    let from = client.mark();
    begin_turn(&client, &thread, "CALL mcp__helper ask {\"url\":true}").await;
    let question = client.question(from, ASK).await;
    let params = &question["params"];
    assert_eq!((&params["mode"], &params["url"]), (&json!("url"), &json!("https://example.test/")));
    client.reply(&question, json!({ "action": "accept" })).await;
    assert_eq!(answer(&client, from).await["action"], "accept");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn people_may_take_longer_than_tools() {
    let stage = Stage::new(|home| {
        let entry = || home.bad_helper(&["polite"]).key("tool_timeout_sec", "1.0");
        home.config().server("helper", &entry()).server("other", &entry())
    });
    let client = stage.client("client").await;
    let thread = asking(&stage, &client).await;
    let from = client.mark();
    let id = begin_turn(&client, &thread, CALL).await;
    let question = client.question(from, ASK).await;
    // A call that began later, of a server that waits for nobody, shows that the limit has passed.
    let slow =
        json!({ "threadId": thread, "server": "other", "tool": "slow", "arguments": { "seconds": 60 } });
    let (_, message) = client.refused("mcpServer/tool/call", slow).await;
    assert!(message.contains("did not answer 'slow' within 1 s"), "{message}");
    client.reply(&question, json!({ "action": "decline" })).await;
    assert_eq!(answer(&client, from).await, json!({ "action": "decline" }));
    assert_eq!(ended(&client, from, &id).await["status"], "completed");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn outside_of_a_turn_the_followers_are_asked_too() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = asking(&stage, &client).await;
    let from = client.mark();
    let call = client.begin("mcpServer/tool/call", tool(&thread, "ask", json!({}))).await.expect("open");
    let question = client.question(from, ASK).await;
    assert_eq!(question["params"]["turnId"], Value::Null);
    client.reply(&question, json!({ "action": "accept", "content": { "name": "Bo" } })).await;
    let result = client.answer(from, call, "an answer").await.expect("it succeeds");
    assert!(result["content"][0]["text"].as_str().expect("a text").contains("Bo"), "{result}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_that_dies_takes_its_question_along() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = asking(&stage, &client).await;
    let from = client.mark();
    let id = begin_turn(&client, &thread, CALL).await;
    let question = client.question(from, ASK).await;
    let helpers = stage.helpers();
    kill_helper(&stage);
    assert_eq!(helpers.wait(SOON), Ok(()));
    resolved(&client, from, &question).await;
    let item = client.note(from, "item/completed", |params| params["item"]["type"] == "mcpToolCall").await;
    assert_eq!(item["item"]["status"], "failed", "{item}");
    assert_eq!(ended(&client, from, &id).await["status"], "completed");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_interrupt_cancels_it() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = asking(&stage, &client).await;
    let from = client.mark();
    let id = begin_turn(&client, &thread, CALL).await;
    let question = client.question(from, ASK).await;
    client.call("turn/interrupt", json!({ "threadId": thread, "turnId": id })).await;
    resolved(&client, from, &question).await;
    let answers = stage.home.wait_for_helper_event("answer", 1);
    assert_eq!(answers[0]["action"], "cancel");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn where_nobody_may_be_asked_it_is_declined() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    // The policy of the stage is never.
    let thread = stage.saved(&client).await;
    let from = client.mark();
    begin_turn(&client, &thread, CALL).await;
    assert_eq!(answer(&client, from).await, json!({ "action": "decline" }));
    assert!(client.since(from).iter().all(|m| m["method"] != ASK), "somebody was asked");
    client.close().await;
    stage.finish();
}
