//! Coming back: a client that names the last event it saw is told what it missed, and then what is in flight (K5).

use rustix::process::Signal;
use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{STUBBORN, Stage, begin_turn, ended, resume, turn};

async fn following(stage: &Stage, name: &str) -> Client {
    let capabilities = json!({ "experimentalApi": true, "extensions": { "verger/replay": {} } });
    Client::open_with(&stage.daemon.url(), name, capabilities).await
}

/// The cursor that an answer stands at.
fn cursor(answer: &Value) -> Value {
    let replay = &answer["replay"];
    assert!(replay["headSeq"].is_u64() && replay["logEpoch"].is_string(), "{answer}");
    json!({ "logEpoch": replay["logEpoch"], "seq": replay["headSeq"] })
}

async fn come_back(client: &Client, thread: &str, since: &Value) -> Value {
    client.call("thread/resume", json!({ "threadId": thread, "since": since })).await
}

/// What came of a thread's stream: method, position, parameters.
fn stream(client: &Client, from: usize) -> Vec<(String, Value, Value)> {
    let all = client.since(from).into_iter().filter(|m| m.get("id").is_none());
    all.filter(|m| !m["params"]["_stream"].is_null())
        .map(|m| {
            let method = m["method"].as_str().expect("a notification").to_owned();
            (method, m["params"]["_stream"].clone(), m["params"].clone())
        })
        .collect()
}

