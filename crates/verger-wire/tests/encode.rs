//! Messages out: exactly the members that the peer writes, `null`s included.

mod schema;

use schema::judge;
use serde_json::{Value, json};
use verger_wire::requests::{
    Empty, McpServerToolCallResponse, ThreadResumeResponse, ThreadStartResponse, ThreadUnsubscribeResponse,
    ThreadUnsubscribeStatus,
};
use verger_wire::types::*;
use verger_wire::*;

fn thread() -> Thread {
    Thread {
        id: "T".into(),
        session_id: "T".into(),
        forked_from_id: None,
        parent_thread_id: None,
        preview: "hi".into(),
        ephemeral: false,
        section: None,
        section_entered_at: None,
        project_id: None,
        history_mode: ThreadHistoryMode::Paginated,
        model_provider: "mock".into(),
        model: Some("mock-model".into()),
        reasoning_effort: None,
        created_at: 1,
        updated_at: 2,
        recency_at: Some(2),
        status: ThreadStatus::Idle,
        path: None,
        cwd: "/w".into(),
        cli_version: "0.169.0".into(),
        originator: Some("A".into()),
        source: SessionSource::VsCode,
        thread_source: None,
        agent_nickname: None,
        agent_role: None,
        git_info: None,
        name: None,
        turns: vec![],
    }
}

fn thread_json() -> Value {
    json!({
        "id": "T", "sessionId": "T", "forkedFromId": null, "parentThreadId": null, "preview": "hi",
        "ephemeral": false, "section": null, "sectionEnteredAt": null, "projectId": null,
        "historyMode": "paginated", "modelProvider": "mock", "model": "mock-model", "reasoningEffort": null,
        "createdAt": 1, "updatedAt": 2, "recencyAt": 2, "status": {"type": "idle"}, "path": null, "cwd": "/w",
        "cliVersion": "0.169.0", "originator": "A", "source": "vscode", "threadSource": null,
        "agentNickname": null, "agentRole": null, "gitInfo": null, "name": null, "turns": [],
    })
}

fn tool_call() -> ThreadItem {
    ThreadItem::McpToolCall(McpToolCallItem {
        id: "call_1".into(),
        server: "helper".into(),
        tool: "echo".into(),
        status: McpToolCallStatus::Completed,
        arguments: json!({"text": "x"}),
        app_context: None,
        mcp_app_ui: None,
        plugin_id: None,
        read_only_hint: Some(true),
        result: Some(McpToolCallResult {
            content: vec![json!({"type": "text", "text": "x"})],
            ..Default::default()
        }),
        error: None,
        duration_ms: Some(3),
    })
}

/// Text equals JSON, reads back as the same notification, and is what the schema says.
fn check(event: &Notification, expected: &Value) {
    let text = notification(event);
    assert_eq!(&serde_json::from_str::<Value>(&text).expect(&text), expected);
    assert_eq!(&serde_json::from_str::<Notification>(&text).expect(&text), event);
    assert_eq!(expected["method"], event.method());
    judge().require("ServerNotification", expected);
}

