//! What a model is asked: instructions, the conversation so far, and the tools it may use.

use serde_json::Value;

use crate::event::Reasoning;

/// One question to a model: everything it is to know, as providers keep nothing for us.
#[derive(Debug, Clone, Default)]
pub struct ModelRequest {
    /// The provider's name for the model.
    pub model: String,
    /// The system prompt; may be empty.
    pub instructions: String,
    /// The conversation, oldest first.
    pub input: Vec<InputItem>,
    /// Tools on offer. Names that two of them share are told apart by [`offered_name`](crate::offered_name).
    pub tools: Vec<ToolSpec>,
    /// How hard to think: a word of the provider's (`low`, `high`). `None` leaves it to the provider, and asks for no
    /// reasoning items to give back, as models that do not reason refuse that.
    pub reasoning_effort: Option<String>,
    /// How much to tell of the thoughts: a word of the provider's (`auto`, `concise`, `detailed`), or `none`. `None` is
    /// `auto` where there is an effort. Chat Completions has no such thing.
    pub reasoning_summary: Option<String>,
    /// A JSON schema that the answer's text is to keep to, strictly.
    pub output_schema: Option<Value>,
}

/// One piece of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum InputItem {
    /// What the user said.
    UserMessage {
        /// In the order given.
        content: Vec<Part>,
    },
    /// What the model said.
    AssistantMessage {
        /// The whole text.
        text: String,
    },
    /// What the model thought. Left out of the request when it has no encrypted content.
    Reasoning(Reasoning),
    /// A tool the model wanted.
    ToolCall {
        /// As in [`ModelEvent::ToolCall`](crate::ModelEvent::ToolCall).
        call_id: String,
        /// As it came.
        namespace: Option<String>,
        /// As it came.
        name: String,
        /// As it came.
        arguments: String,
    },
    /// What the tool answered. Every call needs one before the model is asked again.
    ToolOutput {
        /// The call it answers.
        call_id: String,
        /// In the order given.
        output: Vec<Part>,
    },
}

/// One piece of a message or of a tool's output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Plain text.
    Text(String),
    /// A picture.
    Image {
        /// Its address (`http:` or `https:`), or the picture itself as a `data:` URL.
        url: String,
        /// How closely to look: a word of the provider's (`low`, `high`). `None` leaves it to the provider.
        detail: Option<String>,
    },
}

/// A tool, as it is offered.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Whose it is.
    pub source: ToolSource,
    /// The tool's name, as its source says it.
    pub tool: String,
    /// For the model to choose by; may be empty.
    pub description: String,
    /// A JSON schema of an object.
    pub input_schema: Value,
}

/// Whose a tool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolSource {
    /// An MCP server's: its name in the configuration.
    Server(String),
    /// A client's: the family that it put the tool in, if any.
    Client(Option<String>),
}

// === impl InputItem ===

impl InputItem {
    /// A message of one text.
    pub fn user(text: impl Into<String>) -> Self {
        Self::UserMessage { content: vec![Part::Text(text.into())] }
    }

    /// A tool's output of one text.
    pub fn tool_output(call_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::ToolOutput { call_id: call_id.into(), output: vec![Part::Text(text.into())] }
    }
}

/// The text of some parts, a line break between them, for who takes no pictures. A picture is named and not shown: as a
/// `data:` URL it would be a wall of letters.
pub(crate) fn text_of(parts: &[Part]) -> String {
    let texts = parts.iter().map(|part| match part {
        Part::Text(text) => text,
        Part::Image { .. } => "[image: cannot be shown here]",
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// Whether there is a picture among these parts.
pub(crate) fn has_image(parts: &[Part]) -> bool {
    parts.iter().any(|part| matches!(part, Part::Image { .. }))
}
