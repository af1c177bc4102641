//! A broken configuration: said at the start with file, line and key; refused by a reload, which then changes nothing.

use serde_json::json;
use verger_testkit::{Home, Launch, LeakGuard};

use crate::stage::{Stage, touch, verger};

/// What is written, and what the message must hold: file and line, key, and the value where there is one. Line 2 holds
/// the mistake.
const BROKEN: [(&str, &[&str]); 4] = [
    ("[mcp_servers.x]\ncommand = 5\n", &["config.toml:2", "mcp_servers.x.command"]),
    ("[mcp_servers.x]\ncommand = \"x\n", &["config.toml:2"]),
    ("[threads]\norphan_grace = \"soon\"\n", &["config.toml:2", "orphan_grace", "soon"]),
    ("\n[mcp_servers.y]\n", &["config.toml:2", "mcp_servers.y", "command"]),
];

#[test]
fn a_broken_configuration_ends_the_start_and_says_where() {
    let guard = LeakGuard::new();
    let mut unsaid = Vec::new();
    for (text, named) in BROKEN {
        let home = Home::new().unwrap();
        home.write_config(text).unwrap();
        let launch = Launch::new(verger(), &home, &["app-server", "--listen", "ws://127.0.0.1:0"]);
        let refused = launch.start().expect_err("a broken configuration is not served");
        assert_eq!(refused.status.code(), Some(1), "{text}: {}", refused.stderr);
        unsaid.extend(missing(text, named, &refused.stderr));
    }
    assert!(unsaid.is_empty(), "{}", unsaid.concat());
    guard.finish();
}

/// What a message about `text` should name and does not.
fn missing(text: &str, named: &[&str], message: &str) -> Option<String> {
    let missing: Vec<_> = named.iter().filter(|part| !message.contains(**part)).collect();
    (!missing.is_empty()).then(|| format!("\n{text:?}: no {missing:?} in {message:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_of_a_broken_configuration_changes_nothing() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let pid = touch(&client, &thread).await;
    let mut unsaid = Vec::new();
    for (text, named) in BROKEN {
        stage.home.write_config(text).unwrap();
        let (_, message) = client.refused("config/mcpServer/reload", json!({})).await;
        unsaid.extend(missing(text, named, &message));
        assert_eq!(touch(&client, &thread).await, pid, "the helper serves on");
    }
    let another = stage.thread(&client).await;
    assert_ne!(touch(&client, &another).await, pid, "new threads have the old configuration");
    assert!(unsaid.is_empty(), "{}", unsaid.concat());
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_configuration_at_all_serves() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    let daemon = verger_testkit::Daemon::app_server(verger(), &home);
    let client = verger_testkit::Client::open(&daemon.url(), "client").await;
    let thread = crate::stage::thread(&client, &home).await;
    assert_eq!(
        crate::stage::turn(&client, &thread, "hi").await["status"],
        "completed",
        "the offline model answers"
    );
    client.close().await;
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}
