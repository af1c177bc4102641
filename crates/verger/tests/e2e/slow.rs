//! Clients that do not read: who can wait is caught up, who cannot is cut and may come back; the others notice nothing
//! (K5, K6).

use serde_json::{Value, json};
use verger_testkit::{Client, Goodbye, Link, NoResult};

use crate::approvals::{ASK, WRITE, asking};
use crate::stage::{Stage, begin_turn, closed, ended, resume, turn};

const CUT: Goodbye = Goodbye { code: Some(4408) };

/// What the fake model says to `STREAM n= size=`.
fn streamed(n: usize, size: usize) -> String {
    (0..n).map(|i| format!("{:.size$}", format!("{i:06} ") + &".".repeat(size))).collect()
}

fn with_replay() -> Value {
    json!({ "experimentalApi": true, "extensions": { "verger/replay": {} } })
}

/// What a client that knows nothing of replay makes of what it is told of a thread: each item's text as its deltas say,
/// each event once.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// Of each item, by its turn.
    texts: Vec<((String, String), String)>,
    /// Methods and ids of everything else, in order.
    events: Vec<String>,
    deltas: usize,
}

impl Told {
    /// An item's text so far.
    fn of(&mut self, key: (String, String)) -> &mut String {
        let known = self.texts.iter().position(|(known, _)| *known == key);
        let at = known.unwrap_or_else(|| {
            self.texts.push((key, String::new()));
            self.texts.len() - 1
        });
        &mut self.texts[at].1
    }

    /// All that the model said.
    fn text(&self) -> String {
        self.texts.iter().map(|(_, text)| text.as_str()).collect()
    }
}

fn told(client: &Client, from: usize, thread: &str) -> Told {
    let mut told = Told::default();
    for message in client.since(from) {
        let (params, method) = (&message["params"], message["method"].as_str().unwrap_or_default());
        if message.get("id").is_some() || params["threadId"] != thread || method.starts_with("thread/") {
            continue;
        }
        let (turn, item) = (params["turnId"].as_str().unwrap_or_default(), &params["item"]);
        match method {
            "item/agentMessage/delta" => {
                let item = params["itemId"].as_str().expect("an item");
                let text = told.of((turn.to_owned(), item.to_owned()));
                text.push_str(params["delta"].as_str().expect("text"));
                told.deltas += 1;
            }
            "item/completed" if item["type"] == "agentMessage" => {
                let key = (turn.to_owned(), item["id"].as_str().expect("an id").to_owned());
                let so_far = told.of(key.clone()).as_str();
                assert_eq!(Some(so_far), item["text"].as_str(), "the deltas are not the message");
                told.events.push(format!("{method} {}", key.1));
            }
            "item/started" | "item/completed" => told.events.push(format!("{method} {}", item["id"])),
            "turn/started" | "turn/completed" => {
                told.events.push(format!("{method} {} {}", params["turn"]["id"], params["turn"]["status"]));
            }
            _ => {}
        }
    }
    told
}

