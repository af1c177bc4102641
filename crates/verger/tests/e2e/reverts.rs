//! Reverts: what is forgotten is forgotten by everyone who looks, and by nobody else.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, begin_turn, ended, loaded, resume, turn};

/// The texts of each turn's first message.
fn said(turns: &Value) -> Vec<String> {
    let text = |turn: &Value| turn["items"][0]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    turns.as_array().expect("turns").iter().map(text).collect()
}

async fn read(client: &Client, thread: &str) -> Value {
    client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await["thread"].clone()
}

async fn ids(client: &Client, thread: &str) -> Vec<String> {
    let turns = read(client, thread).await["turns"].clone();
    turns
        .as_array()
        .expect("turns")
        .iter()
        .map(|turn| turn["id"].as_str().expect("an id").to_owned())
        .collect()
}

async fn revert(client: &Client, thread: &str, before: &str) -> Value {
    client.call("thread/revert", json!({ "threadId": thread, "beforeTurnId": before })).await
}

async fn page(client: &Client, thread: &str, more: Value) -> Value {
    let mut params = json!({ "threadId": thread, "itemsView": "full", "sortDirection": "asc" });
    for (key, value) in more.as_object().expect("an object") {
        params[key] = value.clone();
    }
    client.call("thread/turns/list", params).await
}

async fn turns_of(stage: &Stage, client: &Client, words: &[&str]) -> String {
    let thread = stage.thread(client).await;
    for text in words {
        turn(client, &thread, text).await;
    }
    thread
}

