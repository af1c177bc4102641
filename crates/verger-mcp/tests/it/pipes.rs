//! A helper's stdout as bad as it comes, from memory.

use std::time::Duration;

use serde_json::json;
use verger_mcp::{CallError, MAX_LINE};

use crate::peer::connected;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn noise_is_counted_and_costs_nothing_else() {
    let (session, mut peer) = connected(&["t"]).await;
    let play = async {
        let call = peer.expect("tools/call").await;
        peer.raw(b"Listening on port 3000\n\n\xff\xfe\x00\n{\"level\":30}\n42\nContent-Length: 17\r\n\r\n")
            .await;
        peer.answer(&call, json!({})).await;
    };
    assert_eq!(tokio::join!(session.call("t", None, None, LONG), play).0, Ok(json!({})));
    assert_eq!(session.noise(), 5);
}

#[tokio::test]
async fn a_message_may_come_byte_by_byte_and_without_its_last_newline() {
    let (session, mut peer) = connected(&["t"]).await;
    let play = async {
        let call = peer.expect("tools/call").await;
        for byte in json!({ "jsonrpc": "2.0", "id": call["id"], "result": { "é": "ü" } }).to_string().bytes()
        {
            peer.raw(&[byte]).await;
            tokio::task::yield_now().await;
        }
        peer.hang_up().await;
    };
    assert_eq!(tokio::join!(session.call("t", None, None, LONG), play).0, Ok(json!({ "é": "ü" })));
}

#[tokio::test]
async fn an_answer_past_the_limit_fails_its_call_at_once_and_the_session_goes_on() {
    let (session, mut peer) = connected(&["t"]).await;
    let play = async {
        let call = peer.expect("tools/call").await;
        peer.raw(format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"x\":\"", call["id"]).as_bytes())
            .await;
        peer.raw(&vec![b'x'; MAX_LINE]).await;
        peer.raw(b"\"}}\n").await;
        let call = peer.expect("tools/call").await;
        peer.answer(&call, json!({})).await;
    };
    let calls = async {
        let large = session.call("t", None, None, LONG).await;
        assert!(
            matches!(large, Err(CallError::TooLarge { bytes, .. }) if bytes > MAX_LINE as u64),
            "{large:?}"
        );
        assert_eq!(session.call("t", None, None, LONG).await, Ok(json!({})));
    };
    tokio::join!(calls, play);
}
