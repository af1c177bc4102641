//! What a client gets wrong, and what it is told; the connection stays.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use verger_testkit::Client;

use crate::stage::{Stage, say};

const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const PARSE_ERROR: i64 = -32700;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_handshake_comes_first_and_once() {
    let stage = Stage::bare();
    let client = Client::connect(&stage.daemon.url(), "client", &[]).await.unwrap();
    let early = client.refused("thread/loaded/list", json!({})).await;
    assert_eq!(early, (INVALID_REQUEST, "Not initialized".to_owned()));
    let nameless = client.refused("initialize", json!({ "clientInfo": { "version": "1" } })).await;
    assert_eq!(nameless, (INVALID_PARAMS, "Invalid params: clientInfo.name: missing field".to_owned()));
    let info = json!({ "clientInfo": { "name": "probe", "title": null, "version": "7.1" } });
    let answer = client.call("initialize", info.clone()).await;
    let agent = answer["userAgent"].as_str().expect("a user agent");
    assert!(agent.starts_with("probe/0.169.0 (") && agent.ends_with(" (probe; 7.1)"), "{agent}");
    assert!(agent.contains(" verger/"), "{agent}");
    assert_eq!(answer["platformFamily"], "unix");
    assert_eq!(answer["platformOs"], "linux");
    let home = stage.home.path().to_str().unwrap();
    assert_eq!(answer["codexHome"], home);
    assert_eq!(client.refused("initialize", info).await, (INVALID_REQUEST, "Already initialized".to_owned()));
    client.call("thread/loaded/list", json!({})).await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unknown_methods_and_bad_parameters_are_named() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let unknown = client.refused("thread/rollback", json!({})).await;
    assert_eq!(unknown, (METHOD_NOT_FOUND, "Method not found: thread/rollback".to_owned()));
    let cases = [
        ("thread/resume", json!({}), "threadId"),
        ("thread/read", json!({ "threadId": 5 }), "threadId"),
        ("thread/list", json!({ "limit": "many" }), "limit"),
        ("turn/start", json!({ "threadId": "x" }), "input"),
        ("turn/start", json!({ "threadId": "x", "input": [{ "type": "text" }] }), "input[0]"),
        ("mcpServer/tool/call", json!({ "threadId": "x", "server": "y" }), "tool"),
        ("thread/start", json!([]), "object"),
    ];
    for (method, params, field) in cases {
        let (code, message) = client.refused(method, params.clone()).await;
        assert_eq!(code, INVALID_PARAMS, "{method} {params}: {message}");
        assert!(
            message.starts_with("Invalid params: ") && message.contains(field),
            "{method} {params}: {message}"
        );
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn frames_that_are_not_json_are_answered_and_survived() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    for text in ["nonsense", "{\"id\":1,", "", "\"half"] {
        let from = client.mark();
        client.send_raw(Message::text(text)).await.unwrap();
        let answer =
            client.find(from, "an error", |m| m["error"]["code"] == PARSE_ERROR).await.expect("open");
        assert_eq!(answer["id"], Value::Null, "{text:?}: {answer}");
    }
    for message in [json!({ "id": 1 }), json!(5), json!({ "id": {}, "method": "thread/list" })] {
        let from = client.mark();
        client.send(&message).await.unwrap();
        let answer = client.find(from, "an error", |m| m.get("error").is_some()).await.expect("open");
        assert_eq!(answer["error"]["code"], INVALID_REQUEST, "{message}: {answer}");
    }
    // An answer to a question that nobody asked is no reason to say anything.
    client.send(&json!({ "id": 77, "result": {} })).await.unwrap();
    client.send(&json!({ "method": "no/such/notification" })).await.unwrap();
    let from = client.mark();
    client.call("thread/loaded/list", json!({})).await;
    assert_eq!(client.since(from).len(), 1, "one answer and nothing else");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn malformed_and_unknown_threads_are_told_apart() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let unknown = "0199a213-81a0-7800-8aa0-bbab2a035a53";
    let not_loaded = format!("thread not loaded: {unknown}");
    let not_found = format!("thread not found: {unknown}");
    let no_rollout = format!("no rollout found for thread id {unknown}");
    let params = |thread: &str, method: &str| match method {
        "turn/start" => say(thread, "hi"),
        "turn/interrupt" => json!({ "threadId": thread, "turnId": unknown }),
        "mcpServer/tool/call" => crate::stage::tool(thread, "pid", json!({})),
        _ => json!({ "threadId": thread }),
    };
    let cases = [
        ("thread/read", &not_loaded),
        ("thread/resume", &no_rollout),
        ("thread/archive", &no_rollout),
        ("thread/delete", &no_rollout),
        ("turn/start", &not_found),
        ("turn/interrupt", &not_found),
        ("mcpServer/tool/call", &not_found),
    ];
    for (method, said) in cases {
        let refused = client.refused(method, params(unknown, method)).await;
        assert_eq!(refused, (INVALID_REQUEST, said.clone()), "{method}");
        let (code, message) = client.refused(method, params("not-an-id", method)).await;
        assert_eq!(code, INVALID_REQUEST, "{method}");
        assert!(message.starts_with("invalid thread id: "), "{method}: {message}");
    }
    let answer = client.call("thread/unsubscribe", json!({ "threadId": unknown })).await;
    assert_eq!(answer["status"], "notLoaded");
    stage.assert_no_helper();
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unwanted_notifications_are_not_sent() {
    let stage = Stage::bare();
    let unwanted = ["item/agentMessage/delta", "thread/status/changed"];
    let quiet = json!({ "optOutNotificationMethods": unwanted });
    let quiet = Client::open_with(&stage.daemon.url(), "quiet", quiet).await;
    let loud = stage.client("loud").await;
    let thread = stage.saved(&quiet).await;
    crate::stage::resume(&loud, &thread).await;
    let (from, heard) = (quiet.mark(), loud.mark());
    let turn = crate::stage::begin_turn(&quiet, &thread, "STREAM n=5 size=4").await;
    crate::stage::ended(&quiet, from, &turn).await;
    crate::stage::ended(&loud, heard, &turn).await;
    for method in unwanted {
        assert_eq!(quiet.notes(0, method), [Value::Null; 0], "{method}");
        assert!(!loud.notes(heard, method).is_empty(), "{method}");
    }
    assert!(!quiet.notes(from, "item/completed").is_empty());
    drop((quiet, loud));
    stage.finish();
}
