//! The thread switch: a client opens a saved thread, uses a helper, and leaves. Nothing stays.

use serde_json::json;
use verger_testkit::clock::monotonic;

use crate::stage::{SOON, STUBBORN, Stage, closed, loaded, resume, touch};

const THREADS: usize = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    Goodbye,
    Cut,
    Unsubscribe,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lazy_helpers_go_with_a_client_that_says_goodbye() {
    switch(Stage::lazy(&["polite"]), Leave::Goodbye).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lazy_helpers_go_with_a_client_that_is_cut_off() {
    switch(Stage::lazy(&["polite"]), Leave::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lazy_helpers_go_when_the_last_client_unsubscribes() {
    switch(Stage::lazy(&["polite"]), Leave::Unsubscribe).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn eager_helpers_go_with_a_client_that_says_goodbye() {
    switch(Stage::eager(&["polite"]), Leave::Goodbye).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn eager_helpers_go_when_the_last_client_unsubscribes() {
    switch(Stage::eager(&["polite"]), Leave::Unsubscribe).await;
}

async fn switch(mut stage: Stage, leave: Leave) {
    let maker = stage.client("maker").await;
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        threads.push(stage.saved(&maker).await);
    }
    maker.close().await;
    stage.restart();
    stage.assert_no_helper();
    let observer = stage.client("observer").await;
    for thread in &threads {
        let (from, ends_before) = (observer.mark(), stage.home.helper_events("stdin-eof").len());
        let client = stage.client("switcher").await;
        resume(&client, thread).await;
        let pid = touch(&client, thread).await;
        let helpers = stage.helpers();
        assert!(helpers.alive().contains(&pid), "the tool was answered by a process that does not live");
        let left = monotonic();
        match leave {
            Leave::Goodbye => client.close().await,
            Leave::Cut => drop(client),
            Leave::Unsubscribe => {
                let answer = client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
                assert_eq!(answer["status"], "unsubscribed");
                helpers.wait(STUBBORN).expect("gone while the connection is still open");
                client.close().await;
            }
        }
        helpers.wait(STUBBORN).expect("a polite helper ends when its stdin does");
        closed(&observer, from, thread).await;
        assert_eq!(loaded(&observer).await, [""; 0], "nothing is loaded");
        stage.assert_no_helper();
        let ends = stage.home.helper_events("stdin-eof");
        assert_eq!(ends.len(), ends_before + 1, "its end began with the end of stdin, not with a signal");
        let eof = ends[ends_before]["mono_ns"].as_u64().expect("a time");
        let took =
            std::time::Duration::from_nanos(eof).checked_sub(left).expect("not before the client left");
        assert!(took < SOON, "the helper's stdin ended {took:?} after the last client had left");
    }
    observer.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn opening_a_thread_starts_nothing_that_is_lazy() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    resume(&client, &thread).await;
    client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    assert_eq!(
        stage.home.helper_events("start").len(),
        1,
        "the turn asked for the tools once, the rest for nothing"
    );
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_client_keeps_the_thread_and_its_helper() {
    let stage = Stage::lazy(&["polite"]);
    let (first, second) = (stage.client("first").await, stage.client("second").await);
    let thread = stage.saved(&first).await;
    let pid = touch(&first, &thread).await;
    resume(&second, &thread).await;
    first.close().await;
    assert_eq!(touch(&second, &thread).await, pid, "the same helper serves on");
    assert_eq!(loaded(&second).await, [thread]);
    let helpers = stage.helpers();
    second.close().await;
    helpers.wait(STUBBORN).expect("gone with the last of them");
    stage.finish();
}
