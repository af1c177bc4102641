//! Calls of tools: one, several, in pieces, and those that go wrong.

use serde_json::{Value, json};

use crate::wires::act::{Act, Wire};

pub(in crate::wires) async fn a_tool_call(wire: &Wire<'_>) {
    let act = Act::with_helper(wire).await;
    let told = act.turn("CALL mcp__helper echo {\"text\": \"ding\"}").await;
    told.answers("done");
    let [call] = told.items("mcpToolCall")[..] else { panic!("one call") };
    assert_eq!((&call["server"], &call["tool"]), (&json!("helper"), &json!("echo")));
    assert_eq!(call["arguments"], json!({ "text": "ding" }));
    assert_eq!(call["status"], "completed");
    assert_eq!(call["result"]["content"][0]["text"], "ding");
    assert_eq!(outputs(&act), ["ding"]);
    act.end().await;
}

pub(in crate::wires) async fn two_tool_calls_at_once(wire: &Wire<'_>) {
    let act = Act::with_helper(wire).await;
    let told =
        act.turn("CALLS\nmcp__helper slow {\"seconds\": 0}\nmcp__helper echo {\"text\": \"dong\"}").await;
    told.answers("done");
    let mut calls = told.items("mcpToolCall");
    calls.sort_by_key(|call| call["tool"].as_str());
    let [echo, slow] = calls[..] else { panic!("two calls: {calls:?}") };
    assert_eq!((&echo["status"], &slow["status"]), (&json!("completed"), &json!("completed")));
    let ids = [echo, slow].map(|call| call["id"].as_str().expect("an id"));
    let last_start = ids.map(|id| told.place("item/started", id)).into_iter().max();
    let first_end = ids.map(|id| told.place("item/completed", id)).into_iter().min();
    assert!(last_start < first_end, "both run at once: {last_start:?} {first_end:?}");
    assert_eq!(outputs(&act).len(), 2);
    act.end().await;
}

pub(in crate::wires) async fn a_thought_that_led_to_calls(wire: &Wire<'_>) {
    let act = Act::with_helper(wire).await;
    let two = "mcp__helper echo {\"text\": \"ding\"}\nmcp__helper echo {\"text\": \"dong\"}";
    act.turn(&format!("THINK I need both\n{two}")).await.answers("done");
    act.turn("THINK I need nothing").await.answers("ok");
    if act.is_chat() {
        // Some providers refuse calls without the thought that led to them, for the rest of the conversation.
        let messages = act.asked().body["messages"].clone();
        let roles: Vec<_> =
            messages.as_array().expect("messages").iter().map(|message| &message["role"]).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant", "user"]);
        assert_eq!(messages[1]["reasoning_content"], "I need both");
        assert_eq!(messages[1]["tool_calls"].as_array().map(Vec::len), Some(2), "{messages}");
        assert_eq!((&messages[2]["content"], &messages[3]["content"]), (&json!("ding"), &json!("dong")));
    } else {
        let input = act.asked().body["input"].clone();
        let kinds: Vec<_> =
            input.as_array().expect("input").iter().map(|item| &item["type"]).take(6).collect();
        let pair = ["function_call", "function_call_output"];
        assert_eq!(kinds, [&["message", "reasoning"][..], &pair, &pair].concat());
        assert_eq!(input[1]["encrypted_content"], "sealed: I need both");
    }
    act.end().await;
}

pub(in crate::wires) async fn arguments_in_pieces(wire: &Wire<'_>) {
    let act = Act::with_helper(wire).await;
    let told = act.turn("CALLS\nmcp__helper echo {\"text\": \"a text of \\\"some\\\" é length\"}").await;
    told.answers("done");
    assert_eq!(outputs(&act), ["a text of \"some\" é length"]);
    act.end().await;
}

pub(in crate::wires) async fn arguments_that_are_no_json(wire: &Wire<'_>) {
    let act = Act::with_helper(wire).await;
    let told = act.turn("CALL mcp__helper echo {\"text\": ").await;
    told.answers("done");
    let [call] = told.items("mcpToolCall")[..] else { panic!("one call") };
    assert_eq!(call["status"], "failed", "{call}");
    assert_eq!(call["arguments"], "{\"text\": ", "they are shown as they came");
    if act.is_chat() {
        // Servers that pour a conversation into a template refuse anything but an object, and the thread with it.
        let body = act.asked().body;
        let call = body["messages"].as_array().and_then(|all| all.iter().find_map(|m| m.get("tool_calls")));
        let arguments = call.and_then(|calls| calls[0]["function"]["arguments"].as_str()).expect("arguments");
        let arguments: Value = serde_json::from_str(arguments).expect("JSON");
        assert_eq!(arguments, json!({ "arguments": "{\"text\": " }));
    }
    act.goes_on().await;
    act.end().await;
}

pub(in crate::wires) async fn a_tool_that_fails(wire: &Wire<'_>) {
    let act = Act::with_helper(wire).await;
    let told = act.turn("CALL mcp__helper exit {\"code\": 3}").await;
    told.answers("done");
    let [call] = told.items("mcpToolCall")[..] else { panic!("one call") };
    assert_eq!(call["status"], "failed", "{call}");
    let message = call["error"]["message"].as_str().expect("it says why");
    assert_eq!(outputs(&act), [format!("error: {message}")]);
    act.goes_on().await;
    act.end().await;
}

pub(in crate::wires) async fn a_tool_that_nobody_has(wire: &Wire<'_>) {
    let act = Act::with_helper(wire).await;
    for (line, named) in [("CALL mcp__helper nope {}", "nope"), ("CALL - shell {}", "shell")] {
        let told = act.turn(line).await;
        told.answers("done");
        let [call] = told.items("mcpToolCall")[..] else { panic!("one call") };
        assert_eq!(call["status"], "failed", "{call}");
        let output = outputs(&act).pop().expect("the model hears of it");
        assert!(output.contains(named), "{output}");
    }
    act.end().await;
}

/// What the model was told of its tools' answers since the user spoke, in the last request.
fn outputs(act: &Act<'_>) -> Vec<String> {
    let body = act.asked().body;
    let (items, is_output, text) = if act.is_chat() {
        (&body["messages"], ("role", "tool"), "content")
    } else {
        (&body["input"], ("type", "function_call_output"), "output")
    };
    let items = items.as_array().expect("a conversation").iter().rev();
    let recent =
        items.take_while(|item| item["role"] != "user").filter(|item| item[is_output.0] == is_output.1);
    let mut texts: Vec<String> = recent
        .map(|item| item[text].as_str().unwrap_or_else(|| panic!("no text in {item}")).to_owned())
        .collect();
    texts.reverse();
    texts
}
