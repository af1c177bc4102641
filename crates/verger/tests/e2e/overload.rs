//! Floods: what exceeds a connection's queue is refused, everything is answered once, and the others are served.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use verger_testkit::Client;

use crate::stage::{Stage, loaded, say, tool, turn};

/// Requests that one connection may have under way.
const IN_FLIGHT: usize = 128;

const OVERLOADED: i64 = -32001;

/// Answers by their codes; 0 is success.
type Codes = BTreeMap<i64, usize>;

/// How often each id was answered from `from` on, and with which codes.
fn answers(client: &Client, from: usize) -> (BTreeMap<i64, usize>, Codes) {
    let (mut times, mut codes) = (BTreeMap::new(), Codes::new());
    for message in client.since(from).into_iter().filter(|m| m.get("method").is_none()) {
        *times.entry(message["id"].as_i64().expect("an id")).or_default() += 1;
        let code = message["error"]["code"].as_i64().unwrap_or_default();
        if code == OVERLOADED {
            assert_eq!(message["error"]["message"], "Server overloaded; retry later.");
        }
        *codes.entry(code).or_default() += 1;
    }
    (times, codes)
}

/// Waits until each request has been answered; with which codes.
async fn codes(client: &Client, from: usize, ids: &[i64]) -> Codes {
    let left: RefCell<BTreeSet<i64>> = RefCell::new(ids.iter().copied().collect());
    let is_last = |m: &Value| {
        let id = m["id"].as_i64().filter(|_| m.get("method").is_none());
        id.is_some_and(|id| left.borrow_mut().remove(&id) && left.borrow().is_empty())
    };
    client.find(from, "the last answer", is_last).await.expect("connected");
    let (times, codes) = answers(client, from);
    assert_eq!(times.keys().copied().collect::<Vec<_>>(), ids, "every request is answered, and nothing else");
    assert!(times.values().all(|times| *times == 1), "each once");
    codes
}

