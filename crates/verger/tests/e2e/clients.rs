//! Clients that ask for what is not there, say a lot at once, or take nothing: what it costs them, and nobody else.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;
use verger_testkit::Client;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_takes_nothing_is_cut_with_4408_and_can_come_back() {
    let stage = Stage::bare();
    let quiet = json!({ "optOutNotificationMethods": ["item/agentMessage/delta"] });
    let client = Client::open_with(&stage.daemon.url(), "client", quiet).await;
    let thread = stage.saved(&client).await;
    // A kernel that keeps little for the client, so that what it does not take stays with the server.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("a small buffer");
    let address = stage.daemon.address().parse().expect("an address");
    let stream = socket.connect(address).await.expect("the server listens");
    let (mut slow, _) =
        tokio_tungstenite::client_async(stage.daemon.url(), stream).await.expect("an upgrade");
    let hello = json!({ "clientInfo": { "name": "slow", "version": "0" } });
    for request in [
        json!({ "id": 0, "method": "initialize", "params": hello }),
        json!({ "id": 1, "method": "thread/resume", "params": { "threadId": thread, "excludeTurns": true } }),
    ] {
        slow.send(Message::text(request.to_string())).await.expect("the server listens");
    }
    let answers = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|message| message["id"] == 1);
    while let Some(Ok(Message::Text(text))) = slow.next().await {
        if answers(&text) {
            break;
        }
    }
    // From here on it takes nothing: more than may wait, for longer than the server is patient.
    let done = turn(&client, &thread, "STREAM n=110 size=131072 delay_ms=45").await;
    assert_eq!(done["status"], "completed", "nobody else waits for it");
    let closed = loop {
        match slow.next().await {
            Some(Ok(Message::Close(Some(frame)))) => break (u16::from(frame.code), frame.reason.to_string()),
            Some(Ok(_)) => {}
            end => panic!("cut without a close frame: {end:?}"),
        }
    };
    assert_eq!(closed, (4408, "slow_consumer".to_owned()));
    let again = stage.client("slow").await;
    let resumed = resume(&again, &thread).await;
    let turns = resumed["thread"]["turns"].as_array().expect("turns");
    // What it missed is more than a reply carries beside older turns.
    assert_eq!((turns.len(), &turns[0]["id"]), (1, &done["id"]));
    assert!(resumed["olderTurnsCursor"].is_string(), "where the others are");
    drop((client, again));
    stage.finish();
}
