//! Forks: of stored, loaded and running threads; what they inherit, and what they keep alive.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, begin_turn, closed, ended, loaded, resume, turn};

/// The texts of each turn's first message.
fn said(thread: &Value) -> Vec<String> {
    let turns = thread["turns"].as_array().expect("turns");
    let text = |turn: &Value| turn["items"][0]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    turns.iter().map(text).collect()
}

async fn turn_ids(client: &Client, thread: &str) -> Vec<String> {
    let read = client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    let turns = read["thread"]["turns"].as_array().expect("turns").clone();
    turns.iter().map(|turn| turn["id"].as_str().expect("an id").to_owned()).collect()
}

async fn fork(client: &Client, params: Value) -> Value {
    client.call("thread/fork", params).await
}

async fn three_turns(stage: &Stage, client: &Client) -> String {
    let thread = stage.thread(client).await;
    for text in ["one", "two", "three"] {
        turn(client, &thread, text).await;
    }
    thread
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fork_has_its_sources_past_and_a_future_of_its_own() {
    let mut stage = Stage::bare();
    let (client, observer) = (stage.client("client").await, stage.client("observer").await);
    let source = three_turns(&stage, &client).await;
    client.call("thread/name/set", json!({ "threadId": source, "name": "the name" })).await;
    let from = observer.mark();
    let forked = fork(&client, json!({ "threadId": source })).await["thread"].clone();
    let id = forked["id"].as_str().expect("an id").to_owned();
    assert_eq!(said(&forked), ["one", "two", "three"]);
    assert_eq!(forked["forkedFromId"], source.as_str());
    assert_eq!((&forked["name"], &forked["preview"]), (&json!("the name"), &json!("one")));
    let started = observer.note(from, "thread/started", |p| p["thread"]["id"] == id.as_str()).await;
    assert_eq!(started["thread"]["forkedFromId"], source.as_str());
    assert_eq!(started["thread"]["turns"], json!([]));

    // It is followed, and saved, from its first moment.
    assert_eq!(turn(&client, &id, "four").await["status"], "completed");
    turn(&client, &source, "elsewhere").await;
    drop((client, observer));
    stage.restart();
    let client = stage.client("client").await;
    let list = client.call("thread/list", json!({ "sortDirection": "asc" })).await;
    let listed: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|t| (&t["id"], &t["forkedFromId"])).collect();
    assert_eq!(listed, [(&json!(source), &Value::Null), (&json!(id), &json!(source))]);
    let resumed = resume(&client, &id).await;
    assert_eq!(said(&resumed["thread"]), ["one", "two", "three", "four"]);
    // The model is told of the whole conversation, the source's part of it included.
    turn(&client, &id, "five").await;
    let request = stage.home.model().requests().last().expect("a request").body.to_string();
    for text in ["one", "three", "four", "five"] {
        assert!(request.contains(&format!("\"{text}\"")), "{text} is missing in {request}");
    }
    assert!(!request.contains("elsewhere"));
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fork_is_cut_where_the_client_says() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let source = three_turns(&stage, &client).await;
    let turns = turn_ids(&client, &source).await;
    let cut = async |field: &str, turn: &str| {
        said(&fork(&client, json!({ "threadId": source, field: turn })).await["thread"])
    };
    assert_eq!(cut("lastTurnId", &turns[1]).await, ["one", "two"]);
    assert_eq!(cut("lastTurnId", &turns[2]).await, ["one", "two", "three"]);
    assert_eq!(cut("beforeTurnId", &turns[1]).await, ["one"]);
    assert_eq!(cut("beforeTurnId", &turns[0]).await, [""; 0]);
    // The same of a source that nobody has loaded.
    client.call("thread/unsubscribe", json!({ "threadId": source })).await;
    assert!(!loaded(&client).await.contains(&source));
    assert_eq!(cut("lastTurnId", &turns[0]).await, ["one"]);
    let bare = fork(&client, json!({ "threadId": source, "excludeTurns": true, "model": "other" })).await;
    assert_eq!((&bare["thread"]["turns"], &bare["model"]), (&json!([]), &json!("other")));
    let id = bare["thread"]["id"].as_str().expect("an id");
    assert_eq!(turn_ids(&client, id).await, turns, "turns keep their ids");
    let again = fork(&client, json!({ "threadId": id, "lastTurnId": turns[0] })).await;
    assert_eq!(again["model"], "other", "a fork goes on as its source was set");
    assert_eq!(said(&again["thread"]), ["one"]);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_running_thread_is_forked_as_far_as_it_is_durable() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let source = stage.saved(&client).await;
    let from = client.mark();
    let running = begin_turn(&client, &source, "STREAM n=1000 size=10 delay_ms=5").await;
    client.note(from, "item/agentMessage/delta", |_| true).await;
    let at_it = json!({ "threadId": source, "lastTurnId": running });
    let (code, message) = client.refused("thread/fork", at_it).await;
    assert_eq!((code, message), (-32600, format!("lastTurnId '{running}' identifies an in-progress turn")));
    let forked = fork(&client, json!({ "threadId": source })).await["thread"].clone();
    assert_eq!(forked["status"]["type"], "idle");
    let last = forked["turns"].as_array().and_then(|turns| turns.last()).expect("turns").clone();
    assert_eq!((&last["id"], &last["status"]), (&json!(running), &json!("interrupted")));
    let id = forked["id"].as_str().expect("an id").to_owned();
    assert_eq!(turn(&client, &id, "and now").await["status"], "completed", "beside its source");
    client.call("turn/interrupt", json!({ "threadId": source, "turnId": running })).await;
    ended(&client, from, &running).await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn forks_without_a_past_or_a_future_are_kept_nowhere() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let empty = stage.thread(&client).await;
    let settings = json!({ "threadId": empty, "approvalPolicy": "on-request" });
    let forked = fork(&client, settings).await;
    assert_eq!((&forked["thread"]["turns"], &forked["approvalPolicy"]), (&json!([]), &json!("on-request")));
    assert_eq!(client.call("thread/list", json!({})).await["data"], json!([]), "neither has a turn yet");
    let id = forked["thread"]["id"].as_str().expect("an id").to_owned();
    turn(&client, &id, "first").await;
    assert_eq!(client.call("thread/list", json!({})).await["data"][0]["forkedFromId"], empty.as_str());

    let passing = fork(&client, json!({ "threadId": id, "ephemeral": true })).await["thread"].clone();
    assert_eq!((&passing["ephemeral"], said(&passing)), (&json!(true), vec!["first".to_owned()]));
    let passing = passing["id"].as_str().expect("an id").to_owned();
    turn(&client, &passing, "second").await;
    let from = client.mark();
    client.call("thread/unsubscribe", json!({ "threadId": passing })).await;
    closed(&client, from, &passing).await;
    assert_eq!(client.call("thread/list", json!({})).await["data"].as_array().map(Vec::len), Some(1));
    // It kept its source from nothing.
    client.call("thread/delete", json!({ "threadId": id })).await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_source_is_not_deleted_while_a_fork_needs_it() {
    let stage = Stage::bare();
    let (client, observer) = (stage.client("client").await, stage.client("observer").await);
    let source = stage.saved(&client).await;
    let forked = fork(&client, json!({ "threadId": source })).await["thread"]["id"].clone();
    let forked = forked.as_str().expect("an id").to_owned();
    let (name, from) = (json!({ "threadId": source }), client.mark());
    let running = begin_turn(&client, &source, "STREAM n=60 size=10 delay_ms=5").await;
    let said = format!("cannot delete thread {source}: forked history still references it");
    assert_eq!(client.refused("thread/delete", name.clone()).await, (-32600, said.clone()));
    // Refused before anything was ended: the turn goes on, and its follower with it.
    assert_eq!(ended(&client, from, &running).await["status"], "completed");
    assert!(loaded(&client).await.contains(&source));
    client.call("thread/archive", name.clone()).await;
    assert_eq!(client.refused("thread/delete", name.clone()).await, (-32600, said), "nor from the archive");
    assert_eq!(turn(&client, &forked, "more").await["status"], "completed", "the fork does not care");
    client.call("thread/delete", json!({ "threadId": forked })).await;
    let from = observer.mark();
    client.call("thread/delete", name).await;
    observer.note(from, "thread/deleted", |params| params["threadId"] == source.as_str()).await;
    drop((client, observer));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fork_and_a_delete_at_once_leave_both_or_neither() {
    let stage = Stage::bare();
    let (client, other) = (stage.client("client").await, stage.client("other").await);
    let mut outcomes = [0, 0];
    for round in 0..20 * crate::stage::scale() {
        let source = stage.saved(&client).await;
        let name = json!({ "threadId": source });
        if round % 2 == 0 {
            client.call("thread/unsubscribe", name.clone()).await;
        }
        let (forked, deleted) =
            tokio::join!(client.ask("thread/fork", name.clone()), other.ask("thread/delete", name.clone()));
        match (&forked, &deleted) {
            (Ok(forked), Err(_)) => {
                outcomes[0] += 1;
                let id = forked["thread"]["id"].as_str().expect("an id");
                assert_eq!(turn_ids(&other, id).await.len(), 1);
                assert_eq!(turn_ids(&other, &source).await.len(), 1);
            }
            (Err(_), Ok(_)) => {
                outcomes[1] += 1;
                let read = other.refused("thread/read", name).await;
                assert_eq!(read.1, format!("thread not loaded: {source}"));
            }
            both => panic!("{both:?}"),
        }
    }
    eprintln!("forked {}, deleted {}", outcomes[0], outcomes[1]);
    drop((client, other));
    stage.finish();
}
