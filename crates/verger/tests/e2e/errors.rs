//! What is refused, and in which words: one test for each row of PROTOCOL.md's error table, in its order, and then for
//! each row of the table of differences. Rows that another file tells in full are named here and not told again:
//!
//! | row | told by |
//! | --- | --- |
//! | before `initialize`, second `initialize` | `protocol::the_handshake_comes_first_and_once` |
//! | unknown method, missing field | `protocol::unknown_methods_and_bad_parameters_are_named` |
//! | delete a forked-from thread | `forks::a_source_is_not_deleted_while_a_fork_needs_it` |
//! | writer lock | `two_daemons::a_thread_has_one_owner_and_a_kill_frees_it` |
//! | non-JSON frame | `protocol::frames_that_are_not_json_are_answered_and_survived` |
//! | HTTP: `/readyz`, `/healthz`, Origin, no upgrade | `listener::foreign_pages_and_names_are_refused` |
//! | HTTP: tokens | `listener::serve_asks_for_the_token_that_it_made` |
//! | HTTP: other addresses without authentication | `listener::an_address_that_others_reach_is_refused` |
//! | differs: last subscriber gone | `switch::*`, `threads::unsubscribe_says_what_there_was_to_leave` |
//! | differs: archive, delete, reload answer when helpers are gone | `close::*` |
//! | differs: resume during a turn | `order::who_resumes_during_a_turn_gets_the_whole_text` |
//! | differs: slow WebSocket client | `clients::who_takes_nothing_is_cut_with_4408_and_can_come_back` |
//! | differs: resume while the thread closes (and unload in progress) | `order::a_resume_while_the_thread_closes_succeeds` |
//! | differs: SIGTERM ends every tree first | `kill::term_ends_every_tree_before_the_server` |

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use verger_testkit::{Client, NoResult};

use crate::stage::{Stage, begin_turn, ended, resume, say, tool};

const INVALID_REQUEST: i64 = -32600;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL: i64 = -32603;
const OVERLOADED: i64 = -32001;

/// An id that no thread, turn or item has.
const NOBODY: &str = "0199a213-81a0-7800-8aa0-bbab2a035a53";