/// The same where none is refused but for overload; how many were.
async fn all_answered(client: &Client, from: usize, ids: &[i64]) -> usize {
    let mut codes = codes(client, from, ids).await;
    codes.remove(&0);
    let refused = codes.remove(&OVERLOADED).unwrap_or_default();
    assert_eq!(codes, Codes::new());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_turns_at_one_thread_is_answered_and_what_was_taken_is_kept() {
    let stage = Stage::lazy(&["polite"]);
    let (flooder, polite) = (stage.client("flooder").await, stage.client("polite").await);
    let (thread, calm) = (stage.saved(&flooder).await, stage.saved(&polite).await);
    let from = flooder.mark();
    let mut ids = Vec::new();
    for n in 0..4 * IN_FLIGHT {
        ids.push(flooder.begin("turn/start", say(&thread, &format!("input {n}."))).await.expect("connected"));
    }
    for _ in 0..5 {
        assert_eq!(turn(&polite, &calm, "hi").await["status"], "completed");
        polite.call("mcpServer/tool/call", tool(&calm, "echo", json!({ "text": "x" }))).await;
    }
    let refused = all_answered(&flooder, from, &ids).await;
    assert!(refused < ids.len(), "some are taken");
    // Behind all of them, whose input it would join if they were still under way.
    turn(&flooder, &thread, "the last.").await;
    let read = flooder.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    let turns = read["thread"]["turns"].as_array().expect("turns");
    let items = turns.iter().flat_map(|turn| turn["items"].as_array().expect("items"));
    let inputs: Vec<String> = items
        .filter(|item| item["type"] == "userMessage")
        .map(|item| item["content"][0]["text"].as_str().expect("text").to_owned())
        .collect();
    let taken =
        flooder.since(from).into_iter().filter(|m| m.get("result").is_some() && m.get("method").is_none());
    let taken = taken.filter_map(|m| ids.iter().position(|id| m["id"] == *id));
    let taken = taken.map(|n| format!("input {n}."));
    let told: Vec<String> =
        std::iter::once("hi".to_owned()).chain(taken).chain(["the last.".to_owned()]).collect();
    assert_eq!(inputs, told, "what was taken is kept, in its order, and nothing else");
    drop((flooder, polite));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_threads_ends_at_their_bound() {
    const BOUND: usize = 10;
    let stage = Stage::new(|home| {
        let config = home.config().server("helper", &home.bad_helper(&["polite"]));
        config.table(&format!("[server]\nmax_threads_per_connection = {BOUND}"))
    });
    let (flooder, polite) = (stage.client("flooder").await, stage.client("polite").await);
    let calm = stage.saved(&polite).await;
    let from = flooder.mark();
    let mut ids = Vec::new();
    for _ in 0..4 * IN_FLIGHT {
        let start = json!({ "cwd": stage.home.work() });
        ids.push(flooder.begin("thread/start", start).await.expect("connected"));
    }
    for _ in 0..5 {
        assert_eq!(turn(&polite, &calm, "hi").await["status"], "completed");
    }
    let mut codes = codes(&flooder, from, &ids).await;
    assert_eq!(codes.remove(&0), Some(BOUND), "{codes:?}");
    assert!(codes.keys().all(|code| [-32600, OVERLOADED].contains(code)), "{codes:?}");
    assert_eq!(loaded(&polite).await.len(), BOUND + 1);
    // The bound is each connection's own.
    stage.saved(&polite).await;
    drop((flooder, polite));
    stage.finish();
}

/// So many answers may a flooder get for each one of a polite client's: what one asks for waits behind one full queue at
/// worst, and the rest is how long a busy machine takes to tell the client.
const FAIR: usize = 2 * IN_FLIGHT;

/// So many of a flood wait for their answers: more than would be fair, and not without an end.
const WAITING: usize = 4 * FAIR;

/// Asks until it is over, without waiting for what is still to come; the ids.
async fn flood(client: &Client, method: &str, params: &Value, is_over: &AtomicBool) -> Vec<i64> {
    let (mut ids, mut marks) = (Vec::new(), Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        marks.push(client.mark());
        ids.push(client.begin(method, params.clone()).await.expect("connected"));
        let sent = ids.len();
        if sent > WAITING && sent.is_multiple_of(IN_FLIGHT) {
            let (mark, id) = (marks[sent - WAITING], ids[sent - WAITING]);
            let is_answer = |m: &Value| m.get("method").is_none() && m["id"] == id;
            client.find(mark, method, is_answer).await.expect("connected");
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polite_client_gets_its_share_whatever_another_floods_with() {
    const CALLS: usize = 12;
    let stage = Stage::lazy(&["polite"]);
    let (flooder, polite) = (Arc::new(stage.client("flooder").await), stage.client("polite").await);
    let (thread, calm) = (stage.saved(&flooder).await, stage.saved(&polite).await);
    for (method, params) in [
        // Behind the polite one's own calls: in its thread's owner, and in its helper.
        ("thread/read", json!({ "threadId": calm, "includeTurns": true })),
        ("mcpServer/tool/call", tool(&calm, "echo", json!({ "text": "x" }))),
        // Elsewhere, with what is between threads, the store, and a model.
        ("mcpServerStatus/list", json!({ "threadId": thread })),
        ("thread/list", json!({})),
        ("turn/start", say(&thread, "hi")),
    ] {
        let from = flooder.mark();
        let is_over = Arc::new(AtomicBool::new(false));
        let mut flooding = JoinSet::new();
        let (client, over) = (Arc::clone(&flooder), Arc::clone(&is_over));
        flooding.spawn(async move { flood(&client, method, &params, &over).await });
        flooder.find(from, "a flood", |m| m.get("id").is_some()).await.expect("connected");
        let begun = flooder.mark();
        for n in 0..CALLS {
            match n % 3 {
                0 => polite.call("thread/loaded/list", json!({})).await,
                1 => polite.call("thread/read", json!({ "threadId": calm, "includeTurns": true })).await,
                _ => polite.call("mcpServer/tool/call", tool(&calm, "echo", json!({ "text": "x" }))).await,
            };
        }
        let served = answers(&flooder, begun).1.remove(&0).unwrap_or_default();
        is_over.store(true, Ordering::Relaxed);
        let ids = flooding.join_next().await.expect("there is one").expect("it floods");
        let refused = all_answered(&flooder, from, &ids).await;
        println!("{method}: {} asked, {refused} refused, {served} served meanwhile", ids.len());
        assert!(served <= FAIR * CALLS, "{method}: {served} for {CALLS}");
    }
    drop((flooder, polite));
    stage.finish();
}
