//! Tools that clients provide: registered with a thread, called by the model, run by whoever follows the thread.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, begin_turn, ended, resume, turn};

const CALL: &str = "item/tool/call";
const LOOKUP: &str = "CALL - lookup {\"q\":\"x\"}";

fn tools() -> Value {
    let schema = json!({ "type": "object", "properties": { "q": { "type": "string" } } });
    let tool =
        |name: &str| json!({ "type": "function", "name": name, "description": "d", "inputSchema": schema });
    json!([tool("lookup"), { "type": "namespace", "name": "shop", "description": "d", "tools": [tool("buy")] }])
}

/// A thread with the two tools.
async fn equipped(stage: &Stage, client: &Client) -> String {
    let params = json!({ "cwd": stage.home.work(), "dynamicTools": tools() });
    let started = client.call("thread/start", params).await;
    started["thread"]["id"].as_str().expect("a thread has an id").to_owned()
}

async fn completed(client: &Client, from: usize) -> Value {
    let note =
        client.note(from, "item/completed", |params| params["item"]["type"] == "dynamicToolCall").await;
    note["item"].clone()
}

/// What the model was told the last call answered.
fn heard(stage: &Stage) -> Value {
    let requests = stage.home.model().requests();
    let body = &requests.last().expect("the model was asked").body;
    let input = body["input"].as_array().expect("a conversation");
    let output = input.iter().rev().find(|item| item["type"] == "function_call_output");
    output.map(|output| output["output"].clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_goes_to_every_follower_and_the_first_answer_to_the_model() {
    let stage = Stage::bare();
    let (a, b) = (stage.client("a").await, stage.client("b").await);
    let thread = equipped(&stage, &a).await;
    turn(&a, &thread, "hi").await;
    resume(&b, &thread).await;
    for (call, family, tool) in
        [(LOOKUP, Value::Null, "lookup"), ("CALL shop buy {\"q\":\"x\"}", json!("shop"), "buy")]
    {
        let (from_a, from_b) = (a.mark(), b.mark());
        let id = begin_turn(&a, &thread, call).await;
        let question = a.question(from_a, CALL).await;
        assert_eq!(b.question(from_b, CALL).await, question);
        let params = &question["params"];
        assert_eq!((&params["namespace"], &params["tool"]), (&family, &json!(tool)));
        assert_eq!((&params["arguments"], &params["turnId"]), (&json!({ "q": "x" }), &json!(id)));
        let text = json!([{ "type": "inputText", "text": "found it" }]);
        b.reply(&question, json!({ "contentItems": text, "success": true })).await;
        let item = completed(&a, from_a).await;
        assert_eq!((&item["id"], &item["status"]), (&params["callId"], &json!("completed")));
        assert_eq!((&item["contentItems"], &item["success"]), (&text, &json!(true)));
        assert_eq!(ended(&a, from_a, &id).await["status"], "completed");
        assert_eq!(heard(&stage), "found it");
        a.note(from_a, "serverRequest/resolved", |params| params["requestId"] == question["id"]).await;
    }
    a.close().await;
    b.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_failure_is_the_tools_and_the_turn_goes_on() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = equipped(&stage, &client).await;
    let sorry = json!([{ "type": "inputText", "text": "sorry" }]);
    for (answer, told) in [
        (json!({ "result": { "contentItems": sorry, "success": false } }), "sorry"),
        (json!({ "error": { "code": -32601, "message": "not here" } }), "no client could answer: not here"),
        (json!({ "result": { "nonsense": 1 } }), "no client could answer: its answer is not readable"),
    ] {
        let from = client.mark();
        let id = begin_turn(&client, &thread, LOOKUP).await;
        let question = client.question(from, CALL).await;
        let mut message = answer.clone();
        message["id"] = question["id"].clone();
        client.send(&message).await.expect("the connection is open");
        let item = completed(&client, from).await;
        assert_eq!((&item["status"], &item["success"]), (&json!("failed"), &json!(false)), "{answer}");
        assert_eq!(ended(&client, from, &id).await["status"], "completed", "{answer}");
        assert!(heard(&stage).as_str().unwrap_or_default().starts_with(told), "{answer}: {}", heard(&stage));
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tools_and_open_calls_outlive_who_registered_them() {
    let mut stage = Stage::bare();
    let a = stage.client("a").await;
    let thread = equipped(&stage, &a).await;
    let from = a.mark();
    let id = begin_turn(&a, &thread, LOOKUP).await;
    let question = a.question(from, CALL).await;
    a.close().await;
    // A client that knows nothing of experimental parts is asked all the same.
    let b = Client::open_with(&stage.daemon.url(), "b", json!({})).await;
    let from = b.mark();
    resume(&b, &thread).await;
    assert_eq!(b.question(from, CALL).await, question);
    b.reply(&question, json!({ "contentItems": [], "success": true })).await;
    assert_eq!(ended(&b, from, &id).await["status"], "completed");
    b.close().await;

    stage.restart();
    let c = stage.client("c").await;
    resume(&c, &thread).await;
    let fork = c.call("thread/fork", json!({ "threadId": thread })).await;
    let fork = fork["thread"]["id"].as_str().expect("a thread has an id").to_owned();
    for thread in [&thread, &fork] {
        let from = c.mark();
        let id = begin_turn(&c, thread, LOOKUP).await;
        let question = c.question(from, CALL).await;
        let interrupt = json!({ "threadId": thread, "turnId": id });
        assert_eq!(c.call("turn/interrupt", interrupt).await, json!({}));
        let item = completed(&c, from).await;
        assert_eq!((&item["status"], &item["success"]), (&json!("failed"), &json!(false)));
        assert_eq!(ended(&c, from, &id).await["status"], "interrupted");
        c.note(from, "serverRequest/resolved", |params| params["requestId"] == question["id"]).await;
        assert_eq!(turn(&c, thread, "hi").await["status"], "completed");
    }
    c.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_cannot_be_registered_is_refused() {
    let stage = Stage::bare();
    let plain = Client::open_with(&stage.daemon.url(), "plain", json!({})).await;
    let (code, message) = plain.refused("thread/start", json!({ "dynamicTools": tools() })).await;
    assert_eq!(
        (code, message.as_str()),
        (-32600, "thread/start.dynamicTools requires experimentalApi capability")
    );
    let client = stage.client("client").await;
    let twice = json!([tools()[0], tools()[0]]);
    let (code, message) = client.refused("thread/start", json!({ "dynamicTools": twice })).await;
    assert_eq!((code, message.as_str()), (-32600, "duplicate dynamic tool name: lookup"));
    plain.close().await;
    client.close().await;
    stage.finish();
}
