//! `containment = "pidns"`: a helper in a PID namespace of its own works, is shown, and goes like any other.

use std::path::Path;

use serde_json::{Value, json};
use verger_testkit::{Home, Launch, LeakGuard, ServerEntry, namespaces_can_be_had};

use crate::stage::{SHAPES, STUBBORN, Stage, thread, tool, touch, turn, verger};

fn contained(home: &Home, mode: &[&str]) -> ServerEntry {
    home.bad_helper(mode).key("containment", "\"pidns\"")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_shape_works_in_a_namespace_and_is_gone_with_its_thread() {
    if !namespaces_can_be_had() {
        return println!("namespaces are forbidden here: the other test asks what is said then");
    }
    for shape in SHAPES {
        let stage = Stage::new(|home| home.config().server("helper", &contained(home, &[shape])));
        let client = stage.client("client").await;
        let thread = stage.saved(&client).await;
        // The leader, or in a wrapper's case what it waits for. Its number is one of its own namespace.
        let within = touch(&client, &thread).await;
        let live = stage.home.tag().live();
        assert!(
            within < 10 && live.iter().all(|process| process.pid != within),
            "{shape}: {within}, {live:?}"
        );
        let ps = client.call("verger/ps", json!({})).await;
        let helper = &ps["helpers"][0];
        assert_eq!(helper["level"], "pidns", "{shape}: {ps}");
        assert!(live.iter().any(|process| helper["pid"] == process.pid), "{shape}: {ps} {live:?}");
        assert_eq!(helper["processes"], live.len(), "{shape}: its init is not its own: {ps}");
        let shown = Launch::new(verger(), &stage.home, &["ps"]).output_with("").unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.lines().any(|line| line.contains("helper#") && line.contains(" pidns ")), "{shown}");
        let helpers = stage.helpers();
        client.call("thread/archive", json!({ "threadId": thread })).await;
        assert_eq!(helpers.alive(), [0; 0], "{shape}: archived while they were alive");
        client.close().await;
        stage.finish();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_namespace_that_cannot_be_had_fails_the_start_with_its_remedy() {
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().unwrap();
    let config = home.config().server("helper", &contained(&home, &["polite"]));
    home.write_config(&config.server("other", &home.bad_helper(&["polite"])).text()).unwrap();
    // In a user namespace of its own the limit concerns nobody else.
    let none = "echo 0 > /proc/sys/user/max_pid_namespaces && exec \"$0\" \"$@\"";
    let limited = ["--user", "--map-root-user", "sh", "-c", none, verger().to_str().unwrap()];
    let serve = ["app-server", "--listen", "ws://127.0.0.1:0"];
    let launch = match namespaces_can_be_had() {
        true => Launch::new(Path::new("unshare"), &home, &[&limited[..], &serve].concat()),
        false => Launch::new(verger(), &home, &serve),
    };
    let daemon = launch.start().unwrap_or_else(|refused| panic!("{}: {}", refused.status, refused.stderr));
    let client = verger_testkit::Client::open(&daemon.url(), "client").await;
    let thread = thread(&client, &home).await;
    let from = client.mark();
    let (code, message) = client.refused("mcpServer/tool/call", tool(&thread, "pid", json!({}))).await;
    let failed = |params: &Value| params["name"] == "helper" && params["status"] == "failed";
    let note = client.note(from, "mcpServer/startupStatus/updated", failed).await;
    assert_eq!(code, -32603, "{message}");
    for message in [&message[..], note["error"].as_str().unwrap_or_default()] {
        assert!(message.contains("MCP server 'helper': containment 'pidns' is not available: "), "{message}");
        assert!(message.contains("or choose another containment"), "{message}");
    }
    assert_eq!(home.tag().live(), [], "something was started without its namespace");
    // Nothing else suffers from it.
    assert_eq!(turn(&client, &thread, "hi").await["status"], "completed");
    let other = json!({ "threadId": thread, "server": "other", "tool": "pid", "arguments": {} });
    client.call("mcpServer/tool/call", other).await;
    client.close().await;
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}
