//! What nobody should write to a server's stdin or Unix socket: each line gets its answer, and the next is heard.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};
use verger_testkit::{Client, Daemon, Home, Launch, LeakGuard};

use crate::bad_input::{
    asks_twice_and_answers_nothing, is_refused, messages_that_are_none,
    what_is_no_text_is_not_taken_for_text, what_is_odd_is_understood,
};
use crate::bystanders::Bystanders;
use crate::stage::{STUBBORN, Stage, thread, touch, turn, verger};

const LIMIT: Duration = Duration::from_secs(15);

/// Limit of a line, in bytes.
const LARGEST: usize = 16 << 20;

/// A home whose threads have one lazy helper.
fn home() -> (LeakGuard, Home) {
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().unwrap();
    home.write_config(&home.config().server("helper", &home.bad_helper(&["polite"])).text()).unwrap();
    (guard, home)
}

/// A client on the stdin and stdout of an `app-server`.
async fn piped(home: &Home) -> (Daemon, Client) {
    let (process, link) = Launch::new(verger(), home, &["app-server"]).start_piped();
    let client = Client::over(link, "piped");
    client.initialize(json!({ "experimentalApi": true })).await;
    (process, client)
}

/// Says all that is bad, and then runs a turn with a helper as if nothing had been.
async fn says_what_is_bad(client: &Client, home: &Home) {
    let saved = thread(client, home).await;
    assert_eq!(turn(client, &saved, "hi").await["status"], "completed");
    for (text, code) in messages_that_are_none() {
        is_refused(client, text.into_bytes(), code).await;
    }
    for line in [&b"{\"\xff\":1}"[..], b"\x80", b"{\"a\":\"\xe2\x82\"}", b"\0", b"{\"a\":\"\xed\xa0\x80\"}"] {
        is_refused(client, line.to_vec(), -32700).await;
    }
    is_refused(client, vec![b'x'; LARGEST + 1], -32700).await;
    is_refused(client, vec![b'['; LARGEST * 2], -32700).await;
    // As long as a line may be, and it is heard.
    let from = client.mark();
    let mut line = br#"{"id":"long","method":"thread/loaded/list","params":{}"#.to_vec();
    line.resize(LARGEST - 1, b' ');
    line.push(b'}');
    client.send_raw(line.into()).await.unwrap();
    let answer = client.find(from, "an answer", |m| m["id"] == "long").await.expect("connected");
    assert!(answer["result"].is_object(), "{answer}");
    // Nothing, in all its forms, is nothing.
    let from = client.mark();
    for blank in ["", "\r", " \t ", "\n\n\r\n"] {
        client.send_raw(blank.into()).await.unwrap();
    }
    client.call("thread/loaded/list", json!({})).await;
    assert_eq!(client.since(from).len(), 1, "{:?}", client.since(from));
    asks_twice_and_answers_nothing(client).await;
    what_is_odd_is_understood(client).await;
    what_is_no_text_is_not_taken_for_text(client, &saved).await;
    touch(client, &saved).await;
    assert_eq!(turn(client, &saved, "hi").await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_on_stdin_are_answered_and_the_server_ends_with_its_client() {
    let (guard, home) = home();
    let (mut server, client) = piped(&home).await;
    says_what_is_bad(&client, &home).await;
    assert!(!home.tag().live().is_empty(), "a helper lives");
    client.close().await;
    assert!(server.wait(STUBBORN).success(), "{}", server.stderr());
    assert_eq!(server.stderr(), "");
    assert_eq!(home.tag().live(), [], "helpers outlived the server");
    drop(home);
    guard.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_of_a_relayed_client_are_its_own_affair() {
    let (guard, home) = home();
    let daemon = Launch::new(verger(), &home, &["serve", "--listen", "127.0.0.1:0"]).start().unwrap();
    let (mut bad_relay, bad) = piped(&home).await;
    let (mut good_relay, good) = piped(&home).await;
    let calm = thread(&good, &home).await;
    touch(&good, &calm).await;
    says_what_is_bad(&bad, &home).await;
    bad.close().await;
    assert!(bad_relay.wait(STUBBORN).success(), "{}", bad_relay.stderr());
    assert_eq!(turn(&good, &calm, "hi").await["status"], "completed");
    good.close().await;
    assert!(good_relay.wait(STUBBORN).success(), "{}", good_relay.stderr());
    for log in [bad_relay.stderr(), good_relay.stderr()] {
        assert_eq!(log, "", "it is relayed, and no server of its own");
    }
    assert!(!daemon.stderr().contains("panicked"));
    assert!(daemon.stop().success());
    assert_eq!(home.tag().live(), [], "helpers outlived the server");
    drop(home);
    guard.finish();
}

#[test]
fn an_end_in_the_middle_of_a_line_is_answered_and_ends_all() {
    let (guard, home) = home();
    let eager = home.bad_helper(&["polite"]).eager();
    home.write_config(&home.config().server("helper", &eager).text()).unwrap();
    let info = json!({ "clientInfo": { "name": "script", "version": "0" } });
    let before = [
        json!({ "id": 1, "method": "initialize", "params": info }).to_string(),
        json!({ "id": 2, "method": "thread/start", "params": {} }).to_string(),
        String::new(),
    ];
    for (end, last) in [
        (&b"{\"id\":3,\"meth"[..], Some(-32700)),
        (b"{\"id\":3,\"method\":\"thread/list\",\"params\":{\"searchTerm\":\"\xe2\x82", Some(-32700)),
        (b"{", Some(-32700)),
        (b"3", Some(-32600)),
        (b"\r", None),
        (b"", None),
    ] {
        let script = [before.join("\n").as_bytes(), end].concat();
        let output = Launch::new(verger(), &home, &["app-server"]).output_with(&script).unwrap();
        let shown = String::from_utf8_lossy(end);
        assert!(output.status.success(), "{shown}: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let said = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let answers: Vec<Value> = said.filter(|m| m.get("method").is_none()).collect();
        let of = |id: Value| answers.iter().filter(|m| m["id"] == id).collect::<Vec<_>>();
        assert!(
            of(json!(1))[0]["result"].is_object() && of(json!(2))[0]["result"].is_object(),
            "{answers:?}"
        );
        let refused: Vec<_> = of(Value::Null).iter().map(|m| m["error"]["code"].as_i64()).collect();
        assert_eq!(refused, last.map(Some).into_iter().collect::<Vec<_>>(), "{shown}: {answers:?}");
        assert_eq!(home.tag().live(), [], "{shown}: helpers outlived the server");
    }
    drop(home);
    guard.finish();
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
