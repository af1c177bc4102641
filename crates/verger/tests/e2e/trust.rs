//! Who gets in over TCP, and what others may read: rules of docs/security.md.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use verger_testkit::http::{Answer, UPGRADE, get};
use verger_testkit::{Client, Daemon, Home, Launch, LeakGuard};

use crate::stage::{thread, touch, verger};

const SECRET: &str = "a secret of more than thirty-two bytes";

/// A file that is its owner's alone.
fn secret_file(home: &Home, text: &str) -> PathBuf {
    let file = home.path().join("secret");
    std::fs::write(&file, text).expect("the home is writable");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("it is this test's own");
    file
}

fn upgrade(daemon: &Daemon, authorization: &str) -> Answer {
    let host = format!("Host: {}", daemon.address());
    let headers = [&UPGRADE[..], &[&host, authorization]].concat();
    get(daemon.address(), "/", &headers).expect("it answers")
}

fn jwt(claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes()));
    format!("Authorization: Bearer {signed}.{signature}")
}

fn unix_sec() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
}

#[test]
fn a_token_of_ones_own_is_asked_for_by_serve_and_app_server() {
    let guard = LeakGuard::new();
    for command in ["serve", "app-server"] {
        let home = Home::new().unwrap();
        home.write_config(&home.config().text()).unwrap();
        let file = secret_file(&home, "a token of my own, and a long one\n");
        let listen = if command == "serve" { "127.0.0.1:0" } else { "ws://127.0.0.1:0" };
        // As the peer's launchers write it, too.
        let flag = if command == "serve" { "--auth-token-file" } else { "--ws-token-file" };
        let args = [command, "--listen", listen, flag, file.to_str().unwrap()];
        let daemon = Launch::new(verger(), &home, &args).start().unwrap();
        assert_eq!(upgrade(&daemon, "Authorization: Bearer a token of my own, and a long one").status, 101);
        let refused = upgrade(&daemon, "Authorization: Bearer a token of my own");
        assert_eq!(refused.status, 401, "{refused:?}");
        let log = daemon.stderr();
        assert!(daemon.stop().success());
        assert!(!log.contains("of my own"), "the token is never shown: {log}");
    }
    guard.finish();
}

/// In hexadecimal digits.
fn sha256(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_token_may_be_given_by_its_hash() {
    let guard = LeakGuard::new();
    let token = "a token that the server never sees before a client shows it";
    let hash = sha256(token);
    for (command, listen, words) in [
        ("serve", "127.0.0.1:0", vec!["--auth-token-sha256"]),
        // As the peer's launchers write it, too.
        ("app-server", "ws://127.0.0.1:0", vec!["--ws-auth", "capability-token", "--ws-token-sha256"]),
    ] {
        let home = Home::new().unwrap();
        home.write_config(&home.config().text()).unwrap();
        let args = [&[command, "--listen", listen], &words[..], &[&hash]].concat();
        let daemon = Launch::new(verger(), &home, &args).start().unwrap();
        assert_eq!(upgrade(&daemon, &format!("Authorization: Bearer {token}")).status, 101);
        for (authorization, said) in [
            (format!("Authorization: Bearer {token}s"), "invalid websocket bearer token"),
            (format!("Authorization: Bearer {hash}"), "invalid websocket bearer token"),
            ("X-Nothing: 1".to_owned(), "missing websocket bearer token"),
        ] {
            let refused = upgrade(&daemon, &authorization);
            assert_eq!(refused.status, 401, "{authorization}: {refused:?}");
            assert!(refused.text.contains(said), "{said}: {refused:?}");
        }
        assert!(!home.path().join("token").exists(), "none is made that nobody asks for");
        assert!(daemon.stop().success());
    }
    guard.finish();
}

#[test]
fn what_the_configuration_chose_holds_for_app_server_too() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    let token = "a token that the configuration names";
    let file = secret_file(&home, token);
    let start = |more: &[&str]| {
        let args = [&["app-server", "--listen", "ws://127.0.0.1:0"], more].concat();
        Launch::new(verger(), &home, &args).start().unwrap()
    };
    let statuses = |daemon: Daemon| {
        let statuses = ["X-Nothing: 1", &format!("Authorization: Bearer {token}")]
            .map(|authorization| upgrade(&daemon, authorization).status);
        let said = daemon.stderr_with("token:");
        assert!(daemon.stop().success());
        (statuses, said)
    };
    let configure = |keys: &str| {
        let server = format!("[server]\n{keys}");
        home.write_config(&home.config().table(&server).text()).unwrap();
    };
    // Without a choice it listens as existing clients expect, and says so.
    configure("");
    let (open, said) = statuses(start(&[]));
    assert_eq!(open, [101, 101]);
    assert!(said.contains("token:       none: whoever reaches the port may do everything"), "{said}");
    // With one, no client gets in without, unless the one who starts it says so.
    configure(&format!("auth_token_file = {file:?}"));
    assert_eq!(statuses(start(&[])).0, [401, 101]);
    assert_eq!(statuses(start(&["--config", "server.auth=none"])).0, [101, 101]);
    assert_eq!(statuses(start(&["--auth-token-sha256", &sha256("another")])).0, [401, 401]);
    let secret = secret_file(&home, SECRET);
    configure(&format!("auth = \"jwt\"\nauth_jwt_secret_file = {secret:?}"));
    let daemon = start(&[]);
    assert_eq!(upgrade(&daemon, &jwt(&json!({ "exp": unix_sec() + 600 }))).status, 101);
    assert_eq!(statuses(daemon).0, [401, 401]);
    drop(home);
    guard.finish();
}

