//! Ends of servers and of runs: what was under way is recorded as what became of it, and of helpers only those go that are
//! nobody else's.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::jobs::{
    HANGS, add, assert_each_once, begun, cancel, history, is_over, over, pause, prompt, ran, run, told,
};
use crate::stage::{SHAPES, STUBBORN, Stage, closed, loaded, resume, touch};

/// Takes three seconds, in a call.
const LONG: &str = "CALL mcp__helper slow {\"seconds\":3}";

fn number(run: &Value) -> u64 {
    run["id"].as_u64().expect("a run has a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_server_leaves_its_run_interrupted_and_the_next_slot_runs() {
    let mut stage = Stage::lazy(&["setsid"]);
    let client = stage.client("before").await;
    add(&client, "job", prompt(HANGS, json!({ "schedule": "every 1s" }))).await;
    let torn = told(&client, 0, |run| run["state"] == "running" && !run["threadId"].is_null()).await;
    stage.home.wait_for_helper_event("call", 1);
    let helpers = stage.helpers();
    stage.daemon.signal(Signal::KILL);
    stage.daemon.wait(STUBBORN);
    drop(client);
    stage.start_again();
    let client = stage.client("after").await;
    let ended = over(&client, number(&torn)).await;
    assert_eq!(helpers.alive(), [0; 0], "alive when the run was said to be over");
    assert_eq!((&ended["state"], &ended["threadId"]), (&json!("interrupted"), &torn["threadId"]), "{ended}");
    assert!(!ended["reason"].is_null() && !ended["endedAt"].is_null(), "{ended}");
    let next = told(&client, 0, |run| number(run) > number(&torn) && run["state"] == "running").await;
    stage.home.wait_for_helper_event("call", 2);
    pause(&client, "job").await;
    cancel(&client, number(&next)).await;
    stage.assert_no_helper();
    let runs = history(&client, "job").await;
    assert_each_once(&runs);
    let interrupted: Vec<_> = runs.iter().filter(|run| run["state"] == "interrupted").collect();
    assert_eq!(interrupted, [&ended], "it stays what it was: {runs:#?}");
    let resumed = resume(&client, torn["threadId"].as_str().expect("an id")).await;
    let turns = resumed["thread"]["turns"].as_array().expect("turns").clone();
    assert_eq!(turns[0]["status"], "interrupted", "{turns:?}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_is_told_to_end_ends_its_runs_first() {
    for shape in SHAPES {
        let soon = "[threads]\ndrain_limit = \"100ms\"";
        let mut stage =
            Stage::new(|home| home.config().server("helper", &home.bad_helper(&[shape])).table(soon));
        let client = stage.client("before").await;
        add(&client, "job", prompt(HANGS, json!({ "overlap": "queue", "retries": 3 }))).await;
        let (running, waiting) = (run(&client, "job").await, run(&client, "job").await);
        begun(&client, running).await;
        stage.home.wait_for_helper_event("call", 1);
        stage.daemon.signal(Signal::TERM);
        assert!(stage.daemon.wait(STUBBORN * 2).success(), "{shape}: {}", stage.daemon.stderr());
        stage.assert_no_helper();
        drop(client);
        stage.start_again();
        let client = stage.client("after").await;
        let ended = over(&client, running).await;
        // Of what it left open another would say that it was interrupted.
        assert_eq!(ended["state"], "cancelled", "{shape}: {ended}");
        assert_eq!(ended["reason"], "the server was stopped", "{shape}");
        begun(&client, waiting).await;
        stage.home.wait_for_helper_event("call", 2);
        cancel(&client, waiting).await;
        stage.assert_no_helper();
        assert_eq!(history(&client, "job").await.len(), 2, "{shape}: what was cancelled is not tried again");
        client.close().await;
        stage.finish();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_run_that_ends_while_its_server_drains_has_succeeded() {
    let drains = "[threads]\ndrain_limit = \"1h\"";
    let mut stage =
        Stage::new(|home| home.config().server("helper", &home.bad_helper(&["polite"])).table(drains));
    let client = stage.client("before").await;
    add(&client, "job", prompt(LONG, json!({ "overlap": "queue" }))).await;
    let (running, waiting) = (run(&client, "job").await, run(&client, "job").await);
    begun(&client, running).await;
    stage.home.wait_for_helper_event("call", 1);
    stage.daemon.signal(Signal::TERM);
    assert!(stage.daemon.wait(STUBBORN * 2).success(), "{}", stage.daemon.stderr());
    stage.assert_no_helper();
    drop(client);
    stage.start_again();
    let client = stage.client("after").await;
    let ended = over(&client, running).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    // What had not begun is begun by whoever is there next.
    assert_eq!(over(&client, waiting).await["state"], "succeeded");
    stage.home.wait_for_helper_event("call", 2);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_person_in_the_thread_keeps_its_helper_and_an_observer_does_not() {
    let stage = Stage::lazy(&["polite"]);
    let (client, person) = (stage.client("client").await, stage.client("person").await);
    add(&client, "job", prompt(LONG, json!({}))).await;
    let first = run(&client, "job").await;
    let thread = begun(&client, first).await["threadId"].as_str().expect("an id").to_owned();
    stage.home.wait_for_helper_event("call", 1);
    resume(&person, &thread).await;
    let pid = touch(&person, &thread).await;
    let helpers = stage.helpers();
    let ended = over(&client, first).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(touch(&person, &thread).await, pid, "the person's helper was ended with the run");
    assert_eq!(helpers.alive(), [pid]);
    let from = client.mark();
    person.close().await;
    closed(&client, from, &thread).await;
    assert_eq!(helpers.alive(), [0; 0], "it goes with the person");

    let observer = stage.client("observer").await;
    let second = run(&client, "job").await;
    let thread = begun(&client, second).await["threadId"].as_str().expect("an id").to_owned();
    observer.call("thread/resume", json!({ "threadId": thread, "observe": true })).await;
    // After that of the first run, and two of the person.
    stage.home.wait_for_helper_event("call", 4);
    let helpers = stage.helpers();
    let ended = over(&client, second).await;
    assert_eq!(helpers.alive(), [0; 0], "nobody but an observer was there");
    assert_eq!(ended["state"], "succeeded", "{ended}");
    drop((client, observer));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_thread_takes_all_runs_of_a_job_that_wants_it_so() {
    let mut stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let definition = prompt("CALL mcp__helper pid {}", json!({ "thread": "same", "keep": 1 }));
    add(&client, "same", definition).await;
    let first = ran(&client, "same").await;
    ran(&client, "same").await;
    drop(client);
    stage.restart();
    let client = stage.client("client").await;
    let third = ran(&client, "same").await;
    stage.assert_no_helper();
    assert_eq!(third["threadId"], first["threadId"]);
    let thread = first["threadId"].as_str().expect("an id");
    let resumed = resume(&client, thread).await;
    assert_eq!(resumed["thread"]["turns"].as_array().map(Vec::len), Some(3), "{resumed}");
    assert_eq!(stage.home.helper_events("start").len(), 3, "each run had its own helper");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn runs_beside_live_chats_leave_their_helpers_alone() {
    let stage = Stage::lazy(&["stubborn"]);
    let (client, one, other) =
        (stage.client("client").await, stage.client("one").await, stage.client("other").await);
    let (first, second) = (stage.thread(&one).await, stage.saved(&other).await);
    let pids = [touch(&one, &first).await, touch(&other, &second).await];
    let chats = stage.helpers();
    let parallel = json!({ "overlap": "parallel", "timeout": "2s" });
    add(&client, "cut", prompt(HANGS, parallel)).await;
    add(&client, "short", prompt("CALL mcp__helper pid {}", json!({}))).await;
    let cut = [run(&client, "cut").await, run(&client, "cut").await];
    assert_eq!(ran(&client, "short").await["state"], "succeeded");
    for run in cut {
        let ended = told(&client, 0, |told| told["id"] == run && is_over(told)).await;
        assert_eq!(ended["state"], "timedOut", "{ended}");
    }
    let mut live: Vec<_> = stage.home.tag().live().iter().map(|process| process.pid).collect();
    live.sort_unstable();
    let mut wanted = pids.to_vec();
    wanted.sort_unstable();
    assert_eq!(live, wanted, "those of the chats, and no others");
    assert_eq!(chats.alive().len(), 2);
    assert_eq!([touch(&one, &first).await, touch(&other, &second).await], pids);
    assert_eq!(loaded(&client).await.len(), 2, "the runs have left their threads");
    drop((client, one, other));
    stage.finish();
}
