//! What each shape of event means, from servers that keep to the book and servers that do not.

use super::*;

fn decode(events: &[&str]) -> (Vec<ModelEvent>, Result<(), Fault>) {
    let (mut decoder, mut out) = (Events::default(), VecDeque::new());
    let result = events.iter().try_for_each(|event| decoder.read(event, &mut out));
    (out.into(), result)
}

/// Events in short: `+id`, `id:text`, `-id`, and the kind of the rest.
fn check(events: &[&str], want: &[&str]) {
    let (out, result) = decode(events);
    assert_eq!(result, Ok(()));
    let short = |event: &ModelEvent| match event {
        ModelEvent::TextStarted { id } => format!("+{id}"),
        ModelEvent::TextDelta { id, delta } => format!("{id}:{delta}"),
        ModelEvent::TextDone { id } => format!("-{id}"),
        ModelEvent::ToolCall { namespace, name, arguments, .. } => {
            format!("call {} {name} {arguments}", namespace.as_deref().unwrap_or("-"))
        }
        ModelEvent::ReasoningDelta { id, part, delta } => format!("{id} {part:?}:{delta}"),
        ModelEvent::ReasoningDone(reasoning) => format!("thought {}", reasoning.summary.join("|")),
        ModelEvent::Usage(usage) => format!("usage {}", usage.total_tokens),
        ModelEvent::Completed => "completed".into(),
        ModelEvent::Retrying { .. } => "retrying".into(),
    };
    assert_eq!(out.iter().map(short).collect::<Vec<_>>(), want);
}

const DONE: &str = r#"{"type":"response.completed","response":{"id":"r"}}"#;

#[test]
fn a_text_by_the_book() {
    check(
        &[
            r#"{"type":"response.created","response":{"id":"r"}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"message","id":"m","content":[]}}"#,
            r#"{"type":"response.content_part.added","item_id":"m","part":{"type":"output_text","text":""}}"#,
            r#"{"type":"response.output_text.delta","item_id":"m","delta":"a\n"}"#,
            r#"{"type":"response.output_text.delta","item_id":"m","delta":""}"#,
            r#"{"type":"response.output_text.delta","item_id":"m","delta":"é\u00e9"}"#,
            r#"{"type":"response.output_text.done","item_id":"m","text":"a\néé"}"#,
            r#"{"type":"response.output_item.done","item":{"type":"message","id":"m","content":[{"type":"output_text","text":"a\néé"}]}}"#,
            r#"{"type":"response.completed","response":{"output":[{"type":"message"}],"usage":{"input_tokens":10,"output_tokens":5,"total_tokens":15}}}"#,
        ],
        &["+m", "m:a\n", "m:éé", "-m", "usage 15", "completed"],
    );
}

#[test]
fn a_text_without_deltas_comes_from_its_item() {
    let item = r#"{"type":"response.output_item.done","item":{"type":"message","id":"m","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"b"}]}}"#;
    check(&[item, DONE], &["+m", "m:ab", "-m", "completed"]);
    let empty = r#"{"type":"response.output_item.done","item":{"type":"message","id":"m","content":null}}"#;
    check(&[empty, DONE], &["completed"]);
}

#[test]
fn missing_ids_and_missing_ends_are_made_good() {
    let delta = r#"{"type":"response.output_text.delta","item_id":null,"delta":"a"}"#;
    let end = r#"{"type":"response.output_item.done","item":{"type":"message","id":"m","content":[]}}"#;
    check(&[delta, delta, end, DONE], &["+text", "text:a", "text:a", "-text", "completed"]);
    check(&[delta, DONE, "[DONE]"], &["+text", "text:a", "-text", "completed"]);
}

