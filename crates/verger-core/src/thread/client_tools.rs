//! Tools that a client provides: the model calls one, a client runs it.

use verger_wire::DynamicToolCallResponse;
use verger_wire::types::{DynamicToolCallOutputContentItem, McpToolCallStatus, ThreadItem};

use super::Thread;
use super::questions::Answer;

/// What came of a client's answer; an error says why there is none.
pub(super) fn told(answer: Answer) -> Result<DynamicToolCallResponse, String> {
    match answer {
        Answer::Tool(response) => Ok(response),
        Answer::Unable(why) => Err(why),
        Answer::Elicitation(_) => Err("the client answered another question than it was asked".to_owned()),
    }
}

/// A tool's output of one text.
pub(super) fn output(text: &str) -> Vec<DynamicToolCallOutputContentItem> {
    vec![DynamicToolCallOutputContentItem::InputText { text: text.to_owned() }]
}

impl Thread {
    pub(super) fn client_tool_done(
        &mut self,
        at: i64,
        id: &str,
        answer: Result<DynamicToolCallResponse, String>,
    ) {
        let done = self.close_tool(at, id, |item, duration| {
            let ThreadItem::DynamicToolCall(call) = item else { return };
            call.duration_ms = Some(duration);
            let (items, success) = match answer {
                Ok(response) => (response.content_items, response.success),
                Err(why) => (output(&why), false),
            };
            (call.content_items, call.success) = (Some(items), Some(success));
            call.status = if success { McpToolCallStatus::Completed } else { McpToolCallStatus::Failed };
        });
        if done {
            self.go_on(at);
        }
    }
}