#[test]
fn a_signed_token_is_taken_while_it_is_valid() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config(&home.config().text()).unwrap();
    let file = secret_file(&home, SECRET);
    let args = ["serve", "--listen", "127.0.0.1:0", "--auth-jwt-secret-file", file.to_str().unwrap()];
    let daemon = Launch::new(verger(), &home, &args).start().unwrap();
    let now = unix_sec();
    assert_eq!(upgrade(&daemon, &jwt(&json!({ "exp": now + 600 }))).status, 101);
    let good = jwt(&json!({ "exp": now + 600 }));
    for (authorization, said) in [
        (jwt(&json!({ "exp": now - 600 })), "expired websocket jwt"),
        (jwt(&json!({ "exp": now + 900, "nbf": now + 600 })), "websocket jwt is not valid yet"),
        (jwt(&json!({ "sub": "me" })), "invalid websocket jwt"),
        (good[..good.len() - 2].to_owned(), "invalid websocket jwt"),
        (format!("Authorization: Bearer {SECRET}"), "invalid websocket jwt"),
        ("X-Nothing: 1".to_owned(), "missing websocket bearer token"),
    ] {
        let refused = upgrade(&daemon, &authorization);
        assert_eq!(refused.status, 401, "{refused:?}");
        assert!(refused.text.contains(said), "{said}: {refused:?}");
    }
    let log = daemon.stderr();
    assert!(daemon.stop().success());
    assert!(!log.contains(SECRET), "{log}");
    drop(home);
    guard.finish();
}

