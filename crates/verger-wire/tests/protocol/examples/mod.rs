//! One real message for each method, made of typed values by the crate's own encoders: shown to people, and held against
//! the schema. Together they tell of one evening's work on one thread.

mod helpers;
mod jobs;
mod lists;
mod notifications;
mod questions;
mod settings;
mod threads;
mod turns;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use verger_wire::requests::*;
use verger_wire::types::*;
use verger_wire::{ClientRequest, RequestId, ServerRequest, notification_at, reply};

pub(crate) const THREAD: &str = "0199f3a1-6c2e-7d10-9b57-4f0c8f2f6a11";
pub(crate) const TURN: &str = "0199f3a1-7b04-7c55-8a0f-2c41d9b0e6d2";
const FORK: &str = "0199f3b8-02d9-7f4a-a7c3-95d01b6e7f30";
const MESSAGE: &str = "msg_0c9f41e27a";
const CALL: &str = "call_7Qm2fXbA";
/// Unix seconds at which the thread began.
const BEGAN: i64 = 1_795_190_400;

/// A request and its answer, as they stand on the wire.
pub(crate) struct Exchange {
    pub(crate) method: &'static str,
    pub(crate) asked: String,
    pub(crate) answered: String,
    /// Whether the answer's type takes this for a `result`.
    pub(crate) takes: fn(&Value) -> bool,
}

