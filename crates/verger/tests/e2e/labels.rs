//! What is written on threads: names, git metadata, the archive; who hears of it, and that it stays.

use serde_json::{Value, json};

use crate::stage::{Stage, begin_turn, closed, ended, loaded, resume};

fn named(thread: &str, name: &str) -> Value {
    json!({ "threadId": thread, "name": name })
}

fn git(thread: &str, info: Value) -> Value {
    json!({ "threadId": thread, "gitInfo": info })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_name_is_told_to_everyone_and_survives_a_kill() {
    let mut stage = Stage::bare();
    let (client, observer) = (stage.client("client").await, stage.client("observer").await);
    let thread = stage.thread(&client).await;
    let from = observer.mark();
    assert_eq!(client.call("thread/name/set", named(&thread, "  early ")).await, json!({}));
    let told = observer.note(from, "thread/name/updated", |_| true).await;
    assert_eq!(told, json!({ "threadId": thread, "threadName": "early" }), "before the first turn, trimmed");
    crate::stage::turn(&client, &thread, "hi").await;
    let list = client.call("thread/list", json!({})).await;
    assert_eq!(list["data"][0]["name"], "early", "kept with the first turn");

    // In the middle of a turn, by somebody who does not follow the thread.
    let from = client.mark();
    let turn = begin_turn(&client, &thread, "STREAM n=40 size=5 delay_ms=5").await;
    observer.call("thread/name/set", named(&thread, "second")).await;
    client.note(from, "thread/name/updated", |params| params["threadName"] == "second").await;
    ended(&client, from, &turn).await;
    let read = client.call("thread/read", json!({ "threadId": thread })).await;
    assert_eq!(read["thread"]["name"], "second");

    // Without an owner; and the reply comes after it is durable.
    let from = observer.mark();
    client.close().await;
    closed(&observer, from, &thread).await;
    observer.call("thread/name/set", named(&thread, "third")).await;
    observer.note(from, "thread/name/updated", |params| params["threadName"] == "third").await;
    assert_eq!(loaded(&observer).await, [""; 0], "naming a thread loads nothing");
    stage.daemon.signal(rustix::process::Signal::KILL);
    stage.daemon.wait(std::time::Duration::from_secs(5));
    stage.start_again();
    let client = stage.client("client").await;
    assert_eq!(resume(&client, &thread).await["thread"]["name"], "third");
    drop((client, observer));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn git_metadata_is_patched_field_by_field() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let update = async |info: Value| {
        client.call("thread/metadata/update", git(&thread, info)).await["thread"]["gitInfo"].clone()
    };
    let info = |sha: Value, branch: Value| json!({ "sha": sha, "branch": branch, "originUrl": null });
    assert_eq!(update(json!({ "sha": "a", "branch": "b" })).await, info(json!("a"), json!("b")));
    assert_eq!(update(json!({ "sha": null })).await, info(Value::Null, json!("b")));
    client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
    // The same where nobody owns the thread, and where it is archived.
    assert_eq!(update(json!({ "sha": "c" })).await, info(json!("c"), json!("b")));
    client.call("thread/archive", json!({ "threadId": thread })).await;
    assert_eq!(update(json!({ "branch": "d" })).await, info(json!("c"), json!("d")));
    let list = client.call("thread/list", json!({ "archived": true })).await;
    assert_eq!(list["data"][0]["gitInfo"], info(json!("c"), json!("d")));
    assert_eq!(update(json!({ "branch": null, "sha": null })).await, Value::Null);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unarchived_thread_is_back_for_everyone() {
    let mut stage = Stage::bare();
    let (client, observer) = (stage.client("client").await, stage.client("observer").await);
    let thread = stage.saved(&client).await;
    let name = json!({ "threadId": thread });
    client.call("thread/archive", name.clone()).await;
    let from = observer.mark();
    let back = client.call("thread/unarchive", name.clone()).await["thread"].clone();
    assert_eq!((&back["id"], &back["status"]["type"]), (&json!(thread), &json!("notLoaded")));
    assert_eq!(back["turns"], json!([]));
    observer.note(from, "thread/unarchived", |params| params["threadId"] == thread.as_str()).await;
    assert_eq!(client.call("thread/list", json!({})).await["data"][0]["id"], thread.as_str());
    assert_eq!(resume(&client, &thread).await["thread"]["turns"].as_array().map(Vec::len), Some(1));
    drop((client, observer));
    stage.restart();
    let client = stage.client("client").await;
    resume(&client, &thread).await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_that_race_for_one_thread_are_served_in_their_order() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    for _ in 0..20 * crate::stage::scale() {
        let thread = stage.saved(&client).await;
        let name = json!({ "threadId": thread });
        let from = client.mark();
        // The second does not wait for the first: whether the archive is done by then or not, it is too late.
        let archive = client.begin("thread/archive", name.clone()).await.expect("connected");
        let label = client.begin("thread/name/set", named(&thread, "too late")).await.expect("connected");
        assert_eq!(client.answer(from, archive, "archive").await, Ok(json!({})));
        let refused = client.answer(from, label, "name").await;
        assert!(refused.is_err(), "{refused:?}");
        // Nor do these: each finds what the one before it has done.
        let from = client.mark();
        let unarchive = client.begin("thread/unarchive", name.clone()).await.expect("connected");
        let label = client.begin("thread/name/set", named(&thread, "in time")).await.expect("connected");
        let resumed = client.begin("thread/resume", name.clone()).await.expect("connected");
        for (id, what) in [(unarchive, "unarchive"), (label, "name"), (resumed, "resume")] {
            let answer = client.answer(from, id, what).await;
            assert!(answer.is_ok(), "{what}: {answer:?}");
        }
        let read = client.call("thread/read", name.clone()).await;
        assert_eq!(read["thread"]["name"], "in time");
        client.call("thread/delete", name).await;
    }
    client.close().await;
    stage.finish();
}
