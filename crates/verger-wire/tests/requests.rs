//! Parameters in: each method finds its type, and each mistake is named by its path.

mod schema;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use verger_wire::requests::{ItemAnchor, ItemsCursor, JobEditParams};
use verger_wire::types::{AskForApproval, JobDefinition, JobMissed, SandboxMode, SandboxPolicy, UserInput};
use verger_wire::{ClientRequest, RpcError, code};

/// As the crate decodes it; the schema must agree.
fn decode(method: &str, params: &Value) -> Result<ClientRequest, RpcError> {
    let raw = RawValue::from_string(params.to_string()).expect("a Value prints as JSON");
    let decoded = ClientRequest::decode(method, Some(&raw));
    let message = json!({ "id": 1, "method": method, "params": params });
    let judged = schema::judge().check("ClientRequest", &message);
    assert_eq!(judged.is_ok(), decoded.is_ok(), "{message}: the schema says {judged:?}");
    decoded
}

/// The message of a -32602.
fn bad(method: &str, params: &Value) -> String {
    let error = decode(method, params).expect_err(method);
    assert_eq!(error.code, code::INVALID_PARAMS, "{error}");
    error.message
}

#[test]
fn every_method_is_found_under_its_own_name() {
    let everything = json!({
        "clientInfo": {"name": "c", "version": "0"}, "threadId": "t", "turnId": "u", "expectedTurnId": "u",
        "beforeTurnId": "u", "cwd": "/", "name": "n", "input": [], "items": [], "server": "s", "tool": "t", "uri": "x://y",
        "definition": {"schedule": "@daily"}, "changes": {}, "run": 1,
    });
    for method in ClientRequest::METHODS {
        let request = decode(method, &everything).unwrap();
        assert_eq!(request.method(), *method);
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<ClientRequest>(&text).unwrap(), request);
    }
}

#[test]
fn an_unknown_method_is_named() {
    let error = ClientRequest::decode("thread/rollback", None).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (-32601, "Method not found: thread/rollback"));
}

#[test]
fn a_mistake_is_named_by_its_path() {
    assert_eq!(bad("thread/read", &json!({})), "Invalid params: threadId: missing field");
    assert_eq!(
        bad("thread/read", &json!({"threadId": 5})),
        "Invalid params: threadId: invalid type: integer `5`, expected a string"
    );
    assert_eq!(
        bad("turn/start", &json!({"threadId": "t", "input": [{"type": "text"}]})),
        "Invalid params: input[0].text: missing field"
    );
    assert_eq!(
        bad("initialize", &json!({"clientInfo": {"name": "c"}})),
        "Invalid params: clientInfo.version: missing field"
    );
    assert_eq!(
        bad("thread/list", &json!({"limit": -1})),
        "Invalid params: limit: invalid value: integer `-1`, expected u32"
    );
    let message = bad("thread/start", &json!({"sandbox": "bogus"}));
    assert!(message.starts_with("Invalid params: sandbox: unknown variant `bogus`"), "{message}");
    let message = bad("turn/start", &json!({"threadId": "t", "input": [{"type": "smell"}]}));
    assert!(message.starts_with("Invalid params: input[0]"), "{message}");
}

#[test]
fn what_the_client_wrote_is_not_echoed_at_length() {
    let huge = "é".repeat(1 << 20);
    assert!(bad("thread/start", &json!({"sandbox": huge})).len() < 1200);
    assert!(bad("thread/start", &json!({"ephemeral": huge})).len() < 1200);
}

#[test]
fn params_may_be_missing_but_not_positional() {
    assert!(ClientRequest::decode("thread/loaded/list", None).is_ok());
    assert!(ClientRequest::decode("config/mcpServer/reload", None).is_ok());
    let error = ClientRequest::decode("thread/read", None).unwrap_err();
    assert_eq!(error.message, "Invalid params: threadId: missing field");
    for params in [json!([]), json!(["t"]), json!("t"), json!(1)] {
        assert_eq!(bad("thread/read", &params), "Invalid params: expected an object");
    }
}

