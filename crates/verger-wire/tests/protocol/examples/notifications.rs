//! What the server tells: first a turn as it goes, then everything else.

use verger_wire::types::*;
use verger_wire::*;

use super::{BEGAN, CALL, MESSAGE, THREAD, TURN, answer, ended, thread, tool_call, turn, user_message};

pub(super) fn notifications() -> Vec<Notification> {
    let mut all = of_a_turn();
    all.extend(of_items());
    all.extend(of_threads());
    all.extend(for_people());
    all.extend(super::jobs::notifications());
    all
}

fn of_a_turn() -> Vec<Notification> {
    let new = Thread { preview: String::new(), updated_at: BEGAN, recency_at: None, ..thread() };
    let status = ThreadStatus::Active { active_flags: Vec::new() };
    let running = Turn { started_at: Some(BEGAN + 4), ..turn() };
    let done = ended(vec![answer("Only src/mill.rs.")], TurnItemsView::Summary);
    vec![
        Notification::ThreadStarted(ThreadStartedNotification { thread: Box::new(new) }),
        Notification::ThreadStatusChanged(ThreadStatusChangedNotification {
            thread_id: THREAD.into(),
            status,
        }),
        Notification::TurnStarted(TurnNotification { thread_id: THREAD.into(), turn: running }),
        item_started(answer("")),
        Notification::AgentMessageDelta(delta("Only src/")),
        item_completed(answer("Only src/mill.rs.")),
        Notification::TurnCompleted(TurnNotification { thread_id: THREAD.into(), turn: done }),
    ]
}

fn item_started(item: ThreadItem) -> Notification {
    Notification::ItemStarted(ItemStartedNotification {
        item,
        thread_id: THREAD.into(),
        turn_id: TURN.into(),
        started_at_ms: BEGAN * 1000 + 5210,
    })
}

fn item_completed(item: ThreadItem) -> Notification {
    Notification::ItemCompleted(ItemCompletedNotification {
        item,
        thread_id: THREAD.into(),
        turn_id: TURN.into(),
        content_token_count: None,
        completed_at_ms: BEGAN * 1000 + 5790,
    })
}

fn delta(text: &str) -> DeltaNotification {
    DeltaNotification {
        thread_id: THREAD.into(),
        turn_id: TURN.into(),
        item_id: MESSAGE.into(),
        delta: text.into(),
    }
}

/// Every kind of item, and how each grows.
fn of_items() -> Vec<Notification> {
    let thought = ReasoningItem {
        id: "rs_41".into(),
        summary: vec!["Looking at the repository".into()],
        content: vec!["The user asks about today.".into()],
    };
    let plan = PlanItem { id: "plan_1".into(), text: "1. Ask git.".into() };
    let own_tool = DynamicToolCallItem {
        id: CALL.into(),
        namespace: None,
        tool: "open_file".into(),
        arguments: serde_json::json!({ "path": "src/mill.rs" }),
        status: McpToolCallStatus::Completed,
        content_items: Some(vec![DynamicToolCallOutputContentItem::InputText { text: "opened".into() }]),
        success: Some(true),
        duration_ms: Some(12),
    };
    let (thread_id, turn_id, item_id) = (THREAD.to_owned(), TURN.to_owned(), "rs_41".to_owned());
    let mut told: Vec<Notification> = [
        user_message(),
        ThreadItem::Reasoning(thought),
        ThreadItem::Plan(plan),
        tool_call(),
        ThreadItem::DynamicToolCall(own_tool),
        ThreadItem::ContextCompaction(ContextCompactionItem { id: "2c41d9b0e6d2-7".into() }),
    ]
    .map(item_completed)
    .into();
    told.extend([
        Notification::PlanDelta(DeltaNotification { item_id: "plan_1".into(), ..delta("1. Ask ") }),
        Notification::ReasoningSummaryPartAdded(ReasoningSummaryPartAddedNotification {
            thread_id: thread_id.clone(),
            turn_id: turn_id.clone(),
            item_id: item_id.clone(),
            summary_index: 0,
        }),
        Notification::ReasoningSummaryTextDelta(ReasoningSummaryTextDeltaNotification {
            thread_id: thread_id.clone(),
            turn_id: turn_id.clone(),
            item_id: item_id.clone(),
            delta: "Looking at ".into(),
            summary_index: 0,
        }),
        Notification::ReasoningTextDelta(ReasoningTextDeltaNotification {
            thread_id: thread_id.clone(),
            turn_id: turn_id.clone(),
            item_id,
            delta: "The user ".into(),
            content_index: 0,
        }),
        Notification::RawResponseItemCompleted(RawResponseItemCompletedNotification {
            thread_id: thread_id.clone(),
            turn_id: turn_id.clone(),
            item: serde_json::json!({
                "type": "message", "role": "assistant",
                "content": [{ "type": "output_text", "text": "Only src/mill.rs." }],
            }),
        }),
        Notification::McpToolCallProgress(McpToolCallProgressNotification {
            thread_id,
            turn_id,
            item_id: CALL.into(),
            message: "12 of 40 files".into(),
        }),
    ]);
    told
}

