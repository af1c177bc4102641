//! Messages that nobody should send: each gets the protocol's answer, and nobody else notices. What is wrong below messages is in
//! `frames`.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use verger_testkit::Client;

use crate::bystanders::Bystanders;
use crate::stage::Stage;

/// Messages that are none, and the code of the answer.
pub(crate) fn messages_that_are_none() -> Vec<(String, i64)> {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let with_params = |params: &str| format!("{{\"id\":7,\"method\":\"thread/read\",\"params\":{params}}}");
    let cases = [
        ("{", -32700),
        ("nonsense", -32700),
        ("{\"id\":1,\"method\":\"thread/loaded/list\",\"params\":NaN}", -32700),
        ("\u{feff}{\"id\":1,\"method\":\"thread/loaded/list\"}", -32700),
        ("{\"id\":1,\"method\":\"a\0\"}", -32700),
        (&with_params(&deep(100_000)), -32700),
        (&format!("{{\"x\":{},\"id\":1,\"method\":\"a\"}}", deep(100_000)), -32700),
        ("1", -32600),
        ("\"text\"", -32600),
        ("[]", -32600),
        ("[{\"id\":1,\"method\":\"thread/loaded/list\"}]", -32600),
        ("{}", -32600),
        ("{\"id\":1,\"id\":2,\"method\":\"thread/loaded/list\"}", -32600),
        ("{\"id\":1,\"result\":{},\"error\":{\"code\":1,\"message\":\"x\"}}", -32600),
    ];
    let ids = ["null", "{}", "true", "1.5", "1e400", "[1]", &format!("1{}", "0".repeat(400)), "\"\\ud800\""];
    let ids = ids.map(|id| (format!("{{\"id\":{id},\"method\":\"thread/loaded/list\"}}"), -32600));
    let long = format!("{{\"id\":\"{}\",\"method\":\"thread/loaded/list\"}}", "i".repeat(1 << 20));
    let cases = cases.map(|(text, code)| (text.to_owned(), code)).into_iter();
    cases.chain(ids).chain([(long, -32600)]).collect()
}

/// Sends a message that is none: it is answered, and the connection goes on as if nothing had been.
pub(crate) async fn is_refused(bad: &Client, message: Vec<u8>, code: i64) {
    let from = bad.mark();
    let shown = String::from_utf8_lossy(&message[..message.len().min(80)]).into_owned();
    bad.send_raw(Message::binary(message)).await.expect("connected");
    let is_error = |m: &Value| m["error"]["code"].is_i64();
    let answer = bad.find(from, "an error", is_error).await.expect("the connection stays");
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &Value::Null), "{shown}: {answer}");
    bad.call("thread/loaded/list", json!({})).await;
    let errors = bad.since(from).iter().filter(|m| is_error(m)).count();
    assert_eq!(errors, 1, "{shown}: it is answered once");
}

