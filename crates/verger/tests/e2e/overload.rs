//! Floods: what exceeds a connection's queue is refused, everything is answered once, and the others are served.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, tool, turn};

/// Requests that one connection may have under way.
const IN_FLIGHT: usize = 128;

/// How often each id was answered from `from` on, and how many of the answers were refusals for overload.
fn answers(client: &Client, from: usize) -> (BTreeMap<i64, usize>, usize) {
    let (mut times, mut refused) = (BTreeMap::new(), 0);
    for message in client.since(from).into_iter().filter(|m| m.get("method").is_none()) {
        *times.entry(message["id"].as_i64().expect("an id")).or_default() += 1;
        if let Some(error) = message.get("error") {
            assert_eq!(error["code"], -32001, "{message}");
            assert_eq!(error["message"], "Server overloaded; retry later.");
            refused += 1;
        }
    }
    (times, refused)
}

/// Waits until as many answers have come.
async fn all_answered(client: &Client, from: usize, ids: &[i64]) -> usize {
    let left: RefCell<BTreeSet<i64>> = RefCell::new(ids.iter().copied().collect());
    let is_last = |m: &Value| {
        let id = m["id"].as_i64().filter(|_| m.get("method").is_none());
        id.is_some_and(|id| left.borrow_mut().remove(&id) && left.borrow().is_empty())
    };
    client.find(from, "the last answer", is_last).await.expect("connected");
    let (times, refused) = answers(client, from);
    assert_eq!(times.keys().copied().collect::<Vec<_>>(), ids, "every request is answered, and nothing else");
    assert!(times.values().all(|times| *times == 1), "each once");
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exceeds_the_queue_is_refused_and_there_is_room_again() {
    let stage = Stage::lazy(&["polite"]);
    let (flooder, polite) = (stage.client("flooder").await, stage.client("polite").await);
    let (thread, calm) = (stage.saved(&flooder).await, stage.saved(&polite).await);
    let from = flooder.mark();
    let mut ids = Vec::new();
    for _ in 0..3 * IN_FLIGHT {
        let slow = tool(&thread, "slow", json!({ "seconds": 1 }));
        ids.push(flooder.begin("mcpServer/tool/call", slow).await.expect("connected"));
    }
    // The other's calls go through meanwhile.
    for _ in 0..10 {
        polite.call("mcpServer/tool/call", tool(&calm, "echo", json!({ "text": "x" }))).await;
    }
    assert_eq!(all_answered(&flooder, from, &ids).await, 2 * IN_FLIGHT, "what fits is served, and no more");
    flooder.call("thread/loaded/list", json!({})).await;
    drop((flooder, polite));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_that_nobody_reads_are_bounded_and_touch_nobody_else() {
    let stage = Stage::lazy(&["polite"]);
    let polite = stage.client("polite").await;
    let calm = stage.saved(&polite).await;
    let mut flooders = Vec::new();
    for n in 0..10 {
        // On a socket, where a client may stall for as long as it likes.
        let flooder = Client::open(&stage.run_socket(), &format!("flooder {n}")).await;
        let thread = stage.saved(&flooder).await;
        flooders.push((flooder, thread));
    }
    let before = stage.daemon.rss().unwrap();
    let mut floods = Vec::new();
    for (flooder, thread) in &flooders {
        let from = flooder.mark();
        flooder.stop_reading();
        let mut ids = Vec::new();
        for n in 0..500 {
            let (method, params) = match n % 3 {
                0 => ("thread/loaded/list", json!({})),
                1 => ("thread/read", json!({ "threadId": thread, "includeTurns": true })),
                _ => ("thread/list", json!({})),
            };
            ids.push(flooder.begin(method, params).await.expect("connected"));
        }
        floods.push((from, ids));
    }
    for _ in 0..5 {
        assert_eq!(turn(&polite, &calm, "hi").await["status"], "completed");
    }
    let grown = stage.daemon.rss().unwrap().saturating_sub(before);
    // Ten times 4 MiB of answers and 128 requests.
    assert!(grown < 64 << 20, "{grown}");
    for ((flooder, _), (from, ids)) in flooders.iter().zip(&floods) {
        flooder.read_on();
        all_answered(flooder, *from, ids).await;
    }
    drop((polite, flooders));
    stage.finish();
}
