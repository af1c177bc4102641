//! The voice of Chat Completions, as OpenAI speaks it; calls that are not in pieces come as Ollama sends them.

use serde_json::{Value, json};

use super::reply::{Voice, pieces};
use super::script::{Call, complaint};

pub(super) struct Chat {
    /// Whether the request asks for it, as it has to.
    usage: bool,
}

impl Chat {
    /// The voice that answers this request.
    pub(super) fn to(body: &Value) -> Self {
        Self { usage: body["stream_options"]["include_usage"] == true }
    }

    fn usage(&self) -> String {
        let usage = json!({
            "prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 15,
        });
        if self.usage { chunk(json!([]), &usage) } else { String::new() }
    }
}

impl Voice for Chat {
    fn begin(&self) -> String {
        delta(json!({"role": "assistant", "content": ""}))
    }

    fn delta(&self, text: &str) -> String {
        delta(json!({ "content": text }))
    }

    fn thought(&self, text: &str) -> String {
        pieces(text).into_iter().map(|piece| delta(json!({ "reasoning_content": piece }))).collect()
    }

    fn calls(&self, calls: &[Call]) -> Vec<String> {
        let call = |(at, call): (usize, &Call)| {
            let function = json!({"name": name(call), "arguments": call.arguments});
            fragment(
                json!({"index": at, "id": format!("call_{}", at + 1), "type": "function", "function": function}),
            )
        };
        calls.iter().enumerate().map(call).collect()
    }

    fn calls_in_pieces(&self, calls: &[Call]) -> Vec<String> {
        let begin = |(at, call): (usize, &Call)| {
            let function = json!({"name": name(call), "arguments": ""});
            fragment(
                json!({"index": at, "id": format!("call_{}", at + 1), "type": "function", "function": function}),
            )
        };
        let mut chunks: Vec<String> = calls.iter().enumerate().map(begin).collect();
        let parts: Vec<Vec<String>> = calls.iter().map(|call| pieces(&call.arguments)).collect();
        let most = parts.iter().map(Vec::len).max().unwrap_or(0);
        for turn in 0..most {
            for (at, part) in parts.iter().enumerate().filter_map(|(at, parts)| Some((at, parts.get(turn)?)))
            {
                chunks.push(fragment(json!({"index": at, "function": {"arguments": part}})));
            }
        }
        chunks
    }

    fn failed(&self, code: &str) -> String {
        data(&json!({"error": {"code": code, "message": complaint(code, "told to abort")}}))
    }

    fn incomplete(&self) -> String {
        finish("length") + &self.usage() + "data: [DONE]\n\n"
    }

    fn complete(&self, called: bool) -> String {
        finish(if called { "tool_calls" } else { "stop" }) + &self.usage() + "data: [DONE]\n\n"
    }
}

/// A function's name, which has no namespace on this wire.
fn name(call: &Call) -> String {
    match &call.namespace {
        Some(space) => format!("{space}__{}", call.tool),
        None => call.tool.clone(),
    }
}

fn fragment(call: Value) -> String {
    delta(json!({ "tool_calls": [call] }))
}

fn delta(delta: Value) -> String {
    chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]), &Value::Null)
}

fn finish(reason: &str) -> String {
    chunk(json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": reason}]), &Value::Null)
}

fn chunk(choices: Value, usage: &Value) -> String {
    data(&json!({
        "id": "chatcmpl", "object": "chat.completion.chunk", "created": 1, "model": "fake",
        "choices": choices, "usage": usage,
    }))
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}
