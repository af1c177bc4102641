//! How many clients there may be, and how long each may take to become one: rules of docs/security.md.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use verger_testkit::http::{Answer, UPGRADE, get};
use verger_testkit::{Client, Daemon, Launch};

use crate::stage::{Stage, thread, touch, verger};

/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(15);

fn upgrade(daemon: &Daemon) -> Answer {
    let host = format!("Host: {}", daemon.address());
    get(daemon.address(), "/", &[&UPGRADE[..], &[&host]].concat()).expect("it answers")
}

/// A client of the server's own socket that has said nothing yet.
fn lines(stage: &Stage) -> UnixStream {
    let socket = stage.run_socket();
    let stream =
        UnixStream::connect(socket.strip_prefix("unix://").expect("a Unix socket")).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("it is not zero");
    stream
}

/// The next line.
fn line(stream: &mut UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("it answers");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_more_clients_than_there_may_be() {
    let stage = Stage::new(|home| home.config().table("[server]\nmax_connections = 2"));
    let (first, second) = (stage.client("first").await, stage.client("second").await);
    let full = upgrade(&stage.daemon);
    assert_eq!(full.status, 503, "{full:?}");
    assert!(full.text.contains("max_connections"), "{full:?}");
    // In lines, too.
    let third = Client::open(&stage.run_socket(), "third").await;
    let (code, message) = third.refused("thread/start", json!({ "cwd": stage.home.work() })).await;
    assert_eq!((code, message.contains("max_connections")), (-32001, true), "{message}");
    third.closed().await;
    // The others notice nothing, and who leaves makes room.
    thread(&first, &stage.home).await;
    second.close().await;
    while upgrade(&stage.daemon).status == 503 {
        // Answers come until the server has seen the goodbye.
        thread(&first, &stage.home).await;
    }
    first.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_owner_of_a_full_server_may_look_and_help() {
    let stage = Stage::new(|home| {
        home.config().table("[server]\nmax_connections = 1").server("helper", &home.bad_helper(&["polite"]))
    });
    let client = stage.client("client").await;
    let fresh = stage.thread(&client).await;
    touch(&client, &fresh).await;
    let owner = |args: &[&str]| {
        let ran = Launch::new(verger(), &stage.home, args).output().unwrap();
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        (ran.status.success(), said)
    };
    let (is_well, said) = owner(&["ps"]);
    assert!(is_well && said.contains(&fresh) && said.contains("2 connection(s)"), "{said}");
    let (is_well, said) = owner(&["helper", "restart", "helper"]);
    assert!(is_well && said.contains("1 helper(s) of 'helper' ended"), "{said}");
    // A program that wants to be relayed is told, and has a server of its own.
    let relayed = Client::open(&stage.run_socket(), "relayed").await;
    assert!(
        relayed
            .refused("verger/relay", json!({ "cwd": "/", "path": null }))
            .await
            .1
            .contains("max_connections")
    );
    relayed.closed().await;
    // Reserved places, too, are so many and no more.
    let mut owners = Vec::new();
    let full = loop {
        let mut owner = lines(&stage);
        owner.write_all(b"{\"id\":1,\"method\":\"verger/ps\"}\n").unwrap();
        let said = line(&mut owner);
        if said["id"] != 1 {
            break said;
        }
        owners.push(owner);
        assert!(owners.len() <= 8, "{said}");
    };
    assert!(
        full["id"].is_null() && full["error"]["message"].to_string().contains("max_connections"),
        "{full}"
    );
    assert!(owner(&["ps"]).1.contains("does not answer"));
    drop(owners);
    while owner(&["ps"]).1.contains("does not answer") {
        // Until the server has seen that they are gone.
        thread(&client, &stage.home).await;
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reserved_place_is_lent_and_not_given() {
    let limits = "[server]\nmax_connections = 1\ninitialize_timeout = \"2s\"";
    let stage = Stage::new(|home| home.config().table(limits));
    let client = stage.client("client").await;
    let owner = Client::open(&stage.run_socket(), "owner").await;
    owner.call("verger/ps", json!({})).await;
    owner.closed().await;
    thread(&client, &stage.home).await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_more_threads_than_one_client_may_follow() {
    let stage = Stage::new(|home| home.config().table("[server]\nmax_threads_per_connection = 2"));
    let client = stage.client("client").await;
    let threads = [stage.saved(&client).await, stage.saved(&client).await];
    let (code, message) = client.refused("thread/start", json!({ "cwd": stage.home.work() })).await;
    assert_eq!(code, -32600, "{message}");
    assert!(message.contains("max_threads_per_connection"), "{message}");
    let fork = json!({ "threadId": threads[0] });
    assert!(client.refused("thread/fork", fork).await.1.contains("max_threads_per_connection"));
    // One that it follows already is none more, and another client has room of its own.
    client.call("thread/resume", json!({ "threadId": threads[0] })).await;
    let other = stage.client("other").await;
    let third = stage.saved(&other).await;
    assert!(client.refused("thread/resume", json!({ "threadId": third })).await.1.contains("max_threads"));
    client.call("thread/unsubscribe", json!({ "threadId": threads[1] })).await;
    client.call("thread/resume", json!({ "threadId": third })).await;
    drop((client, other));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_does_not_say_what_it_wants_is_let_go() {
    let stage = Stage::new(|home| home.config().table("[server]\nhandshake_timeout = \"300ms\""));
    let client = stage.client("client").await;
    let ends = |mut stream: Box<dyn Read>| {
        let mut rest = Vec::new();
        // However it ends: the server hangs up, and has answered nothing but that it does.
        stream.read_to_end(&mut rest).ok();
        assert!(!rest.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&rest));
    };
    let tcp = || {
        let stream = TcpStream::connect(stage.daemon.address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    };
    // Silent, slow in its headers, and with no end to them.
    ends(Box::new(tcp()));
    for begun in ["GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let mut slow = tcp();
        slow.write_all(begun.as_bytes()).unwrap();
        ends(Box::new(slow));
    }
    ends(Box::new(lines(&stage)));
    thread(&client, &stage.home).await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_never_says_who_it_is_is_let_go_and_nobody_else() {
    let stage = Stage::new(|home| home.config().table("[server]\ninitialize_timeout = \"2s\""));
    let (known, socket) = (stage.client("known").await, stage.run_socket());
    let known_in_lines = Client::open(&socket, "known in lines").await;
    // All that these say is refused, and is no introduction.
    let (mut stranger, _) = connect_async(stage.daemon.url()).await.unwrap();
    stranger.send(Message::text("{\"id\":1,\"method\":\"thread/loaded/list\"}")).await.unwrap();
    let refused = stranger.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(refused.contains("Not initialized"), "{refused}");
    let said = timeout(LIMIT, stranger.next()).await.expect("it is still served");
    let Some(Ok(Message::Close(Some(goodbye)))) = said else { panic!("no close frame: {said:?}") };
    assert_eq!((u16::from(goodbye.code), goodbye.reason.as_str()), (1001, "initialize_timeout"));
    let mut in_lines = lines(&stage);
    in_lines.write_all(b"{\"id\":1,\"method\":\"thread/loaded/list\"}\n").unwrap();
    let mut said = String::new();
    in_lines.read_to_string(&mut said).expect("it is closed");
    assert_eq!(said.lines().count(), 1, "{said}");
    // These were here before, so that their time was over before the strangers'.
    thread(&known, &stage.home).await;
    thread(&known_in_lines, &stage.home).await;
    drop((known, known_in_lines, stranger));
    stage.finish();
}
