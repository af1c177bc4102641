//! How calls and sessions end: timeouts, cancellation, draining, closing, death. K10: nothing is sent twice.

use std::{collections::VecDeque, future::poll_fn, pin::pin, task::Poll, time::Duration};

use serde_json::json;
use verger_mcp::CallError;

use crate::peer::{connected, pair};

const LONG: Duration = Duration::from_secs(20);

/// Polls once: starts a call and leaves it waiting.
async fn start(call: std::pin::Pin<&mut impl Future>) {
    let mut call = Some(call);
    poll_fn(|context| {
        let call = call.take().expect("polled once");
        assert!(call.poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_its_call_only() {
    let (session, mut peer) = connected(&["t"]).await;
    let other = session.call("t", Some(json!({ "n": 2 })), None, LONG);
    let slow = session.call("t", Some(json!({ "n": 1 })), None, Duration::from_millis(50));
    let play = async {
        let first = peer.expect("tools/call").await;
        let second = peer.expect("tools/call").await;
        let (slow, other) =
            if first["params"]["arguments"]["n"] == 1 { (first, second) } else { (second, first) };
        let cancelled = peer.expect("notifications/cancelled").await;
        assert_eq!(cancelled["params"]["requestId"], slow["id"]);
        // Too late, and nobody is confused by it.
        peer.answer(&slow, json!({ "late": true })).await;
        peer.answer(&other, json!({ "n": 2 })).await;
    };
    let (slow, other, ()) = tokio::join!(slow, other, play);
    let slow = slow.expect_err("nobody answered");
    assert_eq!(
        slow.to_string(),
        "server 'fake' did not answer 't' within 0.05 s; raise its tool_timeout_sec if it needs longer"
    );
    assert_eq!(other, Ok(json!({ "n": 2 })));
    assert_eq!(session.tools().len(), 1);
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_after_it_was_sent_never_before() {
    let (session, mut peer) = connected(&["t"]).await;
    for _ in 0..200 {
        let call = {
            let mut call = Box::pin(session.call("t", None, None, LONG));
            start(call.as_mut()).await;
            let sent = peer.expect("tools/call").await;
            drop(call);
            sent
        };
        let cancelled = peer.expect("notifications/cancelled").await;
        assert_eq!(cancelled["params"]["requestId"], call["id"]);
    }
}

#[tokio::test]
async fn a_call_dropped_before_it_was_written_is_never_sent() {
    // One byte of pipe: the first call's line is stuck half-way, so the second stays in the queue.
    let (mut peer, ends) = pair(1);
    let (session, ()) = tokio::join!(ends.connect(), peer.welcome(&["t"]));
    let session = session.expect("the peer is polite");
    let mut first = pin!(session.call("t", Some(json!({ "n": 1 })), None, LONG));
    start(first.as_mut()).await;
    tokio::task::yield_now().await;
    {
        let mut second = pin!(session.call("t", Some(json!({ "n": 2 })), None, LONG));
        start(second.as_mut()).await;
    }
    let third = session.call("t", Some(json!({ "n": 3 })), None, LONG);
    let play = async {
        for n in [1, 3] {
            let call = peer.expect("tools/call").await;
            assert_eq!(call["params"]["arguments"]["n"], n);
            peer.answer(&call, json!({})).await;
        }
    };
    let (first, third, ()) = tokio::join!(first, third, play);
    assert_eq!((first, third), (Ok(json!({})), Ok(json!({}))));
}

#[tokio::test]
async fn an_answer_that_comes_before_its_question_is_no_answer() {
    let (mut peer, ends) = pair(1);
    let (session, ()) = tokio::join!(ends.connect(), peer.welcome(&["t"]));
    let session = session.expect("the peer is polite");
    let play = async {
        tokio::task::yield_now().await;
        // Ids count up: initialize was 1, tools/list 2. The first call is half-way out, the second is not begun.
        peer.send(json!({ "jsonrpc": "2.0", "id": 4, "result": { "guessed": true } })).await;
        for _ in 0..2 {
            let call = peer.expect("tools/call").await;
            peer.answer(&call, json!({ "id": call["id"] })).await;
        }
    };
    let (first, second) = (session.call("t", None, None, LONG), session.call("t", None, None, LONG));
    let (first, second, ()) = tokio::join!(first, second, play);
    assert_eq!((first, second), (Ok(json!({ "id": 3 })), Ok(json!({ "id": 4 }))));
}

#[tokio::test]
async fn a_death_fails_what_was_sent_and_refuses_what_comes_after() {
    let (session, mut peer) = connected(&["t"]).await;
    let play = async {
        peer.expect("tools/call").await;
        peer.hang_up().await;
        peer.next().await
    };
    let (gone, rest) = tokio::join!(session.call("t", None, None, LONG), play);
    assert_eq!(gone, Err(CallError::HelperGone { server: "fake".into() }));
    assert_eq!(rest, None, "the call was sent once, and stdin is closed");
    session.ended().await;
    assert_eq!(session.call("t", None, None, LONG).await, Err(CallError::NotSent { server: "fake".into() }));
}

#[tokio::test]
async fn draining_waits_for_calls_under_way_and_takes_no_new_ones() {
    let (session, mut peer) = connected(&["t"]).await;
    let mut call = pin!(session.call("t", None, None, LONG));
    start(call.as_mut()).await;
    let sent = peer.expect("tools/call").await;
    let mut drain = pin!(session.drain());
    start(drain.as_mut()).await;
    assert_eq!(session.call("t", None, None, LONG).await, Err(CallError::Draining { server: "fake".into() }));
    peer.answer(&sent, json!({})).await;
    assert_eq!(call.await, Ok(json!({})));
    drain.await;
    assert_eq!(session.call("t", None, None, LONG).await, Err(CallError::Draining { server: "fake".into() }));
    // The pipes are still open: draining is not closing.
    peer.send(json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await;
    assert!(peer.next().await.is_some());
}

#[tokio::test]
async fn close_is_prompt_even_when_the_helper_reads_nothing() {
    let (mut peer, ends) = pair(64);
    let (session, ()) = tokio::join!(ends.connect(), peer.welcome(&["t"]));
    let session = session.expect("the peer is polite");
    let mut stuck = pin!(session.call("t", Some(json!({ "x": "x".repeat(100_000) })), None, LONG));
    let mut queued = pin!(session.call("t", None, None, LONG));
    start(stuck.as_mut()).await;
    start(queued.as_mut()).await;
    tokio::task::yield_now().await;
    session.close().await;
    assert_eq!(stuck.await, Err(CallError::HelperGone { server: "fake".into() }));
    assert_eq!(queued.await, Err(CallError::NotSent { server: "fake".into() }));
    session.close().await;
    session.ended().await;
}

#[tokio::test]
async fn a_reason_reaches_what_was_sent_and_nothing_else() {
    let (session, mut peer) = connected(&["t"]).await;
    let mut sent = pin!(session.call("t", None, None, LONG));
    start(sent.as_mut()).await;
    peer.expect("tools/call").await;
    session.close_because("it ate too much").await;
    let ended = sent.await.expect_err("it was not answered");
    assert_eq!(
        ended.to_string(),
        "server 'fake' was ended before it answered: it ate too much; outcome unknown, not sent again"
    );
    let late = session.call("t", None, None, LONG).await;
    assert_eq!(late, Err(CallError::NotSent { server: "fake".into() }));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_idle_when_nobody_has_called_or_borrowed_it_for_so_long() {
    const LIMIT: Duration = Duration::from_secs(60);
    let (session, mut peer) = connected(&["t"]).await;
    let minute = || tokio::time::timeout(LIMIT * 9 / 10, session.idle(LIMIT));
    assert!(minute().await.is_err(), "too early");
    assert_eq!(session.idle(LIMIT).await, 0);
    let mut idle = pin!(session.idle(LIMIT));
    for _ in 0..2 {
        assert!(tokio::time::timeout(LIMIT * 9 / 10, idle.as_mut()).await.is_err(), "too early");
        drop(session.lend());
    }
    let loan = session.lend();
    let clone = loan.clone();
    drop(loan);
    assert!(
        tokio::time::timeout(3 * LIMIT, idle.as_mut()).await.is_err(),
        "who has borrowed it has not called yet"
    );
    drop(clone);
    let call = async {
        let call = session.call("t", None, None, 9 * LIMIT);
        let play = async {
            let sent = peer.expect("tools/call").await;
            tokio::time::sleep(3 * LIMIT).await;
            peer.answer(&sent, json!({})).await;
        };
        tokio::join!(call, play).0
    };
    tokio::select! {
        biased;
        _ = idle.as_mut() => panic!("idle in the middle of a call"),
        answer = call => assert_eq!(answer, Ok(json!({}))),
    }
    assert!(tokio::time::timeout(LIMIT * 9 / 10, idle.as_mut()).await.is_err(), "the time begins at its end");
    assert_eq!(idle.await, 3, "every loan is counted");
}

#[tokio::test]
async fn dropping_the_last_clone_or_the_connecting_future_closes_the_pipes() {
    let (session, mut peer) = connected(&[]).await;
    let clone = session.clone();
    drop(session);
    peer.send(json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await;
    assert!(peer.next().await.is_some(), "a clone is left");
    drop(clone);
    assert_eq!(peer.next().await, None);

    let (mut peer, ends) = pair(4096);
    let mut connecting = Box::pin(ends.connect());
    start(connecting.as_mut()).await;
    peer.expect("initialize").await;
    drop(connecting);
    assert_eq!(peer.next().await, None, "and initialize is not cancelled: MCP forbids it");
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_there_is_room_for_wait_their_turn() {
    let (session, mut peer) = connected(&["t"]).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..300 {
        let session = session.clone();
        calls.spawn(async move { session.call("t", Some(json!({ "n": n })), None, LONG).await });
    }
    let mut under_way = VecDeque::new();
    for _ in 0..verger_mcp::MAX_IN_FLIGHT {
        under_way.push_back(peer.expect("tools/call").await);
    }
    let more = tokio::time::timeout(Duration::from_secs(1), peer.next()).await;
    assert!(more.is_err(), "no more at once: {more:?}");
    for waiting in (0..300 - verger_mcp::MAX_IN_FLIGHT).rev() {
        let call = under_way.pop_front().expect("128 are under way");
        peer.answer(&call, json!({})).await;
        under_way.push_back(peer.expect("tools/call").await);
        assert_eq!(under_way.len() as u32, verger_mcp::MAX_IN_FLIGHT, "{waiting} wait");
    }
    for call in under_way {
        peer.answer(&call, json!({})).await;
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.expect("no panic"), Ok(json!({})));
    }
}
