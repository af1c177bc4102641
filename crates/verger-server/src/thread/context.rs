//! What a model is told: the conversation as turns and items, turned into model input.

use serde_json::Value;
use verger_core::thread::{Conversation, OUTCOME_UNKNOWN, Said, Seal};
use verger_model::{InputItem, Part, Reasoning, client_name, offered_name};
use verger_wire::types::{ImageDetail, McpToolCallItem, MediaSource, ReasoningItem, ThreadItem, UserInput};

use super::{client_tools, compaction, images, injecting};

/// The conversation in the model's terms, oldest first. A turn that was cut off is part of it: what was said was said.
///
/// Of its thoughts the model hears what `provider` has sealed: the words that people see would be taken for its answer.
pub(super) fn input(conversation: Conversation, provider: &str) -> Vec<InputItem> {
    let Conversation { summary, said, sealed } = conversation;
    let mut input: Vec<InputItem> = summary.as_deref().map(compaction::told).into_iter().collect();
    for (place, one) in said.iter().enumerate() {
        match one {
            Said::Item(ThreadItem::Reasoning(thought)) => {
                let led_on = led_on(&said[place + 1..]);
                let seal = sealed.get(&thought.id).filter(|seal| led_on && seal.provider == provider);
                input.extend(seal.map(|seal| given_back(thought, seal)));
            }
            Said::Item(item) => input.extend(items(item)),
            // It was understood when it was taken; an older version may have understood more.
            Said::Injected(item) => input.extend(injecting::understood(item)),
        }
    }
    input
}

/// Whether the model said or wanted something after a thought: providers refuse a thought that led to nothing, as one does
/// whose answer was cut.
fn led_on(after: &[Said]) -> bool {
    let next = after.iter().find(|said| !matches!(said, Said::Item(ThreadItem::Reasoning(_))));
    let by_others = |said: &Said| {
        matches!(
            said,
            Said::Item(ThreadItem::UserMessage(_) | ThreadItem::ContextCompaction(_)) | Said::Injected(_)
        )
    };
    next.is_some_and(|next| !by_others(next))
}

fn given_back(thought: &ReasoningItem, seal: &Seal) -> InputItem {
    InputItem::Reasoning(Reasoning {
        id: seal.id.clone(),
        summary: thought.summary.clone(),
        content: thought.content.clone(),
        encrypted_content: Some(seal.content.clone()),
    })
}

pub(super) fn items(item: &ThreadItem) -> Vec<InputItem> {
    match item {
        ThreadItem::UserMessage(message) => {
            vec![InputItem::UserMessage { content: message.content.iter().map(part).collect() }]
        }
        ThreadItem::AgentMessage(message) => vec![InputItem::AssistantMessage { text: message.text.clone() }],
        ThreadItem::McpToolCall(call) => {
            let call_id = call.id.clone();
            vec![
                InputItem::ToolCall {
                    call_id: call_id.clone(),
                    namespace: None,
                    name: offered_name(&call.server, &call.tool),
                    arguments: call.arguments.to_string(),
                },
                InputItem::ToolOutput { call_id, output: output(call) },
            ]
        }
        ThreadItem::DynamicToolCall(call) => {
            let (call_id, name) = (call.id.clone(), client_name(call.namespace.as_deref(), &call.tool));
            let arguments = call.arguments.to_string();
            let namespace = None;
            vec![
                InputItem::ToolCall { call_id: call_id.clone(), namespace, name, arguments },
                InputItem::ToolOutput { call_id, output: client_tools::output(call) },
            ]
        }
        // A summary is told where it stands, not where it was made.
        ThreadItem::Reasoning(_) | ThreadItem::Plan(_) | ThreadItem::ContextCompaction(_) => Vec::new(),
    }
}

fn part(input: &UserInput) -> Part {
    Part::Text(match input {
        UserInput::Text { text, .. } => text.clone(),
        UserInput::Skill { name, path } | UserInput::Mention { name, path } => format!("{name} ({path})"),
        UserInput::Image { source: MediaSource::Url { url }, detail } if is_sendable(url) => {
            return Part::Image { url: url.clone(), detail: detail.map(word) };
        }
        UserInput::LocalImage { path, detail } => return images::local(path, detail.map(word)),
        UserInput::LocalAudio { path } => format!("[file {path}: not sent to the model]"),
        UserInput::Image { .. } | UserInput::Audio { .. } => "[attachment: not sent to the model]".to_owned(),
    })
}

/// Providers fetch pictures from the web, or find them in the address itself.
fn is_sendable(url: &str) -> bool {
    ["https:", "http:", "data:"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

fn word(detail: ImageDetail) -> String {
    match detail {
        ImageDetail::Auto => "auto",
        ImageDetail::Low => "low",
        ImageDetail::High => "high",
        ImageDetail::Original => "original",
    }
    .to_owned()
}

/// A tool's answer as the model reads it: text and pictures as they are, all else as JSON.
fn output(call: &McpToolCallItem) -> Vec<Part> {
    if let Some(error) = &call.error {
        return vec![Part::Text(format!("error: {}", error.message))];
    }
    let Some(result) = &call.result else { return vec![Part::Text(format!("error: {OUTCOME_UNKNOWN}"))] };
    let mut parts = Vec::new();
    for content in &result.content {
        match (piece(content), parts.last_mut()) {
            (Part::Text(text), Some(Part::Text(before))) => {
                before.push('\n');
                before.push_str(&text);
            }
            (piece, _) => parts.push(piece),
        }
    }
    if parts.is_empty() { vec![Part::Text(String::new())] } else { parts }
}

/// One of MCP's content blocks.
fn piece(content: &Value) -> Part {
    let text = |member: &str| content.get(member).and_then(Value::as_str);
    match (text("type"), text("text"), text("data"), text("mimeType")) {
        (Some("image"), _, Some(data), Some(kind)) => {
            Part::Image { url: format!("data:{kind};base64,{data}"), detail: None }
        }
        (_, Some(text), ..) => Part::Text(text.to_owned()),
        _ => Part::Text(content.to_string()),
    }
}
