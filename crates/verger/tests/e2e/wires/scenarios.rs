//! The stories. What a client is told must not depend on the wire; what the model is sent is looked at on each.

use std::time::Duration;

use serde_json::{Value, json};

use super::act::{Act, ONCE, Wire, write_key};
use crate::stage::{begin_turn, ended, say};

const KEY: &str = "sk-test-0123456789";

pub(super) async fn a_plain_answer(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let told = act.turn("hello").await;
    told.answers("ok");
    assert_eq!(told.deltas(), "ok");
    assert!(told.notes("error").is_empty());
    act.end().await;
}

pub(super) async fn many_deltas(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let told = act.turn("STREAM n=1000 size=20").await;
    assert_eq!(told.turn["status"], "completed", "{}", told.turn);
    let numbers: Vec<usize> = told
        .deltas()
        .as_bytes()
        .chunks(20)
        .map(|piece| std::str::from_utf8(&piece[..6]).expect("ASCII").parse().expect("a number"))
        .collect();
    assert!(numbers.iter().copied().eq(0..1000), "{numbers:?}");
    assert_eq!(told.text(), told.deltas());
    act.end().await;
}

pub(super) async fn two_turns_of_one_conversation(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    act.turn("hello").await.answers("ok");
    act.turn("again").await.answers("ok");
    let body = act.asked().body;
    let said = if act.is_chat() {
        let messages = body["messages"].as_array().expect("messages");
        messages.iter().map(|message| message["content"].clone()).collect::<Vec<_>>()
    } else {
        let input = body["input"].as_array().expect("input");
        input.iter().map(|item| item["content"][0]["text"].clone()).collect()
    };
    assert_eq!(said, ["hello", "ok", "again"]);
    act.end().await;
}

pub(super) async fn a_thought_before_the_words(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let told = act.turn("THINK first this, then that").await;
    told.answers("ok");
    let [thought] = told.items("reasoning")[..] else { panic!("one thought: {:?}", told.items("reasoning")) };
    let part = if act.is_chat() { "content" } else { "summary" };
    assert_eq!(thought[part], json!(["first this, then that"]));
    let method = if act.is_chat() { "item/reasoning/textDelta" } else { "item/reasoning/summaryTextDelta" };
    let deltas = told.notes(method).into_iter().filter_map(|note| note["delta"].as_str());
    assert_eq!(deltas.collect::<String>(), "first this, then that");
    act.end().await;
}

pub(super) async fn a_picture(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let picture = "data:image/png;base64,iVBORw0KGgo=";
    let input = json!([
        { "type": "text", "text": "look", "text_elements": [] },
        { "type": "image", "url": picture, "detail": "low" },
    ]);
    act.turn_with(json!({ "input": input })).await.answers("ok");
    let body = act.asked().body;
    if act.is_chat() {
        let image = json!({ "type": "image_url", "image_url": { "url": picture, "detail": "low" } });
        assert_eq!(body["messages"][0]["content"], json!([{ "type": "text", "text": "look" }, image]));
    } else {
        let image = json!({ "type": "input_image", "image_url": picture, "detail": "low" });
        assert_eq!(body["input"][0]["content"], json!([{ "type": "input_text", "text": "look" }, image]));
    }
    act.goes_on().await;
    act.end().await;
}

pub(super) async fn an_answer_to_a_schema(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let schema = json!({
        "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"], "additionalProperties": false,
    });
    let input = say(&act.thread, "hello")["input"].clone();
    act.turn_with(json!({ "input": input, "outputSchema": schema })).await.answers("ok");
    let asked = |act: &Act<'_>| {
        let body = act.asked().body;
        let asked =
            if act.is_chat() { &body["response_format"]["json_schema"] } else { &body["text"]["format"] };
        asked.clone()
    };
    assert_eq!(asked(&act)["schema"], schema);
    assert_eq!(asked(&act)["strict"], true);
    act.goes_on().await;
    assert_eq!(asked(&act), Value::Null, "it was for one turn");
    act.end().await;
}

pub(super) async fn what_it_cost(wire: &Wire<'_>) {
    let act = Act::with_helper(wire).await;
    let told = act.turn("CALL mcp__helper echo {}").await;
    told.answers("done");
    let cost = |answers: u64| {
        json!({
            "totalTokens": 15 * answers, "inputTokens": 10 * answers, "cachedInputTokens": 4 * answers,
            "cacheWriteInputTokens": 0, "outputTokens": 5 * answers, "reasoningOutputTokens": 2 * answers,
        })
    };
    let usages: Vec<_> =
        told.notes("thread/tokenUsage/updated").into_iter().map(|note| &note["tokenUsage"]).collect();
    let [first, second] = usages[..] else { panic!("one for each answer: {usages:?}") };
    assert_eq!((&first["last"], &first["total"]), (&cost(1), &cost(1)));
    assert_eq!((&second["last"], &second["total"]), (&cost(1), &cost(2)));
    act.end().await;
}