/// A client of the run's own socket, where clients are waited for.
async fn on_socket(stage: &Stage, name: &str) -> Client {
    Client::open(&stage.run_socket(), name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_waited_for_gets_everything_late_in_few_pieces() {
    let stage = Stage::lazy(&["polite"]);
    let fast = stage.client("fast").await;
    let slow = on_socket(&stage, "slow").await;
    let thread = stage.saved(&fast).await;
    resume(&slow, &thread).await;
    let (a, b) = (fast.mark(), slow.mark());
    slow.stop_reading();
    for round in 0..4 {
        turn(&fast, &thread, "CALL mcp__helper echo {\"text\":\"x\"}").await;
        let text = format!("STREAM n={} size=200", 2000 + round);
        turn(&fast, &thread, &text).await;
    }
    let before = stage.daemon.rss().unwrap();
    let last = begin_turn(&fast, &thread, "STREAM n=20000 size=1000").await;
    ended(&fast, a, &last).await;
    let grown = stage.daemon.rss().unwrap().saturating_sub(before);
    assert!(grown < 18 << 20, "23 MB on the wire do not wait in memory: {grown}");
    slow.read_on();
    ended(&slow, b, &last).await;
    let (prompt, late) = (told(&fast, a, &thread), told(&slow, b, &thread));
    assert_eq!(late.events, prompt.events, "each event once, in order");
    assert!(late.texts == prompt.texts, "{} and {} bytes", late.text().len(), prompt.text().len());
    assert!(prompt.text().ends_with(&streamed(20_000, 1000)));
    assert!(late.deltas * 4 < prompt.deltas, "merged: {} of {}", late.deltas, prompt.deltas);
    // It is as prompt as the others from here on.
    let b = slow.mark();
    let id = begin_turn(&fast, &thread, "STREAM n=5 size=10").await;
    ended(&slow, b, &id).await;
    assert_eq!(told(&slow, b, &thread).deltas, 5);
    drop((fast, slow));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_waited_for_is_cut_and_comes_back_to_what_it_missed() {
    let stage = Stage::bare();
    let fast = stage.client("fast").await;
    let thread = stage.saved(&fast).await;
    let slow = Client::open_with(&stage.daemon.url(), "slow", with_replay()).await;
    let resumed = resume(&slow, &thread).await;
    let since = json!({ "logEpoch": resumed["replay"]["logEpoch"], "seq": resumed["replay"]["headSeq"] });
    let a = fast.mark();
    slow.stop_reading();
    let id = begin_turn(&fast, &thread, "STREAM n=20000 size=200").await;
    let ended_as = ended(&fast, a, &id).await;
    assert_eq!(ended_as["status"], "completed");
    let said = told(&fast, a, &thread);
    assert!(said.text() == streamed(20_000, 200), "{} bytes", said.text().len());
    let _log = stage.daemon.stderr_with("did not keep up");
    slow.read_on();
    assert_eq!(slow.closed().await, CUT);
    assert!(matches!(slow.ask("thread/loaded/list", json!({})).await, Err(NoResult::Closed)));

    let back = Client::open_with(&stage.daemon.url(), "slow", with_replay()).await;
    let from = back.mark();
    let answer = back.call("thread/resume", json!({ "threadId": thread, "since": since })).await;
    assert_eq!(answer["replay"]["recovered"], true, "{answer}");
    assert_eq!(answer["thread"]["turns"], json!([]));
    assert_eq!(ended(&back, from, &id).await["status"], "completed");
    let completed = back.notes(from, "item/completed").into_iter();
    let text: String = completed.filter_map(|note| Some(note["item"]["text"].as_str()?.to_owned())).collect();
    assert!(text == streamed(20_000, 200), "{} bytes", text.len());
    drop((fast, slow, back));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lagging_client_is_asked_once_it_has_heard_what_the_question_is_about() {
    let stage = Stage::lazy(&["polite"]);
    let fast = stage.client("fast").await;
    let slow = on_socket(&stage, "slow").await;
    let thread = asking(&stage, &fast).await;
    resume(&slow, &thread).await;
    let (a, b) = (fast.mark(), slow.mark());
    slow.stop_reading();
    let streaming = begin_turn(&fast, &thread, "STREAM n=4000 size=200").await;
    ended(&fast, a, &streaming).await;
    // Answered before the slow one hears of it.
    let first = begin_turn(&fast, &thread, WRITE).await;
    let question = fast.question(a, ASK).await;
    fast.reply(&question, json!({ "action": "accept" })).await;
    ended(&fast, a, &first).await;
    let from = fast.mark();
    let second = begin_turn(&fast, &thread, WRITE).await;
    let open = fast.question(from, ASK).await;
    slow.read_on();
    let asked = slow.question(b, ASK).await;
    assert_eq!(asked["id"], open["id"], "only what is still open, under the same id");
    let seen = slow.since(b);
    let place = |fits: &dyn Fn(&Value) -> bool| seen.iter().position(fits).expect("it came");
    let started = place(&|m| m["method"] == "turn/started" && m["params"]["turn"]["id"] == second.as_str());
    let asked_at = place(&|m| m["id"] == open["id"] && m.get("method").is_some());
    assert!(started < asked_at, "first the turn, then its question");
    let resolved = slow.notes(b, "serverRequest/resolved");
    assert_eq!(resolved, [Value::Null; 0], "it was not asked what was answered meanwhile");
    slow.reply(&asked, json!({ "action": "accept" })).await;
    ended(&fast, a, &second).await;
    assert_eq!(ended(&slow, b, &second).await["status"], "completed");
    assert_eq!(told(&slow, b, &thread).events, told(&fast, a, &thread).events);
    drop((fast, slow));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_that_no_log_holds_are_dropped_at_their_bound_and_that_is_said() {
    let stage = Stage::bare();
    let fast = stage.client("fast").await;
    let slow = on_socket(&stage, "slow").await;
    // Whatever it still takes counts.
    let b = slow.mark();
    slow.stop_reading();
    let thread = stage.saved(&fast).await;
    let name = "n".repeat(60_000);
    for _ in 0..60 {
        fast.call("thread/name/set", json!({ "threadId": thread, "name": name })).await;
    }
    slow.read_on();
    let warned = |params: &Value| params["message"].as_str().is_some_and(|m| m.contains("were dropped"));
    let warning = slow.note(b, "warning", warned).await;
    let told = slow.notes(b, "thread/name/updated").len();
    let dropped = warning["message"].as_str().and_then(|m| m.split(' ').next()?.parse::<usize>().ok());
    assert_eq!(dropped.map(|dropped| dropped + told), Some(60), "{warning}; {told} came");
    drop((fast, slow));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_gives_no_sign_of_life_is_let_go_and_one_that_only_listens_is_not() {
    let pings = "[server]\nping_interval = \"50ms\"\nping_timeout = \"300ms\"";
    let stage = Stage::new(|home| home.config().table(pings));
    let (dead, quiet) = (stage.client("dead").await, stage.client("quiet").await);
    let (thread, its) = (stage.saved(&quiet).await, stage.saved(&dead).await);
    let from = quiet.mark();
    dead.stop_reading();
    // What it waited for already it still takes.
    dead.begin("thread/loaded/list", json!({})).await.expect("connected");
    // Its thread is nobody's any more.
    closed(&quiet, from, &its).await;
    dead.read_on();
    // It may find the goodbye, or that its pongs have nowhere to go.
    dead.closed().await;
    let other = stage.client("other").await;
    let id = begin_turn(&other, &thread, "hi").await;
    ended(&quiet, from, &id).await;
    drop((dead, quiet, other));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_while_it_talks_is_told_why() {
    let stage = Stage::bare();
    let fast = stage.client("fast").await;
    let thread = stage.saved(&fast).await;
    let narrow = Link::narrow(&stage.daemon.url(), 16 << 10).await.expect("a connection");
    let slow = Client::over(narrow, "slow");
    slow.initialize(json!({})).await;
    resume(&slow, &thread).await;
    let a = fast.mark();
    slow.stop_reading();
    let id = begin_turn(&fast, &thread, "STREAM n=20000 size=200").await;
    ended(&fast, a, &id).await;
    let _log = stage.daemon.stderr_with("did not keep up");
    // What it says now is heard by nobody. Closed with that unread, the connection would be reset, and with it go the last
    // words.
    for _ in 0..20 {
        slow.begin("thread/loaded/list", json!({})).await.expect("it is not told yet");
    }
    slow.read_on();
    assert_eq!(slow.closed().await, CUT);
    drop((fast, slow));
    stage.finish();
}
