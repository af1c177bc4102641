//! The load client against servers that are scripted line by line, so that each fault is one that really came.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex, split};
use verger_testkit::NoResult;
use verger_testkit::load::{Bounds, Client, Link, repeat};

/// The server's end of the pipe: told what to say.
struct Script {
    lines: tokio::io::Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
    out: tokio::io::WriteHalf<DuplexStream>,
}

impl Script {
    async fn say(&mut self, message: &Value) {
        self.out.write_all(format!("{message}\n").as_bytes()).await.expect("the client is there");
    }

    async fn next(&mut self) -> String {
        self.lines.next_line().await.expect("UTF-8").expect("the client is there")
    }

    /// Reads the next request and answers it.
    async fn answer(&mut self, method: &str, result: Value) {
        let line = self.next().await;
        let request: Value = serde_json::from_str(&line).expect("JSON lines");
        assert_eq!(request["method"], method);
        self.say(&json!({ "id": request["id"], "result": result })).await;
    }
}

async fn pair() -> (Client, Script) {
    let (near, far) = duplex(1 << 16);
    let ((reader, writer), (input, out)) = (split(near), split(far));
    let mut script = Script { lines: BufReader::new(input).lines(), out };
    let link = Link::lines(reader, writer);
    let (client, ()) = tokio::join!(Client::over(link, "client"), script.answer("initialize", json!({})));
    assert!(script.next().await.contains("initialized"));
    (client.expect("it was answered"), script)
}

fn turn(event: &str, status: &str) -> Value {
    json!({ "method": format!("turn/{event}"), "params": { "threadId": "t", "turn": { "id": "u", "status": status } } })
}

fn item(event: &str, text: &str) -> Value {
    let item = json!({ "id": "i", "type": "agentMessage", "text": text });
    json!({ "method": format!("item/{event}"), "params": { "threadId": "t", "turnId": "u", "item": item } })
}

fn delta(text: &str) -> Value {
    let params = json!({ "threadId": "t", "turnId": "u", "itemId": "i", "delta": text });
    json!({ "method": "item/agentMessage/delta", "params": params })
}

/// A turn as it should be.
fn story() -> Vec<Value> {
    vec![
        turn("started", "inProgress"),
        item("started", ""),
        delta("a"),
        delta("b"),
        item("completed", "ab"),
        turn("completed", "completed"),
    ]
}

/// What the client complains about after these messages; all of them have been seen by then.
async fn faults_of(messages: &[Value]) -> Vec<String> {
    let (mut client, mut script) = pair().await;
    for message in messages {
        script.say(message).await;
    }
    drop(script);
    client.close().await.expect("the script is gone");
    client.ledger(|ledger| ledger.faults())
}

#[tokio::test]
async fn a_turn_as_it_should_be_is_no_fault() {
    assert_eq!(faults_of(&story()).await, [""; 0]);
}

#[tokio::test]
async fn whatever_comes_twice_is_noticed() {
    let expected = [
        "t: turn u started twice",
        "t: item i of turn u started twice",
        "t: item i of turn u: 3 of 2 bytes streamed",
        "t: item i of turn u: 3 of 2 bytes streamed",
        "t: item i of turn u completed and was not open",
        "t: turn u ended twice: completed, completed",
    ];
    for (doubled, expected) in expected.into_iter().enumerate() {
        let mut messages = story();
        messages.insert(doubled, messages[doubled].clone());
        assert_eq!(faults_of(&messages).await, [expected]);
    }
}

#[tokio::test]
async fn whatever_is_lost_is_noticed() {
    let expected = [
        "t: item/started outside of a running turn, u",
        "t: text for item i of turn u, which is not open",
        "t: item i of turn u: 1 of 2 bytes streamed",
        "t: item i of turn u: 1 of 2 bytes streamed",
        "t: item i of turn u never completed",
    ];
    for (lost, expected) in expected.into_iter().enumerate() {
        let mut messages = story();
        messages.remove(lost);
        assert_eq!(faults_of(&messages).await.first().map(String::as_str), Some(expected));
    }
}

#[tokio::test]
async fn an_account_is_held_against_what_the_server_kept() {
    let (client, mut script) = pair().await;
    let begun = json!({ "turn": { "id": "u" } });
    let (turn, ()) = tokio::join!(client.begin_turn("t", "hi"), script.answer("turn/start", begun));
    for message in story() {
        script.say(&message).await;
    }
    assert_eq!(client.ended("t", &turn.unwrap()).await, Ok("completed".into()));
    let against = |kept: Value| client.ledger(|ledger| ledger.account("t").unwrap().against(&kept));
    let kept = |items: Value| json!([{ "id": "u", "status": "completed", "items": items }]);
    assert_eq!(against(kept(json!([{ "id": "i" }]))), [""; 0]);
    assert_eq!(
        against(json!([])),
        ["acknowledged turn u is kept 0 times", "turn u has ended and is not kept"]
    );
    assert_eq!(against(kept(json!([]))), ["item i of turn u completed and is not kept"]);
    assert_eq!(
        against(kept(json!([{ "id": "i" }, { "id": "j" }]))),
        [r#"items ["j"] of turn u are kept and were never seen"#]
    );
    let interrupted = json!([{ "id": "u", "status": "interrupted", "items": [{ "id": "i" }] }]);
    assert_eq!(against(interrupted), [r#"turn u ended as completed and is kept as "interrupted""#]);
}

#[tokio::test]
async fn a_snapshot_goes_on_where_it_says_and_may_not_forget() {
    let (mut client, mut script) = pair().await;
    let running = |text: &str| {
        let items = json!([{ "id": "i", "type": "agentMessage", "text": text }]);
        json!({ "thread": { "turns": [{ "id": "u", "status": "inProgress", "items": items }] } })
    };
    let (resumed, ()) = tokio::join!(client.resume("t"), script.answer("thread/resume", running("a")));
    resumed.unwrap();
    for message in &story()[3..] {
        script.say(message).await;
    }
    let empty = json!({ "thread": { "turns": [] } });
    let (resumed, ()) = tokio::join!(client.resume("t"), script.answer("thread/resume", empty));
    resumed.unwrap();
    drop(script);
    client.close().await.unwrap();
    let faults = client.ledger(|ledger| ledger.faults());
    assert_eq!(faults, ["t: turn u has ended and is not in the snapshot"]);
}

#[tokio::test]
async fn the_end_of_the_connection_wakes_everyone() {
    let (client, script) = pair().await;
    let (asked, waited, ()) =
        tokio::join!(client.ask("thread/loaded/list", json!({})), client.ended("t", "u"), async {
            drop(script)
        },);
    assert_eq!((asked, waited), (Err(NoResult::Closed), Err(NoResult::Closed)));
    assert_eq!(client.ask("thread/loaded/list", json!({})).await, Err(NoResult::Closed));
}

#[tokio::test]
async fn repetition_ends_with_its_count_or_its_time() {
    let counted = Bounds { count: 3, time: Duration::MAX };
    assert_eq!(repeat(counted, async |_| Ok(())).await.unwrap().count(), 3);
    let timed = Bounds { count: 3, time: Duration::ZERO };
    assert_eq!(repeat(timed, async |_| Ok(())).await.unwrap().count(), 0);
    let failed = repeat(counted, async |number| if number == 1 { Err(NoResult::Closed) } else { Ok(()) });
    assert_eq!(failed.await.unwrap_err(), NoResult::Closed);
}
