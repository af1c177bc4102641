//! Corners of the protocol: what is sent, what is kept, what is refused.

use std::time::Duration;

use serde_json::{Value, json};
use verger_mcp::{CallError, ConnectError};

use crate::peer::{connected, initialized, pair, tool_list};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn initialize_offers_the_newest_version_that_has_it_and_nothing_else() {
    let (mut peer, ends) = pair(4096);
    let play = async {
        let init = peer.expect("initialize").await;
        let client = json!({ "name": "verger", "version": "0.0.1" });
        let offered = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
        assert_eq!(init["params"], offered);
        peer.answer(&init, initialized("2024-11-05", json!({ "prompts": {}, "x/y": 1 }))).await;
        peer.expect("notifications/initialized").await;
    };
    let (session, ()) = tokio::join!(ends.connect(), play);
    let session = session.expect("an older version is fine");
    assert_eq!(session.protocol_version(), "2024-11-05");
    assert_eq!(session.server_info()["vendor/extra"], true);
    assert_eq!(session.capabilities()["x/y"], 1);
    assert_eq!(session.instructions(), Some("be kind"));
    assert!(session.tools().is_empty(), "a server without the tools capability is not asked for tools");
}

#[tokio::test]
async fn tools_come_in_pages_and_keep_what_they_say() {
    let (mut peer, ends) = pair(64 * 1024);
    let first = json!({
        "name": "read", "title": "Read", "description": "Reads.", "inputSchema": { "type": "object" },
        "outputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true }, "_meta": { "a": 1 },
    });
    let second = json!({ "name": "wipe", "annotations": { "title": "Wipe", "destructiveHint": true } });
    let play = async {
        let init = peer.expect("initialize").await;
        peer.answer(&init, initialized("2025-06-18", json!({ "tools": {} }))).await;
        peer.expect("notifications/initialized").await;
        let page = peer.expect("tools/list").await;
        assert_eq!(page["params"], json!({}));
        peer.answer(&page, json!({ "tools": [first], "nextCursor": "2" })).await;
        let page = peer.expect("tools/list").await;
        assert_eq!(page["params"], json!({ "cursor": "2" }));
        // The same cursor again would never end.
        peer.answer(&page, json!({ "tools": [second], "nextCursor": "2" })).await;
    };
    let (session, ()) = tokio::join!(ends.connect(), play);
    let tools = session.expect("both pages").tools();
    assert_eq!(tools.len(), 2);
    assert_eq!((tools[0].title.as_deref(), tools[0].hints.read_only), (Some("Read"), Some(true)));
    assert_eq!((&tools[0].raw, tools[0].input_schema()), (&first, &json!({ "type": "object" })));
    assert_eq!((tools[1].title.as_deref(), tools[1].hints.destructive), (Some("Wipe"), Some(true)));
}

#[tokio::test]
async fn calls_arrive_as_made_and_results_as_given() {
    let (session, mut peer) = connected(&["t"]).await;
    let meta = json!({ "progressToken": "mine", "x/y": [1] });
    let result = json!({ "content": [], "isError": true, "structuredContent": { "n": 1 }, "_meta": { "z": 2 }, "new": 3 });
    let play = async {
        let call = peer.expect("tools/call").await;
        assert_eq!(call["params"], json!({ "name": "t", "arguments": { "b": 1, "a": null }, "_meta": meta }));
        peer.answer(&call, result.clone()).await;
        let call = peer.expect("tools/call").await;
        assert_eq!(call["params"], json!({ "name": "t" }));
        peer.answer(&call, json!({})).await;
    };
    let calls = async {
        let answered = session.call("t", Some(json!({ "b": 1, "a": null })), Some(meta.clone()), LONG).await;
        assert_eq!(answered, Ok(result.clone()));
        assert_eq!(session.call("t", None, None, LONG).await, Ok(json!({})));
    };
    tokio::join!(calls, play);
}

#[tokio::test]
async fn answers_find_their_calls_in_any_order() {
    let (session, mut peer) = connected(&["t"]).await;
    let call = |n: u64| {
        let session = session.clone();
        async move { session.call("t", Some(json!({ "n": n })), None, LONG).await.expect("answered")["n"].clone() }
    };
    let play = async {
        let calls = [
            peer.expect("tools/call").await,
            peer.expect("tools/call").await,
            peer.expect("tools/call").await,
        ];
        for call in [&calls[2], &calls[0], &calls[1]] {
            // As text: some servers turn ids around like that.
            let id = call["id"].to_string();
            peer.send(json!({ "jsonrpc": "2.0", "id": id, "result": call["params"]["arguments"] })).await;
        }
    };
    let (a, b, c, ()) = tokio::join!(call(1), call(2), call(3), play);
    assert_eq!((a, b, c), (json!(1), json!(2), json!(3)));
}

