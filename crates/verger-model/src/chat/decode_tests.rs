//! What each shape of chunk means, from servers that keep to the book and servers that do not.

use super::*;

/// Events in short, and how the answer ended: `Ok(true)`, it was whole.
fn decode(chunks: &[&str]) -> (Vec<String>, Result<bool, Fault>) {
    let (mut decoder, mut out) = (Chunks::default(), VecDeque::new());
    let read = chunks.iter().try_for_each(|chunk| decoder.read(chunk, &mut out));
    let ended = read.and_then(|()| decoder.end(&mut out));
    let short = |event: &ModelEvent| match event {
        ModelEvent::TextStarted { .. } => "+".to_owned(),
        ModelEvent::TextDelta { delta, .. } => delta.clone(),
        ModelEvent::TextDone { .. } => "-".to_owned(),
        ModelEvent::ToolCall { call_id, name, arguments, .. } => format!("call {call_id} {name} {arguments}"),
        ModelEvent::ReasoningDelta { delta, .. } => format!("~{delta}"),
        ModelEvent::ReasoningDone(reasoning) => format!("thought {}", reasoning.content.join("|")),
        ModelEvent::Usage(usage) => format!("usage {}", usage.total_tokens),
        ModelEvent::Completed => "completed".into(),
        ModelEvent::Retrying { .. } => "retrying".into(),
    };
    (out.iter().map(short).collect(), ended)
}

#[track_caller]
fn check(chunks: &[&str], want: &[&str]) {
    assert_eq!(decode(chunks), (want.iter().map(|text| (*text).to_owned()).collect(), Ok(true)));
}

const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;
const HELLO: &str = r#"{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}"#;

#[test]
fn a_text_by_the_book() {
    check(
        &[
            r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"a\n"},"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"\u00e9"},"finish_reason":null}],"usage":null}"#,
            STOP,
            USAGE,
            "[DONE]",
        ],
        &["+", "a\n", "é", "-", "usage 15", "completed"],
    );
}

#[test]
fn an_answer_is_whole_once_it_says_why_it_ended() {
    check(&[HELLO, STOP], &["+", "hello", "-", "completed"]);
    check(&[HELLO, STOP, USAGE], &["+", "hello", "-", "usage 15", "completed"]);
    // usage beside the reason; a reason twice; more after the end
    let both = r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    check(&[HELLO, both, STOP, "[DONE]", HELLO], &["+", "hello", "-", "usage 3", "completed"]);
    // no reason at all, but a proper end
    check(&[HELLO, "[DONE]"], &["+", "hello", "-", "completed"]);
    // nothing at all, with a reason
    check(&[STOP, "[DONE]"], &["completed"]);
}

#[test]
fn an_answer_without_a_reason_is_broken_off() {
    assert_eq!(decode(&[HELLO]).1, Ok(false));
    assert_eq!(decode(&[]).1, Ok(false));
    assert!(matches!(decode(&["[DONE]"]).1, Err(Fault::BrokenOff(_))));
    let half = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x"}}]}}]}"#;
    let (events, ended) = decode(&[half, "[DONE]"]);
    assert!(events.is_empty() && matches!(ended, Err(Fault::BrokenOff(_))), "{events:?} {ended:?}");
}

#[test]
fn calls_come_at_the_end_whatever_the_reason_is_called() {
    let calls = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"mcp__git__log","arguments":"{}"}},{"index":1,"id":"b","type":"function","function":{"name":"mcp__git__show","arguments":"{\"n\""}}]}}]}"#;
    let rest =
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":":1}"}}]}}]}"#;
    let want =
        ["+", "hello", "-", "call a mcp__git__log {}", r#"call b mcp__git__show {"n":1}"#, "completed"];
    for reason in ["tool_calls", "stop", "function_call", "eos"] {
        let end = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
        check(&[HELLO, calls, rest, &end, "[DONE]"], &want);
    }
    check(&[HELLO, calls, rest, "[DONE]"], &want);
}

#[test]
fn thoughts_are_read_by_every_name_and_once() {
    for delta in [
        r#"{"reasoning_content":"hm","content":null}"#,
        r#"{"reasoning":"hm","content":""}"#,
        r#"{"reasoning_content":"hm","reasoning":"hm","reasoning_details":[{"text":"hm"}]}"#,
        r#"{"reasoning_content":"","reasoning":[{"type":"text","text":"hm"}]}"#,
    ] {
        let chunk = format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#);
        check(
            &[&chunk, &chunk, HELLO, STOP],
            &["~hm", "~hm", "thought hmhm", "+", "hello", "-", "completed"],
        );
        check(&[&chunk, STOP], &["~hm", "thought hm", "completed"]);
    }
}

