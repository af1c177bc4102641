//! Threads come, are put away, and are told about: start, list, read, archive, delete, unsubscribe.

use serde_json::{Value, json};

use crate::stage::{Stage, begin_turn, ended, loaded, resume, say, turn};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_saved_thread_reads_the_same_however_it_is_asked_for() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let ended = crate::stage::turn(&client, &thread, "STREAM n=3 size=7").await;
    assert_eq!(ended["status"], "completed");
    let named = json!({ "threadId": thread, "includeTurns": true });
    let live = client.call("thread/read", named.clone()).await["thread"]["turns"].clone();
    client.close().await;
    stage.restart();
    let client = stage.client("client").await;
    let cold = client.call("thread/read", named).await["thread"].clone();
    assert_eq!(cold["status"]["type"], "notLoaded");
    assert_eq!(cold["turns"], live, "from the store as from memory");
    let resumed = resume(&client, &thread).await;
    assert_eq!(resumed["thread"]["turns"], live, "and to one who resumes");
    assert_eq!(resumed["cwd"], stage.home.work().to_str().unwrap());
    let items = live[0]["items"].as_array().expect("items");
    let kinds: Vec<_> = items.iter().map(|item| item["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["userMessage", "agentMessage"]);
    assert_eq!(items[0]["content"][0]["text"], "STREAM n=3 size=7");
    assert_eq!(items[1]["text"].as_str().map(str::len), Some(21));
    let list = client.call("thread/list", json!({})).await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["data"][0]["id"], thread.as_str());
    assert_eq!(list["data"][0]["preview"], "STREAM n=3 size=7");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_archived_thread_is_out_of_sight_and_refuses_to_resume() {
    let stage = Stage::bare();
    let (client, observer) = (stage.client("client").await, stage.client("observer").await);
    let thread = stage.saved(&client).await;
    let (named, from) = (json!({ "threadId": thread }), observer.mark());
    client.call("thread/archive", named.clone()).await;
    observer.note(from, "thread/archived", |params| params["threadId"] == thread.as_str()).await;
    let (code, message) = client.refused("thread/resume", named.clone()).await;
    assert_eq!(code, -32600);
    assert!(message.starts_with(&format!("session {thread} is archived")), "{message}");
    assert_eq!(client.refused("turn/start", say(&thread, "hi")).await.0, -32600);
    let seen = |archived: bool| json!({ "archived": archived });
    assert_eq!(client.call("thread/list", seen(false)).await["data"], json!([]));
    assert_eq!(client.call("thread/list", seen(true)).await["data"][0]["id"], thread.as_str());
    assert_eq!(loaded(&client).await, [""; 0]);
    drop((client, observer));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deleted_thread_is_gone_also_after_a_restart() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let named = json!({ "threadId": thread });
    client.call("thread/delete", named.clone()).await;
    let said = (-32600, format!("no rollout found for thread id {thread}"));
    assert_eq!(client.refused("thread/resume", named.clone()).await, said);
    client.close().await;
    stage.restart();
    let client = stage.client("client").await;
    assert_eq!(client.refused("thread/resume", named).await, said);
    assert_eq!(client.call("thread/list", json!({})).await["data"], json!([]));
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unsubscribe_says_what_there_was_to_leave() {
    let stage = Stage::bare();
    let (client, other) = (stage.client("client").await, stage.client("other").await);
    let thread = stage.saved(&client).await;
    let named = json!({ "threadId": thread });
    assert_eq!(other.call("thread/unsubscribe", named.clone()).await["status"], "notSubscribed");
    assert_eq!(loaded(&other).await, [thread.as_str()]);
    let from = other.mark();
    assert_eq!(client.call("thread/unsubscribe", named.clone()).await["status"], "unsubscribed");
    crate::stage::closed(&other, from, &thread).await;
    assert_eq!(client.call("thread/unsubscribe", named).await["status"], "notLoaded");
    drop((client, other));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thread_that_was_unloaded_is_told_to_be_back() {
    let stage = Stage::bare();
    let (client, observer) = (stage.client("client").await, stage.client("observer").await);
    let thread = stage.saved(&client).await;
    client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
    let is = |status: &'static str| move |params: &Value| params["status"]["type"] == status;
    observer.note(0, "thread/status/changed", is("notLoaded")).await;
    let from = observer.mark();
    resume(&client, &thread).await;
    let back = observer.note(from, "thread/status/changed", is("idle")).await;
    assert_eq!(back["threadId"], thread.as_str());
    drop((client, observer));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thread_that_keeps_nothing_ends_or_stays_as_it_is_told() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    for method in ["thread/archive", "thread/delete"] {
        let fresh = stage.thread(&client).await;
        assert_eq!(client.call(method, json!({ "threadId": fresh })).await, json!({}), "{method}");
        let started = client.call("thread/start", json!({ "ephemeral": true })).await;
        let passing = started["thread"]["id"].as_str().expect("an id");
        let (code, message) = client.refused(method, json!({ "threadId": passing })).await;
        assert_eq!(
            (code, message),
            (-32600, format!("no rollout found for thread id {passing}")),
            "{method}"
        );
        // Refused, and none the worse for it.
        assert_eq!(turn(&client, passing, "hi").await["status"], "completed", "{method}");
        assert_eq!(loaded(&client).await, [passing], "{method}");
        client.call("thread/unsubscribe", json!({ "threadId": passing })).await;
    }
    drop(client);
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_goes_on_without_its_client_and_then_the_thread_unloads() {
    let stage = Stage::bare();
    let (client, observer) = (stage.client("client").await, stage.client("observer").await);
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let turn = begin_turn(&client, &thread, "STREAM n=40 size=10 delay_ms=10").await;
    client.note(from, "item/agentMessage/delta", |_| true).await;
    let heard = observer.mark();
    client.close().await;
    crate::stage::closed(&observer, heard, &thread).await;
    let read = observer.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    let last = read["thread"]["turns"].as_array().and_then(|turns| turns.last()).cloned().expect("turns");
    assert_eq!((&last["id"], &last["status"]), (&json!(turn), &json!("completed")));
    assert_eq!(last["items"][1]["text"].as_str().map(str::len), Some(400));
    observer.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_tells_its_story_in_order() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let turn = begin_turn(&client, &thread, "STREAM n=2 size=3").await;
    ended(&client, from, &turn).await;
    let told: Vec<String> = client
        .since(from)
        .iter()
        .filter(|m| m["params"]["threadId"] == thread.as_str())
        .filter_map(|m| m["method"].as_str().map(str::to_owned))
        .filter(|method| method.starts_with("turn/") || method.starts_with("item/"))
        .collect();
    let expected = [
        "turn/started",
        "item/started",
        "item/completed",
        "item/started",
        "item/agentMessage/delta",
        "item/agentMessage/delta",
        "item/completed",
        "turn/completed",
    ];
    assert_eq!(told, expected);
    let statuses = client.notes(from, "thread/status/changed");
    let kinds: Vec<&Value> = statuses.iter().map(|params| &params["status"]["type"]).collect();
    assert_eq!(kinds.first(), Some(&&json!("active")));
    client.close().await;
    stage.finish();
}