/// Every method about one thread, with parameters that fit it.
fn about(thread: &str) -> Vec<(&'static str, Value)> {
    let plain = json!({ "threadId": thread });
    let with = |key: &str, value: Value| json!({ "threadId": thread, key: value });
    let mut methods = vec![
        ("thread/name/set", with("name", json!("n"))),
        ("thread/metadata/update", with("gitInfo", json!({ "sha": "s" }))),
        ("turn/start", say(thread, "hi")),
        ("turn/steer", json!({ "threadId": thread, "input": [], "expectedTurnId": NOBODY })),
        ("turn/interrupt", with("turnId", json!(NOBODY))),
        ("mcpServer/tool/call", tool(thread, "pid", json!({}))),
        ("mcpServer/resource/read", json!({ "threadId": thread, "server": "helper", "uri": "test://hello" })),
        ("mcpServerStatus/list", plain.clone()),
    ];
    let of_thread = [
        "thread/resume",
        "thread/fork",
        "thread/read",
        "thread/turns/list",
        "thread/items/list",
        "thread/archive",
        "thread/unarchive",
        "thread/delete",
    ];
    methods.extend(of_thread.map(|method| (method, plain.clone())));
    methods
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_malformed_id_is_quoted_by_every_method() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let unsubscribe = ("thread/unsubscribe", json!({ "threadId": "not-an-id" }));
    for (method, params) in about("not-an-id").into_iter().chain([unsubscribe]) {
        let (code, message) = client.refused(method, params).await;
        assert_eq!(code, INVALID_REQUEST, "{method}: {message}");
        assert!(message.starts_with("invalid thread id: "), "{method}: {message}");
    }
    stage.assert_no_helper();
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_thread_is_named_by_every_method() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let deleted = stage.saved_without_helpers(&client).await;
    client.call("thread/delete", json!({ "threadId": deleted })).await;
    for thread in [NOBODY, &deleted] {
        for (method, params) in about(thread) {
            let said = match method {
                "thread/read" | "thread/turns/list" | "thread/items/list" => {
                    format!("thread not loaded: {thread}")
                }
                "thread/unarchive" => format!("no archived rollout found for thread id {thread}"),
                _ if method.starts_with("thread/") => format!("no rollout found for thread id {thread}"),
                _ => format!("thread not found: {thread}"),
            };
            assert_eq!(client.refused(method, params).await, (INVALID_REQUEST, said), "{method}");
        }
    }
    let left = client.call("thread/unsubscribe", json!({ "threadId": NOBODY })).await;
    assert_eq!(left["status"], "notLoaded");
    stage.assert_no_helper();
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_archived_thread_says_so_to_who_wants_to_use_it() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.saved_without_helpers(&client).await;
    let plain = json!({ "threadId": thread });
    client.call("thread/archive", plain.clone()).await;
    for (method, params) in about(&thread) {
        let said = match method {
            "thread/resume" | "thread/fork" | "thread/name/set" => {
                format!("session {thread} is archived. Call thread/unarchive first.")
            }
            "thread/archive" => format!("no rollout found for thread id {thread}"),
            _ if method.starts_with("thread/") => continue,
            _ => format!("thread not found: {thread}"),
        };
        assert_eq!(client.refused(method, params).await, (INVALID_REQUEST, said), "{method}");
    }
    client.call("thread/unarchive", plain.clone()).await;
    let twice = client.refused("thread/unarchive", plain.clone()).await;
    assert_eq!(twice, (INVALID_REQUEST, format!("no archived rollout found for thread id {thread}")));
    resume(&client, &thread).await;
    let loaded = client.refused("thread/unarchive", plain).await;
    assert_eq!(loaded, twice, "what is loaded is not archived");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn turns_of_a_thread_that_has_none_are_not_there_yet() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let passing = client.call("thread/start", json!({ "ephemeral": true })).await["thread"]["id"].clone();
    let passing = passing.as_str().expect("an id");
    for (method, what) in [
        ("thread/turns/list", "thread/turns/list"),
        ("thread/items/list", "thread/items/list"),
        ("thread/read", "includeTurns"),
    ] {
        let params = |thread: &str| json!({ "threadId": thread, "includeTurns": true });
        let said = format!(
            "thread {thread} is not materialized yet; {what} is unavailable before first user message"
        );
        assert_eq!(client.refused(method, params(&thread)).await, (INVALID_REQUEST, said), "{method}");
        let said = format!("ephemeral threads do not support {what}");
        assert_eq!(client.refused(method, params(passing)).await, (INVALID_REQUEST, said), "{method}");
    }
    for (method, params) in about(passing) {
        let said = match method {
            "thread/name/set" | "thread/metadata/update" => {
                format!("ephemeral thread does not support metadata updates: {passing}")
            }
            "thread/fork" => format!("no rollout found for thread id {passing}"),
            _ => continue,
        };
        assert_eq!(client.refused(method, params).await, (INVALID_REQUEST, said), "{method}");
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_steer_of_another_turn_names_both() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let mut steer = say(&thread, "more");
    steer["expectedTurnId"] = json!(NOBODY);
    let idle = client.refused("turn/steer", steer.clone()).await;
    assert_eq!(idle, (INVALID_REQUEST, "no active turn to steer".to_owned()));
    let plain = json!({ "threadId": thread, "turnId": NOBODY });
    let idle = client.refused("turn/interrupt", plain.clone()).await;
    assert_eq!(idle, (INVALID_REQUEST, "no active turn to interrupt".to_owned()));
    let from = client.mark();
    let running = begin_turn(&client, &thread, "SLEEP s=30").await;
    // Clients read the active turn's id out of the backticks.
    let said = format!("expected active turn id `{NOBODY}` but found `{running}`");
    assert_eq!(client.refused("turn/steer", steer).await, (INVALID_REQUEST, said));
    let said = format!("expected active turn id {NOBODY} but found {running}");
    assert_eq!(client.refused("turn/interrupt", plain).await, (INVALID_REQUEST, said));
    client.call("turn/interrupt", json!({ "threadId": thread, "turnId": running })).await;
    ended(&client, from, &running).await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_experimental_wants_to_be_asked_for() {
    let stage = Stage::bare();
    let careful = Client::open_with(&stage.daemon.url(), "careful", json!({})).await;
    let bold = stage.client("bold").await;
    let thread = stage.saved(&bold).await;
    let granular =
        json!({ "granular": { "mcp_elicitations": true, "rules": true, "sandbox_approval": true } });
    let cases = [
        ("thread/resume", json!({ "initialTurnsPage": {} }), "thread/resume.initialTurnsPage"),
        ("thread/fork", json!({ "beforeTurnId": NOBODY }), "thread/fork.beforeTurnId"),
        ("thread/start", json!({ "approvalPolicy": granular }), "askForApproval.granular"),
    ];
    for (method, mut params, what) in cases {
        params["threadId"] = json!(thread);
        let said = format!("{what} requires experimentalApi capability");
        assert_eq!(careful.refused(method, params.clone()).await, (INVALID_REQUEST, said));
        if let Err(NoResult::Refused { message, .. }) = bold.ask(method, params).await {
            assert_eq!(message, format!("turn not found: {NOBODY}"), "{method}: for another reason");
        }
    }
    careful.call("thread/resume", json!({ "threadId": thread, "initialTurnsPage": null })).await;
    drop((careful, bold));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_is_not_configured_is_named() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let said = (INTERNAL, "unknown MCP server 'nosrv'".to_owned());
    let mut call = tool(&thread, "pid", json!({}));
    call["server"] = json!("nosrv");
    assert_eq!(client.refused("mcpServer/tool/call", call).await, said);
    for thread in [json!(thread), Value::Null] {
        let read = json!({ "threadId": thread, "server": "nosrv", "uri": "test://hello" });
        assert_eq!(client.refused("mcpServer/resource/read", read).await, said, "{thread}");
    }
    let list = client.call("mcpServerStatus/list", json!({ "serverName": "nosrv" })).await;
    assert_eq!(list["data"], json!([]));
    stage.assert_no_helper();
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn fields_that_do_not_fit_are_named() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let cases = [
        ("thread/name/set", json!({ "name": "  " }), "name"),
        ("thread/name/set", json!({ "name": null }), "name"),
        ("thread/metadata/update", json!({}), "gitInfo"),
        ("thread/metadata/update", json!({ "gitInfo": {} }), "gitInfo"),
        ("thread/metadata/update", json!({ "gitInfo": { "branch": " " } }), "gitInfo.branch"),
        ("thread/fork", json!({ "lastTurnId": "a", "beforeTurnId": "b" }), "beforeTurnId"),
        ("thread/fork", json!({ "cwd": "relative" }), "cwd"),
        ("thread/fork", json!({ "modelProvider": "nobody" }), "modelProvider"),
        ("thread/items/list", json!({ "cursor": { "type": "item", "itemId": "i" } }), "turnId"),
        ("thread/items/list", json!({ "cursor": 5 }), "cursor"),
        ("thread/turns/list", json!({ "itemsView": "some" }), "itemsView"),
        ("thread/turns/list", json!({ "limit": -1 }), "limit"),
    ];
    for (method, mut params, field) in cases {
        params["threadId"] = json!(thread);
        let (code, message) = client.refused(method, params.clone()).await;
        assert_eq!(code, INVALID_PARAMS, "{method} {params}: {message}");
        assert!(message.starts_with(&format!("Invalid params: {field}: ")), "{method} {params}: {message}");
    }
    for method in [
        "thread/list",
        "thread/loaded/list",
        "thread/turns/list",
        "thread/items/list",
        "mcpServerStatus/list",
    ] {
        let mut params = json!({ "cursor": "garbage" });
        if method != "mcpServerStatus/list" {
            params["threadId"] = json!(thread);
        }
        let said = (INVALID_REQUEST, "invalid cursor: garbage".to_owned());
        assert_eq!(client.refused(method, params).await, said, "{method}");
    }
    for turn in [NOBODY, "nonsense"] {
        let refused = client.refused("thread/fork", json!({ "threadId": thread, "lastTurnId": turn })).await;
        assert_eq!(refused, (INVALID_REQUEST, format!("turn not found: {turn}")));
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_drains_refuses_new_work_and_finishes_the_old() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let (thread, idle) = (stage.saved(&client).await, stage.saved(&client).await);
    let from = client.mark();
    let running = begin_turn(&client, &thread, "STREAM n=100 size=10 delay_ms=10").await;
    client.note(from, "item/agentMessage/delta", |_| true).await;
    stage.daemon.signal(Signal::TERM);
    // An idle thread closes as soon as the drain has begun.
    crate::stage::closed(&client, from, &idle).await;
    let asked = [
        ("turn/start", say(&thread, "no")),
        ("thread/start", json!({})),
        ("thread/resume", json!({ "threadId": idle })),
        ("thread/fork", json!({ "threadId": idle })),
        ("thread/name/set", json!({ "threadId": idle, "name": "n" })),
        ("thread/unarchive", json!({ "threadId": idle })),
    ];
    for (method, params) in asked {
        match client.ask(method, params).await {
            Err(NoResult::Refused { code, data, .. }) => {
                assert_eq!(
                    (code, data),
                    (INVALID_REQUEST, json!({ "reason": "serverShuttingDown" })),
                    "{method}"
                );
            }
            other => panic!("{method}: {other:?}"),
        }
    }
    assert_eq!(ended(&client, from, &running).await["status"], "completed");
    let status = stage.daemon.wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    drop(client);
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn too_many_requests_at_once_are_told_to_come_again() {
    let stage = Stage::lazy(&["never-init"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let from = client.mark();
    // None of these is answered while the helper does not start.
    let mut ids = Vec::new();
    for _ in 0..130 {
        ids.push(
            client.begin("mcpServer/tool/call", tool(&thread, "pid", json!({}))).await.expect("connected"),
        );
    }
    for id in &ids[128..] {
        match client.answer(from, *id, "a refusal").await {
            Err(NoResult::Refused { code, message, .. }) => {
                assert_eq!((code, message.as_str()), (OVERLOADED, "Server overloaded; retry later."));
            }
            other => panic!("{other:?}"),
        }
    }
    let other = stage.client("other").await;
    resume_is_served(&other).await;
    drop((client, other));
    stage.finish();
}

/// Another client notices nothing.
async fn resume_is_served(client: &Client) {
    assert!(client.call("thread/loaded/list", json!({})).await["data"].is_array());
}

// === Differences ===

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn initialized_is_not_waited_for_and_a_threads_path_is_null() {
    let stage = Stage::bare();
    let client = Client::connect(&stage.daemon.url(), "client", &[]).await.expect("a connection");
    let info = json!({ "clientInfo": { "name": "client", "version": "0" } });
    client.call("initialize", info).await;
    let thread = stage.saved(&client).await;
    let read = client.call("thread/read", json!({ "threadId": thread })).await;
    assert_eq!(read["thread"]["path"], Value::Null);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_term_waits_for_no_turn() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let running = begin_turn(&client, &thread, "SLEEP s=60").await;
    stage.daemon.signal(Signal::TERM);
    // The first one has been taken when new work is refused.
    while client.ask("thread/start", json!({})).await.is_ok() {}
    stage.daemon.signal(Signal::TERM);
    assert_eq!(ended(&client, from, &running).await["status"], "interrupted");
    assert!(stage.daemon.wait(Duration::from_secs(10)).success());
    drop(client);
    stage.end();
}
