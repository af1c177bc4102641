//! One client on stdin and stdout: served until it leaves, and nothing is left of it then.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use verger_testkit::{Client, Daemon, Home, Launch, LeakGuard};

use crate::stage::{STUBBORN, thread, touch, turn, verger};

/// A home whose threads have one lazy helper, and a server on stdio in it.
fn piped(mode: &[&str]) -> (LeakGuard, Home, Daemon, Client) {
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().unwrap();
    let config = home.config().server("helper", &home.bad_helper(mode));
    home.write_config(&config.text()).unwrap();
    let (daemon, link) = Launch::new(verger(), &home, &["app-server"]).start_piped();
    (guard, home, daemon, Client::over(link, "piped"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_is_served_and_its_leaving_ends_everything() {
    for shape in ["polite", "stubborn", "setsid"] {
        let (guard, home, mut daemon, client) = piped(&[shape]);
        client.initialize(json!({ "experimentalApi": true })).await;
        let saved = thread(&client, &home).await;
        assert_eq!(turn(&client, &saved, "hi").await["status"], "completed");
        touch(&client, &saved).await;
        assert!(!home.tag().live().is_empty(), "{shape}: a helper lives");
        client.close().await;
        assert!(daemon.wait(STUBBORN).success(), "{shape}: it ends by itself: {}", daemon.stderr());
        assert_eq!(home.tag().live(), [], "{shape}");
        // Of strays a person should hear.
        assert_eq!(daemon.stderr().is_empty(), shape != "setsid", "{shape}: {}", daemon.stderr());
        drop(home);
        guard.finish();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_closes_and_terminates_at_once_leaves_nothing() {
    // As the Python SDK leaves: stdin closed, TERM at once.
    let (guard, home, mut daemon, client) = piped(&["polite"]);
    client.initialize(json!({})).await;
    let fresh = thread(&client, &home).await;
    touch(&client, &fresh).await;
    let helpers = verger_testkit::Gone::watch(home.tag().live().iter().map(|process| process.pid));
    drop(client);
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait(STUBBORN).success(), "{}", daemon.stderr());
    assert!(helpers.alive().is_empty(), "gone before the server");
    drop(home);
    guard.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_server_leaves_nothing() {
    let (guard, home, daemon, client) = piped(&["setsid"]);
    client.initialize(json!({})).await;
    let fresh = thread(&client, &home).await;
    touch(&client, &fresh).await;
    daemon.kill();
    client.closed().await;
    home.tag().wait_gone(STUBBORN).expect("helpers outlived the server");
    drop(home);
    guard.finish();
}

#[test]
fn what_was_asked_before_the_end_of_input_is_answered() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config(&home.config().text()).unwrap();
    let info = json!({ "clientInfo": { "name": "script", "version": "0" } });
    let script = [
        json!({ "id": 1, "method": "initialize", "params": info }).to_string(),
        "no JSON".to_owned(),
        json!({ "id": 2, "method": "thread/list", "params": {} }).to_string(),
        json!({ "id": "three", "method": "thread/start", "params": {} }).to_string(),
    ];
    let output =
        Launch::new(verger(), &home, &["app-server", "--stdio"]).output_with(script.join("\n")).unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = said.iter().filter(|m| m.get("method").is_none()).map(|m| m["id"].clone()).collect();
    assert_eq!(ids, [json!(1), Value::Null, json!(2), json!("three")]);
    assert_eq!(
        said.iter().find(|m| m["id"].is_null() && m.get("error").is_some()).unwrap()["error"]["code"],
        -32700
    );
    drop(home);
    guard.finish();
}
