//! Threads that a job names are somebody else's: they are not joined in the middle of a turn, not changed, and not deleted.

use serde_json::{Value, json};

use crate::jobs::{HANGS, add, over, prompt, ran, run};
use crate::stage::{Stage, resume};

async fn turn(client: &verger_testkit::Client, thread: &str, text: &str) -> Value {
    let input = json!([{ "type": "text", "text": text }]);
    client.call("turn/start", json!({ "threadId": thread, "input": input })).await["turn"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thread_that_is_only_named_is_not_deleted_with_the_runs_that_used_it() {
    let stage = Stage::lazy(&["polite"]);
    let (client, person) = (stage.client("client").await, stage.client("person").await);
    let chat = stage.saved(&person).await;
    person.close().await;
    let named = prompt("Say one.", json!({ "thread": chat, "keep": 1 }));
    add(&client, "job", named).await;
    for _ in 0..2 {
        let done = ran(&client, "job").await;
        assert_eq!((&done["state"], &done["threadId"]), (&json!("succeeded"), &json!(chat)), "{done}");
    }
    client.call("verger/job/edit", json!({ "name": "job", "changes": { "thread": "new" } })).await;
    let own = ran(&client, "job").await["threadId"].as_str().expect("an id").to_owned();
    ran(&client, "job").await;
    let (_, gone) = client.refused("thread/read", json!({ "threadId": own })).await;
    assert!(gone.contains("not loaded"), "what was made for a run goes with it: {gone}");
    let resumed = resume(&client, &chat).await;
    let turns = resumed["thread"]["turns"].as_array().map(Vec::len);
    assert!(turns >= Some(2), "{resumed}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_in_a_named_thread_is_neither_joined_nor_ended() {
    let stage = Stage::lazy(&["polite"]);
    let (client, person) = (stage.client("client").await, stage.client("person").await);
    let chat = stage.saved(&person).await;
    let busy = turn(&person, &chat, HANGS).await;
    stage.home.wait_for_helper_event("call", 1);
    let helpers = stage.helpers();
    add(&client, "job", prompt("Say one.", json!({ "thread": chat, "timeout": "1s" }))).await;
    let ended = over(&client, run(&client, "job").await).await;
    assert_eq!(ended["state"], "failed", "{ended}");
    assert!(
        ended["reason"].as_str().is_some_and(|why| why.contains("a turn is active in its thread")),
        "{ended}"
    );
    // Nor where it would set what the thread has settings for.
    add(&client, "other", prompt("Say one.", json!({ "thread": chat, "sandbox": "read-only" }))).await;
    let ended = over(&client, run(&client, "other").await).await;
    assert!(ended["reason"].as_str().is_some_and(|why| why.contains("settings of its own")), "{ended}");
    assert_eq!(helpers.alive().len(), 1, "the chat's helper goes on");
    let resumed = resume(&client, &chat).await;
    let turns = resumed["thread"]["turns"].as_array().expect("turns");
    let last = turns.last().expect("a turn");
    assert_eq!((&last["id"], &last["status"]), (&busy["id"], &json!("inProgress")), "{resumed}");
    person.call("turn/interrupt", json!({ "threadId": chat, "turnId": busy["id"] })).await;
    drop((client, person));
    stage.finish();
}
