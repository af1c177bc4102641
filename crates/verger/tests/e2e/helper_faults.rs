//! Helpers that do not start, or die: said by name, once, and nothing half-started remains.

use serde_json::{Value, json};
use verger_testkit::{Client, ServerEntry};

use crate::stage::{STUBBORN, Stage, call, tool, touch};

/// Calls a tool of `helper`, which must fail; the message of the error and of the startup's failure.
async fn fails_to_start(client: &Client, thread: &str) -> (String, String) {
    let from = client.mark();
    let (code, message) = client.refused("mcpServer/tool/call", tool(thread, "pid", json!({}))).await;
    assert_eq!(code, -32603, "{message}");
    let failed = |params: &Value| params["name"] == "helper" && params["status"] == "failed";
    let note = client.note(from, "mcpServer/startupStatus/updated", failed).await;
    assert_eq!(note["threadId"], thread, "{note}");
    (message, note["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_missing_command_is_named() {
    let stage =
        Stage::new(|home| home.config().server("helper", &ServerEntry::new("no-such-program-here", [])));
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let (call, start) = fails_to_start(&client, &thread).await;
    for message in [call, start] {
        assert!(message.contains("no-such-program-here"), "{message}");
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_command_that_is_not_executable_is_named() {
    let stage = Stage::new(|home| {
        let plain = home.path().join("plain-file");
        std::fs::write(&plain, "").unwrap();
        home.config().server("helper", &ServerEntry::new(plain.to_str().unwrap(), []).eager())
    });
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let failed = |params: &Value| params["threadId"] == thread.as_str() && params["status"] == "failed";
    let note = client.note(0, "mcpServer/startupStatus/updated", failed).await;
    assert!(note["error"].as_str().unwrap_or_default().contains("plain-file"), "{note}");
    assert_eq!(
        crate::stage::turn(&client, &thread, "hi").await["status"],
        "completed",
        "the thread works without"
    );
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_start_that_takes_too_long_is_ended() {
    let stage = Stage::new(|home| {
        let deaf = home.bad_helper(&["never-init"]).key("startup_timeout_sec", "0.5");
        home.config().server("helper", &deaf)
    });
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let (call, start) = fails_to_start(&client, &thread).await;
    for message in [call, start] {
        assert!(message.contains("startup_timeout_sec") || message.contains("timed out"), "{message}");
    }
    assert_eq!(stage.home.helper_events("start").len(), 1, "it did start");
    stage.home.tag().wait_gone(STUBBORN).expect("nothing half-started remains");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_that_rejects_initialize_is_quoted_and_ended() {
    let stage = Stage::lazy(&["reject-init"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let (call, start) = fails_to_start(&client, &thread).await;
    for message in [call, start] {
        assert!(message.contains("this server is not in the mood"), "{message}");
    }
    stage.home.tag().wait_gone(STUBBORN).expect("nothing half-started remains");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_that_exits_in_initialize_is_said_to() {
    let stage = Stage::lazy(&["exit-in-init"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let (call, start) = fails_to_start(&client, &thread).await;
    for message in [call, start] {
        let ended = message.contains("exited") || message.contains("ended");
        assert!(ended && message.contains("initialize"), "{message}");
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_whose_helper_dies_fails_once_and_the_next_gets_a_new_one() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let old = touch(&client, &thread).await;
    let (code, message) =
        client.refused("mcpServer/tool/call", tool(&thread, "exit", json!({ "code": 7 }))).await;
    assert_eq!(code, -32603);
    assert!(
        message.contains("helper/exit") && message.contains("exit"),
        "it names the call and the cause: {message}"
    );
    assert_ne!(touch(&client, &thread).await, old, "a new process answers");
    let calls = stage.home.helper_events("call");
    let sent = calls.iter().filter(|call| call["tool"] == "exit").count();
    assert_eq!(sent, 1, "a call is never sent twice");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dead_helpers_family_is_gone_too() {
    let stage = Stage::lazy(&["setsid"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    touch(&client, &thread).await;
    let family = stage.helpers();
    assert_eq!(family.len(), 2, "the helper and its daemon");
    client.refused("mcpServer/tool/call", tool(&thread, "exit", json!({}))).await;
    family.wait(STUBBORN).expect("what it left behind is ended while the thread is still open");
    touch(&client, &thread).await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_takes_too_long_fails_alone() {
    let stage = Stage::new(|home| {
        let helper = home.bad_helper(&["polite"]).key("tool_timeout_sec", "1.0");
        home.config().server("helper", &helper)
    });
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let pid = touch(&client, &thread).await;
    let slow = client.refused("mcpServer/tool/call", tool(&thread, "slow", json!({ "seconds": 60 })));
    let quick = call(&client, &thread, "slow", json!({ "seconds": 0.3 }));
    let ((code, message), quick) = tokio::join!(slow, quick);
    assert_eq!(quick, "ok", "the call beside it is answered");
    assert_eq!(code, -32603);
    assert!(message.contains("helper/slow") && message.contains("tool_timeout_sec"), "{message}");
    stage.home.wait_for_helper_event("call-cancelled", 1);
    assert_eq!(touch(&client, &thread).await, pid, "the helper lives on");
    client.close().await;
    stage.finish();
}
