//! MCP servers used without a turn.

use std::collections::BTreeMap;

use serde_json::json;
use verger_wire::ClientRequest;
use verger_wire::requests::*;
use verger_wire::types::*;

use super::{Exchange, THREAD, ask};

pub(super) fn exchanges() -> Vec<Exchange> {
    vec![call(), read(), status()]
}

fn call() -> Exchange {
    let params = McpServerToolCallParams {
        thread_id: THREAD.into(),
        server: "git".into(),
        tool: "git_status".into(),
        arguments: Some(json!({ "repo_path": "/home/ada/engine" })),
        meta: None,
    };
    let result = McpServerToolCallResponse {
        content: vec![json!({ "type": "text", "text": "modified: src/mill.rs" })],
        is_error: Some(false),
        ..Default::default()
    };
    ask(20, ClientRequest::McpServerToolCall(params), &result)
}

fn read() -> Exchange {
    let params = McpResourceReadParams {
        thread_id: Some(THREAD.into()),
        server: "git".into(),
        uri: "git://head/README.md".into(),
    };
    let contents =
        vec![json!({ "uri": "git://head/README.md", "mimeType": "text/markdown", "text": "# Engine" })];
    let result = McpResourceReadResponse { contents, origin_call_id: None };
    ask(21, ClientRequest::McpResourceRead(params), &result)
}

fn status() -> Exchange {
    let params = ListMcpServerStatusParams { thread_id: Some(THREAD.into()), ..Default::default() };
    let tool = json!({
        "name": "git_status", "description": "Shows what has changed.",
        "inputSchema": { "type": "object", "properties": { "repo_path": { "type": "string" } } },
    });
    let git = McpServerStatus {
        name: "git".into(),
        runtime_status: Some(McpServerConnectionStatus::Connected),
        plugin_id: None,
        http_origin: None,
        server_info: Some(McpServerInfo {
            name: "mcp-git".into(),
            version: "2.1.0".into(),
            ..Default::default()
        }),
        server_capabilities: Some(json!({ "tools": {} })),
        tool_list_meta: None,
        tools: BTreeMap::from([("git_status".to_owned(), tool)]),
        tools_error: None,
        resources: Vec::new(),
        resource_templates: Vec::new(),
        auth_status: McpAuthStatus::Unsupported,
    };
    let result = ListMcpServerStatusResponse { data: vec![git], next_cursor: None };
    ask(22, ClientRequest::McpServerStatusList(params), &result)
}