#[test]
fn texts_that_overlap_stay_apart() {
    let delta = |id: &str| format!(r#"{{"type":"response.output_text.delta","item_id":"{id}","delta":"x"}}"#);
    let end = |id: &str| {
        format!(r#"{{"type":"response.output_item.done","item":{{"type":"message","id":"{id}"}}}}"#)
    };
    let events = [delta("a"), delta("b"), delta("a"), end("a"), end("b"), DONE.to_owned()];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    check(&events, &["+a", "a:x", "+b", "b:x", "a:x", "-a", "-b", "completed"]);
}

#[test]
fn a_thought_as_it_grows() {
    check(
        &[
            r#"{"type":"response.output_item.added","item":{"type":"reasoning","id":"rs","summary":[]}}"#,
            r#"{"type":"response.reasoning_summary_part.added","item_id":"rs","summary_index":1}"#,
            r#"{"type":"response.reasoning_summary_text.delta","item_id":"rs","summary_index":1,"delta":"a"}"#,
            r#"{"type":"response.reasoning_summary_text.delta","item_id":"rs","summary_index":1,"delta":""}"#,
            r#"{"type":"response.reasoning_summary_text.delta","delta":"whose?"}"#,
            r#"{"type":"response.reasoning_text.delta","item_id":"rs","content_index":0,"delta":"b"}"#,
            DONE,
        ],
        &["rs Summary(1):a", "rs Content(0):b", "completed"],
    );
}

#[test]
fn calls_and_thoughts() {
    check(
        &[
            r#"{"type":"response.output_item.done","item":{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"one"},{"type":"summary_text","text":"two"}],"encrypted_content":"x"}}"#,
            r#"{"type":"response.function_call_arguments.delta","item_id":"f","delta":"{\"a\""}"#,
            r#"{"type":"response.output_item.done","item":{"type":"function_call","id":"f","call_id":"c","name":"mcp__git__log","arguments":"{\"a\":1}"}}"#,
            r#"{"type":"response.output_item.done","item":{"type":"function_call","call_id":"c","namespace":"mcp__git","name":"log","arguments":{"a": 1}}}"#,
            r#"{"type":"response.output_item.done","item":{"type":"web_search_call","id":"w"}}"#,
            DONE,
        ],
        &["thought one|two", r#"call - mcp__git__log {"a":1}"#, r#"call mcp__git log {"a": 1}"#, "completed"],
    );
}

#[test]
fn unknown_events_are_passed_over() {
    check(
        &[
            r#"{"type":"response.something_new","delta":{"an":"object"},"item":[1],"response":7}"#,
            r#"{"keepalive":true}"#,
            r#"{"type":"response.output_text.annotation.added","item_id":5}"#,
            DONE,
        ],
        &["completed"],
    );
}

#[test]
fn each_kind_of_failure_is_told() {
    let failed = |code: Option<&str>, message: &str| {
        Err(Fault::Failed(Said { code: code.map(str::to_owned), message: message.to_owned() }))
    };
    let event = r#"{"type":"response.failed","response":{"error":{"code":"server_error","message":"oops"}}}"#;
    assert_eq!(decode(&[event]).1, failed(Some("server_error"), "oops"));
    assert_eq!(decode(&[r#"{"type":"response.failed"}"#]).1, failed(None, "no reason given"));
    let event = r#"{"type":"error","code":"slow_down","message":"oops","param":null}"#;
    assert_eq!(decode(&[event]).1, failed(Some("slow_down"), "oops"));
    assert_eq!(decode(&[r#"{"error":{"message":"oops"}}"#]).1, failed(None, "oops"));

    let event = r#"{"type":"response.incomplete","response":{"incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":1,"output_tokens":2}}}"#;
    let (out, result) = decode(&[event]);
    assert_eq!(result, Err(Fault::Incomplete("max_output_tokens".into())));
    assert!(matches!(out[..], [ModelEvent::Usage(Usage { total_tokens: 3, .. })]), "{out:?}");

    assert!(matches!(decode(&["<html>"]).1, Err(Fault::Unreadable(_))));
}

#[test]
fn the_rest_of_an_event_is_known_only_if_it_closes_a_text_that_came_in_deltas() {
    let closing = [
        r#"data: {"type":"response.output_text.done","item_id":"m","text":"aaa"#,
        r#"data: {"type": "response.content_part.done", "item_id": "m", "part": {"text": "aaa"#,
        r#"data: {"type":"response.output_item.done","item":{"id":"m","type":"message","content":[{"text":"aaa"#,
    ];
    let needed = [
        r#"data: {"type":"response.output_item.done","item":{"type":"function_call","arguments":"\"type\":\"message\""#,
        r#"data: {"type":"response.output_item.done","item":{"id":"other","type":"message","content":[{"text":"aaa"#,
        r#"data: {"type":"response.completed","response":{"id":"m","output":[{"type":"message","content":[{"text":"aaa"#,
        r#"data: {"type":"response.output_text.delta","item_id":"m","delta":"\"type\":\"response.output_text.done\""#,
    ];
    let (mut decoder, mut out) = (Events::default(), VecDeque::new());
    assert!(!closing.iter().any(|head| decoder.knows_rest(head)));
    decoder.read(r#"{"type":"response.output_text.delta","item_id":"m","delta":"aaa"}"#, &mut out).unwrap();
    assert!(closing.iter().all(|head| decoder.knows_rest(head)));
    assert!(!needed.iter().any(|head| decoder.knows_rest(head)));

    out.clear();
    decoder.read_head(closing[0], &mut out);
    assert!(out.is_empty());
    decoder.read_head(closing[2], &mut out);
    assert_eq!(out, [ModelEvent::TextDone { id: "m".into() }]);
}
