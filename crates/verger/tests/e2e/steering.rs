//! turn/steer, and turn/start during a turn: the model is told at once, and nothing that was said is lost.

use std::time::Duration;

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, begin_turn, ended, say};

async fn steer(client: &Client, thread: &str, turn: &str, text: &str) {
    let mut params = say(thread, text);
    params["expectedTurnId"] = json!(turn);
    assert_eq!(client.call("turn/steer", params).await["turnId"], turn);
}

async fn items(client: &Client, thread: &str) -> Vec<Value> {
    let read = client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    let last = read["thread"]["turns"].as_array().expect("turns").last().expect("there is one").clone();
    last["items"].as_array().expect("items").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_cuts_the_answer_under_way_and_keeps_what_was_said() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    for by_start in [false, true] {
        let (from, model) = (client.mark(), stage.home.model());
        let counts = model.counts();
        // It would take a minute.
        let turn = begin_turn(&client, &thread, "STREAM n=6000 size=8 delay_ms=10").await;
        client.note(from, "item/agentMessage/delta", |_| true).await;
        if by_start {
            assert_eq!(client.call("turn/start", say(&thread, "enough")).await["turn"]["id"], turn.as_str());
        } else {
            steer(&client, &thread, &turn, "enough").await;
        }
        assert_eq!(ended(&client, from, &turn).await["status"], "completed");
        let let_go = model.wait_until(|now| now.abandoned > counts.abandoned);
        tokio::time::timeout(Duration::from_secs(10), let_go)
            .await
            .expect("the model's first answer is let go");
        assert_eq!(model.counts().requests, counts.requests + 2, "it is asked once more");

        let items = items(&client, &thread).await;
        let kinds: Vec<_> = items.iter().filter_map(|item| item["type"].as_str()).collect();
        assert_eq!(kinds, ["userMessage", "agentMessage", "userMessage", "agentMessage"]);
        let told: String = client
            .notes(from, "item/agentMessage/delta")
            .iter()
            .filter(|params| params["itemId"] == items[1]["id"])
            .filter_map(|params| params["delta"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(items[1]["text"], told, "what was told is kept");
        let (starts, ends) = (client.notes(from, "item/started"), client.notes(from, "item/completed"));
        let ids = |notes: &[Value]| notes.iter().map(|note| note["item"]["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(&starts), ids(&ends), "each starts and completes, in order");

        let asked = model.requests().last().expect("it was asked").body["input"].clone();
        let heard = asked.as_array().expect("a list");
        let [.., half, said] = heard.as_slice() else { panic!("{asked}") };
        assert_eq!((&half["role"], &half["content"][0]["text"]), (&json!("assistant"), &json!(told)));
        assert_eq!((&said["role"], &said["content"][0]["text"]), (&json!("user"), &json!("enough")));
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn during_a_tool_call_it_waits_for_the_result() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let turn = begin_turn(&client, &thread, "CALL mcp__helper slow {\"seconds\":0.5}").await;
    stage.home.wait_for_helper_event("call", 1);
    let requests = stage.home.model().counts().requests;
    steer(&client, &thread, &turn, "and then rest").await;
    assert_eq!(ended(&client, from, &turn).await["status"], "completed");
    assert_eq!(stage.home.model().counts().requests, requests + 1);
    let asked = stage.home.model().requests().last().expect("it was asked").body["input"].clone();
    let [.., call, output, said] = asked.as_array().expect("a list").as_slice() else { panic!("{asked}") };
    assert_eq!((&call["type"], &output["type"]), (&json!("function_call"), &json!("function_call_output")));
    assert_eq!(said["content"][0]["text"], "and then rest", "{asked}");
    let call = &items(&client, &thread).await[1];
    assert_eq!(call["readOnlyHint"], true, "what the tool says of itself: {call}");
    let started = client.note(from, "item/started", |params| params["item"]["id"] == call["id"]).await;
    assert_eq!(started["item"]["readOnlyHint"], true, "from the beginning");
    assert_eq!((&call["type"], &call["status"]), (&json!("mcpToolCall"), &json!("completed")), "{call}");
    client.close().await;
    stage.finish();
}
