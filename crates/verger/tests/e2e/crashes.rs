//! SIGKILL of the server at many moments of what changes a thread's history: afterwards the thread is as it was before or
//! as it was to be, says which, and goes on. What had been acknowledged is as it was to be.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use verger_testkit::clock::monotonic;
use verger_testkit::{Client, Home};

use crate::restart::Random;
use crate::stage::{Stage, resume, say, scale, turn};

/// For each kind of change.
const KILLS: usize = 12;

/// One kind of change.
struct Change {
    method: &'static str,
    /// Longer than it takes, in microseconds.
    window: u64,
}

/// What was seen of one change before the server was killed.
struct Seen {
    answer: Option<Value>,
    told: Vec<Value>,
}

/// A thread of three turns, and a server that was killed while it was being changed.
async fn torn(
    stage: &mut Stage,
    random: &mut Random,
    change: &Change,
    params: impl Fn(&[String]) -> Value,
) -> (String, Seen) {
    let client = stage.client("before").await;
    let thread = stage.thread(&client).await;
    for text in ["one", "two", "three"] {
        turn(&client, &thread, text).await;
    }
    let turns = ids(&client, &thread).await;
    let mut asked = params(&turns);
    asked["threadId"] = thread.clone().into();
    let from = client.mark();
    let kill = async {
        moment(Duration::from_micros(random.below(change.window))).await;
        stage.daemon.signal(Signal::KILL);
    };
    let asking = async {
        let answer = client.ask(change.method, asked).await.ok();
        client.closed().await;
        answer
    };
    let (answer, ()) = tokio::join!(asking, kill);
    let told = client.since(from);
    stage.daemon.wait(Duration::from_secs(5));
    drop(client);
    stage.start_again();
    (thread, Seen { answer, told })
}

/// The moment of a kill is the test's input; nothing waits for it. Timers are too coarse for what takes less than a
/// millisecond.
async fn moment(after: Duration) {
    if after > Duration::from_millis(10) {
        return tokio::time::sleep(after).await;
    }
    let begun = monotonic();
    while monotonic() - begun < after {
        tokio::task::yield_now().await;
    }
}

async fn turns(client: &Client, thread: &str) -> Vec<Value> {
    let read = client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    read["thread"]["turns"].as_array().expect("turns").clone()
}

async fn ids(client: &Client, thread: &str) -> Vec<String> {
    turns(client, thread).await.iter().map(|turn| turn["id"].as_str().expect("an id").to_owned()).collect()
}

/// Goes on with the thread; the texts that its model was told.
async fn go_on(stage: &Stage, client: &Client, thread: &str) -> Vec<String> {
    resume(client, thread).await;
    assert_eq!(turn(client, thread, "next").await["status"], "completed");
    let body = stage.home.model().requests().last().expect("a request").body.clone();
    let input = body["input"].as_array().expect("input").clone();
    input.iter().map(|item| item["content"][0]["text"].as_str().unwrap_or_default().to_owned()).collect()
}

