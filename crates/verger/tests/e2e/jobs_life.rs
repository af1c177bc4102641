//! What a job's run does, and how it ends: by itself, at a limit, at somebody's word, or for want of a person.

use futures_util::future::join_all;
use serde_json::{Value, json};
use verger_testkit::{Client, RunTag};

use crate::approvals::WRITE;
use crate::jobs::{HANGS, add, begun, calling, cancel, is_over, over, prompt, ran, read, run, told};
use crate::stage::{SHAPES, Stage, loaded, resume, touch};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_prompt_is_said_in_a_thread_that_opens_like_any_other() {
    let stage = Stage::lazy(&["polite"]);
    let (client, other, deaf) =
        (stage.client("client").await, stage.client("other").await, stage.client("deaf").await);
    other.call("verger/job/list", json!({})).await;
    let said = "CALL mcp__helper echo {\"text\":\"x\"}";
    let job = add(&client, "ask", prompt(said, json!({ "cwd": stage.home.work() }))).await;
    assert_eq!(
        (&job["name"], &job["source"], &job["paused"]),
        (&json!("ask"), &json!("added"), &json!(false))
    );
    let changed = other.note(0, "verger/job/changed", |params| params["job"]["name"] == "ask").await;
    assert_eq!(changed["job"], job, "whoever has asked about jobs is told of it");

    let ended = ran(&client, "ask").await;
    stage.assert_no_helper();
    assert_eq!((&ended["state"], &ended["cause"]), (&json!("succeeded"), &json!("manual")), "{ended}");
    assert_eq!((&ended["summary"], &ended["attempt"]), (&json!("done"), &json!(1)), "{ended}");
    let states = |client: &Client| -> Vec<Value> {
        let told = client.notes(0, "verger/job/run/updated");
        let mut states: Vec<Value> = told.iter().map(|params| params["run"]["state"].clone()).collect();
        // That it runs is said again once its thread is known.
        states.dedup();
        states
    };
    assert_eq!(states(&client), ["scheduled", "running", "succeeded"]);
    told(&other, 0, is_over).await;
    assert_eq!(states(&other), ["scheduled", "running", "succeeded"]);
    assert_eq!(read(&client, "ask").await["lastRun"], ended);

    assert_eq!(loaded(&deaf).await, [""; 0], "the run has left its thread");
    let thread = ended["threadId"].as_str().expect("its thread is named");
    let resumed = resume(&deaf, thread).await;
    let turns = resumed["thread"]["turns"].as_array().expect("turns").clone();
    assert_eq!((turns.len(), &turns[0]["status"]), (1, &json!("completed")), "{resumed}");
    assert_eq!(turns[0]["items"][0]["content"][0]["text"], said, "{resumed}");
    touch(&deaf, thread).await;
    for method in ["verger/job/changed", "verger/job/run/updated"] {
        assert_eq!(deaf.notes(0, method).len(), 0, "who has not asked is not told");
    }
    drop((client, other, deaf));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_needs_no_model_and_leaves_no_thread() {
    let stage = Stage::lazy(&["stubborn"]);
    let client = stage.client("client").await;
    add(&client, "call", calling("echo", json!({ "text": "hello" }), json!({}))).await;
    let ended = ran(&client, "call").await;
    stage.assert_no_helper();
    assert_eq!((&ended["state"], &ended["summary"]), (&json!("succeeded"), &json!("hello")), "{ended}");
    assert!(ended["threadId"].is_null(), "{ended}");
    add(&client, "broken", calling("exit", json!({ "code": 3 }), json!({}))).await;
    let ended = ran(&client, "broken").await;
    stage.assert_no_helper();
    let why = ended["reason"].as_str().unwrap_or_default();
    assert!(ended["state"] == "failed" && why.contains("outcome unknown"), "{ended}");
    assert_eq!(stage.home.helper_events("call").len(), 2, "each was made once");
    assert_eq!(stage.home.model().counts().requests, 0);
    let listed = client.call("thread/list", json!({})).await;
    assert_eq!((&listed["data"], loaded(&client).await.len()), (&json!([]), 0));
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_fails_is_tried_again_and_then_done() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let more = json!({ "retries": 2, "retryBackoff": "10ms" });
    add(&client, "flaky", prompt("FAIL status=400 times=1", more.clone())).await;
    let first = ran(&client, "flaky").await;
    let why = first["reason"].as_str().unwrap_or_default();
    assert!(first["state"] == "failed" && why.contains("told to fail with 400"), "{first}");
    let second = told(&client, 0, |run| run["attempt"] == 2 && is_over(run)).await;
    assert_eq!((&second["state"], &second["cause"]), (&json!("succeeded"), &json!("retry")), "{second}");
    assert!(second["id"] != first["id"] && second["threadId"] != first["threadId"], "{second}");

    add(&client, "hopeless", prompt("FAIL status=400 code=never", more)).await;
    run(&client, "hopeless").await;
    told(&client, 0, |run| run["job"] == "hopeless" && run["attempt"] == 3 && is_over(run)).await;
    let states: Vec<Value> = crate::jobs::history(&client, "hopeless").await;
    let states: Vec<_> = states.iter().map(|run| (&run["attempt"], &run["state"])).collect();
    let failed = json!("failed");
    assert_eq!(states, [(&json!(1), &failed), (&json!(2), &failed), (&json!(3), &failed)]);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_timeout_cuts_a_call_that_hangs_and_leaves_no_process_of_any_shape() {
    // Each shape has a server, a job and a tag of its own: what is left of one is told from the others.
    let tags = SHAPES.map(|_| RunTag::new());
    let stage = Stage::new(|home| {
        let config = home.config().key("max_parallel_jobs", "6");
        SHAPES.iter().zip(&tags).fold(config, |config, (shape, tag)| {
            config.server(shape, &home.bad_helper(&[shape]).arg("--tag").arg(tag.as_str()))
        })
    });
    let client = stage.client("client").await;
    for shape in SHAPES {
        let said = HANGS.replace("helper", shape);
        let definition = prompt(&said, json!({ "servers": [shape], "timeout": "4s" }));
        add(&client, shape, definition).await;
    }
    let cut = SHAPES.iter().zip(&tags).map(|(shape, tag)| {
        let client = &client;
        async move {
            let ended = ran(client, shape).await;
            // At this moment, and not a while later.
            assert_eq!(tag.live(), [], "{shape}: alive when it had ended");
            assert_eq!(ended["state"], "timedOut", "{shape}: {ended}");
            assert_eq!(ended["reason"], "it took longer than 4s", "{shape}");
        }
    });
    join_all(cut).await;
    assert_eq!(stage.home.helper_events("call").len(), SHAPES.len(), "each was cut in its call");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_run_from_which_nothing_is_heard_is_cut_and_one_that_speaks_is_not() {
    let stage = Stage::lazy(&["setsid"]);
    let client = stage.client("client").await;
    add(&client, "silent", prompt(HANGS, json!({ "inactivityTimeout": "2s" }))).await;
    let alone = json!({ "inactivityTimeout": "2s", "servers": [] });
    add(&client, "slow", prompt("STREAM n=30 delay_ms=100", alone)).await;
    let slow = run(&client, "slow").await;
    let silent = ran(&client, "silent").await;
    stage.assert_no_helper();
    assert_eq!(silent["state"], "timedOut", "{silent}");
    assert_eq!(silent["reason"], "nothing happened for 2s");
    let slow = over(&client, slow).await;
    assert_eq!(slow["state"], "succeeded", "{slow}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_runs_and_what_waits_can_be_cancelled() {
    let stage = Stage::lazy(&["wrapper-stubborn"]);
    let client = stage.client("client").await;
    add(&client, "long", prompt(HANGS, json!({ "overlap": "queue" }))).await;
    let (first, second) = (run(&client, "long").await, run(&client, "long").await);
    begun(&client, first).await;
    stage.home.wait_for_helper_event("call", 1);
    let job = read(&client, "long").await;
    assert_eq!((&job["running"], &job["waiting"]), (&json!(1), &json!(1)), "{job}");

    let waited = cancel(&client, second).await;
    assert_eq!((&waited["state"], &waited["startedAt"]), (&json!("cancelled"), &Value::Null), "{waited}");
    let helpers = stage.helpers();
    let stopped = cancel(&client, first).await;
    stage.assert_no_helper();
    assert_eq!(helpers.alive(), [0; 0]);
    let reason = json!("it was cancelled");
    assert_eq!((&stopped["state"], &stopped["reason"]), (&json!("cancelled"), &reason), "{stopped}");
    let (_, why) = client.refused("verger/job/cancel", json!({ "run": first })).await;
    assert!(why.contains("has ended"), "{why}");
    let (_, why) = client.refused("verger/job/cancel", json!({ "run": 999 })).await;
    assert!(why.contains("999"), "{why}");
    assert_eq!(
        stage.home.helper_events("start").len(),
        2,
        "the second never began: a wrapper and its server"
    );
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_run_that_would_need_a_person_fails_and_says_so() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let asks = json!({ "approvalPolicy": "on-request" });
    add(&client, "write", prompt(WRITE, asks.clone())).await;
    add(&client, "ask", calling("ask", json!({}), asks)).await;
    add(&client, "may", prompt(WRITE, json!({}))).await;
    for name in ["write", "ask"] {
        let ended = ran(&client, name).await;
        stage.assert_no_helper();
        let why = ended["reason"].as_str().unwrap_or_default();
        assert!(ended["state"] == "failed" && why.contains("needs a person"), "{name}: {ended}");
    }
    let calls = stage.home.helper_events("call");
    assert!(calls.iter().all(|call| call["tool"] != "write"), "it was not sent: {calls:?}");
    assert_eq!(ran(&client, "may").await["state"], "succeeded", "the policy is never to ask");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_limit_holds_while_a_helper_hangs_in_its_start() {
    let stage = Stage::eager(&["never-init"]);
    let client = stage.client("client").await;
    let limit = json!({ "timeout": "1s" });
    add(&client, "prompt", prompt("hi", limit.clone())).await;
    add(&client, "call", calling("pid", json!({}), limit)).await;
    for name in ["prompt", "call"] {
        let asked = run(&client, name).await;
        told(&client, 0, |run| run["id"] == asked && run["state"] == "running").await;
        let ended = over(&client, asked).await;
        stage.assert_no_helper();
        assert_eq!(ended["state"], "timedOut", "{name}: {ended}");
    }
    assert_eq!(stage.home.helper_events("start").len(), 2, "each had one");
    client.close().await;
    stage.finish();
}
