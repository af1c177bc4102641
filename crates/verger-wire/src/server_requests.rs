//! What the server asks of clients: may this tool run, what does the user answer, run your own tool.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use crate::methods::requests;
use crate::types::{DynamicToolCallOutputContentItem, McpServerElicitationAction};

requests! {
    /// A question to the client. It goes to every subscriber under one id; the first answer counts.
    ServerRequest

    /// A helper asks the user, or Verger asks whether a helper's tool may run.
    "mcpServer/elicitation/request" => McpServerElicitation(McpServerElicitationRequestParams)
        -> McpServerElicitationRequestResponse,
    /// Run a tool that the client provides.
    "item/tool/call" => DynamicToolCall(DynamicToolCallParams) -> DynamicToolCallResponse,
}

/// `mcpServer/elicitation/request`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct McpServerElicitationRequestParams {
    /// In which thread.
    pub thread_id: String,
    /// In which turn; `null` for a call outside one.
    #[serde(default)]
    pub turn_id: Option<String>,
    /// Who asks.
    pub server_name: String,
    /// What it asks.
    #[serde(flatten)]
    pub request: McpServerElicitationRequest,
}

/// What a helper asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(tag = "mode", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum McpServerElicitationRequest {
    /// To fill in a form.
    Form {
        /// The server's remarks, or an [`McpToolApprovalMeta`].
        #[serde(default, rename = "_meta")]
        meta: Option<Value>,
        /// For people.
        message: String,
        /// The form.
        requested_schema: Value,
    },
    /// To visit a page.
    Url {
        /// The server's remarks.
        #[serde(default, rename = "_meta")]
        meta: Option<Value>,
        /// For people.
        message: String,
        /// The page.
        url: String,
        /// The server's name for the question.
        elicitation_id: String,
    },
}

/// `_meta` of a form that asks whether a tool may run. Its members are snake_case on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct McpToolApprovalMeta {
    /// Always `mcp_tool_call`.
    pub codex_approval_kind: String,
    /// For how long the user may allow it: `session`, `always`. The answer's `_meta.persist` picks one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub persist: Vec<String>,
    /// The tool.
    pub tool_name: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_title: Option<String>,
    /// Its annotations, as the server wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_annotations: Option<Value>,
    /// About it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_description: Option<String>,
    /// The arguments.
    pub tool_params: Value,
    /// The arguments for people, one by one.
    #[serde(default)]
    pub tool_params_display: Vec<ToolParamDisplay>,
}

/// One argument for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct ToolParamDisplay {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Its name for people.
    pub display_name: String,
}

/// Answer to `mcpServer/elicitation/request`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[ts(optional_fields = nullable)]
pub struct McpServerElicitationRequestResponse {
    /// Yes or no.
    pub action: McpServerElicitationAction,
    /// The form, when accepted.
    #[serde(default)]
    pub content: Option<Value>,
    /// The client's remarks, `persist` among them.
    #[serde(default, rename = "_meta")]
    pub meta: Option<Value>,
}

/// `item/tool/call`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct DynamicToolCallParams {
    /// In which thread.
    pub thread_id: String,
    /// In which turn.
    pub turn_id: String,
    /// The item's id.
    pub call_id: String,
    /// The tool's family.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The tool.
    pub tool: String,
    /// As the model wrote them.
    pub arguments: Value,
}

/// Answer to `item/tool/call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct DynamicToolCallResponse {
    /// What the tool says.
    pub content_items: Vec<DynamicToolCallOutputContentItem>,
    /// Whether it went well.
    pub success: bool,
}
