//! What is said, thought, shown and asked for, what it costs, and an end to it.

use serde_json::{Value, json};

use crate::stage::{begin_turn, ended, say};
use crate::wires::act::{Act, ONCE, Wire};

pub(in crate::wires) async fn a_plain_answer(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let told = act.turn("hello").await;
    told.answers("ok");
    assert_eq!(told.deltas(), "ok");
    assert!(told.notes("error").is_empty());
    act.end().await;
}

pub(in crate::wires) async fn many_deltas(wire: &Wire<'_>) {
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

pub(in crate::wires) async fn two_turns_of_one_conversation(wire: &Wire<'_>) {
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

pub(in crate::wires) async fn a_thought_before_the_words(wire: &Wire<'_>) {
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

pub(in crate::wires) async fn a_picture(wire: &Wire<'_>) {
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

pub(in crate::wires) async fn an_answer_to_a_schema(wire: &Wire<'_>) {
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

pub(in crate::wires) async fn what_it_cost(wire: &Wire<'_>) {
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

pub(in crate::wires) async fn an_interrupt_in_the_middle_of_a_stream(wire: &Wire<'_>) {
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