/// Says what asks for nothing, and asks twice under one id: each request is answered.
pub(crate) async fn asks_twice_and_answers_nothing(bad: &Client) {
    for answer in [
        json!({ "id": 4711, "result": {} }),
        json!({ "id": "none", "error": { "code": 1, "message": "no" } }),
        json!({ "id": 0, "result": { "action": "accept" } }),
        json!({ "method": "no/such/notification", "params": [] }),
    ] {
        bad.send(&answer).await.expect("connected");
    }
    let from = bad.mark();
    for _ in 0..2 {
        bad.send(&json!({ "id": 77, "method": "thread/loaded/list", "params": {} }))
            .await
            .expect("connected");
    }
    bad.call("thread/loaded/list", json!({})).await;
    let answers = bad.since(from).into_iter().filter(|m| m["id"] == 77 && m.get("result").is_some());
    assert_eq!(answers.count(), 2, "each request is answered, whatever its id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_none_are_answered_and_the_connection_stays() {
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
    for (text, code) in messages_that_are_none() {
        let bad = stage.client("bad").await;
        is_refused(&bad, text.into_bytes(), code).await;
        bad.close().await;
    }
    bystanders.notice_nothing(&stage).await;
    drop(bystanders);
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_no_question_and_ids_that_come_twice_do_no_harm() {
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
    let bad = stage.client("bad").await;
    asks_twice_and_answers_nothing(&bad).await;
    let (code, message) =
        bad.refused("initialize", json!({ "clientInfo": { "name": "x", "version": "0" } })).await;
    assert_eq!((code, message.as_str()), (-32600, "Already initialized"));

    let early = Client::connect(&stage.daemon.url(), "early", &[]).await.expect("it listens");
    assert_eq!(early.refused("thread/start", json!({})).await, (-32600, "Not initialized".to_owned()));
    early.initialize(json!({})).await;
    early.call("thread/loaded/list", json!({})).await;
    bystanders.notice_nothing(&stage).await;
    drop((bystanders, bad, early));
    stage.finish();
}

/// Messages that are odd, and mean what they say all the same: whoever reads less strictly than JSON-RPC is written meets no
/// client that fails for it.
pub(crate) async fn what_is_odd_is_understood(client: &Client) {
    for (envelope, params) in [
        (r#""jsonrpc":"2.0""#, ""),
        (r#""jsonrpc":"1.0""#, ""),
        (r#""jsonrpc":2"#, ""),
        (r#""jsonrpc":null,"jsonrpc":[]"#, ""),
        // Half of a surrogate pair is JSON, and no text: where nobody reads it, it does no harm.
        (r#""unknown":"\ud800""#, ""),
        (r#""unknown":{"deep":["\udfff\ud800"]},"unknown":0"#, ""),
        (r#""trace":{}"#, r#""unknown":"\ud800""#),
        (r#""trace":"""#, r#""unknown":{"deep":["\ud800x"]}"#),
    ] {
        let from = client.mark();
        let text =
            format!(r#"{{{envelope},"id":"odd","method":"thread/loaded/list","params":{{{params}}}}}"#);
        client.send_raw(Message::text(text.clone())).await.expect("connected");
        let answer = client.find(from, "an answer", |m| m["id"] == "odd").await.expect("connected");
        assert!(answer["result"]["data"].is_array(), "{text}: {answer}");
    }
}

/// Half of a surrogate pair where somebody reads it: refused under the request's own id, and neither kept nor passed on.
pub(crate) async fn what_is_no_text_is_not_taken_for_text(client: &Client, thread: &str) {
    let half = r#""half \ud800 of a pair""#;
    for (method, params, code) in [
        ("turn/start", format!(r#""input":[{{"type":"text","text":{half}}}]"#), -32602),
        ("thread/name/set", format!(r#""name":{half}"#), -32602),
        (
            "mcpServer/tool/call",
            format!(r#""server":"helper","tool":"echo","arguments":{{"text":{half}}}"#),
            -32602,
        ),
        (
            "mcpServer/tool/call",
            r#""server":"helper","tool":"echo","arguments":{"\ud800":1}"#.to_owned(),
            -32602,
        ),
        ("thread/read\\ud800", String::from(r#""includeTurns":true"#), -32600),
    ] {
        let from = client.mark();
        let text =
            format!(r#"{{"id":"half","method":"{method}","params":{{"threadId":"{thread}",{params}}}}}"#);
        client.send_raw(Message::text(text.clone())).await.expect("connected");
        let answer = client.find(from, "an answer", |m| m["id"] == "half").await.expect("connected");
        assert_eq!(answer["error"]["code"], code, "{text}: {answer}");
    }
    let read = client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    assert!(!read.to_string().contains("of a pair"), "{read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_odd_is_understood_and_what_is_no_text_is_refused() {
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
    let odd = stage.client("odd").await;
    let thread = stage.saved(&odd).await;
    what_is_odd_is_understood(&odd).await;
    what_is_no_text_is_not_taken_for_text(&odd, &thread).await;
    bystanders.notice_nothing(&stage).await;
    drop((bystanders, odd));
    stage.finish();
}
