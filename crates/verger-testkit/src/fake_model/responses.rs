//! The voice of the Responses API.

use serde_json::{Value, json};

use super::reply::{Voice, pieces};
use super::script::{Call, complaint};

pub(super) struct Responses;

impl Voice for Responses {
    fn begin(&self) -> String {
        event("response.created", &json!({"response": {"id": "resp"}}))
    }

    fn begin_text(&self) -> String {
        let item = json!({"type": "message", "role": "assistant", "id": "msg", "content": []});
        event("response.output_item.added", &json!({"output_index": 0, "item": item}))
    }

    fn delta(&self, delta: &str) -> String {
        let rest = json!({"item_id": "msg", "output_index": 0, "content_index": 0, "delta": delta});
        event("response.output_text.delta", &rest)
    }

    fn end_text(&self, whole: &str) -> String {
        // Written by hand, as the order of fields matters to a reader that wants to skip the text.
        let content = json!([{"type": "output_text", "text": whole, "annotations": []}]);
        let item = format!(r#"{{"id":"msg","type":"message","role":"assistant","content":{content}}}"#);
        framed("response.output_item.done", &format!(r#""output_index":0,"item":{item}}}"#))
    }

    fn thought(&self, text: &str) -> String {
        let of = |rest: Value| {
            let mut whole = json!({"item_id": "rs", "output_index": 0, "summary_index": 0});
            whole.as_object_mut().expect("an object").extend(rest.as_object().expect("another").clone());
            whole
        };
        let mut events = event("response.reasoning_summary_part.added", &of(json!({})));
        for delta in pieces(text) {
            events += &event("response.reasoning_summary_text.delta", &of(json!({ "delta": delta })));
        }
        let summary = json!([{"type": "summary_text", "text": text}]);
        let sealed = format!("sealed: {text}");
        events
            + &done(
                &json!({"type": "reasoning", "id": "rs", "summary": summary, "encrypted_content": sealed}),
            )
    }

    fn calls(&self, calls: &[Call]) -> Vec<String> {
        calls.iter().enumerate().map(|(at, call)| done(&item(at, call))).collect()
    }

    fn calls_in_pieces(&self, calls: &[Call]) -> Vec<String> {
        let parts = calls.iter().enumerate().flat_map(|(at, call)| {
            let id = format!("fc_{}", at + 1);
            let part = move |delta: String| {
                let rest = json!({"item_id": id, "output_index": at, "delta": delta});
                event("response.function_call_arguments.delta", &rest)
            };
            pieces(&call.arguments).into_iter().map(part)
        });
        parts.chain(self.calls(calls)).collect()
    }

    fn failed(&self, code: &str) -> String {
        let error = json!({"code": code, "message": complaint(code, "told to abort")});
        event("response.failed", &json!({"response": {"id": "resp", "error": error}}))
    }

    fn incomplete(&self) -> String {
        let details = json!({"reason": "max_output_tokens"});
        let response = json!({"id": "resp", "incomplete_details": details, "usage": usage()});
        event("response.incomplete", &json!({ "response": response }))
    }

    fn complete(&self, _called: bool) -> String {
        event("response.completed", &json!({"response": {"id": "resp", "usage": usage()}}))
    }
}

fn item(at: usize, call: &Call) -> Value {
    let Call { namespace, tool, arguments } = call;
    let (id, call_id) = (format!("fc_{}", at + 1), format!("call_{}", at + 1));
    let mut item =
        json!({"type": "function_call", "id": id, "call_id": call_id, "name": tool, "arguments": arguments});
    if let Some(namespace) = namespace {
        item["namespace"] = namespace.as_str().into();
    }
    item
}

fn usage() -> Value {
    json!({
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    })
}

fn done(item: &Value) -> String {
    event("response.output_item.done", &json!({"output_index": 0, "item": item}))
}

fn event(kind: &str, rest: &Value) -> String {
    framed(kind, rest.to_string().trim_start_matches('{'))
}

/// An event of this kind, its type in front as providers write it, and the fields that follow.
fn framed(kind: &str, rest: &str) -> String {
    format!("event: {kind}\ndata: {{\"type\":\"{kind}\",{rest}\n\n")
}
