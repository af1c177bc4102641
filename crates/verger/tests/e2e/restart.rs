//! SIGKILL of the server at random moments of a client's work: after the restart nothing acknowledged is lost, nothing
//! torn is shown as whole, and nothing of the old run lives.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use verger_testkit::{Client, NoResult};

use crate::stage::{Stage, begin_turn, resume, say, scale, tool};

const KILLS: usize = 20;

/// Long enough for the script's first few rounds, short enough to hit each step often.
const WINDOW_MS: u64 = 400;

/// What the server has promised to keep of one thread.
#[derive(Debug, Default)]
struct Promises {
    thread: String,
    turns: Vec<String>,
    items: Vec<Value>,
    completed: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let mut stage = Stage::lazy(&["setsid"]);
    let mut random = Random::from_clock();
    let (mut turns, mut items) = (0, 0);
    for round in 0..KILLS * scale() {
        let client = stage.client("client").await;
        let after = Duration::from_millis(random.below(WINDOW_MS));
        let mut promises = Vec::new();
        {
            let kill = async {
                // The moment is the test's input; nothing waits for it.
                tokio::time::sleep(after).await;
                stage.daemon.signal(Signal::KILL);
            };
            tokio::join!(work(&client, &stage, &mut promises), kill);
        }
        stage.daemon.wait(Duration::from_secs(5));
        stage.start_again();
        let client = stage.client("after").await;
        assert_eq!(
            stage.home.tag().live(),
            [],
            "round {round}: the old run's helpers outlived the first answer"
        );
        for promise in &promises {
            turns += promise.turns.len();
            items += promise.items.len();
            check(&client, promise, round).await;
        }
        client.close().await;
    }
    assert!(turns > KILLS && items > KILLS, "the script hardly ran: {turns} turns, {items} items");
    let figures =
        json!({ "kills": KILLS * scale(), "turns_acknowledged": turns, "items_acknowledged": items });
    println!("SOAK {figures}");
    stage.finish();
}

/// The script: until the server is gone, new threads, each with a short answer, a streamed one, a tool call outside a
/// turn and one inside.
async fn work(client: &Client, stage: &Stage, promises: &mut Vec<Promises>) {
    let cwd = stage.home.work();
    // Every step ends this future when the connection does.
    loop {
        let Ok(started) = client.ask("thread/start", json!({ "cwd": cwd })).await else { return };
        let thread = started["thread"]["id"].as_str().expect("a thread has an id").to_owned();
        let place = promises.len();
        promises.push(Promises { thread: thread.clone(), ..Promises::default() });
        for text in ["hi", "STREAM n=20 size=20 delay_ms=1", "CALL mcp__helper echo {\"text\":\"x\"}"] {
            if one_turn(client, &thread, text, &mut promises[place]).await.is_err() {
                return;
            }
            if client.ask("mcpServer/tool/call", tool(&thread, "pid", json!({}))).await
                == Err(NoResult::Closed)
            {
                return;
            }
        }
    }
}

/// Runs a turn, and writes down each acknowledgement that came, also when the end of the connection cut it short.
async fn one_turn(client: &Client, thread: &str, text: &str, kept: &mut Promises) -> Result<(), NoResult> {
    let from = client.mark();
    let started = client.ask("turn/start", say(thread, text)).await?;
    let id = started["turn"]["id"].as_str().expect("a turn has an id").to_owned();
    kept.turns.push(id.clone());
    let over = client
        .find(from, "turn/completed", |m| m["params"]["turn"]["id"] == *id && m["method"] == "turn/completed")
        .await;
    for note in client.notes(from, "item/completed") {
        if note["turnId"] == *id {
            kept.items.push(note["item"].clone());
        }
    }
    let over = over.ok_or(NoResult::Closed)?;
    assert_eq!(over["params"]["turn"]["status"], "completed", "{text}: {over}");
    kept.completed.push(id);
    Ok(())
}

async fn check(client: &Client, promised: &Promises, round: usize) {
    let Promises { thread, .. } = promised;
    let read = client.ask("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    let read = match read {
        Ok(read) => read,
        // Without an acknowledged turn nothing of the thread was promised.
        Err(_) if promised.turns.is_empty() => return,
        Err(error) => panic!("round {round}: {thread} is lost: {error}; promised {promised:?}"),
    };
    let turns = read["thread"]["turns"].as_array().expect("turns");
    let status =
        |id: &String| turns.iter().find(|turn| turn["id"] == **id).map(|turn| turn["status"].clone());
    for id in &promised.turns {
        assert!(status(id).is_some(), "round {round}: turn {id} is lost in {read}");
    }
    for id in &promised.completed {
        assert_eq!(status(id).expect("checked above"), "completed", "round {round}: {read}");
    }
    for turn in turns {
        let status = &turn["status"];
        assert!(status == "completed" || status == "interrupted", "round {round}: nobody runs {turn}");
    }
    let stored: Vec<&Value> =
        turns.iter().flat_map(|turn| turn["items"].as_array().expect("items")).collect();
    for item in &promised.items {
        let found = stored.iter().find(|stored| stored["id"] == item["id"]);
        let found = found.unwrap_or_else(|| panic!("round {round}: {item} is lost in {read}"));
        assert_eq!(*found, item, "round {round}: kept otherwise than it was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_torn_turn_is_interrupted_and_its_call_is_not_made_again() {
    let mut stage = Stage::lazy(&["polite"]);
    let client = stage.client("before").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let turn = begin_turn(&client, &thread, "CALL mcp__helper slow {\"seconds\":60}").await;
    client.note(from, "item/started", |params| params["item"]["type"] == "mcpToolCall").await;
    stage.home.wait_for_helper_event("call", 1);
    stage.daemon.signal(Signal::KILL);
    stage.daemon.wait(Duration::from_secs(5));
    drop(client);
    stage.start_again();
    let client = stage.client("after").await;
    let resumed = resume(&client, &thread).await;
    let turns = resumed["thread"]["turns"].as_array().expect("turns").clone();
    let torn = turns.iter().find(|t| t["id"] == turn.as_str()).expect("the torn turn is there");
    assert_eq!(torn["status"], "interrupted", "{torn}");
    let items = torn["items"].as_array().expect("items");
    let call = items.iter().find(|item| item["type"] == "mcpToolCall").expect("the call is there");
    assert_eq!(call["status"], "failed", "{call}");
    assert!(call["error"]["message"].as_str().unwrap_or_default().contains("outcome unknown"), "{call}");
    assert_eq!(crate::stage::turn(&client, &thread, "go on").await["status"], "completed");
    assert_eq!(stage.home.helper_events("call").len(), 1, "the call was made once");
    client.close().await;
    stage.finish();
}

/// Random enough to choose moments; says its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn from_clock() -> Self {
        let nanoseconds = verger_testkit::clock::monotonic().as_nanos();
        let seed = u64::try_from(nanoseconds).expect("less than 500 years") | 1;
        eprintln!("seed {seed}");
        Self(seed)
    }

    /// xorshift64.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