/// What clients ask and are answered.
pub(crate) fn requests() -> Vec<Exchange> {
    [
        settings::exchanges(),
        threads::exchanges(),
        lists::exchanges(),
        turns::exchanges(),
        helpers::exchanges(),
        jobs::exchanges(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the server asks and is answered.
pub(crate) fn questions() -> Vec<Exchange> {
    questions::exchanges()
}

/// What the server tells: method and text.
pub(crate) fn notifications() -> Vec<(&'static str, String)> {
    let told = notifications::notifications().into_iter().enumerate();
    told.map(|(at, event)| (event.method(), notification_at(&event, sent_at(at), None))).collect()
}

/// The texts of a first session, as `>` from the client and `<` from the server.
pub(crate) fn first_session() -> Vec<(char, String)> {
    let requests = requests();
    let notifications = notifications();
    let exchange = |method: &str| {
        requests.iter().find(|exchange| exchange.method == method).unwrap_or_else(|| panic!("{method}"))
    };
    let told = |method: &str| notifications.iter().find(|(name, _)| *name == method).map(|(_, text)| text);
    let mut lines = Vec::new();
    for step in [
        "initialize",
        "initialized",
        "thread/start",
        "thread/started",
        "turn/start",
        "thread/status/changed",
        "turn/started",
        "item/started",
        "item/agentMessage/delta",
        "item/completed",
        "turn/completed",
        "thread/unsubscribe",
    ] {
        match told(step) {
            Some(text) => lines.push(('<', text.clone())),
            None if step == "initialized" => lines.push(('>', r#"{"method":"initialized"}"#.to_owned())),
            None => {
                lines.push(('>', exchange(step).asked.clone()));
                lines.push(('<', exchange(step).answered.clone()));
            }
        }
    }
    lines
}

fn sent_at(at: usize) -> i64 {
    let at = i64::try_from(at).expect("there are not so many examples");
    BEGAN * 1000 + 120 + at * 35
}

/// A client's request under `id`, and the answer.
fn ask<R: Serialize + DeserializeOwned>(id: i64, request: ClientRequest, result: &R) -> Exchange {
    exchange(id, request.method(), &request, result)
}

/// A question of the server under `id`, and the client's answer.
fn question<R: Serialize + DeserializeOwned>(id: i64, request: &ServerRequest, result: &R) -> Exchange {
    exchange(id, request.method(), request, result)
}

fn exchange<R: Serialize + DeserializeOwned>(
    id: i64,
    method: &'static str,
    request: &impl Serialize,
    result: &R,
) -> Exchange {
    #[derive(Serialize)]
    struct Asked<'a, T> {
        id: &'a RequestId,
        #[serde(flatten)]
        request: &'a T,
    }
    let id = RequestId::from(id);
    Exchange {
        method,
        asked: serde_json::to_string(&Asked { id: &id, request }).expect("an example encodes"),
        answered: reply(&id, result),
        takes: |value| serde_json::from_value::<R>(value.clone()).is_ok(),
    }
}

/// The thread of these examples, idle and without turns.
fn thread() -> Thread {
    Thread {
        id: THREAD.into(),
        session_id: THREAD.into(),
        forked_from_id: None,
        parent_thread_id: None,
        preview: "Which files changed today?".into(),
        ephemeral: false,
        section: None,
        section_entered_at: None,
        project_id: None,
        history_mode: ThreadHistoryMode::Legacy,
        model_provider: "local".into(),
        model: Some("qwen3-coder".into()),
        reasoning_effort: None,
        created_at: BEGAN,
        updated_at: BEGAN + 4,
        recency_at: Some(BEGAN + 4),
        status: ThreadStatus::Idle,
        path: None,
        cwd: "/home/ada/engine".into(),
        cli_version: "0.169.0".into(),
        originator: None,
        source: SessionSource::AppServer,
        thread_source: None,
        agent_nickname: None,
        agent_role: None,
        git_info: None,
        name: None,
        turns: Vec::new(),
    }
}

/// A turn as it begins.
fn turn() -> Turn {
    Turn {
        id: TURN.into(),
        root_turn_id: Some(TURN.into()),
        items: Vec::new(),
        items_view: TurnItemsView::NotLoaded,
        status: TurnStatus::InProgress,
        error: None,
        started_at: None,
        completed_at: None,
        duration_ms: None,
    }
}

/// The same at its end, with `items`.
fn ended(items: Vec<ThreadItem>, items_view: TurnItemsView) -> Turn {
    Turn {
        items,
        items_view,
        status: TurnStatus::Completed,
        started_at: Some(BEGAN + 4),
        completed_at: Some(BEGAN + 6),
        duration_ms: Some(1840),
        ..turn()
    }
}

fn user_message() -> ThreadItem {
    ThreadItem::UserMessage(UserMessageItem {
        id: "0199f3a1-7b05-7d2b-b3f1-0c6f8f5d1e02".into(),
        client_id: None,
        content: vec![UserInput::text("Which files changed today?")],
    })
}

fn answer(text: &str) -> ThreadItem {
    ThreadItem::AgentMessage(AgentMessageItem { id: MESSAGE.into(), text: text.into(), ..Default::default() })
}

fn tool_call() -> ThreadItem {
    ThreadItem::McpToolCall(McpToolCallItem {
        id: CALL.into(),
        server: "git".into(),
        tool: "git_status".into(),
        status: McpToolCallStatus::Completed,
        arguments: serde_json::json!({ "repo_path": "/home/ada/engine" }),
        app_context: None,
        mcp_app_ui: None,
        plugin_id: None,
        read_only_hint: Some(true),
        result: Some(McpToolCallResult {
            content: vec![serde_json::json!({ "type": "text", "text": "modified: src/mill.rs" })],
            ..Default::default()
        }),
        error: None,
        duration_ms: Some(38),
    })
}

/// What `thread/start` answers.
fn started(thread: Thread) -> ThreadStartResponse {
    ThreadStartResponse {
        model: "qwen3-coder".into(),
        model_provider: thread.model_provider.clone(),
        service_tier: None,
        disabled_plugin_ids: Vec::new(),
        cwd: thread.cwd.clone(),
        instruction_sources: Vec::new(),
        approval_policy: AskForApproval::OnRequest,
        approvals_reviewer: ApprovalsReviewer::User,
        sandbox: SandboxPolicy::ReadOnly { network_access: false },
        reasoning_effort: None,
        replay: None,
        thread,
    }
}