#[test]
fn a_field_that_comes_twice_is_refused() {
    let raw = RawValue::from_string(r#"{"threadId":"a","threadId":"b"}"#.to_owned()).unwrap();
    let error = ClientRequest::decode("thread/delete", Some(&raw)).unwrap_err();
    assert_eq!(error.message, "Invalid params: duplicate field `threadId`");
}

#[test]
fn unknown_fields_are_ignored() {
    let request = decode("thread/read", &json!({"threadId": "t", "futureField": {"a": 1}})).unwrap();
    let ClientRequest::ThreadRead(params) = request else { panic!("{request:?}") };
    assert_eq!((params.thread_id.as_str(), params.include_turns), ("t", false));
}

#[test]
fn explicit_nulls_are_as_good_as_nothing() {
    let params = json!({
        "approvalPolicy": null, "approvalsReviewer": null, "baseInstructions": null, "config": null, "cwd": null,
        "developerInstructions": null, "ephemeral": null, "model": null, "modelProvider": null,
        "personality": null, "sandbox": null, "serviceName": null, "serviceTier": null,
        "sessionStartSource": null, "threadSource": null,
    });
    assert_eq!(decode("thread/start", &params).unwrap(), decode("thread/start", &json!({})).unwrap());
    assert!(decode("thread/list", &json!({"cursor": null, "limit": null, "cwd": null})).is_ok());
}

#[test]
fn settings_are_spelled_as_the_peer_spells_them() {
    let params = json!({"approvalPolicy": "on-request", "sandbox": "danger-full-access"});
    let ClientRequest::ThreadStart(start) = decode("thread/start", &params).unwrap() else { panic!() };
    assert_eq!(start.approval_policy, Some(AskForApproval::OnRequest));
    assert_eq!(start.sandbox, Some(SandboxMode::DangerFullAccess));

    let params = json!({
        "threadId": "t", "clientRequestId": "r1", "clientUserMessageId": "m1",
        "approvalPolicy": {"granular": {"mcp_elicitations": true, "rules": false, "sandbox_approval": false}},
        "sandboxPolicy": {"type": "workspaceWrite", "writableRoots": ["/w"], "networkAccess": true},
        "input": [
            {"type": "text", "text": "look", "text_elements": [{"byteRange": {"start": 0, "end": 4}}]},
            {"type": "image", "url": "data:,", "detail": "high"},
            {"type": "image", "fileId": "f"},
            {"type": "localImage", "path": "/p.png"},
            {"type": "mention", "name": "n", "path": "/n"},
        ],
    });
    let ClientRequest::TurnStart(turn) = decode("turn/start", &params).unwrap() else { panic!() };
    assert_eq!(turn.client_request_id.as_deref(), Some("r1"));
    assert_eq!(turn.client_user_message_id.as_deref(), Some("m1"));
    assert!(
        matches!(turn.approval_policy, Some(AskForApproval::Granular(g)) if g.mcp_elicitations && !g.rules)
    );
    assert!(
        matches!(&turn.sandbox_policy, Some(SandboxPolicy::WorkspaceWrite { writable_roots, .. }) if writable_roots == &["/w"])
    );
    assert_eq!(turn.input.len(), 5);
    assert_eq!(decode("turn/start", &json!({"threadId": "t", "input": [{"type": "text", "text": "hi"}]})), {
        let input = vec![UserInput::text("hi")];
        let params =
            verger_wire::requests::TurnStartParams { thread_id: "t".into(), input, ..Default::default() };
        Ok(ClientRequest::TurnStart(Box::new(params)))
    });
}

#[test]
fn absent_null_and_text_stay_apart_in_metadata() {
    let request =
        decode("thread/metadata/update", &json!({"threadId": "t", "gitInfo": {"sha": null, "branch": "b"}}));
    let Ok(ClientRequest::ThreadMetadataUpdate(params)) = request else { panic!("{request:?}") };
    let git = params.git_info.unwrap();
    assert_eq!((git.sha, git.branch, git.origin_url), (Some(None), Some(Some("b".into())), None));
}

#[test]
fn a_list_of_items_goes_on_at_a_page_or_at_an_item() {
    let cursor =
        |cursor: Value| match decode("thread/items/list", &json!({"threadId": "t", "cursor": cursor})) {
            Ok(ClientRequest::ThreadItemsList(params)) => params.cursor,
            other => panic!("{other:?}"),
        };
    assert_eq!(cursor(json!("c")), Some(ItemsCursor::Page("c".into())));
    let anchor = ItemAnchor::Item { item_id: "i".into() };
    assert_eq!(cursor(json!({"type": "item", "itemId": "i"})), Some(ItemsCursor::Item(anchor)));
    assert_eq!(cursor(Value::Null), None);
    let message = bad("thread/items/list", &json!({"threadId": "t", "cursor": {"itemId": "i"}}));
    assert!(message.starts_with("Invalid params: cursor: "), "{message}");
}

#[test]
fn what_is_experimental_is_named() {
    let what = |method: &str, mut params: Value| {
        params["threadId"] = json!("t");
        params["input"] = json!([]);
        decode(method, &params).unwrap().experimental()
    };
    let granular = json!({"approvalPolicy": {"granular": {"mcp_elicitations": true, "rules": true, "sandbox_approval": true}}});
    let cases = [
        ("thread/resume", json!({"initialTurnsPage": {}}), Some("thread/resume.initialTurnsPage")),
        ("thread/resume", json!({"initialTurnsPage": null}), None),
        ("thread/fork", json!({"beforeTurnId": "u"}), Some("thread/fork.beforeTurnId")),
        ("thread/fork", json!({"lastTurnId": "u"}), None),
        ("thread/start", granular.clone(), Some("askForApproval.granular")),
        ("turn/start", granular, Some("askForApproval.granular")),
        ("thread/list", json!({}), None),
    ];
    for (method, params, expected) in cases {
        assert_eq!(what(method, params.clone()), expected, "{method} {params}");
    }
}

/// Found by fuzzing: arguments reached a tool with another last digit than the client had written.
#[test]
fn fractions_reach_the_tool_as_they_were_written() {
    let params =
        r#"{"threadId":"t","server":"s","tool":"t","arguments":[46923.233761902164,460.40963284590475]}"#;
    let raw = RawValue::from_string(params.to_owned()).unwrap();
    let Ok(ClientRequest::McpServerToolCall(call)) = ClientRequest::decode("mcpServer/tool/call", Some(&raw))
    else {
        panic!("{params}");
    };
    assert_eq!(call.arguments.unwrap().to_string(), "[46923.233761902164,460.40963284590475]");
}

#[test]
fn a_change_of_a_job_replaces_adds_and_takes_away() {
    let was = JobDefinition {
        schedule: "@daily".into(),
        prompt: Some("Look.".into()),
        jitter: Some("30s".into()),
        ..Default::default()
    };
    let edit = |changes: Value| {
        let changes = changes.as_object().cloned().unwrap();
        JobEditParams { name: "evening".into(), changes }.apply(&was).map_err(|error| error.message)
    };
    let now = edit(json!({ "schedule": "@hourly", "jitter": null, "missed": "runOnce" }));
    let expected = JobDefinition {
        schedule: "@hourly".into(),
        prompt: Some("Look.".into()),
        missed: Some(JobMissed::RunOnce),
        ..Default::default()
    };
    assert_eq!(now, Ok(expected));
    let refused = |changes: Value| edit(changes).unwrap_err();
    assert_eq!(refused(json!({ "shedule": "@hourly" })), "Invalid job: shedule: no job has such a field");
    assert_eq!(refused(json!({ "schedule": null })), "Invalid job: schedule: missing field `schedule`");
    assert_eq!(
        refused(json!({ "notify": { "command": "mail" } })),
        "Invalid job: notify.command: invalid type: string \"mail\", expected a sequence"
    );
}
