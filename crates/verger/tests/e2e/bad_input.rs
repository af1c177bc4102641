//! Clients that say what nobody should: each gets the protocol's answer, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use verger_testkit::Client;
use verger_testkit::http::UPGRADE;

use crate::stage::{Stage, begin_turn, ended, resume, turn};

const LIMIT: Duration = Duration::from_secs(15);

/// A WebSocket by hand, which can say anything.
struct Raw(TcpStream);

impl Raw {
    fn open(stage: &Stage) -> Self {
        let address = stage.daemon.address();
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        let head = [&UPGRADE[..], &[&format!("Host: {address}")]].concat().join("\r\n");
        stream.write_all(format!("GET / HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).expect("connected");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it answers");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        Self(stream)
    }

    /// A masked frame with this first byte.
    fn frame(&mut self, first: u8, payload: &[u8]) {
        let length = match payload.len() {
            short @ 0..=125 => vec![0x80 | u8::try_from(short).expect("short")],
            long @ 126..=0xffff => {
                [&[0x80 | 126][..], &u16::try_from(long).expect("two bytes").to_be_bytes()].concat()
            }
            long => [&[0x80 | 127][..], &(long as u64).to_be_bytes()].concat(),
        };
        self.raw(&[&[first][..], &length, &[0; 4], payload].concat());
    }

    fn raw(&mut self, bytes: &[u8]) {
        // A server that has had enough may close before the end.
        self.0.write_all(bytes).ok();
    }

    /// The next frame: its first byte and its payload; nothing at the end.
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).ok()?;
                u16::from_be_bytes(length).into()
            }
            127 => {
                let mut length = [0; 8];
                self.0.read_exact(&mut length).ok()?;
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("it fits")];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[0], payload))
    }

    /// The code with which the server closes.
    fn close_code(&mut self) -> Option<u16> {
        loop {
            let (first, payload) = self.next()?;
            if first & 15 == 8 {
                return Some(u16::from_be_bytes([*payload.first()?, *payload.get(1)?]));
            }
        }
    }
}

/// Runs a turn with a tool call that another client follows: neither has noticed anything.
async fn nobody_noticed(stage: &Stage, one: &Client, other: &Client, thread: &str) {
    let (a, b) = (one.mark(), other.mark());
    let id = begin_turn(one, thread, "CALL mcp__helper echo {\"text\":\"x\"}").await;
    assert_eq!(ended(one, a, &id).await["status"], "completed");
    assert_eq!(ended(other, b, &id).await["status"], "completed");
    assert!(one.notes(a, "item/completed").len() == other.notes(b, "item/completed").len());
    assert!(!stage.daemon.stderr().contains("panicked"));
}

async fn two(stage: &Stage) -> (Client, Client, String) {
    let (one, other) = (stage.client("one").await, stage.client("other").await);
    let thread = stage.saved(&one).await;
    resume(&other, &thread).await;
    (one, other, thread)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_none_are_answered_and_the_connection_stays() {
    let stage = Stage::lazy(&["polite"]);
    let (one, other, thread) = two(&stage).await;
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
    nobody_noticed(&stage, &one, &other, &thread).await;
    drop((one, other));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_no_question_and_ids_that_come_twice_do_no_harm() {
    let stage = Stage::lazy(&["polite"]);
    let (one, other, thread) = two(&stage).await;
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
    nobody_noticed(&stage, &one, &other, &thread).await;
    drop((one, other, bad, early));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_break_the_rules_close_their_connection_with_the_reason() {
    let stage = Stage::lazy(&["polite"]);
    let (one, other, thread) = two(&stage).await;
    let masked = |first: u8, length: u64| [&[first, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("a claim of 2^62 bytes", masked(0x81, 1 << 62), 1009),
        ("a claim of one byte too many", masked(0x81, (16 << 20) + 1), 1009),
        ("bad UTF-8", vec![0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007),
        ("no mask", b"\x81\x02{}".to_vec(), 1002),
        ("a reserved bit", vec![0xc1, 0x80, 0, 0, 0, 0], 1002),
        ("a reserved opcode", vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        ("a long ping", [&[0x89, 0xfe, 0, 200, 0, 0, 0, 0][..], &[0; 200]].concat(), 1002),
        ("a ping in pieces", vec![0x09, 0x80, 0, 0, 0, 0], 1002),
        ("a continuation of nothing", vec![0x80, 0x80, 0, 0, 0, 0], 1002),
    ];
    let before = stage.daemon.descriptors().unwrap();
    for (what, bytes, code) in cases {
        let mut raw = Raw::open(&stage);
        raw.raw(&bytes);
        assert_eq!(raw.close_code(), Some(code), "{what}");
    }
    // Odd, but within the rules: binary, in pieces, with a ping in between.
    let mut raw = Raw::open(&stage);
    let hello = json!({ "id": 1, "method": "initialize", "params": { "clientInfo": { "name": "r", "version": "0" } } });
    let hello = hello.to_string();
    raw.frame(0x02, b"");
    for byte in hello.as_bytes() {
        raw.frame(0x00, &[*byte]);
    }
    raw.frame(0x89, b"are you there");
    raw.frame(0x80, b"");
    let mut heard = Vec::new();
    while heard.len() < 2 {
        heard.push(raw.next().expect("both are answered"));
    }
    assert!(
        heard.iter().any(|(first, payload)| first & 15 == 10 && payload == b"are you there"),
        "{heard:?}"
    );
    assert!(
        heard.iter().any(|(first, payload)| first & 15 == 1 && payload.starts_with(b"{\"id\":1,\"result\""))
    );
    drop(raw);
    // A claim takes no memory: twenty at once.
    let rss = stage.daemon.rss().unwrap();
    let claims: Vec<Raw> = (0..20)
        .map(|_| {
            let mut raw = Raw::open(&stage);
            raw.raw(&masked(0x81, 16 << 20));
            raw.raw(b"{\"id\":1,");
            raw
        })
        .collect();
    nobody_noticed(&stage, &one, &other, &thread).await;
    let grown = stage.daemon.rss().unwrap().saturating_sub(rss);
    assert!(grown < 16 << 20, "less than one of twenty claims: {grown}");
    drop(claims);
    while stage.daemon.descriptors().unwrap() > before + 3 {
        // Each turn is time enough for some of them to be closed; the test's own limit ends what never is.
        turn(&one, &thread, "hi").await;
    }
    drop((one, other));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_none_are_passed_over() {
    let stage = Stage::lazy(&["polite"]);
    let (one, other, thread) = two(&stage).await;
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
    nobody_noticed(&stage, &one, &other, &thread).await;
    drop((one, other));
    stage.finish();
}
