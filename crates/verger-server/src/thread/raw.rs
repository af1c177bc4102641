//! Raw events: what is said and done in a turn, as items of the Responses API, for subscriptions that asked for it. They
//! are made of what the model is told of each item, since not every model speaks that API.

use serde_json::{Value, json};
use verger_model::{InputItem, Part};
use verger_wire::types::ThreadItem;
use verger_wire::{
    ItemCompletedNotification, ItemStartedNotification, Notification, RawResponseItemCompletedNotification,
};

use super::context;

/// What comes right before a notification.
pub(super) fn before(notification: &Notification) -> Option<Notification> {
    let Notification::ItemStarted(ItemStartedNotification { item, thread_id, turn_id, .. }) = notification
    else {
        return None;
    };
    let raw = match item {
        ThreadItem::UserMessage(_) => first(item),
        ThreadItem::McpToolCall(_) | ThreadItem::DynamicToolCall(_) => first(item),
        _ => None,
    };
    raw.map(|raw| told(thread_id, turn_id, raw))
}

/// What comes right after it.
pub(super) fn after(notification: &Notification) -> Option<Notification> {
    let Notification::ItemCompleted(ItemCompletedNotification { item, thread_id, turn_id, .. }) =
        notification
    else {
        return None;
    };
    let raw = match item {
        ThreadItem::AgentMessage(_) => first(item),
        // The call itself came when it began.
        ThreadItem::McpToolCall(_) | ThreadItem::DynamicToolCall(_) => {
            context::items(item).into_iter().nth(1).map(of)
        }
        // What the provider sealed of a thought is shown to nobody.
        ThreadItem::Reasoning(thought) => {
            let parts = |kind: &str, texts: &[String]| {
                texts.iter().map(|text| json!({ "type": kind, "text": text })).collect::<Value>()
            };
            Some(json!({
                "type": "reasoning",
                "id": thought.id,
                "summary": parts("summary_text", &thought.summary),
                "content": parts("reasoning_text", &thought.content),
            }))
        }
        _ => None,
    };
    raw.map(|raw| told(thread_id, turn_id, raw))
}

fn told(thread_id: &str, turn_id: &str, item: Value) -> Notification {
    let (thread_id, turn_id) = (thread_id.to_owned(), turn_id.to_owned());
    Notification::RawResponseItemCompleted(RawResponseItemCompletedNotification { thread_id, turn_id, item })
}

fn first(item: &ThreadItem) -> Option<Value> {
    context::items(item).into_iter().next().map(of)
}

fn of(item: InputItem) -> Value {
    match item {
        InputItem::UserMessage { content } => {
            json!({ "type": "message", "role": "user", "content": parts(content) })
        }
        InputItem::AssistantMessage { text } => {
            let content = [json!({ "type": "output_text", "text": text })];
            json!({ "type": "message", "role": "assistant", "content": content })
        }
        InputItem::ToolCall { call_id, namespace, name, arguments } => {
            json!({
                "type": "function_call",
                "call_id": call_id,
                "namespace": namespace,
                "name": name,
                "arguments": arguments,
            })
        }
        InputItem::ToolOutput { call_id, output } => {
            json!({ "type": "function_call_output", "call_id": call_id, "output": parts(output) })
        }
        InputItem::Reasoning(thought) => json!({ "type": "reasoning", "id": thought.id, "summary": [] }),
    }
}

fn parts(parts: Vec<Part>) -> Vec<Value> {
    let part = |part| match part {
        Part::Text(text) => Some(json!({ "type": "input_text", "text": text })),
        Part::Image { url, detail } => {
            Some(json!({ "type": "input_image", "image_url": url, "detail": detail }))
        }
        _ => None,
    };
    parts.into_iter().filter_map(part).collect()
}
