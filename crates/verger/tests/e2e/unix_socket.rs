//! The Unix socket: open to its owner alone, in JSON lines or as HTTP.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::json;
use verger_testkit::{Client, Daemon, Home, Launch, LeakGuard};

use crate::stage::{thread, turn, verger};

fn served(args: &[&str]) -> (LeakGuard, Home, Daemon) {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config(&home.config().text()).unwrap();
    let daemon = Launch::new(verger(), &home, args).start().unwrap();
    (guard, home, daemon)
}

fn end(guard: LeakGuard, home: Home, daemon: Daemon) {
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}

/// What is answered to `request` before the connection is closed or enough has come.
fn http(socket: &std::path::Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 512];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_homes_socket_is_served_in_lines_and_as_http() {
    let (guard, home, daemon) = served(&["app-server", "--listen", "unix://"]);
    let socket = home.path().join("verger.sock");
    assert_eq!(daemon.url(), format!("unix://{}", socket.display()));
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    let client = Client::open(&daemon.url(), "lines").await;
    let fresh = thread(&client, &home).await;
    assert_eq!(turn(&client, &fresh, "hi").await["status"], "completed");
    // A line that is too long is refused, and the next one is heard.
    let from = client.mark();
    let long = "x".repeat((16 << 20) + 1);
    client.send_raw(long.into()).await.unwrap();
    let refused = client.find(from, "an error", |message| message.get("error").is_some()).await.unwrap();
    assert_eq!(refused["error"]["code"], -32700, "{refused}");
    assert!(
        refused["error"]["message"].as_str().unwrap().contains("longer than 16777216 bytes"),
        "{refused}"
    );
    client.call("thread/loaded/list", json!({})).await;
    client.close().await;

    let plain = |path: &str| http(&socket, &format!("GET {path} HTTP/1.1\r\nHost: anything\r\n\r\n"));
    assert!(plain("/readyz").starts_with("HTTP/1.1 200"), "{}", plain("/readyz"));
    assert!(plain("/").starts_with("HTTP/1.1 400"), "{}", plain("/"));
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13";
    let upgrade =
        format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n");
    assert!(http(&socket, &upgrade).starts_with("HTTP/1.1 101"), "a WebSocket");
    end(guard, home, daemon);
}

#[test]
fn a_socket_of_its_own_goes_with_its_server_and_replaces_a_dead_ones() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config(&home.config().text()).unwrap();
    let socket = home.path().join("own.sock");
    let url = format!("unix://{}", socket.display());
    let start = || Launch::new(verger(), &home, &["app-server", "--listen", &url]).start();
    start().unwrap().kill();
    assert!(socket.exists(), "a killed server leaves its file");
    let daemon = start().unwrap();
    let refused = start().expect_err("two on one socket");
    assert!(refused.stderr.contains("another server listens there"), "{}", refused.stderr);
    assert!(daemon.stop().success());
    assert!(!socket.exists());
    std::fs::write(&socket, "mine").unwrap();
    let refused = start().expect_err("it is no socket");
    assert!(refused.stderr.contains(socket.to_str().unwrap()), "it is named: {}", refused.stderr);
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "mine");
    drop(home);
    guard.finish();
}

#[test]
fn a_home_has_one_daemon() {
    let (guard, home, daemon) = served(&["serve", "--listen", "127.0.0.1:0"]);
    let second = Launch::new(verger(), &home, &["serve", "--listen", "127.0.0.1:0"]).start();
    let refused = second.expect_err("the home is served");
    let by = format!("served already (pid {} on {})", daemon.pid(), daemon.url());
    assert!(refused.stderr.contains(&by), "{}", refused.stderr);
    let socket = home.path().join("verger.sock");
    assert!(
        http(&socket, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 200"),
        "the first goes on"
    );
    daemon.kill();
    let third = Launch::new(verger(), &home, &["serve", "--listen", "127.0.0.1:0"]).start();
    end(guard, home, third.expect("a dead one is none"));
}
