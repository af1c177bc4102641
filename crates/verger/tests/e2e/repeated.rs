//! `clientRequestId`: a turn/start that comes twice starts one turn, and is answered with it whenever it comes.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, ended, resume, say};

fn request(thread: &str, text: &str, id: &str) -> Value {
    let mut params = say(thread, text);
    params["clientRequestId"] = json!(id);
    params
}

/// Starts a turn by a request with an id; the turn of the answer.
async fn start(client: &Client, thread: &str, text: &str, id: &str) -> Value {
    client.call("turn/start", request(thread, text, id)).await["turn"].clone()
}

/// Ids of all turns, and how many messages of the user they hold.
async fn kept(client: &Client, thread: &str) -> (Vec<String>, usize) {
    let read = client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    let turns = read["thread"]["turns"].as_array().expect("turns").clone();
    let ids = turns.iter().map(|turn| turn["id"].as_str().expect("an id").to_owned());
    let items = turns.iter().flat_map(|turn| turn["items"].as_array().expect("items"));
    (ids.collect(), items.filter(|item| item["type"] == "userMessage").count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whenever_it_comes_again_it_is_answered_with_the_first_ones_turn() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let from = client.mark();
    let first = start(&client, &thread, "STREAM n=20 size=8 delay_ms=20", "r1").await;
    let id = first["id"].as_str().expect("an id").to_owned();
    let again = start(&client, &thread, "STREAM n=20 size=8 delay_ms=20", "r1").await;
    assert_eq!((&again["id"], &again["status"]), (&first["id"], &json!("inProgress")), "during the turn");
    assert_eq!(ended(&client, from, &id).await["status"], "completed", "nothing was cut");

    let mut other = request(&thread, "anything", "r1");
    other["model"] = json!("another");
    let again = client.call("turn/start", other).await["turn"].clone();
    assert_eq!((&again["id"], &again["status"]), (&first["id"], &json!("completed")), "after its end");
    assert_eq!((&again["items"], &again["itemsView"]), (&json!([]), &json!("notLoaded")));
    assert_eq!(kept(&client, &thread).await, (vec![id.clone()], 1));
    let read = client.call("thread/read", json!({ "threadId": thread })).await;
    assert_eq!(read["thread"]["model"], "mock-model", "and it changes nothing else either");
    assert_eq!(read["thread"]["status"]["type"], "idle");

    drop(client);
    stage.restart();
    let client = stage.client("after").await;
    resume(&client, &thread).await;
    let again = start(&client, &thread, "anything", "r1").await;
    assert_eq!((&again["id"], &again["status"]), (&first["id"], &json!("completed")), "after a restart");
    let from = client.mark();
    let second = start(&client, &thread, "hi", "r2").await;
    assert_eq!(ended(&client, from, second["id"].as_str().expect("an id")).await["status"], "completed");
    assert_eq!(kept(&client, &thread).await.0.len(), 2, "another id is another request");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_that_joined_a_turn_joins_it_once() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let first = start(&client, &thread, "SLEEP s=30", "r1").await;
    for _ in 0..2 {
        assert_eq!(start(&client, &thread, "enough", "r2").await["id"], first["id"]);
    }
    let id = first["id"].as_str().expect("an id");
    assert_eq!(ended(&client, from, id).await["status"], "completed");
    assert_eq!(kept(&client, &thread).await.1, 3, "the saved one, and one of each");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn those_that_come_at_once_start_one_turn() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let mut sent = Vec::new();
    for _ in 0..8 {
        sent.push(client.begin("turn/start", request(&thread, "hi", "r1")).await.expect("it is connected"));
    }
    let mut turns = Vec::new();
    for id in sent {
        turns.push(client.answer(from, id, "an answer").await.expect("it succeeds")["turn"]["id"].clone());
    }
    assert!(turns.iter().all(|turn| *turn == turns[0]), "{turns:?}");
    ended(&client, from, turns[0].as_str().expect("an id")).await;
    client.call("thread/loaded/list", json!({})).await;
    assert_eq!(client.notes(from, "turn/started").len(), 1);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fork_has_taken_no_request_of_its_source() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let from = client.mark();
    let first = start(&client, &thread, "hi", "r1").await["id"].as_str().expect("an id").to_owned();
    ended(&client, from, &first).await;
    let forked = client.call("thread/fork", json!({ "threadId": thread })).await["thread"]["id"].clone();
    let forked = forked.as_str().expect("an id");
    let from = client.mark();
    let second = start(&client, forked, "hi", "r1").await["id"].as_str().expect("an id").to_owned();
    assert_ne!(second, first);
    ended(&client, from, &second).await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_whose_turn_a_crash_cut_off_is_answered_with_what_is_left_of_it() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let first = start(&client, &thread, "SLEEP s=30", "r1").await;
    stage.daemon.signal(Signal::KILL);
    stage.daemon.wait(Duration::from_secs(5));
    drop(client);
    stage.start_again();
    let client = stage.client("after").await;
    resume(&client, &thread).await;
    let again = start(&client, &thread, "SLEEP s=30", "r1").await;
    assert_eq!((&again["id"], &again["status"]), (&first["id"], &json!("interrupted")));
    assert_eq!(kept(&client, &thread).await.0.len(), 2, "it was not begun again");
    client.close().await;
    stage.finish();
}
