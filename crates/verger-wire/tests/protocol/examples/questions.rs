//! What the server asks its clients.

use serde_json::json;
use verger_wire::types::*;
use verger_wire::*;

use super::{CALL, Exchange, THREAD, TURN, question};

pub(super) fn exchanges() -> Vec<Exchange> {
    vec![approval(), page(), client_tool()]
}

fn approval() -> Exchange {
    let about = McpToolApprovalMeta {
        codex_approval_kind: "mcp_tool_call".into(),
        persist: vec!["session".into(), "always".into()],
        tool_name: "git_commit".into(),
        tool_title: None,
        tool_annotations: Some(json!({ "readOnlyHint": false })),
        tool_description: Some("Records what is staged.".into()),
        tool_params: json!({ "message": "Oil the mill" }),
        tool_params_display: vec![ToolParamDisplay {
            name: "message".into(),
            value: json!("Oil the mill"),
            display_name: "message".into(),
        }],
    };
    let request = ServerRequest::McpServerElicitation(McpServerElicitationRequestParams {
        thread_id: THREAD.into(),
        turn_id: Some(TURN.into()),
        server_name: "git".into(),
        request: McpServerElicitationRequest::Form {
            meta: Some(serde_json::to_value(about).expect("an example encodes")),
            message: "Allow the git MCP server to run tool \"git_commit\"?".into(),
            requested_schema: json!({ "type": "object", "properties": {} }),
        },
    });
    let yes = McpServerElicitationRequestResponse {
        action: McpServerElicitationAction::Accept,
        content: Some(json!({})),
        meta: Some(json!({ "persist": "session" })),
    };
    question(0, &request, &yes)
}

fn page() -> Exchange {
    let request = ServerRequest::McpServerElicitation(McpServerElicitationRequestParams {
        thread_id: THREAD.into(),
        turn_id: None,
        server_name: "tickets".into(),
        request: McpServerElicitationRequest::Url {
            meta: None,
            message: "Sign in to the ticket system.".into(),
            url: "https://tickets.example/sign-in".into(),
            elicitation_id: "e-51".into(),
        },
    });
    let no = McpServerElicitationRequestResponse {
        action: McpServerElicitationAction::Decline,
        content: None,
        meta: None,
    };
    question(1, &request, &no)
}

fn client_tool() -> Exchange {
    let request = ServerRequest::DynamicToolCall(DynamicToolCallParams {
        thread_id: THREAD.into(),
        turn_id: TURN.into(),
        call_id: CALL.into(),
        namespace: None,
        tool: "open_file".into(),
        arguments: json!({ "path": "src/mill.rs" }),
    });
    let done = DynamicToolCallResponse {
        content_items: vec![DynamicToolCallOutputContentItem::InputText { text: "opened".into() }],
        success: true,
    };
    question(2, &request, &done)
}
