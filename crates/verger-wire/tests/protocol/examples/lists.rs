//! Pages of threads, turns and items.

use verger_wire::ClientRequest;
use verger_wire::requests::*;
use verger_wire::types::*;

use super::{BEGAN, Exchange, THREAD, TURN, answer, ask, ended, thread, tool_call, user_message};

pub(super) fn exchanges() -> Vec<Exchange> {
    let loaded = ThreadLoadedListResponse { data: vec![THREAD.into()], next_cursor: None };
    vec![
        threads(),
        ask(15, ClientRequest::ThreadLoadedList(PageParams { cursor: None, limit: Some(50) }), &loaded),
        turns(),
        items(),
    ]
}

fn threads() -> Exchange {
    let params = ThreadListParams {
        limit: Some(1),
        sort_key: Some(ThreadSortKey::UpdatedAt),
        cwd: Some(ThreadListCwdFilter::One("/home/ada/engine".into())),
        ..Default::default()
    };
    let result = ThreadListResponse {
        data: vec![Thread { status: ThreadStatus::NotLoaded, ..thread() }],
        next_cursor: Some("u.1795190404.0199f3a16c2e7d109b574f0c8f2f6a11".into()),
        backwards_cursor: Some("u.1795190404.0199f3a16c2e7d109b574f0c8f2f6a11".into()),
    };
    ask(14, ClientRequest::ThreadList(Box::new(params)), &result)
}

fn turns() -> Exchange {
    let params = ThreadTurnsListParams { thread_id: THREAD.into(), limit: Some(20), ..Default::default() };
    let turn = ended(vec![user_message(), answer("Only src/mill.rs.")], TurnItemsView::Summary);
    let result = ThreadTurnsListResponse {
        data: vec![turn],
        next_cursor: None,
        backwards_cursor: Some("turns.0199f3a16c2e7d109b574f0c8f2f6a11.1.0.with".into()),
    };
    ask(16, ClientRequest::ThreadTurnsList(params), &result)
}

fn items() -> Exchange {
    let params = ThreadItemsListParams {
        thread_id: THREAD.into(),
        turn_id: Some(TURN.into()),
        limit: Some(100),
        sort_direction: Some(SortDirection::Asc),
        ..Default::default()
    };
    let entry = ThreadItemEntry {
        turn_id: TURN.into(),
        item: tool_call(),
        started_at_ms: Some(BEGAN * 1000 + 4310),
        completed_at_ms: Some(BEGAN * 1000 + 4348),
    };
    let result = ThreadItemsListResponse {
        data: vec![entry],
        next_cursor: None,
        backwards_cursor: Some("items.0199f3a16c2e7d109b574f0c8f2f6a11.1.1.with".into()),
    };
    ask(17, ClientRequest::ThreadItemsList(params), &result)
}
