//! Threads: begun, followed, forked, looked at, left, put away.

use serde_json::json;
use verger_wire::ClientRequest;
use verger_wire::requests::*;
use verger_wire::types::*;

use super::{Exchange, FORK, THREAD, TURN, answer, ask, ended, started, thread, user_message};

pub(super) fn exchanges() -> Vec<Exchange> {
    let this = || ThreadIdParams { thread_id: THREAD.into() };
    let named = ThreadSetNameParams { thread_id: THREAD.into(), name: "What changed today".into() };
    let status = ThreadUnsubscribeStatus::Unsubscribed;
    vec![
        start(),
        resume(),
        fork(),
        read(),
        ask(8, ClientRequest::ThreadNameSet(named), &Empty {}),
        metadata(),
        revert(),
        compact(),
        inject(),
        ask(10, ClientRequest::ThreadUnsubscribe(this()), &ThreadUnsubscribeResponse { status }),
        ask(11, ClientRequest::ThreadArchive(this()), &Empty {}),
        ask(12, ClientRequest::ThreadUnarchive(this()), &ThreadReadResponse { thread: not_loaded() }),
        ask(13, ClientRequest::ThreadDelete(this()), &Empty {}),
    ]
}

fn not_loaded() -> Thread {
    Thread { status: ThreadStatus::NotLoaded, ..thread() }
}

/// One finished turn, as far as `view` goes.
fn one_turn() -> Vec<Turn> {
    vec![ended(vec![user_message(), answer("Only src/mill.rs.")], TurnItemsView::Full)]
}

fn start() -> Exchange {
    let params = ThreadStartParams {
        cwd: Some("/home/ada/engine".into()),
        model: Some("qwen3-coder".into()),
        approval_policy: Some(AskForApproval::OnRequest),
        ..Default::default()
    };
    let new =
        Thread { preview: String::new(), updated_at: thread().created_at, recency_at: None, ..thread() };
    ask(2, ClientRequest::ThreadStart(Box::new(params)), &started(new))
}

fn resume() -> Exchange {
    let params = ThreadResumeParams { thread_id: THREAD.into(), ..Default::default() };
    let result = ThreadResumeResponse {
        started: started(Thread { turns: one_turn(), ..thread() }),
        initial_turns_page: None,
        turns_backwards_cursor: Some("turns.0199f3a16c2e7d109b574f0c8f2f6a11.1.0.with".into()),
        items_backwards_cursor: Some("items.0199f3a16c2e7d109b574f0c8f2f6a11.1.1.with".into()),
        older_turns_cursor: None,
        subscription_id: Some("3".into()),
    };
    ask(5, ClientRequest::ThreadResume(Box::new(params)), &result)
}

fn fork() -> Exchange {
    let params = ThreadForkParams {
        thread_id: THREAD.into(),
        last_turn_id: Some(TURN.into()),
        exclude_turns: true,
        ..Default::default()
    };
    let fork =
        Thread { id: FORK.into(), session_id: FORK.into(), forked_from_id: Some(THREAD.into()), ..thread() };
    ask(6, ClientRequest::ThreadFork(Box::new(params)), &started(fork))
}

fn read() -> Exchange {
    let params = ThreadReadParams { thread_id: THREAD.into(), include_turns: true };
    let result = ThreadReadResponse { thread: Thread { turns: one_turn(), ..not_loaded() } };
    ask(7, ClientRequest::ThreadRead(params), &result)
}

fn metadata() -> Exchange {
    let update =
        GitInfoUpdate { branch: Some(Some("mill".into())), origin_url: Some(None), ..Default::default() };
    let params = ThreadMetadataUpdateParams { thread_id: THREAD.into(), git_info: Some(update) };
    let git_info = Some(GitInfo { branch: Some("mill".into()), ..Default::default() });
    let result = ThreadReadResponse { thread: Thread { git_info, ..not_loaded() } };
    ask(23, ClientRequest::ThreadMetadataUpdate(params), &result)
}

fn revert() -> Exchange {
    let params = ThreadRevertParams { thread_id: THREAD.into(), before_turn_id: TURN.into() };
    let result =
        ThreadRevertResponse { thread: thread(), turns_backwards_cursor: None, items_backwards_cursor: None };
    ask(9, ClientRequest::ThreadRevert(params), &result)
}

fn compact() -> Exchange {
    let params = ThreadCompactStartParams { thread_id: THREAD.into() };
    ask(29, ClientRequest::ThreadCompactStart(params), &Empty {})
}

fn inject() -> Exchange {
    let text = json!({ "type": "input_text", "text": "The mill stands still on Sundays." });
    let item = json!({ "type": "message", "role": "developer", "content": [text] });
    let params = ThreadInjectItemsParams { thread_id: THREAD.into(), items: vec![item] };
    ask(30, ClientRequest::ThreadInjectItems(params), &Empty {})
}
