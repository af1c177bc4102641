//! Short stories, told as transcripts: what happens, and in which order the world hears of it.

use serde_json::json;
use verger_wire::types::{McpToolCallResult, ThreadItem, TurnError, TurnStatus};

use super::executor::Executor;
use crate::thread::{Event, OUTCOME_UNKNOWN, Record, Says, ToolOutcome, turns};

pub(super) fn text(thread: &mut Executor, words: &[&str]) {
    thread.says(Says::TextStarted { output: "m".into() });
    for word in words {
        thread.says(Says::TextDelta { output: "m".into(), delta: (*word).to_owned() });
    }
}

pub(super) fn tool(name: &str) -> Says {
    Says::ToolCall { server: "time".into(), tool: name.into(), arguments: json!({}), read_only: Some(true) }
}

pub(super) fn story(thread: &mut Executor, expected: &[&str]) {
    let told = std::mem::take(&mut thread.transcript);
    assert_eq!(told, expected, "\ntold:\n{}", told.join("\n"));
}

#[test]
fn a_trivial_turn_takes_three_appends() {
    let mut thread = Executor::new();
    thread.begin("hi");
    story(
        &mut thread,
        &[
            "append turn+ item",
            "reply turn InProgress",
            "status active",
            "turn/started",
            "item/started",
            "item/completed",
            "call model",
        ],
    );
    text(&mut thread, &["he", "llo"]);
    thread.says(Says::TextDone { output: "m".into() });
    thread.says(Says::Completed);
    story(
        &mut thread,
        &[
            "item/started",
            "item/agentMessage/delta",
            "item/agentMessage/delta",
            "append item",
            "item/completed",
            "append turn",
            "status idle",
            "turn/completed",
        ],
    );
}

#[test]
fn a_tool_is_called_after_the_model_has_finished_and_its_call_is_durable() {
    let mut thread = Executor::new();
    thread.begin("what time is it?");
    thread.transcript.clear();
    thread.says(tool("now"));
    story(&mut thread, &[]);
    thread.says(Says::Completed);
    story(&mut thread, &["append item+", "item/started", "call tool now"]);
    let item = thread.tools.remove(0);
    let result =
        McpToolCallResult { content: vec![json!({"type": "text", "text": "noon"})], ..Default::default() };
    thread.handle(Event::ToolDone { item, outcome: Ok(ToolOutcome { result, is_error: false }) });
    story(&mut thread, &["append item", "item/completed", "call model"]);
}

#[test]
fn a_model_that_fails_half_way_has_called_no_tool() {
    let mut thread = Executor::new();
    thread.begin("do it");
    thread.transcript.clear();
    thread.says(tool("rm"));
    let error = TurnError {
        message: "broke off".into(),
        codex_error_info: None,
        additional_details: None,
        misalignment: None,
    };
    thread.says(Says::Failed { error });
    story(&mut thread, &["append turn", "status systemError", "error", "turn/completed"]);
}

#[test]
fn an_interrupt_is_answered_when_the_turn_has_ended_and_what_was_said_is_kept() {
    let mut thread = Executor::new();
    thread.begin("go on");
    text(&mut thread, &["half"]);
    thread.transcript.clear();
    thread.interrupt();
    story(
        &mut thread,
        &["append item turn", "item/completed", "reply interrupted", "status idle", "turn/completed"],
    );
    let turn = &turns(thread.log.clone(), None)[0];
    assert_eq!(turn.status, TurnStatus::Interrupted);
    assert!(matches!(&turn.items[1], ThreadItem::AgentMessage(message) if message.text == "half"));
}

#[test]
fn words_of_an_earlier_call_are_ignored() {
    let mut thread = Executor::new();
    thread.begin("one");
    let stale = thread.call.unwrap();
    thread.interrupt();
    thread.begin("two");
    thread.transcript.clear();
    thread.handle(Event::Model { call: stale, says: Says::TextStarted { output: "m".into() } });
    thread.handle(Event::Model { call: stale, says: Says::Completed });
    story(&mut thread, &[]);
}

#[test]
fn a_turn_whose_beginning_is_not_durable_never_was() {
    let mut thread = Executor::new();
    thread.room = Some(0);
    thread.begin("hi");
    story(&mut thread, &["append failed", "refuse the turn could not be saved: disk full"]);
    assert_eq!(thread.idle_seen, 1);
    thread.room = None;
    thread.begin("again");
    assert!(thread.machine.active_turn().is_some());
}

#[test]
fn a_turn_whose_end_is_not_durable_is_told_as_failed() {
    let mut thread = Executor::new();
    thread.begin("hi");
    thread.room = Some(0);
    thread.transcript.clear();
    thread.says(Says::Completed);
    story(&mut thread, &["append failed", "status systemError", "error", "turn/completed"]);
}

#[test]
fn a_crash_leaves_the_turn_interrupted_and_its_tool_call_unknown() {
    let mut thread = Executor::new();
    thread.begin("do it");
    thread.says(tool("rm"));
    thread.says(Says::Completed);
    // The crash: nothing is left but the log.
    let log: Vec<Record> =
        thread.log.iter().map(|record| Record::decode(record.kind(), &record.encode()).unwrap()).collect();
    let turns = turns(log, None);
    assert_eq!(turns[0].status, TurnStatus::Interrupted);
    let ThreadItem::McpToolCall(call) = &turns[0].items[1] else { panic!("{:?}", turns[0].items) };
    assert_eq!(call.error.as_ref().unwrap().message, OUTCOME_UNKNOWN);
}
