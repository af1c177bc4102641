//! Who is told of a run's end, by a command or a webhook, and how long a run and its thread are kept.

use serde_json::{Value, json};
use verger_testkit::{Client, Home};

use crate::jobs::{add, history, prompt, ran, told};
use crate::stage::{Stage, loaded, resume};

const FAILS: &str = "FAIL status=400 code=always";

/// What came of telling somebody of a run.
async fn notice(client: &Client, run: &Value) -> Value {
    let told = told(client, 0, |told| told["id"] == run["id"] && !told["notice"].is_null()).await;
    let Value::Object(mut same) = told.clone() else { panic!("{told}") };
    same.insert("notice".into(), Value::Null);
    assert_eq!(Value::Object(same), *run, "nothing else of the run has changed");
    told["notice"].clone()
}

/// What was posted to `path` of the model's endpoint.
fn posted(home: &Home, path: &str) -> Vec<Value> {
    let requests = home.model().requests().into_iter().filter(|request| request.path.ends_with(path));
    requests.map(|request| request.body).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_command_is_told_and_its_failure_is_recorded_apart() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let heard = stage.home.path().join("heard");
    let command = |line: &str| json!(["sh", "-c", line, "sh", heard]);
    let told = json!({ "notify": { "command": command("cat > \"$1\""), "on": "both" } });
    add(&client, "told", prompt("hi", told)).await;
    let run = ran(&client, "told").await;
    let kept = notice(&client, &run).await;
    assert_eq!((&kept["ok"], &kept["message"]), (&json!(true), &json!("exited with 0")), "{kept}");
    let read = std::fs::read_to_string(&heard).expect("the command wrote it");
    let read: Value = serde_json::from_str(&read).expect("a run as JSON");
    assert_eq!(read, run, "it is told what clients are");

    let fails = json!({ "notify": { "command": command("sleep 60 & echo no luck >&2; exit 3") } });
    add(&client, "fails", prompt(FAILS, fails)).await;
    let run = ran(&client, "fails").await;
    assert_eq!(run["state"], "failed");
    let kept = notice(&client, &run).await;
    assert_eq!((&kept["ok"], &kept["message"]), (&json!(false), &json!("exited with 3: no luck")), "{kept}");
    assert_eq!(stage.daemon.children(), [0; 0], "what the command had started went with it");
    let none = json!({ "notify": { "command": ["/nowhere/at-all"] } });
    add(&client, "none", prompt(FAILS, none)).await;
    let run = ran(&client, "none").await;
    assert_eq!(notice(&client, &run).await["ok"], false);
    // Of a success nobody is told who wants to hear of failures.
    let failures = json!({ "notify": { "command": command("rm \"$1\"") } });
    add(&client, "well", prompt("hi", failures)).await;
    let well = ran(&client, "well").await;
    // Somebody was told of a later one, so that there was time for it.
    let both = json!({ "notify": { "command": command("cat >/dev/null"), "on": "both" } });
    add(&client, "later", prompt("hi", both)).await;
    let later = ran(&client, "later").await;
    notice(&client, &later).await;
    let well = client.call("verger/job/run/read", json!({ "run": well["id"] })).await["run"].clone();
    assert_eq!(well["notice"], Value::Null, "{well}");
    client.close().await;
    assert!(heard.exists(), "it was run for a success");
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_webhook_is_told_and_its_refusal_is_recorded_apart() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    // The model's endpoint answers 200 to what ends like this, and 404 to the rest.
    let url = |path: &str| format!("{}/{path}", stage.home.model().base_url());
    let (taken, refused) = (url("hook/responses"), url("nobody"));
    add(&client, "taken", prompt("hi", json!({ "notify": { "url": taken, "on": "success" } }))).await;
    let run = ran(&client, "taken").await;
    let kept = notice(&client, &run).await;
    assert_eq!((&kept["ok"], &kept["message"]), (&json!(true), &json!("answered 200 OK")), "{kept}");
    assert_eq!(posted(&stage.home, "hook/responses"), [run]);
    add(&client, "refused", prompt(FAILS, json!({ "notify": { "url": refused } }))).await;
    let run = ran(&client, "refused").await;
    let kept = notice(&client, &run).await;
    assert!(kept["ok"] == false && kept["message"].as_str().unwrap_or_default().contains("404"), "{kept}");
    assert_eq!(posted(&stage.home, "nobody"), std::slice::from_ref(&run));
    let again = client.call("verger/job/run/read", json!({ "run": run["id"] })).await["run"].clone();
    assert_eq!((&again["state"], &again["notice"]), (&json!("failed"), &kept));
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn so_many_runs_are_kept_and_their_threads() {
    let stage = Stage::lazy(&["polite"]);
    let (client, reader) = (stage.client("client").await, stage.client("reader").await);
    add(&client, "job", prompt("hi", json!({ "keep": 2 }))).await;
    let thread = |run: &Value| run["threadId"].as_str().expect("its thread is named").to_owned();
    let mut threads = Vec::new();
    for number in 0..4 {
        let run = ran(&client, "job").await;
        threads.push(thread(&run));
        if number == 0 {
            // Somebody has it open: it is not taken away from them.
            resume(&reader, &threads[0]).await;
        }
    }
    let kept = history(&client, "job").await;
    assert_eq!(kept.iter().map(thread).collect::<Vec<_>>(), threads[2..], "{kept:#?}");
    let (_, why) = client.refused("thread/read", json!({ "threadId": threads[1] })).await;
    assert!(why.contains(&threads[1]), "{why}");
    for there in [&threads[0], &threads[2], &threads[3]] {
        client.call("thread/read", json!({ "threadId": there })).await;
    }
    assert_eq!(loaded(&client).await, [threads[0].as_str()]);
    stage.assert_no_helper();
    drop((client, reader));
    stage.finish();
}