/// What the model was asked last, as text.
fn asked(stage: &Stage) -> String {
    stage.home.model().requests().last().expect("a request").body["input"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_reverted_is_forgotten_wherever_one_looks() {
    let mut stage = Stage::bare();
    let (client, observer) = (stage.client("client").await, stage.client("observer").await);
    let thread = turns_of(&stage, &client, &["one", "two", "three", "four"]).await;
    let turns = ids(&client, &thread).await;
    let (from, heard) = (client.mark(), observer.mark());
    let answer = revert(&client, &thread, &turns[1]).await;
    assert_eq!(answer["thread"]["id"], thread.as_str());
    assert_eq!(
        (&answer["thread"]["turns"], &answer["thread"]["status"]["type"]),
        (&json!([]), &json!("idle"))
    );
    observer.note(heard, "thread/reverted", |params| params["threadId"] == thread.as_str()).await;
    client.note(from, "thread/reverted", |params| params["threadId"] == thread.as_str()).await;
    let told = client.since(from);
    let answered = told.iter().position(|message| message.get("result").is_some()).expect("the answer");
    let notified = told.iter().position(|message| message["method"] == "thread/reverted").expect("told");
    assert!(answered < notified, "answered first");

    assert_eq!(said(&read(&client, &thread).await["turns"]), ["one"]);
    assert_eq!(said(&resume(&observer, &thread).await["thread"]["turns"]), ["one"]);
    assert_eq!(said(&page(&client, &thread, json!({})).await["data"]), ["one"]);
    let newest = json!({ "sortDirection": "desc", "cursor": answer["turnsBackwardsCursor"] });
    assert_eq!(said(&page(&client, &thread, newest).await["data"]), ["one"]);
    let newest =
        json!({ "threadId": thread, "sortDirection": "desc", "cursor": answer["itemsBackwardsCursor"] });
    let items = client.call("thread/items/list", newest).await;
    assert_eq!(items["data"].as_array().map(Vec::len), Some(2));
    let of_forgotten = json!({ "threadId": thread, "turnId": turns[2] });
    assert_eq!(client.call("thread/items/list", of_forgotten).await["data"], json!([]));
    let forgotten = format!("turn not found: {}", turns[2]);
    let again = json!({ "threadId": thread, "beforeTurnId": turns[2] });
    assert_eq!(client.refused("thread/revert", again).await, (-32600, forgotten.clone()));
    let fork = json!({ "threadId": thread, "lastTurnId": turns[2] });
    assert_eq!(client.refused("thread/fork", fork).await, (-32600, forgotten));

    turn(&client, &thread, "five").await;
    let heard = asked(&stage);
    assert!(heard.contains("\"one\"") && heard.contains("\"five\""), "{heard}");
    assert!(!heard.contains("\"two\"") && !heard.contains("\"four\""), "{heard}");
    drop((client, observer));
    stage.restart();
    let client = stage.client("client").await;
    assert_eq!(said(&read(&client, &thread).await["turns"]), ["one", "five"], "not loaded");
    assert_eq!(said(&resume(&client, &thread).await["thread"]["turns"]), ["one", "five"], "loaded");
    turn(&client, &thread, "six").await;
    assert!(!asked(&stage).contains("\"three\""));
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thread_reverted_to_before_its_first_turn_begins_anew() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = turns_of(&stage, &client, &["one", "two"]).await;
    let first = ids(&client, &thread).await.remove(0);
    let answer = revert(&client, &thread, &first).await;
    assert_eq!(
        (&answer["turnsBackwardsCursor"], &answer["itemsBackwardsCursor"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(page(&client, &thread, json!({})).await["data"], json!([]));
    let items = client.call("thread/items/list", json!({ "threadId": thread })).await;
    assert_eq!(items["data"], json!([]));
    assert_eq!(
        client.call("thread/list", json!({})).await["data"][0]["preview"],
        "",
        "nothing is left of it"
    );
    drop(client);
    stage.restart();
    let client = stage.client("client").await;
    assert_eq!(resume(&client, &thread).await["thread"]["turns"], json!([]));
    let forked = client.call("thread/fork", json!({ "threadId": thread })).await;
    assert_eq!(forked["thread"]["turns"], json!([]));
    turn(&client, &thread, "anew").await;
    assert!(!asked(&stage).contains("\"two\""));
    assert_eq!(said(&read(&client, &thread).await["turns"]), ["anew"]);
    let listed = client.call("thread/list", json!({ "searchTerm": "anew" })).await;
    assert_eq!(listed["data"][0]["id"], thread.as_str());
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_revert_is_refused_where_there_is_nothing_to_revert_or_a_turn_runs() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let turns = ids(&client, &thread).await;
    let before = |thread: &str, turn: &str| json!({ "threadId": thread, "beforeTurnId": turn });
    let from = client.mark();
    let running = begin_turn(&client, &thread, "STREAM n=1000 size=10 delay_ms=5").await;
    for turn in [&turns[0], &running] {
        let refused = client.refused("thread/revert", before(&thread, turn)).await;
        let message =
            format!("cannot revert thread {thread} while turn {running} is in progress; interrupt it first");
        assert_eq!(refused, (-32600, message));
    }
    client.call("turn/interrupt", json!({ "threadId": thread, "turnId": running })).await;
    ended(&client, from, &running).await;
    revert(&client, &thread, &running).await;
    assert_eq!(ids(&client, &thread).await, turns);

    let unknown = client.refused("thread/revert", before(&thread, "nope")).await;
    assert_eq!(unknown, (-32600, "turn not found: nope".to_owned()));
    let fresh = stage.thread(&client).await;
    let refused = client.refused("thread/revert", before(&fresh, &turns[0])).await;
    assert_eq!(refused, (-32600, format!("no rollout found for thread id {fresh}")));
    let passing = client.call("thread/fork", json!({ "threadId": thread, "ephemeral": true })).await;
    let passing = passing["thread"]["id"].as_str().expect("an id").to_owned();
    let refused = client.refused("thread/revert", before(&passing, &turns[0])).await;
    assert_eq!(refused, (-32600, "ephemeral threads do not support thread/revert".to_owned()));
    client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
    assert!(!loaded(&client).await.contains(&thread));
    let refused = client.refused("thread/revert", before(&thread, &turns[0])).await;
    assert_eq!(refused, (-32600, format!("thread not found: {thread}")));
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn forks_and_their_source_forget_for_themselves_alone() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let source = turns_of(&stage, &client, &["one", "two", "three"]).await;
    let turns = ids(&client, &source).await;
    let fork = async |source: &str| {
        let forked = client.call("thread/fork", json!({ "threadId": source })).await;
        forked["thread"]["id"].as_str().expect("an id").to_owned()
    };
    let before = fork(&source).await;
    revert(&client, &source, &turns[1]).await;
    turn(&client, &source, "else").await;
    assert_eq!(
        said(&read(&client, &before).await["turns"]),
        ["one", "two", "three"],
        "it shares their records"
    );
    let after = fork(&source).await;
    assert_eq!(said(&read(&client, &after).await["turns"]), ["one", "else"]);
    // Into what it shares, and then on its own.
    revert(&client, &before, &turns[2]).await;
    turn(&client, &before, "mine").await;
    turn(&client, &before, "and mine").await;
    let own = ids(&client, &before).await[3].clone();
    revert(&client, &before, &own).await;
    assert_eq!(said(&read(&client, &before).await["turns"]), ["one", "two", "mine"]);
    let of_fork = fork(&before).await;
    assert_eq!(said(&read(&client, &of_fork).await["turns"]), ["one", "two", "mine"]);
    let cut = client.call("thread/fork", json!({ "threadId": before, "lastTurnId": turns[1] })).await;
    assert_eq!(said(&cut["thread"]["turns"]), ["one", "two"]);
    let passing =
        client.call("thread/fork", json!({ "threadId": before, "ephemeral": true })).await["thread"].clone();
    assert_eq!(said(&passing["turns"]), ["one", "two", "mine"]);
    turn(&client, passing["id"].as_str().expect("an id"), "last").await;
    let heard = asked(&stage);
    assert!(
        heard.contains("\"mine\"") && !heard.contains("\"and mine\"") && !heard.contains("\"three\""),
        "{heard}"
    );
    assert_eq!(said(&read(&client, &source).await["turns"]), ["one", "else"]);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_lead_past_what_is_forgotten() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = turns_of(&stage, &client, &["one", "two", "gone", "gone"]).await;
    let older = page(&client, &thread, json!({ "limit": 1, "sortDirection": "desc" })).await;
    revert(&client, &thread, &ids(&client, &thread).await[2]).await;
    for words in ["three", "gone", "gone"] {
        turn(&client, &thread, words).await;
    }
    revert(&client, &thread, &ids(&client, &thread).await[3]).await;
    turn(&client, &thread, "four").await;
    let whole = ["one", "two", "three", "four"];
    assert_eq!(said(&read(&client, &thread).await["turns"]), whole);
    for limit in 1..=5 {
        for direction in ["asc", "desc"] {
            let (mut found, mut cursor) = (Vec::new(), Value::Null);
            loop {
                let more = json!({ "limit": limit, "sortDirection": direction, "cursor": cursor });
                let page = page(&client, &thread, more).await;
                found.extend(said(&page["data"]));
                cursor = page["nextCursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
            if direction == "desc" {
                found.reverse();
            }
            assert_eq!(found, whole, "{direction}, {limit} a page");
        }
    }
    // A cursor from before leads on from where it stood.
    let on = json!({ "sortDirection": "desc", "cursor": older["nextCursor"] });
    assert_eq!(said(&page(&client, &thread, on).await["data"]), ["two", "one"]);
    let back = json!({ "cursor": older["backwardsCursor"] });
    assert_eq!(said(&page(&client, &thread, back).await["data"]), ["three", "four"]);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_meanwhile_is_shown_nothing_that_was_forgotten() {
    let stage = Stage::bare();
    let (client, thread) = stage.long().await;
    let last = turn(&client, &thread, "hi").await;
    let from = client.mark();
    let resumes = client.begin("thread/resume", json!({ "threadId": thread })).await.expect("connected");
    let before = json!({ "threadId": thread, "beforeTurnId": last["id"] });
    let reverts = client.begin("thread/revert", before).await.expect("connected");
    let resumed = client.answer(from, resumes, "thread/resume").await.expect("the thread");
    let answers: Vec<i64> = client.since(from).iter().filter_map(|message| message["id"].as_i64()).collect();
    assert_eq!(answers, [reverts, resumes], "it was reverted while the answer was drawn");
    let turns = resumed["thread"]["turns"].as_array().expect("turns");
    assert!(turns.len() == 2 && turns.iter().all(|turn| turn["id"] != last["id"]), "{} turns", turns.len());
    drop(client);
    stage.finish();
}
