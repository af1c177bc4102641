//! Plays a script as the events of the Responses API.

use std::io;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::http::Output;
use super::script::Script;

/// Writes one answer. `false`: the connection is to be cut.
///
/// # Errors
/// The client is gone.
pub(super) async fn play(script: Script, to: &mut Output) -> io::Result<bool> {
    match script {
        Script::NotFound => return to.whole(404, None, &json!({})).await,
        Script::Fail { status, retry_after } => {
            let error =
                json!({"error": {"code": "on_request", "message": format!("told to fail with {status}")}});
            return to.whole(status, retry_after.as_deref(), &error).await;
        }
        _ => {}
    }
    to.begin().await?;
    event(to, "response.created", json!({"response": {"id": "resp"}})).await?;
    match script {
        Script::Text { n, text, size, delay } => {
            let mut whole = String::new();
            begin_message(to).await?;
            for i in 0..n {
                if i > 0 && !delay.is_zero() {
                    sleep(delay).await;
                }
                let delta = if size == 0 { text.to_owned() } else { numbered(i, size) };
                whole.push_str(&delta);
                say(to, delta).await?;
            }
            end_message(to, &whole).await?;
        }
        Script::Sleep(time) => {
            begin_message(to).await?;
            sleep(time).await;
            say(to, "ok".into()).await?;
            end_message(to, "ok").await?;
        }
        Script::Call { namespace, tool, arguments } => {
            let mut item = json!({"type": "function_call", "id": "fc", "call_id": "call_1", "name": tool, "arguments": arguments});
            if let Some(namespace) = namespace {
                item["namespace"] = namespace.into();
            }
            event(to, "response.output_item.done", json!({"output_index": 0, "item": item})).await?;
        }
        Script::Abort { code } => {
            let error = json!({"code": code, "message": "told to abort"});
            event(to, "response.failed", json!({"response": {"id": "resp", "error": error}})).await?;
            return to.end().await;
        }
        Script::Drop { after } => {
            begin_message(to).await?;
            for i in 0..after {
                say(to, numbered(i, 8)).await?;
            }
            return Ok(false);
        }
        Script::Incomplete => {
            begin_message(to).await?;
            say(to, "half".into()).await?;
            let details = json!({"reason": "max_output_tokens"});
            let response = json!({"id": "resp", "incomplete_details": details, "usage": usage()});
            event(to, "response.incomplete", json!({"response": response})).await?;
            return to.end().await;
        }
        Script::NotFound | Script::Fail { .. } => unreachable!("answered above, without a stream"),
    }
    event(to, "response.completed", json!({"response": {"id": "resp", "usage": usage()}})).await?;
    to.end().await
}

/// `i` in six digits, then as many dots as it takes.
fn numbered(i: usize, size: usize) -> String {
    let mut text = format!("{i:06} ");
    text.extend(std::iter::repeat_n('.', size.saturating_sub(text.len())));
    text.truncate(size);
    text
}

fn usage() -> Value {
    json!({
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    })
}

async fn begin_message(to: &mut Output) -> io::Result<()> {
    let item = json!({"type": "message", "role": "assistant", "id": "msg", "content": []});
    event(to, "response.output_item.added", json!({"output_index": 0, "item": item})).await
}

async fn say(to: &mut Output, delta: String) -> io::Result<()> {
    let rest = json!({"item_id": "msg", "output_index": 0, "content_index": 0, "delta": delta});
    event(to, "response.output_text.delta", rest).await
}

async fn end_message(to: &mut Output, text: &str) -> io::Result<()> {
    // Written by hand, as the order of fields matters to a reader that wants to skip the text.
    let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
    let item = format!(r#"{{"id":"msg","type":"message","role":"assistant","content":{content}}}"#);
    send(to, "response.output_item.done", &format!(r#""output_index":0,"item":{item}}}"#)).await
}

async fn event(to: &mut Output, kind: &str, rest: Value) -> io::Result<()> {
    send(to, kind, rest.to_string().trim_start_matches('{')).await
}

/// An event of this kind, its type in front as providers write it, and the fields that follow.
async fn send(to: &mut Output, kind: &str, rest: &str) -> io::Result<()> {
    to.chunk(&format!("event: {kind}\ndata: {{\"type\":\"{kind}\",{rest}\n\n")).await
}
