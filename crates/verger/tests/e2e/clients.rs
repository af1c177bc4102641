//! Clients that ask for what is not there, say a lot at once, or take nothing: what it costs them, and nobody else.

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::stage::{Stage, ended, loaded, resume, say, turn};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_resume_that_is_refused_changes_nothing() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    resume(&client, &thread).await;
    let wrong = json!({ "threadId": thread, "cwd": "relative" });
    let (code, message) = client.refused("thread/resume", wrong.clone()).await;
    assert_eq!(code, -32602);
    assert!(message.contains("cwd") && message.contains("absolute"), "{message}");
    // Still subscribed: `turn` waits for the completion.
    assert_eq!(turn(&client, &thread, "hi").await["status"], "completed");
    client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
    assert_eq!(client.refused("thread/resume", wrong).await.0, -32602);
    assert_eq!(loaded(&client).await, [""; 0], "and not loaded by it either");
    drop(client);
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_large_message_cuts_nobody() {
    let stage = Stage::bare();
    let (client, observer) = (stage.client("client").await, stage.client("observer").await);
    let thread = stage.saved(&client).await;
    resume(&observer, &thread).await;
    let from = observer.mark();
    let started = client.call("turn/start", say(&thread, &"x".repeat(6_000_000))).await;
    let id = started["turn"]["id"].as_str().expect("an id");
    assert_eq!(ended(&observer, from, id).await["status"], "completed");
    drop((client, observer));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_takes_no_answers_is_not_heard_until_it_does() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    turn(&client, &thread, &"x".repeat(2_000_000)).await;
    let before = stage.daemon.rss().expect("the server runs");
    let (mut deaf, _) = tokio_tungstenite::connect_async(stage.daemon.url()).await.expect("a second client");
    let hello = json!({ "clientInfo": { "name": "deaf", "version": "0" } });
    let hello = json!({ "id": 0, "method": "initialize", "params": hello });
    deaf.send(Message::text(hello.to_string())).await.expect("the server listens");
    let read = json!({ "threadId": thread, "includeTurns": true });
    // Unread, these answers are gigabytes. Far fewer are taken before the server stops listening; what is sent then stays
    // in the kernel, small as it is, so the number is bounded here.
    for id in 1..2_000 {
        let request = json!({ "id": id, "method": "thread/read", "params": read });
        let sent = deaf.send(Message::text(request.to_string()));
        if !matches!(tokio::time::timeout(Duration::from_millis(500), sent).await, Ok(Ok(()))) {
            break;
        }
    }
    // Somebody else is answered as ever, also after whatever the deaf one's requests have caused.
    for _ in 0..20 {
        client.call("thread/read", read.clone()).await;
    }
    let after = stage.daemon.rss().expect("the server runs");
    let grown = after.saturating_sub(before) / 1_000_000;
    assert!(grown < 100, "{grown} MB for one client that reads nothing");
    drop((client, deaf));
    stage.finish();
}
