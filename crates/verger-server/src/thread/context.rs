//! What a model is told: the conversation as turns and items, turned into model input.

use verger_core::thread::{Conversation, OUTCOME_UNKNOWN, Said};
use verger_model::{InputItem, Part, offered_name};
use verger_wire::types::{McpToolCallItem, ThreadItem, UserInput};

use super::{compaction, injecting};

/// The conversation in the model's terms, oldest first. A turn that was cut off is part of it: what was said was said.
pub(super) fn input(conversation: Conversation) -> Vec<InputItem> {
    let Conversation { summary, said } = conversation;
    let said = said.into_iter().flat_map(|said| match said {
        Said::Item(item) => items(&item),
        // It was understood when it was taken; an older version may have understood more.
        Said::Injected(item) => injecting::understood(&item).into_iter().collect(),
    });
    summary.as_deref().map(compaction::told).into_iter().chain(said).collect()
}

fn items(item: &ThreadItem) -> Vec<InputItem> {
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
                InputItem::tool_output(call_id, output(call)),
            ]
        }
        // Reasoning is not sent back: without the provider's sealed copy it would be taken for the model's words.
        // The summary is told where it stands, not where it was made.
        ThreadItem::Reasoning(_)
        | ThreadItem::Plan(_)
        | ThreadItem::DynamicToolCall(_)
        | ThreadItem::ContextCompaction(_) => Vec::new(),
    }
}

fn part(input: &UserInput) -> Part {
    Part::Text(match input {
        UserInput::Text { text, .. } => text.clone(),
        UserInput::Skill { name, path } | UserInput::Mention { name, path } => format!("{name} ({path})"),
        UserInput::LocalImage { path, .. } | UserInput::LocalAudio { path } => {
            format!("[file {path}: not sent to the model]")
        }
        UserInput::Image { .. } | UserInput::Audio { .. } => "[attachment: not sent to the model]".to_owned(),
    })
}

/// A tool's answer as the model reads it: text as it is, all else as JSON.
fn output(call: &McpToolCallItem) -> String {
    if let Some(error) = &call.error {
        return format!("error: {}", error.message);
    }
    let Some(result) = &call.result else { return format!("error: {OUTCOME_UNKNOWN}") };
    let text = |content: &serde_json::Value| match content.get("text").and_then(|text| text.as_str()) {
        Some(text) => text.to_owned(),
        None => content.to_string(),
    };
    result.content.iter().map(text).collect::<Vec<_>>().join("\n")
}