fn seqs(stream: &[(String, Value, Value)]) -> Vec<u64> {
    stream.iter().filter_map(|(_, position, _)| position["seq"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_did_not_ask_for_positions_sees_none() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    turn(&client, &thread, "hi").await;
    assert!(stream(&client, from).is_empty());
    assert_eq!(resume(&client, &thread).await.get("replay"), None);
    let since = json!({ "threadId": thread, "since": { "logEpoch": "x", "seq": 1 } });
    let (code, message) = client.refused("thread/resume", since).await;
    assert_eq!(code, -32602);
    assert!(message.contains("since") && message.contains("verger/replay"), "{message}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_missed_comes_first_and_then_what_is_in_flight() {
    let stage = Stage::lazy(&["polite"]);
    let speaker = stage.client("speaker").await;
    let thread = stage.saved(&speaker).await;
    let away = following(&stage, "away").await;
    let since = cursor(&resume(&away, &thread).await);
    away.close().await;

    let missed = turn(&speaker, &thread, "CALL mcp__helper echo {\"text\":\"x\"}").await;
    let from = speaker.mark();
    let running = begin_turn(&speaker, &thread, "STREAM n=100 size=10 delay_ms=5").await;
    speaker.note(from, "item/agentMessage/delta", |_| true).await;

    let back = following(&stage, "back").await;
    let from = back.mark();
    let answer = come_back(&back, &thread, &since).await;
    assert_eq!(answer["replay"]["recovered"], true, "{answer}");
    assert_eq!(answer["replay"]["from"], since["seq"].as_u64().expect("a number") + 1);
    assert_eq!(answer["thread"]["turns"], json!([]));
    assert!(
        answer["turnsBackwardsCursor"].is_string() && answer["itemsBackwardsCursor"].is_string(),
        "{answer}"
    );
    ended(&back, from, &running).await;

    let told = stream(&back, from);
    let seqs = seqs(&told);
    assert!(seqs.is_sorted_by(|a, b| a < b), "each once and in order: {seqs:?}");
    assert!(seqs.contains(&answer["replay"]["to"].as_u64().expect("a number")), "{answer}: {seqs:?}");
    let started = |id: &str| {
        let is_it = |(method, _, params): &(String, Value, Value)| {
            method == "turn/started" && params["turn"]["id"] == id
        };
        told.iter().position(is_it).expect("it is told")
    };
    let missed = missed["id"].as_str().expect("an id");
    assert!(started(missed) < started(&running));
    let mut text = String::new();
    for (method, position, params) in &told {
        if method == "item/agentMessage/delta" && params["turnId"] == running.as_str() {
            assert_eq!(position["off"], text.len(), "no gap, and nothing twice");
            text.push_str(params["delta"].as_str().expect("text"));
        }
    }
    let completed = back.notes(from, "item/completed").into_iter();
    let whole = completed
        .filter(|note| note["turnId"] == running.as_str())
        .find_map(|note| Some(note["item"]["text"].as_str()?.to_owned()));
    assert_eq!(Some(text), whole);
    // The speaker knows nothing of all this.
    assert!(stream(&speaker, 0).is_empty());
    // A page that is asked for comes also with a replay.
    let page = json!({ "threadId": thread, "since": since, "initialTurnsPage": { "limit": 2 } });
    let answer = back.call("thread/resume", page).await;
    assert_eq!(answer["replay"]["recovered"], true, "{answer}");
    assert_eq!(answer["initialTurnsPage"]["data"].as_array().map(Vec::len), Some(2), "{answer}");
    drop((speaker, back));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cursor_that_means_nothing_gets_a_snapshot() {
    let stage = Stage::bare();
    let client = following(&stage, "client").await;
    let thread = stage.saved(&client).await;
    let before = cursor(&resume(&client, &thread).await);
    let forgotten = turn(&client, &thread, "to be forgotten").await;
    let at_it = cursor(&resume(&client, &thread).await);
    let revert = json!({ "threadId": thread, "beforeTurnId": forgotten["id"] });
    client.call("thread/revert", revert).await;
    let (epoch, seq) = (&before["logEpoch"], before["seq"].as_u64().expect("a number"));
    for since in [
        json!({ "logEpoch": "another", "seq": seq }),
        json!({ "logEpoch": epoch, "seq": seq + 1000 }),
        json!({ "logEpoch": epoch, "seq": u64::MAX }),
        before.clone(),
        at_it,
    ] {
        let answer = come_back(&client, &thread, &since).await;
        assert_eq!(answer["replay"]["recovered"], false, "{since}");
        assert_eq!(answer["thread"]["turns"].as_array().map(Vec::len), Some(1), "{since}: {answer}");
        // From here it goes on.
        let again = come_back(&client, &thread, &cursor(&answer)).await;
        assert_eq!(again["replay"]["recovered"], true, "{since}");
    }
    let nowhere = json!({ "cwd": stage.home.work(), "ephemeral": true });
    let started = client.call("thread/start", nowhere).await;
    let thread = started["thread"]["id"].as_str().expect("an id").to_owned();
    turn(&client, &thread, "hi").await;
    let answer = come_back(&client, &thread, &cursor(&started)).await;
    assert_eq!(answer["replay"]["recovered"], false, "it is kept nowhere");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn after_a_crash_the_turn_that_it_tore_is_ended() {
    let mut stage = Stage::lazy(&["polite"]);
    let client = following(&stage, "client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let torn = begin_turn(&client, &thread, "CALL mcp__helper slow {\"seconds\":600}").await;
    let is_call = |params: &Value| params["item"]["type"] == "mcpToolCall";
    let call = client.note(from, "item/started", is_call).await;
    stage.home.wait_for_helper_event("call", 1);
    let since = json!({ "logEpoch": call["_stream"]["logEpoch"], "seq": call["_stream"]["seq"] });
    let r#gen = call["_stream"]["gen"].as_u64().expect("a number");
    stage.daemon.signal(Signal::KILL);
    stage.daemon.wait(STUBBORN);
    stage.start_again();
    let back = following(&stage, "back").await;
    let from = back.mark();
    let answer = come_back(&back, &thread, &since).await;
    assert_eq!(answer["replay"]["recovered"], true, "{answer}");
    assert!(answer["replay"]["gen"].as_u64() > Some(r#gen), "{answer}");
    let end = back.note(from, "turn/completed", |params| params["turn"]["id"] == torn.as_str()).await;
    assert_eq!((&end["turn"]["status"], &end["_stream"]), (&json!("interrupted"), &Value::Null), "{end}");
    let cut = back.notes(from, "item/completed");
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert!(cut[0]["item"]["error"]["message"].as_str().is_some_and(|m| m.contains("outcome unknown")));
    // And it goes on.
    let next = turn(&back, &thread, "hi").await;
    assert_eq!(next["status"], "completed");
    back.close().await;
    stage.finish();
}