#[test]
fn thoughts_of_the_one_field_say_so() {
    for (field, open) in [("reasoning_content", true), ("reasoning", false)] {
        let (mut decoder, mut out) = (Chunks::default(), VecDeque::new());
        decoder.read(&format!(r#"{{"choices":[{{"delta":{{"{field}":"hm"}}}}]}}"#), &mut out).unwrap();
        decoder.read(HELLO, &mut out).unwrap();
        let done = out.iter().find_map(|event| match event {
            ModelEvent::ReasoningDone(reasoning) => Some(reasoning.is_open()),
            _ => None,
        });
        assert_eq!(done, Some(open), "{field}");
    }
}

#[test]
fn shapes_that_the_book_does_not_have() {
    // a list of parts; a whole message; a refusal; a second choice
    let parts = r#"{"choices":[{"delta":{"content":[{"type":"text","text":"hel"},{"type":"reference"},{"text":"lo"}]}}]}"#;
    check(&[parts, STOP], &["+", "hello", "-", "completed"]);
    let message =
        r#"{"choices":[{"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}"#;
    check(&[message], &["+", "hello", "-", "completed"]);
    let refusal =
        r#"{"choices":[{"delta":{"content":null,"refusal":"no"}},{"index":1,"delta":{"content":"x"}}]}"#;
    check(&[refusal, STOP], &["+", "no", "-", "completed"]);
    // what is no chunk of an answer
    let others = [
        r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
        r#"{"choices":null,"error":null,"usage":{"prompt_tokens":"many"}}"#,
        r#"{"type":"ping"}"#,
        r#"{"choices":[{"index":0,"delta":null,"finish_reason":""}]}"#,
    ];
    check(&[&others[..], &[HELLO, STOP]].concat(), &["+", "hello", "-", "completed"]);
}

#[test]
fn usage_is_read_with_all_its_details() {
    let (mut decoder, mut out) = (Chunks::default(), VecDeque::new());
    let read = |decoder: &mut Chunks, usage: &str, out: &mut VecDeque<ModelEvent>| {
        decoder.read(&format!(r#"{{"choices":[],"usage":{usage}}}"#), out).unwrap();
    };
    read(&mut decoder, r#"{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}"#, &mut out);
    read(
        &mut decoder,
        r#"{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":2},"total_tokens":15}"#,
        &mut out,
    );
    decoder.read(STOP, &mut out).unwrap();
    decoder.end(&mut out).unwrap();
    let want = Usage {
        input_tokens: 10,
        cached_input_tokens: 4,
        output_tokens: 5,
        reasoning_output_tokens: 2,
        total_tokens: 15,
    };
    assert_eq!(out[0], ModelEvent::Usage(want));
    let raw = r#"{"prompt_tokens":10,"prompt_cache_hit_tokens":7,"prompt_tokens_details":null,"completion_tokens":5}"#;
    let usage = Usage::from(serde_json::from_str::<WireUsage>(raw).unwrap());
    assert_eq!((usage.cached_input_tokens, usage.total_tokens), (7, 15));
}

#[test]
fn each_kind_of_failure_is_told() {
    let failed = |code: Option<&str>, message: &str| {
        Err(Fault::Failed(Said { code: code.map(str::to_owned), message: message.to_owned() }))
    };
    for (chunk, code) in [
        (r#"{"error":{"message":"oops","type":"server_error","code":null}}"#, Some("server_error")),
        (r#"{"error":"oops"}"#, None),
        (
            r#"{"object":"error","message":"oops","type":"BadRequestError","param":null,"code":400}"#,
            Some("BadRequestError"),
        ),
        (
            r#"{"code":400,"message":"oops","type":"exceed_context_size_error"}"#,
            Some("exceed_context_size_error"),
        ),
        (
            r#"{"error":{"code":429,"message":"oops"},"choices":[{"delta":{},"finish_reason":"error"}]}"#,
            Some("429"),
        ),
    ] {
        assert_eq!(decode(&[HELLO, chunk]).1, failed(code, "oops"), "{chunk}");
    }
    let error = r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#;
    assert_eq!(decode(&[error]).1, failed(None, "the model failed (finish_reason: error)"));

    let cut = |reason: &str| format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
    for reason in ["length", "content_filter"] {
        let (events, ended) = decode(&[HELLO, &cut(reason), USAGE, "[DONE]"]);
        assert_eq!(events, ["+", "hello", "usage 15"]);
        assert_eq!(ended, Err(Fault::Incomplete(reason.to_owned())));
    }
    assert!(matches!(decode(&["<html>"]).1, Err(Fault::Unreadable(_))));
}