pub(super) async fn a_tool_call(wire: &Wire<'_>) {
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

pub(super) async fn two_tool_calls_at_once(wire: &Wire<'_>) {
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

pub(super) async fn arguments_in_pieces(wire: &Wire<'_>) {
    let act = Act::with_helper(wire).await;
    let told = act.turn("CALLS\nmcp__helper echo {\"text\": \"a text of \\\"some\\\" é length\"}").await;
    told.answers("done");
    assert_eq!(outputs(&act), ["a text of \"some\" é length"]);
    act.end().await;
}

pub(super) async fn arguments_that_are_no_json(wire: &Wire<'_>) {
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

pub(super) async fn a_tool_that_fails(wire: &Wire<'_>) {
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

pub(super) async fn a_tool_that_nobody_has(wire: &Wire<'_>) {
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

pub(super) async fn a_refusal_that_passes_after_a_wait(wire: &Wire<'_>) {
    let act = Act::begin(wire, "request_max_retries = 1\n").await;
    let told = act.turn("FAIL status=429 times=1 retry_after=1").await;
    told.answers("ok");
    told.retried_after(&json!(429));
    let requests = act.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1), "it was asked to wait");
    act.end().await;
}

pub(super) async fn a_failure_that_passes(wire: &Wire<'_>) {
    let act = Act::begin(wire, "request_max_retries = 1\n").await;
    let told = act.turn("FAIL status=500 times=1").await;
    told.answers("ok");
    told.retried_after(&json!(500));
    act.end().await;
}

pub(super) async fn a_refusal_that_stays(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let told = act.turn("FAIL status=429").await;
    told.fails(&json!("rateLimitExceeded"));
    act.goes_on().await;
    act.end().await;
}

pub(super) async fn a_budget_that_is_spent(wire: &Wire<'_>) {
    let act = Act::begin(wire, "request_max_retries = 3\n").await;
    act.turn("FAIL status=429 code=insufficient_quota").await.fails(&json!("usageLimitExceeded"));
    assert_eq!(act.times_asked(), 1, "asking again would not help");
    act.end().await;
}

pub(super) async fn a_model_that_is_not_there(wire: &Wire<'_>) {
    let act = Act::begin(wire, "request_max_retries = 3\n").await;
    act.turn("FAIL status=404 code=model_not_found").await.fails(&json!("modelNotFound"));
    assert_eq!(act.times_asked(), 1, "asking again would not help");
    act.end().await;
}

pub(super) async fn a_provider_without_room(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    act.turn("FAIL status=503").await.fails(&json!("serverOverloaded"));
    act.goes_on().await;
    act.end().await;
}

pub(super) async fn a_stream_that_breaks_before_its_first_word(wire: &Wire<'_>) {
    let act = Act::begin(wire, "stream_max_retries = 1\n").await;
    let told = act.turn("DROP after=0 times=1").await;
    told.answers("ok");
    told.retried_after(&Value::Null);
    act.end().await;
}

pub(super) async fn a_stream_that_breaks_after_some_words(wire: &Wire<'_>) {
    let act = Act::begin(wire, "stream_max_retries = 5\nrequest_max_retries = 5\n").await;
    let told = act.turn("DROP after=2").await;
    told.fails(&json!({ "responseStreamDisconnected": { "httpStatusCode": null } }));
    assert_eq!(told.text(), "000000 .000001 .", "what was said was said");
    assert_eq!(act.times_asked(), 1, "and is not said twice");
    act.goes_on().await;
    act.end().await;
}

pub(super) async fn an_answer_that_is_cut(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let told = act.turn("INCOMPLETE").await;
    let message = told.fails(&json!({ "responseStreamDisconnected": { "httpStatusCode": null } }));
    let reason = if act.is_chat() { "length" } else { "max_output_tokens" };
    assert!(message.contains(reason), "{message}");
    assert_eq!(told.text(), "half");
    act.goes_on().await;
    act.end().await;
}

pub(super) async fn a_conversation_that_is_too_long(wire: &Wire<'_>) {
    let act = Act::begin(wire, "request_max_retries = 3\n").await;
    let told = act.turn("FAIL status=400 code=context_length_exceeded").await;
    told.fails(&json!("contextWindowExceeded"));
    assert_eq!(act.times_asked(), 1, "asking again would not help");
    act.goes_on().await;
    act.end().await;
}

pub(super) async fn a_conversation_that_is_too_long_says_the_stream(wire: &Wire<'_>) {
    let act = Act::begin(wire, "stream_max_retries = 3\n").await;
    act.turn("ABORT code=context_length_exceeded").await.fails(&json!("contextWindowExceeded"));
    assert_eq!(act.times_asked(), 1, "asking again would not help");
    act.goes_on().await;
    act.end().await;
}

pub(super) async fn a_page_in_the_place_of_an_answer(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let told = act.turn("PAGE").await;
    let message = told.fails(&json!({ "responseStreamConnectionFailed": { "httpStatusCode": null } }));
    assert!(message.contains("text/html") && message.contains("wire_api"), "{message}");
    act.goes_on().await;
    act.end().await;
}

pub(super) async fn a_provider_that_falls_silent(wire: &Wire<'_>) {
    let act = Act::begin(wire, &format!("{ONCE}stream_idle_timeout_ms = 300\n")).await;
    let told = act.turn("SLEEP s=600").await;
    let message = told.fails(&json!({ "responseStreamDisconnected": { "httpStatusCode": null } }));
    assert!(message.contains("0.3 s") && message.contains("stream_idle_timeout_ms"), "{message}");
    act.is_given_up().await;
    act.goes_on().await;
    act.end().await;
}

pub(super) async fn an_interrupt_in_the_middle_of_a_stream(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let from = act.client.mark();
    let turn = begin_turn(&act.client, &act.thread, "STREAM n=2 delay_ms=600000").await;
    act.client.note(from, "item/agentMessage/delta", |_| true).await;
    assert_eq!(act.given_up(), 0);
    act.client.call("turn/interrupt", json!({ "threadId": act.thread, "turnId": turn })).await;
    assert_eq!(ended(&act.client, from, &turn).await["status"], "interrupted");
    act.is_given_up().await;
    act.goes_on().await;
    act.end().await;
}

pub(super) async fn a_key_from_a_file(wire: &Wire<'_>) {
    let act = Act::with_key_file(wire, KEY).await;
    act.turn("hello").await.answers("ok");
    assert_eq!(act.asked().header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    // A new key needs no restart.
    write_key(&act.key_file(), "sk-another");
    act.turn("hello again").await.answers("ok");
    assert_eq!(act.asked().header("authorization"), Some("Bearer sk-another"));
    act.end().await;
}

pub(super) async fn a_key_that_is_wrong_is_told_nowhere(wire: &Wire<'_>) {
    let act = Act::with_key_file(wire, KEY).await;
    let told = act.turn("FAIL status=401 repeat=authorization").await;
    let message = told.fails(&json!("unauthorized"));
    assert!(message.ends_with("no user has Bearer [key]"), "{message}");
    act.turn("FAIL status=429 retry_after=1 repeat=authorization").await.fails(&json!("rateLimitExceeded"));
    let shown = act.client.call("config/read", json!({})).await;
    assert!(!shown.to_string().contains(KEY));
    assert!(!act.client.since(0).iter().any(|message| message.to_string().contains(KEY)), "not on the wire");
    assert!(!act.stage.daemon.stderr().contains(KEY), "not in the log");
    let kept = holders(act.stage.home.path(), KEY.as_bytes());
    assert_eq!(kept, [act.key_file()], "in its own file alone");
    act.end().await;
}

pub(super) async fn a_key_that_others_can_read(wire: &Wire<'_>) {
    use std::os::unix::fs::PermissionsExt;
    let act = Act::with_key_file(wire, KEY).await;
    let path = act.key_file();
    let others_may = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, mode).expect("it is this user's");
    };
    others_may(0o644);
    let told = act.turn("hello").await;
    let message = told.fails(&json!("other"));
    assert!(message.ends_with(&format!("run `chmod 600 {}`", path.display())), "{message}");
    assert_eq!(act.times_asked(), 0, "nothing was sent");
    others_may(0o600);
    act.goes_on().await;
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

/// Files below `folder` that hold these bytes.
fn holders(folder: &std::path::Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of the home") {
        let entry = entry.expect("a folder of the home");
        let kind = entry.file_type().expect("an entry has a type");
        if kind.is_dir() {
            found.extend(holders(&entry.path(), bytes));
        } else if kind.is_file() {
            let content = std::fs::read(entry.path()).expect("a file of the home");
            if content.windows(bytes.len()).any(|window| window == bytes) {
                found.push(entry.path());
            }
        }
    }
    found
}
