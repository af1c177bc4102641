//! Slots of a schedule: what becomes of one while an earlier run goes on, while the job is paused, and when there have been enough.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::jobs::{
    add, assert_each_once, calling, cancel, history, is_over, over, pause, read, seconds, told,
};
use crate::stage::Stage;

/// A job that is due every second, and calls a tool that takes so long.
fn every_second(takes: f64, overlap: &str) -> Value {
    let more = json!({ "schedule": "every 1s", "overlap": overlap });
    calling("slow", json!({ "seconds": takes }), more)
}

/// Waits until so many runs of a job have come to an end that `fits`.
async fn times(client: &Client, from: usize, count: usize, fits: impl Fn(&Value) -> bool) {
    let mut found = Vec::new();
    while found.len() < count {
        let run = told(client, from, |run| fits(run) && !found.contains(&run["id"])).await;
        found.push(run["id"].clone());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slot_is_skipped_while_an_earlier_run_goes_on() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    add(&client, "skip", every_second(120.0, "skip")).await;
    let first = told(&client, 0, |run| run["state"] == "running").await;
    times(&client, 0, 2, |run| run["state"] == "skipped").await;
    cancel(&client, first["id"].as_u64().expect("a number")).await;
    let next = told(&client, 0, |run| run["state"] == "running" && run["id"] != first["id"]).await;
    pause(&client, "skip").await;
    cancel(&client, next["id"].as_u64().expect("a number")).await;
    stage.assert_no_helper();
    let runs = history(&client, "skip").await;
    assert!(assert_each_once(&runs) >= 4, "{runs:#?}");
    let skipped: Vec<_> = runs.iter().filter(|run| run["state"] == "skipped").collect();
    let why = format!("overlap: run {} has not ended", first["id"]);
    assert!(skipped.iter().any(|run| run["reason"] == *why), "{skipped:?}");
    assert!(skipped.iter().all(|run| run["startedAt"].is_null() && run["dueAt"].is_null()), "{skipped:?}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn slots_that_queue_run_one_after_another_until_there_were_enough() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let mut definition = every_second(1.5, "queue");
    definition["maxRuns"] = json!(3);
    add(&client, "queue", definition).await;
    times(&client, 0, 3, |run| run["state"] == "succeeded").await;
    stage.assert_no_helper();
    let runs = history(&client, "queue").await;
    assert_eq!((runs.len(), assert_each_once(&runs)), (3, 3), "{runs:#?}");
    for pair in runs.windows(2) {
        assert!(seconds(&pair[0], "endedAt") <= seconds(&pair[1], "startedAt"), "{runs:#?}");
    }
    assert!(seconds(&runs[2], "startedAt") > seconds(&runs[2], "slotAt"), "the last had to wait: {runs:#?}");
    let job = read(&client, "queue").await;
    assert_eq!((&job["fired"], &job["next"]), (&json!(3), &Value::Null), "{job}");
    let next = client.call("verger/job/next", json!({ "name": "queue" })).await;
    assert_eq!(next["data"], json!([]));
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn parallel_slots_run_beside_each_other_each_with_its_own_helper() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let mut definition = every_second(120.0, "parallel");
    definition["maxRuns"] = json!(2);
    add(&client, "parallel", definition).await;
    times(&client, 0, 2, |run| run["state"] == "running").await;
    assert_eq!(read(&client, "parallel").await["running"], 2);
    stage.home.wait_for_helper_event("call", 2);
    let live = stage.home.tag().live();
    assert_eq!(live.len(), 2, "{live:?}");
    let runs = history(&client, "parallel").await;
    cancel(&client, runs[0]["id"].as_u64().expect("a number")).await;
    let left = stage.home.tag().live();
    let is_there = |pid| live.iter().any(|process| process.pid == pid);
    assert!(left.len() == 1 && is_there(left[0].pid), "the other's is untouched: {left:?} of {live:?}");
    cancel(&client, runs[1]["id"].as_u64().expect("a number")).await;
    stage.assert_no_helper();
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pause_lets_slots_pass_and_a_resumed_job_goes_on() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    add(&client, "job", every_second(0.0, "skip")).await;
    // Shows that time passes.
    add(&client, "clock", every_second(0.0, "skip")).await;
    let is_done = |name: &'static str| move |run: &Value| run["job"] == name && run["state"] == "succeeded";
    times(&client, 0, 1, is_done("job")).await;
    let paused = pause(&client, "job").await;
    assert_eq!((&paused["paused"], &paused["next"]), (&json!(true), &Value::Null), "{paused}");
    let begun = history(&client, "job").await;
    let last = begun.last().expect("it ran");
    over(&client, last["id"].as_u64().expect("a number")).await;
    let from = client.mark();
    times(&client, from, 3, is_done("clock")).await;
    assert_eq!(history(&client, "job").await.len(), begun.len(), "nothing of it ran meanwhile");

    let from = client.mark();
    let resumed = client.call("verger/job/resume", json!({ "name": "job" })).await;
    assert_eq!(resumed["job"]["paused"], false, "{resumed}");
    times(&client, from, 2, is_done("job")).await;
    pause(&client, "job").await;
    let runs = history(&client, "job").await;
    assert_each_once(&runs);
    let passed: Vec<_> = runs.iter().filter(|run| run["reason"] == "paused").collect();
    assert_eq!(passed.len(), 1, "one row for all of them: {runs:#?}");
    assert!(passed[0]["slots"].as_u64() >= Some(2) && passed[0]["state"] == "skipped", "{passed:?}");
    for run in client.notes(0, "verger/job/run/updated") {
        let run = &run["run"];
        assert!(!is_over(run) || run["state"] == "succeeded" || run["state"] == "skipped", "{run}");
    }
    client.close().await;
    stage.finish();
}
