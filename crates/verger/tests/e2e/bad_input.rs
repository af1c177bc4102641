//! Messages that nobody should send: each gets the protocol's answer, and nobody else notices. What is wrong below messages is in
//! `frames`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use verger_testkit::Client;

use crate::bystanders::Bystanders;
use crate::stage::Stage;

const LIMIT: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_none_are_answered_and_the_connection_stays() {
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
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
    let ids = ids.into_iter().chain([(long, -32600)]);
    for (text, code) in cases.map(|(text, code)| (text.to_owned(), code)).into_iter().chain(ids) {
        let bad = stage.client("bad").await;
        let from = bad.mark();
        bad.send_raw(Message::text(text.clone())).await.expect("connected");
        let is_error = |m: &Value| m["error"]["code"].is_i64();
        let answer = bad.find(from, "an error", is_error).await.expect("the connection stays");
        assert_eq!(
            (&answer["error"]["code"], &answer["id"]),
            (&json!(code), &Value::Null),
            "{text:.80}: {answer}"
        );
        // It goes on as if nothing had been.
        bad.call("thread/loaded/list", json!({})).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_none_are_passed_over() {
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
    let socket = stage.run_socket();
    let mut lines = UnixStream::connect(socket.strip_prefix("unix://").expect("a socket")).unwrap();
    lines.set_read_timeout(Some(LIMIT)).unwrap();
    let hello = json!({ "id": 1, "method": "initialize", "params": { "clientInfo": { "name": "l", "version": "0" } } });
    lines.write_all(format!("{{\"id\":\r\n\n{hello}\r\n").as_bytes()).unwrap();
    lines.write_all(b"{\"\xff\":1}\n").unwrap();
    lines.write_all(&vec![b'x'; (16 << 20) + 1]).unwrap();
    lines
        .write_all(b"\n{\"id\":2,\"method\":\"thread/loaded/list\",\"params\":{}}\n{\"id\":3,\"meth")
        .unwrap();
    lines.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    lines.read_to_string(&mut said).unwrap();
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answers = said.iter().filter(|m| m.get("method").is_none());
    let (errors, results): (Vec<&Value>, Vec<&Value>) = answers.partition(|m| m.get("error").is_some());
    // Torn, not UTF-8, too long, and cut off by the end.
    assert_eq!(errors.len(), 4, "{said:?}");
    assert!(errors.iter().all(|m| m["id"].is_null() && m["error"]["code"] == -32700), "{errors:?}");
    let results: Vec<_> = results.iter().map(|m| m["id"].as_i64()).collect();
    assert_eq!(results, [Some(1), Some(2)], "{said:?}");
    bystanders.notice_nothing(&stage).await;
    drop(bystanders);
    stage.finish();
}