#[test]
fn what_would_not_protect_is_refused_at_the_start() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config(&home.config().text()).unwrap();
    let file = secret_file(&home, "short");
    let file = file.to_str().unwrap();
    let refused = |args: &[&str]| {
        let refused = Launch::new(verger(), &home, args).start().expect_err("it must not serve");
        assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
        refused.stderr
    };
    let open = ["serve", "--listen", "0.0.0.0:0"];
    let said = refused(&open);
    assert!(said.contains("--auth-token-file") && said.contains("--auth-jwt-secret-file"), "{said}");
    let said = refused(&["serve", "--listen", "127.0.0.1:0", "--auth-jwt-secret-file", file]);
    assert!(said.contains(file) && said.contains("32"), "{said}");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    for flag in ["--auth-token-file", "--auth-jwt-secret-file"] {
        let said = refused(&["serve", "--listen", "127.0.0.1:0", flag, file]);
        assert!(said.contains(&format!("chmod 600 {file}")), "{said}");
    }
    let said = refused(&["serve", "--listen", "127.0.0.1:0", "--auth-token-file", "/nowhere/token"]);
    assert!(said.contains("/nowhere/token") && said.contains("name another file"), "{said}");
    let said = refused(&["app-server", "--listen", "unix://", "--auth-token-file", file]);
    assert!(said.contains("over TCP"), "a flag without effect is no protection: {said}");
    for (hash, why) in [("secret", "6 characters"), (&"x".repeat(64), "character 1;")] {
        let said = refused(&["serve", "--listen", "127.0.0.1:0", "--auth-token-sha256", hash]);
        assert!(
            said.contains("--auth-token-sha256") && said.contains(why) && said.contains("sha256sum"),
            "{said}"
        );
        assert!(!said.contains(hash), "it may be the token itself: {said}");
    }
    let said = refused(&["app-server", "--listen", "ws://127.0.0.1:0", "--ws-auth", "capability-token"]);
    assert!(said.contains("--ws-token-file"), "{said}");
    drop(home);
    guard.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn files_are_their_owners_alone_whatever_the_umask() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config(&home.config().text()).unwrap();
    let fresh = home.path().join("fresh");
    std::fs::create_dir(&fresh).unwrap();
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::copy(home.path().join("config.toml"), fresh.join("config.toml")).unwrap();
    let script = "umask 0; exec \"$0\" serve --listen 127.0.0.1:0";
    let args = ["-c", script, verger().to_str().unwrap()];
    let launch = Launch::new(Path::new("/bin/sh"), &home, &args);
    let daemon = launch.env("VERGER_HOME", fresh.to_str().unwrap()).start().unwrap();
    let token = std::fs::read_to_string(fresh.join("token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let client = Client::connect(&daemon.url(), "client", &[("Authorization", &bearer)]).await.unwrap();
    client.initialize(json!({})).await;
    // So that there is a database with a log beside it.
    let id = client.call("thread/start", json!({ "cwd": home.work() })).await["thread"]["id"].clone();
    client.call("turn/start", json!({ "threadId": id, "input": [{ "type": "text", "text": "hi" }] })).await;
    let (mut open, mut seen) = (vec![fresh.clone()], 0);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            if path.ends_with("config.toml") {
                continue;
            }
            let mode = meta.permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} is open to others: {mode:o}", path.display());
            seen += 1;
            if meta.is_dir() {
                open.push(path);
            }
        }
    }
    assert!(seen > 6, "database, token, socket, run: {seen}");
    client.close().await;
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_is_given_no_more_of_the_servers_environment_than_it_is_to_have() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    let helper = home.bad_helper(&["polite"]).key("env_vars", "[\"ITS_KEY\"]").key("env", "{ MODE = \"m\" }");
    home.write_config(&home.config().server("helper", &helper).text()).unwrap();
    let launch = Launch::new(verger(), &home, &["app-server", "--listen", "ws://127.0.0.1:0"]);
    let daemon = launch.env("SERVERS_KEY", "secret").env("ITS_KEY", "for it").start().unwrap();
    let client = Client::open(&daemon.url(), "client").await;
    let fresh = thread(&client, &home).await;
    let helper = touch(&client, &fresh).await;
    let environment = std::fs::read(format!("/proc/{helper}/environ")).unwrap();
    let environment: Vec<_> = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    for given in ["ITS_KEY=for it", "MODE=m"] {
        assert!(environment.iter().any(|variable| variable == given), "{given}: {environment:?}");
    }
    assert!(environment.iter().any(|variable| variable.starts_with("PATH=")), "{environment:?}");
    assert!(!environment.iter().any(|variable| variable.contains("SERVERS_KEY")), "{environment:?}");
    client.close().await;
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}
