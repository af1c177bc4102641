//! What turn/start sets: for the turns to come and across restarts, but the answer's schema for this turn alone.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, ended, resume, say, turn};

/// Starts a turn with these members beside its text, and waits for its end.
async fn turn_with(client: &Client, thread: &str, members: Value) {
    let from = client.mark();
    let mut params = say(thread, "hi");
    let members = members.as_object().expect("an object").clone();
    params.as_object_mut().expect("an object").extend(members);
    let id = client.call("turn/start", params).await["turn"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(ended(client, from, &id).await["status"], "completed");
}

/// What the model was last asked.
fn asked(stage: &Stage) -> Value {
    stage.home.model().requests().last().expect("it was asked").body.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_holds_from_now_on_is_passed_to_the_model_and_kept() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    assert_eq!(asked(&stage).get("reasoning"), None, "a model that may not reason is not told to");
    let folder = stage.home.path().to_str().expect("UTF-8").to_owned();
    let over = json!({
        "model": "another", "effort": "high", "summary": "concise", "cwd": folder, "approvalPolicy": "untrusted",
        "personality": "friendly", "serviceTier": "flex",
    });
    turn_with(&client, &thread, over).await;
    let holds = |stage: &Stage| {
        let asked = asked(stage);
        assert_eq!(asked["model"], "another", "{asked}");
        assert_eq!(asked["reasoning"], json!({ "effort": "high", "summary": "concise" }), "{asked}");
        assert_eq!(asked["include"], json!(["reasoning.encrypted_content"]));
    };
    holds(&stage);
    turn(&client, &thread, "hi").await;
    holds(&stage);

    drop(client);
    stage.restart();
    let client = stage.client("after").await;
    let resumed = resume(&client, &thread).await;
    assert_eq!((&resumed["model"], &resumed["reasoningEffort"]), (&json!("another"), &json!("high")));
    assert_eq!((&resumed["cwd"], &resumed["approvalPolicy"]), (&json!(folder), &json!("untrusted")));
    turn(&client, &thread, "hi").await;
    holds(&stage);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answers_schema_is_for_its_turn_alone() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    turn_with(&client, &thread, json!({ "outputSchema": schema })).await;
    assert_eq!(asked(&stage)["text"]["format"]["schema"], schema);
    turn(&client, &thread, "hi").await;
    assert_eq!(asked(&stage).get("text"), None);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_threads_configuration_says_how_its_model_thinks() {
    let stage = Stage::new(|home| home.config().key("model_reasoning_effort", "\"low\""));
    let client = stage.client("client").await;
    for (config, effort, summary) in [
        (json!({}), "low", "auto"),
        (
            json!({ "model_reasoning_effort": "high", "model_reasoning_summary": "detailed" }),
            "high",
            "detailed",
        ),
    ] {
        let started =
            client.call("thread/start", json!({ "cwd": stage.home.work(), "config": config })).await;
        assert_eq!(started["reasoningEffort"], effort);
        turn(&client, started["thread"]["id"].as_str().expect("an id"), "hi").await;
        assert_eq!(asked(&stage)["reasoning"], json!({ "effort": effort, "summary": summary }));
    }
    client.close().await;
    stage.finish();
}
