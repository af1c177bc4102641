//! More input for a turn that is under way: where the model is told of it, and what becomes of what it was saying.

use serde_json::json;
use verger_wire::types::{McpServerElicitationAction, McpToolCallResult, ThreadItem, TurnStatus};

use super::executor::{Executor, says};
use super::stories::{story, text, tool};
use crate::thread::{Event, Says, ToolOutcome, turns};

#[test]
fn a_start_during_an_answer_cuts_it_and_the_model_is_asked_again_at_once() {
    let mut thread = Executor::new();
    thread.begin("one");
    text(&mut thread, &["ha", "lf"]);
    let cut = thread.call.unwrap();
    thread.transcript.clear();
    thread.begin("two");
    story(
        &mut thread,
        &[
            "append item item",
            "reply turn InProgress",
            "item/completed",
            "item/started",
            "item/completed",
            "call model",
        ],
    );
    assert_ne!(thread.call, Some(cut));
    thread.handle(Event::Model { call: cut, says: Says::Completed });
    story(&mut thread, &[]);
    thread.says(Says::Completed);
    assert_eq!(thread.idle_seen, 2);
    let turn = &turns(thread.log.clone(), None)[0];
    assert_eq!(turn.status, TurnStatus::Completed);
    let [ThreadItem::UserMessage(_), ThreadItem::AgentMessage(half), ThreadItem::UserMessage(_)] =
        turn.items.as_slice()
    else {
        panic!("{:?}", turn.items)
    };
    assert_eq!(half.text, "half", "what was said was said");
}

#[test]
fn a_tool_that_a_cut_answer_asked_for_is_not_called() {
    let mut thread = Executor::new();
    thread.begin("one");
    thread.says(tool("rm"));
    thread.transcript.clear();
    thread.begin("no, wait");
    story(
        &mut thread,
        &["append item", "reply turn InProgress", "item/started", "item/completed", "call model"],
    );
    thread.says(Says::Completed);
    story(&mut thread, &["append turn", "status idle", "turn/completed"]);
}

#[test]
fn input_during_a_tool_call_waits_for_its_result() {
    let mut thread = Executor::new();
    thread.begin("what time is it?");
    thread.says(tool("now"));
    thread.says(Says::Completed);
    let item = thread.tools.remove(0);
    thread.transcript.clear();
    thread.begin("in Rome, I mean");
    story(&mut thread, &["append item", "reply turn InProgress", "item/started", "item/completed"]);
    let content = vec![json!({"type": "text", "text": "noon"})];
    let result = McpToolCallResult { content, ..McpToolCallResult::default() };
    thread.handle(Event::ToolDone { item, outcome: Ok(ToolOutcome { result, is_error: false }) });
    story(&mut thread, &["append item", "item/completed", "call model"]);
}

#[test]
fn input_while_a_call_waits_for_its_approval_waits_with_it() {
    let mut thread = Executor::new();
    thread.begin("remove it");
    thread.says(tool("rm"));
    thread.says(Says::Completed);
    let item = thread.tools[0].clone();
    let question = thread.ask_approval(&item);
    thread.transcript.clear();
    thread.begin("gently");
    story(&mut thread, &["append item", "reply turn InProgress", "item/started", "item/completed"]);
    assert!(thread.asked.contains_key(&question), "it is still asked");
    thread.answer(question, says(McpServerElicitationAction::Accept));
    thread.transcript.clear();
    thread.tools.clear();
    thread.handle(Event::ToolDone { item, outcome: Err("gone".into()) });
    story(&mut thread, &["append item", "item/completed", "call model"]);
}

#[test]
fn input_that_is_not_durable_ends_the_turn() {
    let mut thread = Executor::new();
    thread.begin("one");
    text(&mut thread, &["half"]);
    thread.room = Some(0);
    thread.transcript.clear();
    thread.begin("two");
    story(
        &mut thread,
        &[
            "append failed",
            "refuse the turn could not be saved: disk full",
            "status systemError",
            "error",
            "turn/completed",
        ],
    );
    assert_eq!(thread.call, None, "the model was let go");
}