#[test]
fn replies_and_refusals() {
    let status = ThreadUnsubscribeStatus::NotSubscribed;
    assert_eq!(
        reply(&1.into(), &ThreadUnsubscribeResponse { status }),
        r#"{"id":1,"result":{"status":"notSubscribed"}}"#
    );
    assert_eq!(reply(&"a\"b".into(), &Empty {}), r#"{"id":"a\"b","result":{}}"#);
    assert_eq!(
        error(Some(&7.into()), &RpcError::not_initialized()),
        r#"{"error":{"code":-32600,"message":"Not initialized"},"id":7}"#
    );
    assert_eq!(
        error(None, &RpcError::shutting_down()),
        r#"{"error":{"code":-32600,"data":{"reason":"serverShuttingDown"},"message":"Server is draining; retry after reconnecting"},"id":null}"#
    );
}

#[test]
fn a_result_that_cannot_be_written_is_still_an_answer() {
    let keys = std::collections::BTreeMap::from([(vec![1], 1)]);
    let text = reply(&1.into(), &keys);
    let Ok(Incoming::Error { id, error }) = decode(&text) else { panic!("{text}") };
    assert_eq!((id, error.code), (1.into(), code::INTERNAL_ERROR));
}

#[test]
fn threads_and_turns_as_the_peer_writes_them() {
    check(
        &Notification::ThreadStarted(ThreadStartedNotification { thread: Box::new(thread()) }),
        &json!({"method": "thread/started", "params": {"thread": thread_json()}}),
    );
    let status = ThreadStatus::Active { active_flags: vec![ThreadActiveFlag::WaitingOnApproval] };
    check(
        &Notification::ThreadStatusChanged(ThreadStatusChangedNotification { thread_id: "T".into(), status }),
        &json!({"method": "thread/status/changed", "params": {"threadId": "T",
            "status": {"type": "active", "activeFlags": ["waitingOnApproval"]}}}),
    );
    let error = TurnError {
        message: "gone".into(),
        codex_error_info: Some(CodexErrorInfo::ResponseStreamDisconnected { http_status_code: None }),
        additional_details: None,
        misalignment: None,
    };
    let turn = Turn {
        id: "U".into(),
        root_turn_id: Some("U".into()),
        items: vec![],
        items_view: TurnItemsView::NotLoaded,
        status: TurnStatus::Failed,
        error: Some(error),
        started_at: Some(5),
        completed_at: Some(6),
        duration_ms: Some(900),
    };
    check(
        &Notification::TurnCompleted(TurnNotification { thread_id: "T".into(), turn }),
        &json!({"method": "turn/completed", "params": {"threadId": "T", "turn": {
            "id": "U", "rootTurnId": "U", "items": [], "itemsView": "notLoaded", "status": "failed",
            "error": {"message": "gone", "additionalDetails": null, "misalignment": null,
                "codexErrorInfo": {"responseStreamDisconnected": {"httpStatusCode": null}}},
            "startedAt": 5, "completedAt": 6, "durationMs": 900}}}),
    );
}

#[test]
fn items_as_the_peer_writes_them() {
    let completed = |item| {
        Notification::ItemCompleted(ItemCompletedNotification {
            item,
            thread_id: "T".into(),
            turn_id: "U".into(),
            content_token_count: None,
            completed_at_ms: 9,
        })
    };
    let expected = |item: Value| {
        json!({"method": "item/completed", "params": {"item": item, "threadId": "T", "turnId": "U",
            "contentTokenCount": null, "completedAtMs": 9}})
    };
    check(
        &completed(tool_call()),
        &expected(json!({"type": "mcpToolCall", "id": "call_1", "server": "helper", "tool": "echo",
            "status": "completed", "arguments": {"text": "x"}, "appContext": null, "mcpAppUi": null,
            "pluginId": null, "readOnlyHint": true, "error": null, "durationMs": 3, "result": {
                "content": [{"type": "text", "text": "x"}], "structuredContent": null, "_meta": null}})),
    );
    check(
        &completed(ThreadItem::UserMessage(UserMessageItem {
            id: "I".into(),
            client_id: Some("m1".into()),
            content: vec![UserInput::text("hi")],
        })),
        &expected(json!({"type": "userMessage", "id": "I", "clientId": "m1",
            "content": [{"type": "text", "text": "hi", "text_elements": []}]})),
    );
    check(
        &completed(ThreadItem::AgentMessage(AgentMessageItem {
            id: "I".into(),
            text: "ok".into(),
            ..Default::default()
        })),
        &expected(
            json!({"type": "agentMessage", "id": "I", "text": "ok", "phase": null, "memoryCitation": null,
            "moderation": null, "delivery": null, "questions": null}),
        ),
    );
}

#[test]
fn a_tool_answer_leaves_out_what_the_tool_left_out() {
    let content = vec![json!({"type": "text", "text": "x"})];
    let answer = McpServerToolCallResponse { content, ..Default::default() };
    assert_eq!(reply(&1.into(), &answer), r#"{"id":1,"result":{"content":[{"text":"x","type":"text"}]}}"#);
}

#[test]
fn a_resume_is_a_start_with_cursors() {
    let started = ThreadStartResponse {
        thread: thread(),
        model: "mock-model".into(),
        model_provider: "mock".into(),
        service_tier: None,
        disabled_plugin_ids: vec![],
        cwd: "/w".into(),
        instruction_sources: vec![],
        approval_policy: AskForApproval::Never,
        approvals_reviewer: ApprovalsReviewer::User,
        sandbox: SandboxPolicy::DangerFullAccess,
        reasoning_effort: None,
        replay: None,
    };
    let resumed = ThreadResumeResponse {
        started,
        initial_turns_page: None,
        turns_backwards_cursor: Some("c".into()),
        items_backwards_cursor: None,
        older_turns_cursor: None,
        subscription_id: None,
    };
    let expected = json!({
        "thread": thread_json(), "model": "mock-model", "modelProvider": "mock", "serviceTier": null,
        "disabledPluginIds": [], "cwd": "/w", "instructionSources": [], "approvalPolicy": "never",
        "approvalsReviewer": "user", "sandbox": {"type": "dangerFullAccess"}, "reasoningEffort": null,
        "initialTurnsPage": null, "turnsBackwardsCursor": "c", "itemsBackwardsCursor": null,
    });
    judge().require("ThreadResumeResponse", &expected);
    assert_eq!(serde_json::to_value(&resumed).unwrap(), expected);
    assert_eq!(serde_json::from_value::<ThreadResumeResponse>(expected).unwrap(), resumed);
}

#[test]
fn time_and_position_are_spliced_into_any_notification() {
    let event = Notification::AgentMessageDelta(DeltaNotification {
        thread_id: "T".into(),
        turn_id: "U".into(),
        item_id: "I".into(),
        delta: "a}}\"".into(),
    });
    let mut plain: Value = serde_json::from_str(&notification(&event)).unwrap();
    plain["emittedAtMs"] = json!(12);
    assert_eq!(serde_json::from_str::<Value>(&notification_at(&event, 12, None)).unwrap(), plain);

    let delta = StreamPosition::Delta { item_id: "I".into(), off: 4, r#gen: 2 };
    let mut positioned = plain.clone();
    positioned["params"]["_stream"] = json!({"itemId": "I", "off": 4, "gen": 2});
    assert_eq!(
        serde_json::from_str::<Value>(&notification_at(&event, 12, Some(&delta))).unwrap(),
        positioned
    );

    let durable = StreamPosition::Durable { log_epoch: "e".into(), seq: 8, r#gen: 2 };
    plain["params"]["_stream"] = json!({"logEpoch": "e", "seq": 8, "gen": 2});
    assert_eq!(serde_json::from_str::<Value>(&notification_at(&event, 12, Some(&durable))).unwrap(), plain);
}

#[test]
fn an_approval_is_asked_as_a_form_that_clients_of_the_peer_know() {
    let meta = McpToolApprovalMeta {
        codex_approval_kind: "mcp_tool_call".into(),
        persist: vec!["session".into(), "always".into()],
        tool_name: "write".into(),
        tool_title: None,
        tool_annotations: Some(json!({"readOnlyHint": false})),
        tool_description: Some("write".into()),
        tool_params: json!({"text": "w"}),
        tool_params_display: vec![ToolParamDisplay {
            name: "text".into(),
            value: json!("w"),
            display_name: "text".into(),
        }],
    };
    let request = ServerRequest::McpServerElicitation(McpServerElicitationRequestParams {
        thread_id: "T".into(),
        turn_id: Some("U".into()),
        server_name: "helper".into(),
        request: McpServerElicitationRequest::Form {
            meta: Some(serde_json::to_value(meta).unwrap()),
            message: "Allow?".into(),
            requested_schema: json!({"type": "object", "properties": {}}),
        },
    });
    let text = server_request(&0.into(), &request);
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({"id": 0, "method": "mcpServer/elicitation/request", "params": {
            "threadId": "T", "turnId": "U", "serverName": "helper", "mode": "form", "message": "Allow?",
            "requestedSchema": {"type": "object", "properties": {}}, "_meta": {
                "codex_approval_kind": "mcp_tool_call", "persist": ["session", "always"], "tool_name": "write",
                "tool_annotations": {"readOnlyHint": false}, "tool_description": "write",
                "tool_params": {"text": "w"},
                "tool_params_display": [{"name": "text", "value": "w", "display_name": "text"}]}}})
    );
    assert_eq!(serde_json::from_str::<ServerRequest>(&text).unwrap(), request);
    judge().require("ServerRequest", &serde_json::from_str(&text).unwrap());
}