fn of_threads() -> Vec<Notification> {
    let this = || ThreadIdNotification { thread_id: THREAD.into() };
    let spent = TokenUsageBreakdown {
        total_tokens: 1320,
        input_tokens: 1204,
        cached_input_tokens: 1024,
        cache_write_input_tokens: 0,
        output_tokens: 116,
        reasoning_output_tokens: 64,
    };
    vec![
        Notification::ThreadTokenUsageUpdated(ThreadTokenUsageUpdatedNotification {
            thread_id: THREAD.into(),
            turn_id: TURN.into(),
            token_usage: ThreadTokenUsage { total: spent, last: spent, model_context_window: Some(131_072) },
        }),
        Notification::ThreadNameUpdated(ThreadNameUpdatedNotification {
            thread_id: THREAD.into(),
            thread_name: Some("What changed today".into()),
        }),
        Notification::ThreadClosed(this()),
        Notification::ThreadArchived(this()),
        Notification::ThreadUnarchived(this()),
        Notification::ThreadDeleted(this()),
        Notification::ThreadReverted(this()),
        Notification::ServerRequestResolved(ServerRequestResolvedNotification {
            thread_id: THREAD.into(),
            request_id: 0.into(),
        }),
        Notification::McpServerStatusUpdated(McpServerStatusUpdatedNotification {
            thread_id: Some(THREAD.into()),
            name: "git".into(),
            status: McpServerStartupState::Ready,
            error: None,
            failure_reason: None,
        }),
    ]
}

fn for_people() -> Vec<Notification> {
    let error = TurnError {
        message: "the model's answer broke off".into(),
        codex_error_info: Some(CodexErrorInfo::ResponseStreamDisconnected { http_status_code: Some(502) }),
        additional_details: None,
        misalignment: None,
    };
    let place = |column| TextPosition { line: 12, column };
    vec![
        Notification::Error(ErrorNotification {
            error,
            will_retry: true,
            thread_id: THREAD.into(),
            turn_id: TURN.into(),
        }),
        Notification::Warning(WarningNotification {
            thread_id: Some(THREAD.into()),
            message: "git left 1 process behind; it was ended".into(),
        }),
        Notification::ConfigWarning(ConfigWarningNotification {
            summary: "unknown key 'modle'; did you mean 'model'?".into(),
            details: None,
            path: Some("/home/ada/.config/verger/config.toml".into()),
            range: Some(TextRange { start: place(1), end: place(6) }),
        }),
        Notification::DeprecationNotice(DeprecationNoticeNotification {
            summary: "all turns at once are for small threads".into(),
            details: Some("Page with thread/turns/list.".into()),
        }),
    ]
}