const WHOLE: [&str; 7] = ["one", "ok", "two", "ok", "three", "ok", "next"];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_revert_is_whole_or_has_not_been() {
    let (mut stage, mut random) = (Stage::bare(), Random::from_clock());
    let change = Change { method: "thread/revert", window: 3_000 };
    let mut reverted = 0;
    for round in 0..KILLS * scale() {
        let before = |turns: &[String]| json!({ "beforeTurnId": turns[1] });
        let (thread, seen) = torn(&mut stage, &mut random, &change, before).await;
        let client = stage.client("after").await;
        let left = turns(&client, &thread).await.len();
        let told = go_on(&stage, &client, &thread).await;
        match left {
            1 => {
                reverted += 1;
                assert_eq!(told, ["one", "ok", "next"], "round {round}");
            }
            left => {
                assert_eq!((left, seen.answer), (3, None), "round {round}");
                assert_eq!(told, WHOLE, "round {round}");
            }
        }
        client.close().await;
    }
    eprintln!("{reverted} of {} were reverted", KILLS * scale());
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_compaction_is_whole_or_interrupted() {
    let prompt = "STREAM n=20 size=10 delay_ms=2";
    let mut stage = Stage::new(|home: &Home| home.config().key("compact_prompt", &json!(prompt).to_string()));
    let mut random = Random::from_clock();
    let change = Change { method: "thread/compact/start", window: 90_000 };
    let (mut compacted, mut interrupted) = (0, 0);
    for round in 0..2 * KILLS * scale() {
        let (thread, seen) = torn(&mut stage, &mut random, &change, |_| json!({})).await;
        let ended = seen.told.iter().any(|message| message["method"] == "turn/completed");
        let client = stage.client("after").await;
        let turns = turns(&client, &thread).await;
        let told = go_on(&stage, &client, &thread).await;
        match turns.get(3).map(|turn| turn["status"].as_str().expect("a status")) {
            Some("completed") => {
                compacted += 1;
                assert_eq!((told.len(), told[1].as_str()), (2, "next"), "round {round}: {told:?}");
                assert!(told[0].contains("000019 "), "round {round}: all of the summary: {told:?}");
            }
            status => {
                assert!(!ended, "round {round}: {status:?}");
                assert!(status.is_some() || seen.answer.is_none(), "round {round}: the turn is lost");
                assert!(status.is_none_or(|status| status == "interrupted"), "round {round}: {turns:?}");
                interrupted += usize::from(status.is_some());
                assert_eq!(told, WHOLE, "round {round}");
            }
        }
        client.close().await;
    }
    eprintln!("of {} were {compacted} whole and {interrupted} interrupted", 2 * KILLS * scale());
    assert!(interrupted > 0, "no kill came while the model was asked");
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fork_is_whole_or_has_not_been() {
    let (mut stage, mut random) = (Stage::bare(), Random::from_clock());
    let change = Change { method: "thread/fork", window: 3_000 };
    let mut forked = 0;
    for round in 0..KILLS * scale() {
        let last = |turns: &[String]| json!({ "lastTurnId": turns[1] });
        let (thread, seen) = torn(&mut stage, &mut random, &change, last).await;
        let client = stage.client("after").await;
        let listed = client.call("thread/list", json!({})).await["data"].clone();
        let forks: Vec<&Value> = listed
            .as_array()
            .expect("threads")
            .iter()
            .filter(|listed| listed["forkedFromId"] == thread.as_str())
            .collect();
        assert!(forks.len() <= 1, "round {round}: {forks:?}");
        if let Some(answer) = seen.answer {
            assert_eq!(forks.first().map(|fork| &fork["id"]), Some(&answer["thread"]["id"]), "round {round}");
        }
        for fork in forks {
            forked += 1;
            let fork = fork["id"].as_str().expect("an id");
            assert_eq!(turns(&client, fork).await.len(), 2, "round {round}");
            assert_eq!(
                go_on(&stage, &client, fork).await,
                ["one", "ok", "two", "ok", "next"],
                "round {round}"
            );
        }
        assert_eq!(go_on(&stage, &client, &thread).await, WHOLE, "round {round}: its source is as it was");
        client.close().await;
    }
    eprintln!("{forked} of {} were forked", KILLS * scale());
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_injected_is_there_or_was_not_acknowledged() {
    let (mut stage, mut random) = (Stage::bare(), Random::from_clock());
    let change = Change { method: "thread/inject_items", window: 3_000 };
    let text = json!({ "type": "input_text", "text": "by the way" });
    let item = json!({ "type": "message", "role": "user", "content": [text] });
    for round in 0..KILLS * scale() {
        let (thread, seen) =
            torn(&mut stage, &mut random, &change, |_| json!({ "items": [item, item] })).await;
        let client = stage.client("after").await;
        assert_eq!(turns(&client, &thread).await.len(), 3, "round {round}");
        let told = go_on(&stage, &client, &thread).await;
        let injected = told.iter().filter(|text| *text == "by the way").count();
        assert!(injected == 2 || (injected, &seen.answer) == (0, &None), "round {round}: {told:?}");
        client.close().await;
    }
    stage.finish();
}

/// The fake model leaves 15 tokens behind every answer: here that is more than it holds, so that each turn with a tool sums
/// up between its two calls of the model.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_that_sums_up_on_its_way_is_torn_anywhere_and_calls_nothing_twice() {
    let prompt = json!("STREAM n=10 size=10 delay_ms=1").to_string();
    let mut stage = Stage::new(|home: &Home| {
        let config = home.config().key("compact_prompt", &prompt).key("model_auto_compact_token_limit", "15");
        config.server("helper", &home.bad_helper(&["polite"]))
    });
    let mut random = Random::from_clock();
    let (mut completed, mut calls) = (0, 0);
    for round in 0..2 * KILLS * scale() {
        let client = stage.client("before").await;
        let thread = stage.thread(&client).await;
        let kill = async {
            // The moment is the test's input; nothing waits for it.
            tokio::time::sleep(Duration::from_micros(random.below(250_000))).await;
            stage.daemon.signal(Signal::KILL);
        };
        let begun = async {
            let begun =
                client.ask("turn/start", say(&thread, "CALL mcp__helper echo {\"text\":\"x\"}")).await;
            client.closed().await;
            begun.is_ok()
        };
        let (begun, ()) = tokio::join!(begun, kill);
        stage.daemon.wait(Duration::from_secs(5));
        drop(client);
        stage.start_again();
        let client = stage.client("after").await;
        let made = stage.home.helper_events("call").len() - calls;
        assert!(made <= 1, "round {round}: the call was made {made} times");
        calls += made;
        if begun {
            let turn_of = turns(&client, &thread).await.remove(0);
            let status = turn_of["status"].as_str().expect("a status");
            assert!(["completed", "interrupted"].contains(&status), "round {round}: {turn_of}");
            completed += usize::from(status == "completed");
            resume(&client, &thread).await;
            assert_eq!(turn(&client, &thread, "next").await["status"], "completed", "round {round}");
            assert_eq!(stage.home.helper_events("call").len(), calls, "round {round}: nothing is made again");
        }
        client.close().await;
    }
    eprintln!("{completed} of {} were completed", 2 * KILLS * scale());
    stage.finish();
}
