//! Two servers on one home that are killed at random moments: each slot of each job is in the ledger once, run or skipped, and
//! what a killed server ran is interrupted, once its helpers are gone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use verger_testkit::{Client, Daemon, Home, Launch, LeakGuard};

use crate::jobs::{
    HANGS, add, assert_each_once, begun, cancel, history, is_over, over, prompt, read, run, seconds, told,
};
use crate::restart::Random;
use crate::stage::{STUBBORN, scale, verger};

/// Each due every second: so many slots in a test's minute.
const JOBS: [&str; 4] = ["a", "b", "c", "d"];

const SLOTS: usize = 40;

/// How long at most both servers are left alone.
const WINDOW_MS: u64 = 1_200;

/// When a server was killed, in Unix seconds.
#[derive(Debug)]
struct Kill {
    from: i64,
    to: i64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_servers_that_are_killed_run_each_slot_once_or_say_why_not() {
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().expect("a temporary folder and a port");
    let config = home.config().server("helper", &home.bad_helper(&["setsid"]));
    let config = JOBS
        .iter()
        .enumerate()
        .fold(config, |config, (number, name)| config.table(&definition(name, number)));
    home.write_config(&config.text()).expect("the home is writable");
    let mut servers = [serve(&home, 0), serve(&home, 1)];
    let mut random = Random::from_clock();
    let (mut kills, began) = (Vec::new(), unix());
    // The moments are the test's input; nothing waits for them.
    while usize::try_from(unix() - began).expect("time goes on") * JOBS.len() < SLOTS * scale() {
        tokio::time::sleep(Duration::from_millis(random.below(WINDOW_MS))).await;
        let which = usize::from(random.below(2) == 0);
        // Now and then nobody is there for a while.
        let both = random.below(4) == 0;
        let from = unix();
        kill(&mut servers[which]);
        if both {
            kill(&mut servers[1 - which]);
            tokio::time::sleep(Duration::from_millis(random.below(WINDOW_MS))).await;
            servers[1 - which] = serve(&home, 1 - which);
        }
        kills.push(Kill { from, to: unix() });
        servers[which] = serve(&home, which);
    }

    let clients =
        [Client::open(&servers[0].url(), "first").await, Client::open(&servers[1].url(), "second").await];
    // From here on both are told.
    for client in &clients {
        client.call("verger/job/list", json!({})).await;
    }
    for name in JOBS {
        clients[0].call("verger/job/pause", json!({ "name": name })).await;
    }
    let mut rows = Vec::new();
    for name in JOBS {
        settle(&clients, name).await;
        let runs = history(&clients[1], name).await;
        assert_each_once(&runs);
        rows.extend(runs);
    }
    judge(&rows, &kills);
    let calls = home.helper_events("call").len();
    let begun = rows.iter().filter(|run| !run["startedAt"].is_null()).count();
    assert!(calls <= begun, "{calls} calls of {begun} runs: one was made twice");
    let count = |state: &str| rows.iter().filter(|run| run["state"] == state).count();
    let figures = json!({
        "kills": kills.len(),
        "slots": crate::jobs::slots(&rows).len(),
        "succeeded": count("succeeded"),
        "skipped_rows": count("skipped"),
        "interrupted": count("interrupted"),
    });
    println!("SOAK {figures}");
    assert!(count("succeeded") > rows.len() / 8, "hardly a run came to its end: {figures}");
    assert!(count("interrupted") > 0, "no run was ever torn: {figures}");
    for client in clients {
        client.close().await;
    }
    for server in servers {
        assert!(server.stop().success());
    }
    finish(home, guard);
}

/// Runs take from no time to longer than the next slot.
fn definition(name: &str, number: usize) -> String {
    let seconds = [0.0, 0.2, 0.6, 1.3][number];
    let overlap = ["skip", "queue", "parallel", "skip"][number];
    format!(
        "[jobs.{name}]\nschedule = \"every 1s\"\noverlap = \"{overlap}\"\nkeep = 100000\n\
         call = {{ server = \"helper\", tool = \"slow\", arguments = {{ seconds = {seconds:?} }} }}\n"
    )
}

/// A home with a helper that outlives its leader, and the first server that serves it.
async fn first_server() -> (LeakGuard, Home, Daemon, Client) {
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().expect("a temporary folder and a port");
    let config = home.config().server("helper", &home.bad_helper(&["setsid"]));
    home.write_config(&config.text()).expect("the home is writable");
    let first = serve(&home, 0);
    let here = Client::open(&first.url(), "here").await;
    (guard, home, first, here)
}

/// To be called when all servers have ended.
fn finish(home: Home, guard: LeakGuard) {
    home.tag().wait_gone(STUBBORN).expect("helpers outlived their servers");
    drop(home);
    guard.finish();
}

fn serve(home: &Home, which: usize) -> Daemon {
    let socket = format!("unix://{}", home.path().join(format!("{which}.sock")).display());
    let launch = Launch::new(verger(), home, &["app-server", "--listen", &socket]);
    launch.start().unwrap_or_else(|refused| panic!("{}: {}", refused.status, refused.stderr))
}

fn kill(server: &mut Daemon) {
    server.signal(rustix::process::Signal::KILL);
    server.wait(Duration::from_secs(10));
}

/// Waits for the end of every run of a job that is paused by now. Each is told of by the server that ran it.
async fn settle(clients: &[Client; 2], name: &str) {
    for run in history(&clients[0], name).await.iter().filter(|run| !is_over(run)) {
        let ended = |told: &Value| told["id"] == run["id"] && is_over(told);
        tokio::select! {
            _ = told(&clients[0], 0, ended) => {}
            _ = told(&clients[1], 0, ended) => {}
        }
    }
}

fn judge(rows: &[Value], kills: &[Kill]) {
    for run in rows {
        assert!(is_over(run), "nobody runs it any more: {run}");
        match run["state"].as_str().unwrap_or_default() {
            "succeeded" => {}
            "skipped" => assert!(!run["reason"].is_null(), "{run}"),
            "interrupted" => {
                let lived = seconds(run, "startedAt")..=seconds(run, "endedAt");
                let is_torn = |kill: &Kill| kill.to >= *lived.start() && kill.from <= *lived.end();
                assert!(kills.iter().any(is_torn), "nobody was killed while it ran: {run}; {kills:?}");
            }
            _ => panic!("no job of these ends so: {run}"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's own clock, to compare with the times of rows")]
fn unix() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
    i64::try_from(now.as_secs()).expect("it is not that late")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn runs_that_do_not_overlap_wait_for_that_of_the_other_server() {
    let (guard, home, first, here) = first_server().await;
    add(&here, "one", prompt(HANGS, json!({ "overlap": "queue" }))).await;
    let second = serve(&home, 1);
    let there = Client::open(&second.url(), "there").await;
    let before = run(&here, "one").await;
    begun(&here, before).await;
    let after = run(&there, "one").await;
    // It has been looked at, and more than once: five seconds after the first time.
    let beside = add(&there, "late", prompt("hi", json!({ "schedule": "every 7s" }))).await;
    assert!(!beside["next"].is_null(), "{beside}");
    let one = told(&there, 0, |run| run["job"] == "late" && is_over(run)).await;
    told(&there, 0, |run| run["job"] == "late" && is_over(run) && run["id"] != one["id"]).await;
    let waits = there.call("verger/job/run/read", json!({ "run": after })).await["run"].clone();
    assert_eq!(waits["state"], "scheduled", "{waits}");
    let ended = cancel(&here, before).await;
    begun(&there, after).await;
    let began = there.call("verger/job/run/read", json!({ "run": after })).await["run"].clone();
    assert!(seconds(&began, "startedAt") >= seconds(&ended, "endedAt"), "{began}, {ended}");
    cancel(&there, after).await;
    there.call("verger/job/remove", json!({ "name": "late" })).await;
    here.close().await;
    there.close().await;
    assert!(first.stop().success() && second.stop().success());
    finish(home, guard);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_one_server_changed_the_other_keeps_to_and_goes_on_with() {
    let (guard, home, first, here) = first_server().await;
    let says = |text: &str| json!({ "server": "helper", "tool": "echo", "arguments": { "text": text } });
    let definition = json!({ "schedule": "every 1s", "call": says("old") });
    add(&here, "clock", definition).await;
    let second = serve(&home, 1);
    let there = Client::open(&second.url(), "there").await;
    assert_eq!(read(&there, "clock").await["definition"]["call"], says("old"), "it is known there");
    told(&there, 0, |run| run["state"] == "succeeded").await;
    let edit = json!({ "name": "clock", "changes": { "call": says("new") } });
    here.call("verger/job/edit", edit).await;
    let (from, edited) = (there.mark(), unix());
    // Nobody has told the other of this job.
    add(&here, "late", prompt(HANGS, json!({ "overlap": "queue" }))).await;
    let (torn, waits) = (run(&here, "late").await, run(&here, "late").await);
    begun(&here, torn).await;
    first.kill();
    drop(here);

    let is_later = |run: &Value| run["state"] == "succeeded" && seconds(run, "slotAt") > edited;
    let next = told(&there, from, |run| run["job"] == "clock" && is_later(run)).await;
    assert_eq!(next["summary"], "new", "it was changed before the first was killed: {next}");
    assert_eq!(over(&there, torn).await["state"], "interrupted");
    let began = told(&there, 0, |run| run["id"] == waits && run["state"] != "scheduled").await;
    assert_eq!(began["state"], "running", "it was asked for, and not begun: {began}");
    assert_eq!(began["job"], "late");
    cancel(&there, waits).await;
    there.close().await;
    assert!(second.stop().success());
    finish(home, guard);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_killed_server_ran_is_not_in_the_way_of_the_next_slot() {
    let (guard, home, first, here) = first_server().await;
    let call = json!({ "server": "helper", "tool": "slow", "arguments": { "seconds": 120 } });
    add(&here, "long", json!({ "schedule": "every 1s", "call": call })).await;
    let torn = told(&here, 0, |run| run["state"] == "running").await;
    home.wait_for_helper_event("call", 1);
    let second = serve(&home, 1);
    let there = Client::open(&second.url(), "there").await;
    there.call("verger/job/list", json!({})).await;
    first.kill();
    let killed = unix();
    drop(here);

    let next = told(&there, 0, |run| run["state"] == "running" && run["id"] != torn["id"]).await;
    let torn_now = over(&there, torn["id"].as_u64().expect("a number")).await;
    assert_eq!(torn_now["state"], "interrupted");
    let in_the_way = format!("run {} ", torn["id"]);
    let names_it = |run: &&Value| run["reason"].as_str().is_some_and(|why| why.contains(&in_the_way));
    let runs = history(&there, "long").await;
    let late: Vec<_> = runs.iter().filter(names_it).filter(|run| seconds(run, "slotAt") > killed).collect();
    assert!(late.is_empty(), "skipped for what was torn: {late:#?}");
    assert_each_once(&runs);
    crate::jobs::pause(&there, "long").await;
    cancel(&there, next["id"].as_u64().expect("a number")).await;
    there.close().await;
    assert!(second.stop().success());
    finish(home, guard);
}
