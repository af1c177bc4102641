//! How a helper comes to be: once, where its thread works, with nothing of the server's that it need not have.

use futures_util::future::join_all;
use serde_json::{Value, json};
use verger_testkit::{Client, Home, Launch, LeakGuard, ServerEntry, bad_helper};

use crate::stage::{SOON, STUBBORN, Stage, call, closed, thread, tool, touch, verger};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn twenty_calls_at_once_start_one_process() {
    let stage = Stage::lazy(&["slow-init", "200"]);
    let (client, other) = (stage.client("client").await, stage.client("other").await);
    let thread = stage.thread(&client).await;
    let calls = (0..20).map(|n| touch(if n % 2 == 0 { &client } else { &other }, &thread));
    let pids = join_all(calls).await;
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    assert_eq!(stage.home.helper_events("start").len(), 1);
    drop((client, other));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_caller_that_leaves_while_it_starts_takes_it_along() {
    for shape in [["slow-init", "60000"], ["never-init", ""]] {
        let mode: Vec<&str> = shape.into_iter().filter(|word| !word.is_empty()).collect();
        let stage = Stage::lazy(&mode);
        let (client, observer) = (stage.client("client").await, stage.client("observer").await);
        let thread = stage.saved_without_helpers(&client).await;
        let from = observer.mark();
        client.begin("mcpServer/tool/call", tool(&thread, "pid", json!({}))).await.unwrap();
        stage.home.wait_for_helper_event("start", 1);
        let helpers = stage.helpers();
        client.close().await;
        helpers.wait(STUBBORN).unwrap_or_else(|alive| panic!("{mode:?}: {alive:?} survive"));
        closed(&observer, from, &thread).await;
        observer.close().await;
        stage.finish();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_start_keeps_nobody_else_waiting() {
    let stage = Stage::lazy(&["slow-init", "3000"]);
    let (client, other) = (stage.client("client").await, stage.client("other").await);
    let waiting = stage.thread(&client).await;
    client.begin("mcpServer/tool/call", tool(&waiting, "pid", json!({}))).await.unwrap();
    stage.home.wait_for_helper_event("start", 1);
    let began = verger_testkit::clock::monotonic();
    stage.thread(&other).await;
    stage.thread(&client).await;
    client.call("thread/list", json!({})).await;
    let took = verger_testkit::clock::monotonic().saturating_sub(began);
    assert!(took < SOON, "others waited {took:?}");
    drop((client, other));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_gets_no_secret_of_the_servers() {
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().unwrap();
    let helper = home.bad_helper(&["polite"]).key("env", "{ GIVEN = \"1\" }").key("env_vars", "[\"LENT\"]");
    home.write_config(&home.config().server("helper", &helper).text()).unwrap();
    let launch = Launch::new(verger(), &home, &["app-server", "--listen", "ws://127.0.0.1:0"]);
    let launch = launch.env("MODEL_API_KEY", "secret").env("LENT", "1").env("LD_PRELOAD_OF_MINE", "1");
    let daemon = launch.start().unwrap();
    let client = Client::open(&daemon.url(), "client").await;
    let thread = thread(&client, &home).await;
    let names: Vec<String> = serde_json::from_str(&call(&client, &thread, "env", json!({})).await).unwrap();
    for wanted in ["GIVEN", "LENT", "PATH", "HOME"] {
        assert!(names.iter().any(|name| name == wanted), "no {wanted} in {names:?}");
    }
    for unwanted in ["MODEL_API_KEY", "LD_PRELOAD_OF_MINE", "VERGER_HOME", "CARGO_MANIFEST_DIR"] {
        assert!(names.iter().all(|name| name != unwanted), "{unwanted} in {names:?}");
    }
    client.close().await;
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_works_where_its_thread_does_and_holds_only_stdio() {
    // Without a log: for that, bad-helper itself holds more.
    let stage = Stage::new(|home| {
        let args = ["--mode", "polite", "--tag", home.tag().as_str()].map(str::to_owned);
        let program = bad_helper::path().to_str().expect("target folders are UTF-8");
        home.config().server("helper", &ServerEntry::new(program, args))
    });
    let client = stage.client("client").await;
    let elsewhere = stage.home.work().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let started = client.call("thread/start", json!({ "cwd": elsewhere })).await;
    let thread = started["thread"]["id"].as_str().expect("an id");
    assert_eq!(call(&client, thread, "cwd", json!({})).await, elsewhere.to_str().unwrap());
    assert_eq!(call(&client, thread, "fds", json!({})).await, "[0,1,2]");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_eager_helper_is_announced_and_listed() {
    let stage = Stage::eager(&["wrapper"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let of_helper = |status: &'static str| {
        let thread = thread.clone();
        move |params: &Value| params["threadId"] == thread.as_str() && params["status"] == status
    };
    client.note(0, "mcpServer/startupStatus/updated", of_helper("starting")).await;
    client.note(0, "mcpServer/startupStatus/updated", of_helper("ready")).await;
    let ps = client.call("verger/ps", json!({})).await;
    let helper = &ps["helpers"][0];
    assert_eq!((&helper["server"], &helper["scope"]), (&json!("helper"), &json!(thread)), "{ps}");
    assert_eq!((&helper["state"], &helper["processes"]), (&json!("running"), &json!(2)), "{ps}");
    let live = stage.home.tag().live();
    assert!(live.iter().any(|process| helper["pid"] == process.pid), "{ps} {live:?}");
    client.close().await;
    stage.finish();
}
