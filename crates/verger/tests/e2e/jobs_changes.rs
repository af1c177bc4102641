//! Jobs change: at a client's word, with the configuration, and not at all where they come from there or run.

use serde_json::{Value, json};
use verger_testkit::{Client, Home, Launch, LeakGuard};

use crate::jobs::{
    HANGS, add, assert_each_once, begun, cancel, history, is_over, pause, prompt, ran, read, run, told,
};
use crate::stage::{STUBBORN, Stage, verger};

const SOUND: &str = "[jobs.sound]\nschedule = \"at 2099-12-31T09:00\"\nprompt = \"hi\"\n";
const SECOND: &str = "[jobs.second]\nschedule = \"@yearly\"\nprompt = \"hi\"\n";
/// On no calendar.
const BROKEN: &str = "[jobs.broken]\nschedule = \"0 0 31 2 *\"\nprompt = \"hi\"\n";

/// The names of all jobs.
async fn names(client: &Client) -> Vec<String> {
    let list = client.call("verger/job/list", json!({})).await;
    let jobs = list["data"].as_array().expect("a list").clone();
    jobs.iter().map(|job| job["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_job_is_edited_and_removed_but_not_while_it_runs() {
    let stage = Stage::lazy(&["polite"]);
    let (client, other) = (stage.client("client").await, stage.client("other").await);
    other.call("verger/job/list", json!({})).await;
    add(&client, "job", prompt("hi", json!({ "keep": 3 }))).await;
    let (_, why) = client
        .refused("verger/job/add", json!({ "name": "job", "definition": prompt("hi", json!({})) }))
        .await;
    assert!(why.contains("already"), "{why}");
    let first = ran(&client, "job").await;

    let from = other.mark();
    let changes = json!({ "prompt": HANGS, "keep": null });
    let edited =
        client.call("verger/job/edit", json!({ "name": "job", "changes": changes })).await["job"].clone();
    let definition = &edited["definition"];
    assert_eq!((&definition["prompt"], &definition["keep"]), (&json!(HANGS), &Value::Null), "{edited}");
    assert_eq!(edited["lastRun"], first, "what has run has run");
    assert_eq!(other.note(from, "verger/job/changed", |_| true).await["job"], edited);
    let impossible = json!({ "name": "job", "changes": { "timezone": "Mars/Olympus" } });
    let (code, why) = client.refused("verger/job/edit", impossible).await;
    assert!(code == -32602 && why.contains("Mars/Olympus"), "{code}: {why}");
    assert_eq!(read(&client, "job").await, edited, "what is refused changes nothing");

    let running = run(&client, "job").await;
    begun(&client, running).await;
    let (_, why) = client.refused("verger/job/remove", json!({ "name": "job" })).await;
    assert!(why.contains(&format!("run {running}")), "{why}");
    stage.home.wait_for_helper_event("call", 1);
    cancel(&client, running).await;
    stage.assert_no_helper();
    let from = other.mark();
    client.call("verger/job/remove", json!({ "name": "job" })).await;
    other.note(from, "verger/job/removed", |params| params["name"] == "job").await;
    assert_eq!(names(&client).await, [""; 0]);
    let gone = client.refused("verger/job/run", json!({ "name": "job" })).await.1;
    assert!(gone.contains("job not found"), "{gone}");
    drop((client, other));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn changes_that_are_asked_for_at_once_do_not_undo_each_other() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let ask = async |method: &str, params: Value| client.begin(method, params).await.expect("it is sent");
    for round in 0..20 {
        let name = format!("job-{round}");
        add(&client, &name, prompt("hi", json!({}))).await;
        let from = client.mark();
        let edit = |changes: Value| json!({ "name": name, "changes": changes });
        let edits = [
            ask("verger/job/edit", edit(json!({ "prompt": "bye" }))).await,
            ask("verger/job/edit", edit(json!({ "keep": 7 }))).await,
        ];
        let pause = ask("verger/job/pause", json!({ "name": name })).await;
        let mut done = [false; 2];
        for (id, done) in edits.into_iter().zip(&mut done) {
            match client.answer(from, id, "edit").await {
                Ok(_) => *done = true,
                Err(refused) => assert!(refused.to_string().contains("changed meanwhile"), "{refused}"),
            }
        }
        client.answer(from, pause, "pause").await.expect("it is paused, whatever else it is");
        assert!(done[0] || done[1], "one of two edits is the first");
        let job = read(&client, &name).await;
        let is_edited = [job["definition"]["prompt"] == "bye", job["definition"]["keep"] == 7];
        assert_eq!((is_edited, &job["paused"]), (done, &json!(true)), "{job}");
        // Who was refused is heard the next time.
        client.call("verger/job/edit", edit(json!({ "prompt": "bye", "keep": 7 }))).await;
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_job_that_has_run_as_often_as_it_may_is_another_when_its_schedule_is() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let from = client.mark();
    let definition = json!({ "schedule": "every 1s", "maxRuns": 1, "prompt": "hi" });
    client.call("verger/job/list", json!({})).await;
    add(&client, "once", definition).await;
    told(&client, from, is_over).await;
    assert_eq!(read(&client, "once").await["next"], Value::Null);
    let edit = async |changes: Value| {
        let edit = json!({ "name": "once", "changes": changes });
        client.call("verger/job/edit", edit).await["job"].clone()
    };
    assert_eq!(edit(json!({ "keep": 7 })).await["next"], Value::Null, "it has run");
    let anew = edit(json!({ "schedule": "@yearly" })).await;
    assert!(!anew["next"].is_null(), "{anew}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_edit_loses_no_slot_that_its_jitter_puts_off() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let definition = json!({ "schedule": "every 1s", "jitter": "1s", "overlap": "queue", "prompt": "hi" });
    add(&client, "often", definition).await;
    for keep in 50.. {
        let edit = json!({ "name": "often", "changes": { "keep": keep } });
        client.call("verger/job/edit", edit).await;
        let runs = history(&client, "often").await;
        if runs.len() >= 4 {
            assert_each_once(&runs);
            break;
        }
    }
    pause(&client, "often").await;
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_job_of_the_configuration_comes_and_goes_with_it_and_a_broken_one_says_why() {
    let config = |home: &Home, jobs: &[&str]| home.config().table(&jobs.concat());
    let stage = Stage::new(|home| config(home, &[SOUND, BROKEN]));
    let client = stage.client("client").await;
    let warned = |params: &Value| params["summary"].as_str().is_some_and(|said| said.contains("broken"));
    let told = client.note(0, "configWarning", warned).await;
    assert!(told["summary"].as_str().unwrap_or_default().contains("does not run"), "{told}");
    assert_eq!(names(&client).await, ["broken", "sound"]);
    let broken = read(&client, "broken").await;
    assert!(!broken["problem"].is_null() && broken["next"].is_null(), "{broken}");
    let (_, why) = client.refused("verger/job/run", json!({ "name": "broken" })).await;
    assert!(why.contains(broken["problem"].as_str().expect("words")), "{why}: {broken}");
    let ended = ran(&client, "sound").await;
    assert_eq!(ended["state"], "succeeded", "the others run: {ended}");

    let edit = json!({ "name": "sound", "changes": { "prompt": "bye" } });
    for (method, params) in [("verger/job/edit", edit), ("verger/job/remove", json!({ "name": "sound" }))] {
        let (_, why) = client.refused(method, params).await;
        assert!(why.contains("config.toml") && why.contains("[jobs.sound]"), "{method}: {why}");
    }
    let from = client.mark();
    stage.home.write_config(&config(&stage.home, &[SECOND]).text()).unwrap();
    client.call("config/mcpServer/reload", json!({})).await;
    client.note(from, "verger/job/removed", |params| params["name"] == "sound").await;
    assert_eq!(names(&client).await, ["second"]);
    let kept = history(&client, "sound").await;
    assert_eq!(kept, std::slice::from_ref(&ended), "its history stays");
    // And is there when it comes again.
    stage.home.write_config(&config(&stage.home, &[SECOND, SOUND]).text()).unwrap();
    client.call("config/mcpServer/reload", json!({})).await;
    let sound = client.note(from, "verger/job/changed", |params| params["job"]["name"] == "sound").await;
    assert_eq!((&sound["job"]["source"], &sound["job"]["lastRun"]), (&json!("config"), &ended));
    assert_eq!(ran(&client, "sound").await["state"], "succeeded");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_runs_of_a_job_that_goes_away_goes_on_and_what_waits_is_cancelled() {
    let job = format!("[jobs.job]\nschedule = \"@yearly\"\nprompt = '{HANGS}'\n");
    let config = |home: &Home| home.config().server("helper", &home.bad_helper(&["setsid"]));
    let stage = Stage::new(|home| config(home).table(&job));
    let client = stage.client("client").await;
    let (running, waiting) = (run(&client, "job").await, run(&client, "job").await);
    begun(&client, running).await;
    stage.home.wait_for_helper_event("call", 1);
    let helpers = stage.helpers();
    stage.home.write_config(&config(&stage.home).text()).unwrap();
    client.call("config/mcpServer/reload", json!({})).await;
    let dropped = told(&client, 0, |run| run["id"] == waiting && is_over(run)).await;
    assert_eq!((&dropped["state"], &dropped["startedAt"]), (&json!("cancelled"), &Value::Null), "{dropped}");
    assert_eq!(dropped["job"], "job", "it is told of by its name");
    assert_eq!(helpers.alive().len(), helpers.len(), "what runs goes on");
    let ended = cancel(&client, running).await;
    stage.assert_no_helper();
    assert_eq!((&ended["state"], &ended["job"]), (&json!("cancelled"), &json!("job")), "{ended}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_on_stdio_shows_jobs_and_runs_none() {
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().unwrap();
    let due = "[jobs.due]\nschedule = \"every 1s\"\nprompt = \"hi\"\n";
    home.write_config(&home.config().table(due).text()).unwrap();
    let (mut daemon, link) = Launch::new(verger(), &home, &["app-server"]).start_piped();
    let client = Client::over(link, "piped");
    client.initialize(json!({ "experimentalApi": true })).await;
    assert_eq!(names(&client).await, ["due"]);
    add(&client, "added", prompt("hi", json!({}))).await;
    let (_, why) = client.refused("verger/job/run", json!({ "name": "added" })).await;
    assert!(why.contains("verger serve"), "{why}");
    // Longer than it takes to be due twice.
    let thread = crate::stage::thread(&client, &home).await;
    crate::stage::turn(&client, &thread, "STREAM n=25 delay_ms=100").await;
    assert_eq!(crate::jobs::history(&client, "due").await, [Value::Null; 0]);
    assert_eq!(home.model().counts().requests, 1, "but for the turn, nothing was asked");
    client.close().await;
    assert!(daemon.wait(STUBBORN).success(), "{}", daemon.stderr());
    drop(home);
    guard.finish();
}