#[tokio::test]
async fn bad_calls_are_refused_before_anything_is_sent() {
    let (session, mut peer) = connected(&["t"]).await;
    let list = session.call("t", Some(json!([1])), None, LONG).await;
    assert!(matches!(list, Err(CallError::BadArguments { .. })), "{list:?}");
    let meta = session.call("t", None, Some(json!("x")), LONG).await;
    assert!(matches!(meta, Err(CallError::BadArguments { .. })), "{meta:?}");
    let unknown = session.call("u", None, None, LONG).await;
    assert!(matches!(unknown, Err(CallError::UnknownTool { .. })), "{unknown:?}");
    let huge = session.call("t", Some(json!({ "x": "x".repeat(17 << 20) })), None, LONG).await;
    assert!(matches!(huge, Err(CallError::BadArguments { .. })));
    session.close().await;
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn errors_reach_the_caller_with_or_without_words() {
    let (session, mut peer) = connected(&["t"]).await;
    let play = async {
        for error in [
            json!({ "code": -32000, "message": "", "data": { "k": 1 } }),
            json!({ "code": 7, "message": "no" }),
        ] {
            let call = peer.expect("tools/call").await;
            peer.send(json!({ "jsonrpc": "2.0", "id": call["id"], "error": error })).await;
        }
        peer.expect("tools/call").await;
        peer.send(
            json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": "parse error" } }),
        )
        .await;
        let call = peer.expect("tools/call").await;
        peer.answer(&call, json!("text")).await;
    };
    let calls = async {
        let error = session.call("t", None, None, LONG).await.expect_err("an error");
        assert_eq!(error.to_string(), "server 'fake' answered with error -32000: (no message)");
        assert!(matches!(error, CallError::Server { data: Some(data), .. } if data == json!({ "k": 1 })));
        let error = session.call("t", None, None, LONG).await.expect_err("an error");
        assert_eq!(error.to_string(), "server 'fake' answered with error 7: no");
        let error = session.call("t", None, None, LONG).await.expect_err("the only call under way");
        assert!(matches!(error, CallError::Server { code: -32700, .. }), "{error}");
        let error = session.call("t", None, None, LONG).await.expect_err("a text is no tool result");
        assert!(matches!(error, CallError::Malformed { .. }), "{error}");
    };
    tokio::join!(calls, play);
}

#[tokio::test]
async fn the_servers_own_requests_are_answered_or_declined() {
    let (_session, mut peer) = connected(&[]).await;
    peer.send(json!({ "jsonrpc": "2.0", "id": "p-1", "method": "ping" })).await;
    assert_eq!(peer.next().await, Some(json!({ "jsonrpc": "2.0", "id": "p-1", "result": {} })));
    for method in ["sampling/createMessage", "elicitation/create", "roots/list"] {
        peer.send(json!({ "jsonrpc": "2.0", "id": 0, "method": method, "params": {} })).await;
        let declined = peer.next().await.expect("an answer");
        assert_eq!((&declined["id"], &declined["error"]["code"]), (&json!(0), &json!(-32601)), "{method}");
        assert!(
            declined["error"]["message"].as_str().is_some_and(|text| text.contains(method)),
            "{declined}"
        );
    }
}

#[tokio::test]
async fn a_server_that_asks_and_never_reads_costs_bounded_memory_and_blocks_nobody() {
    let (session, mut peer) = connected(&["t"]).await;
    let play = async {
        let call = peer.expect("tools/call").await;
        for n in 0..20_000 {
            peer.send(json!({ "jsonrpc": "2.0", "id": n, "method": "ping" })).await;
        }
        peer.answer(&call, json!({})).await;
    };
    assert_eq!(tokio::join!(session.call("t", None, None, LONG), play).0, Ok(json!({})));
    // What was kept for it: 64 kB in the pipe, a line half-way, and the queue.
    let count_replies = async {
        let mut replies = 0;
        loop {
            let message = peer.next().await.expect("stdin is open");
            if message["method"] == "tools/call" {
                peer.answer(&message, json!({})).await;
                return replies;
            }
            replies += 1;
        }
    };
    let (call, replies) = tokio::join!(session.call("t", None, None, LONG), count_replies);
    assert_eq!(call, Ok(json!({})));
    assert!((1..2_000).contains(&replies), "{replies} replies were kept");
}

#[tokio::test]
async fn changed_tools_are_listed_again() {
    let (session, mut peer) = connected(&["old"]).await;
    let mut tools = session.watch_tools();
    peer.send(json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" })).await;
    let list = peer.expect("tools/list").await;
    peer.answer(&list, tool_list(&["new"])).await;
    tools.changed().await.expect("the session lives");
    assert_eq!(session.tools()[0].name, "new");
    let gone = session.call("old", None, None, LONG).await.expect_err("it vanished");
    assert_eq!(gone.to_string(), "tool 'old' is not in server 'fake' (any more); ask for its tools again");

    // A refresh that fails leaves the catalog as it is.
    peer.send(json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" })).await;
    let list = peer.expect("tools/list").await;
    peer.send(json!({ "jsonrpc": "2.0", "id": list["id"], "error": { "code": -32603, "message": "" } }))
        .await;
    peer.send(json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" })).await;
    peer.next().await.expect("the answer to the ping, so the error was read");
    assert_eq!(session.tools()[0].name, "new");
}

#[tokio::test]
async fn a_connection_that_cannot_stand_says_why() {
    let refusals: [(Value, &str); 3] = [
        (
            json!({ "id": 1, "error": { "code": -32603, "message": "" } }),
            "refused 'initialize' with error -32603: (no message)",
        ),
        (json!({ "id": 1, "result": initialized("2026-07-28", json!({})) }), "with MCP version '2026-07-28'"),
        (json!({ "id": 1, "result": {} }), "wrongly: it names no protocolVersion"),
    ];
    for (answer, said) in refusals {
        let (mut peer, ends) = pair(4096);
        let play = async {
            peer.expect("initialize").await;
            peer.send(answer).await;
            assert_eq!(peer.next().await, None, "stdin is closed");
        };
        let (refused, ()) = tokio::join!(ends.connect(), play);
        let refused = refused.expect_err("it cannot stand").to_string();
        assert!(refused.contains(said) && refused.starts_with("server 'fake'"), "{refused}");
    }
    let (mut peer, ends) = pair(4096);
    let play = async {
        peer.expect("initialize").await;
        peer.hang_up().await;
    };
    let (refused, ()) = tokio::join!(ends.connect(), play);
    let gone = ConnectError::HelperGone { server: "fake".into(), request: "initialize" };
    assert_eq!(refused.expect_err("the peer hung up"), gone);
}
