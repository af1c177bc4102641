//! What was said and done, as text.

use verger_wire::types::{McpToolCallItem, McpToolCallStatus, ThreadItem, Turn, UserInput};

/// A turn from its beginning to its end.
pub(super) fn turn(turn: &Turn) -> String {
    let mut out = turn.items.iter().map(item).collect::<String>();
    if let Some(error) = &turn.error {
        out += &format!("! {}\n", error.message);
    }
    out
}

/// An item that is final.
pub(super) fn item(item: &ThreadItem) -> String {
    match item {
        ThreadItem::UserMessage(said) => {
            let words = said.content.iter().map(|input| match input {
                UserInput::Text { text, .. } => text.as_str(),
                _ => "(not text)",
            });
            indented("> ", &words.collect::<Vec<_>>().join("\n"))
        }
        ThreadItem::AgentMessage(said) => format!("{}\n", said.text.trim_end()),
        ThreadItem::Reasoning(thought) => indented("~ ", &thought.summary.join("\n")),
        ThreadItem::Plan(plan) => indented("~ ", &plan.text),
        ThreadItem::McpToolCall(call) => tool_call(call),
        ThreadItem::DynamicToolCall(call) => format!("* {} {}\n", call.tool, call.arguments),
        ThreadItem::ContextCompaction(_) => "~ the conversation was summed up\n".to_owned(),
    }
}

/// A call that begins.
pub(super) fn call_begins(call: &McpToolCallItem) -> String {
    format!("* {}/{} {}\n", call.server, call.tool, call.arguments)
}

/// What came of a call.
pub(super) fn call_ends(call: &McpToolCallItem) -> String {
    if let Some(error) = &call.error {
        return indented("  ! ", &error.message);
    }
    let mark = if call.status == McpToolCallStatus::Failed { "  ! " } else { "  = " };
    let blocks = call.result.iter().flat_map(|result| &result.content);
    let texts = blocks.map(|block| match block["text"].as_str() {
        Some(text) => text.to_owned(),
        None => format!("({})", block["type"].as_str().unwrap_or("?")),
    });
    indented(mark, &texts.collect::<Vec<_>>().join("\n"))
}

fn tool_call(call: &McpToolCallItem) -> String {
    call_begins(call) + &call_ends(call)
}

fn indented(mark: &str, text: &str) -> String {
    text.lines().map(|line| format!("{mark}{line}\n")).collect()
}
