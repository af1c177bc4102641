//! One piece of a turn's work.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use super::UserInput;

/// An item. It starts once and completes once on the wire.
// Its kinds are inlined into its schema, as the peer has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ThreadItem {
    /// What the user said.
    UserMessage(UserMessageItem),
    /// What the model answered.
    AgentMessage(AgentMessageItem),
    /// What the model thought.
    Reasoning(ReasoningItem),
    /// A plan that the model proposed.
    Plan(PlanItem),
    /// A call of a helper's tool.
    McpToolCall(McpToolCallItem),
    /// A call of a tool that the client provides.
    DynamicToolCall(DynamicToolCallItem),
    /// The conversation is summed up for the model.
    ContextCompaction(ContextCompactionItem),
}

/// What the user said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct UserMessageItem {
    /// A UUID.
    pub id: String,
    /// The client's own name for it (`clientUserMessageId`).
    #[serde(default)]
    pub client_id: Option<String>,
    /// Its pieces.
    pub content: Vec<UserInput>,
}

/// What the model answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct AgentMessageItem {
    /// The model's name for it.
    pub id: String,
    /// So far; empty when the item starts.
    pub text: String,
    /// Where in the turn.
    #[serde(default)]
    pub phase: Option<MessagePhase>,
    /// Never set by Verger.
    #[serde(default)]
    pub memory_citation: Option<Value>,
    /// Never set by Verger.
    #[serde(default)]
    pub moderation: Option<Value>,
    /// Never set by Verger.
    #[serde(default)]
    pub delivery: Option<Value>,
    /// Never set by Verger.
    #[serde(default)]
    pub questions: Option<Value>,
}

/// Where in a turn an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "snake_case")]
pub enum MessagePhase {
    /// On the way.
    Commentary,
    /// A part of the answer.
    PartialAnswer,
    /// The answer.
    FinalAnswer,
}

/// What the model thought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ReasoningItem {
    /// The model's name for it.
    pub id: String,
    /// In brief, part by part.
    #[serde(default)]
    pub summary: Vec<String>,
    /// In full, part by part.
    #[serde(default)]
    pub content: Vec<String>,
}

/// A plan that the model proposed. Verger makes none: it gives models no tool for plans, and has no mode in which they write one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[schemars(inline)]
pub struct PlanItem {
    /// The model's name for it.
    pub id: String,
    /// The plan.
    pub text: String,
}

/// A call of a helper's tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct McpToolCallItem {
    /// The model's name for the call.
    pub id: String,
    /// The server's name in the configuration.
    pub server: String,
    /// The tool's name, as the server knows it.
    pub tool: String,
    /// How far it is.
    pub status: McpToolCallStatus,
    /// As the model wrote them.
    pub arguments: Value,
    /// Never set by Verger.
    #[serde(default)]
    pub app_context: Option<Value>,
    /// Never set by Verger.
    #[serde(default)]
    pub mcp_app_ui: Option<Value>,
    /// Never set by Verger.
    #[serde(default)]
    pub plugin_id: Option<String>,
    /// What the tool's annotations promise.
    #[serde(default)]
    pub read_only_hint: Option<bool>,
    /// What the tool answered, also when it said `isError` (then `status` is failed and `error` is `null`).
    #[serde(default)]
    pub result: Option<McpToolCallResult>,
    /// Why there is no answer.
    #[serde(default)]
    pub error: Option<McpToolCallError>,
    /// Milliseconds.
    #[serde(default)]
    pub duration_ms: Option<i64>,
}

/// How far a helper's tool call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum McpToolCallStatus {
    /// It runs.
    InProgress,
    /// It answered.
    Completed,
    /// It answered `isError`, or not at all.
    Failed,
}

/// What a tool answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct McpToolCallResult {
    /// MCP content blocks, unchanged.
    pub content: Vec<Value>,
    /// For programs.
    #[serde(default)]
    pub structured_content: Option<Value>,
    /// The server's remarks.
    #[serde(default, rename = "_meta")]
    pub meta: Option<Value>,
}

/// Why a tool did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct McpToolCallError {
    /// For people and the model.
    pub message: String,
}

/// A call of a tool that the client provides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct DynamicToolCallItem {
    /// The model's name for the call.
    pub id: String,
    /// The tool's family.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The tool.
    pub tool: String,
    /// As the model wrote them.
    pub arguments: Value,
    /// How far it is.
    pub status: McpToolCallStatus,
    /// What the client answered.
    #[serde(default)]
    pub content_items: Option<Vec<DynamicToolCallOutputContentItem>>,
    /// Whether the client calls that a success.
    #[serde(default)]
    pub success: Option<bool>,
    /// Milliseconds.
    #[serde(default)]
    pub duration_ms: Option<i64>,
}

/// The conversation is summed up for the model, which is told the summary in its place from then on, unless the turn failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[schemars(inline)]
pub struct ContextCompactionItem {
    /// Its name.
    pub id: String,
}

/// One piece of what a client's tool answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum DynamicToolCallOutputContentItem {
    /// Words.
    InputText {
        /// The words.
        text: String,
    },
    /// A picture.
    InputImage {
        /// Where.
        image_url: String,
    },
    /// Sound.
    InputAudio {
        /// Where.
        audio_url: String,
    },
}

// === impl ThreadItem ===

impl ThreadItem {
    /// The item's id, unique in its thread.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::UserMessage(item) => &item.id,
            Self::AgentMessage(item) => &item.id,
            Self::Reasoning(item) => &item.id,
            Self::Plan(item) => &item.id,
            Self::McpToolCall(item) => &item.id,
            Self::DynamicToolCall(item) => &item.id,
            Self::ContextCompaction(item) => &item.id,
        }
    }
}
