//! The door: who may come in over TCP, and what is said to whom may not.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use verger_testkit::http::{UPGRADE, get};
use verger_testkit::{Client, Home, Launch, LeakGuard};

use crate::stage::{Stage, verger};

fn with<'a>(headers: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [headers, more].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn foreign_pages_and_names_are_refused() {
    let stage = Stage::bare();
    let address = stage.daemon.address().to_owned();
    let host = format!("Host: {address}");
    let ask = |path: &str, headers: &[&str]| get(&address, path, headers).unwrap();

    assert_eq!(ask("/", &with(&UPGRADE, &[&host])).status, 101);
    let foreign = ask("/", &with(&UPGRADE, &[&host, "Origin: http://evil.example"]));
    assert_eq!(foreign.status, 403, "{foreign:?}");
    assert!(foreign.text.contains("allowed_origins"), "the answer names the setting: {foreign:?}");
    let rebound = ask("/", &with(&UPGRADE, &["Host: evil.example"]));
    assert_eq!(rebound.status, 403, "{rebound:?}");
    assert!(rebound.text.contains("allowed_hosts"), "the answer names the setting: {rebound:?}");

    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(path, &[&host]).status, 200, "{path}");
        assert_eq!(ask(path, &["Host: probe.internal"]).status, 200, "{path}: any host");
        let foreign = ask(path, &[&host, "Origin: http://evil.example"]);
        assert_eq!(foreign.status, 403, "{path}: {foreign:?}");
    }
    let plain = ask("/", &[&host]).status;
    assert_eq!(plain, 400, "a path without an upgrade");
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn serve_asks_for_the_token_that_it_made() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config(&home.config().text()).unwrap();
    let daemon = Launch::new(verger(), &home, &["serve", "--listen", "127.0.0.1:0"]).start().unwrap();
    let token = std::fs::read_to_string(home.path().join("token")).unwrap().trim().to_owned();
    let host = format!("Host: {}", daemon.address());
    let upgrade = |authorization: &str| {
        let headers = with(&UPGRADE, &[&host, authorization]);
        get(daemon.address(), "/", &headers[..headers.len() - usize::from(authorization.is_empty())]).unwrap()
    };
    let refusals = [
        ("", "missing websocket bearer token"),
        ("Authorization: Bearer wrong", "invalid websocket bearer token"),
        ("Authorization: Basic dTpw", "invalid authorization header"),
    ];
    for (authorization, said) in refusals {
        let answer = upgrade(authorization);
        assert_eq!(answer.status, 401, "{authorization}: {answer:?}");
        assert!(answer.text.contains(said), "{authorization}: {answer:?}");
    }
    assert_eq!(upgrade(&format!("Authorization: Bearer {token}")).status, 101);
    assert_eq!(get(daemon.address(), "/readyz", &[&host]).unwrap().status, 200, "no token");
    let bearer = format!("Bearer {token}");
    let client = Client::connect(&daemon.url(), "client", &[("Authorization", &bearer)]).await.unwrap();
    let info = serde_json::json!({ "clientInfo": { "name": "client", "version": "0" } });
    client.call("initialize", info).await;
    client.close().await;
    assert!(!daemon.stderr().contains(&token), "the token is never shown");
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}

#[test]
fn the_home_is_its_owners_alone() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    let fresh = home.path().join("deep/fresh");
    let launch = Launch::new(verger(), &home, &["serve", "--listen", "127.0.0.1:0"]);
    let daemon = launch.env("VERGER_HOME", fresh.to_str().unwrap()).start().unwrap();
    assert_eq!(mode(&fresh), 0o700, "the home");
    assert_eq!(mode(&fresh.join("token")), 0o600, "the token");
    for entry in std::fs::read_dir(&fresh).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{} is open to others: {:o}", path.display(), mode(&path));
    }
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}

#[test]
fn an_address_that_others_reach_is_refused() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    let launch = Launch::new(verger(), &home, &["app-server", "--listen", "ws://0.0.0.0:0"]);
    let refused = launch.start().expect_err("not without authentication");
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    drop(home);
    guard.finish();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}
