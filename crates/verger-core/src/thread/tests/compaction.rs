//! Compaction, told as transcripts: when the model is asked to sum up, and what it is told from then on.

use serde_json::json;
use verger_wire::types::{McpToolCallResult, ThreadItem, TurnError, TurnStatus};

use super::executor::Executor;
use super::stories::{story, text, tool};
use crate::thread::{Conversation, Event, Said, Says, ToolOutcome, turns};

fn turn(thread: &mut Executor, words: &str) {
    thread.begin(words);
    text(thread, &["ok"]);
    thread.says(Says::Completed);
    thread.transcript.clear();
}

/// The summary, and how many items come after it.
fn told(thread: &Executor) -> (Option<String>, usize) {
    let Conversation { summary, said, .. } = thread.conversation();
    let counts = |said: &&Said| !matches!(said, Said::Item(ThreadItem::ContextCompaction(_)));
    (summary, said.iter().filter(counts).count())
}

fn says(thread: &mut Executor, words: &str) {
    text(thread, &[words]);
    thread.says(Says::TextDone { output: "m".into() });
    thread.says(Says::Completed);
}

#[test]
fn a_client_has_the_conversation_summed_up() {
    let mut thread = Executor::new();
    turn(&mut thread, "one");
    thread.compact();
    let begun = ["append turn+", "reply", "status active", "turn/started", "item/started", "sum up"];
    story(&mut thread, &begun);
    assert_eq!(told(&thread), (None, 2), "until there is one");
    says(&mut thread, "in short");
    let ended = ["append compacted item turn", "item/completed", "status idle", "turn/completed"];
    story(&mut thread, &ended);
    assert_eq!(told(&thread), (Some("in short".into()), 0));
    turn(&mut thread, "two");
    assert_eq!(told(&thread), (Some("in short".into()), 2));
    let shown = turns(thread.log.clone(), None);
    let items: Vec<usize> = shown.iter().map(|turn| turn.items.len()).collect();
    assert_eq!(items, [2, 1, 2], "clients see all of it");
    // Back before the summary: what it covered is told again.
    thread.revert(1);
    assert_eq!(told(&thread), (None, 2));
}

#[test]
fn a_summary_that_does_not_come_leaves_everything_as_it_was() {
    let broken = |message: &str| TurnError {
        message: message.into(),
        codex_error_info: None,
        additional_details: None,
        misalignment: None,
    };
    let failed = ["append item turn", "item/completed", "status systemError", "error", "turn/completed"];
    let mut thread = Executor::new();
    turn(&mut thread, "one");
    for (words, end) in [("half", Some(broken("no"))), (" ", None)] {
        thread.compact();
        text(&mut thread, &[words]);
        thread.transcript.clear();
        let fails = end.is_some();
        thread.says(end.map_or(Says::Completed, |error| Says::Failed { error }));
        story(&mut thread, &failed);
        let last = turns(thread.log.clone(), None).pop().expect("a turn");
        let why = if fails { "no" } else { "the model's summary is empty" };
        let message = last.error.expect("why").message;
        assert_eq!(message, format!("the conversation could not be summed up: {why}"));
        assert_eq!(told(&thread), (None, 2));
    }
    thread.compact();
    text(&mut thread, &["half"]);
    thread.transcript.clear();
    thread.interrupt();
    story(
        &mut thread,
        &["append item turn", "item/completed", "reply interrupted", "status idle", "turn/completed"],
    );
    assert_eq!(told(&thread), (None, 2));
    turn(&mut thread, "two");
    assert_eq!(told(&thread), (None, 4));
}

#[test]
fn one_thing_at_a_time() {
    let mut thread = Executor::new();
    thread.begin("one");
    let active = thread.machine.active_turn().expect("it runs").turn.id.clone();
    thread.transcript.clear();
    thread.compact();
    let refused = format!(
        "refuse cannot compact thread 00000000-0000-0000-0000-000000000001 while turn {active} is in progress"
    );
    story(&mut thread, &[refused.as_str()]);
    says(&mut thread, "ok");
    assert_eq!(thread.idle_seen, 2, "whoever waits for it to be idle hears of it");
}

#[test]
fn a_full_model_sums_up_before_it_hears_the_user() {
    let mut thread = Executor::new();
    turn(&mut thread, "one");
    thread.machine.sum_up_past(Some(100));
    thread.machine.holds(Some(99));
    turn(&mut thread, "two");
    thread.machine.holds(Some(100));
    thread.begin("three");
    let last: Vec<&str> = thread.transcript.iter().map(String::as_str).collect();
    assert_eq!(last[last.len() - 4..], ["item/started", "item/completed", "item/started", "sum up but 2"]);
    thread.transcript.clear();
    says(&mut thread, "in short");
    story(&mut thread, &["append compacted item", "item/completed", "call model"]);
    assert_eq!(told(&thread), (Some("in short".into()), 1), "the user's words are told as they are");
    says(&mut thread, "ok");
    assert_eq!(told(&thread), (Some("in short".into()), 2));
    thread.begin("four");
    assert_eq!(thread.transcript.last().map(String::as_str), Some("call model"), "once is enough");
}

#[test]
fn a_full_model_sums_up_within_a_turn_and_what_comes_meanwhile_is_heard() {
    let mut thread = Executor::new();
    thread.machine.sum_up_past(Some(100));
    thread.begin("one");
    thread.says(tool("now"));
    thread.says(Says::Completed);
    thread.machine.holds(Some(1000));
    thread.transcript.clear();
    let item = thread.tools.remove(0);
    let result = McpToolCallResult { content: vec![json!("noon")], ..Default::default() };
    thread.handle(Event::ToolDone { item, outcome: Ok(ToolOutcome { result, is_error: false }) });
    story(&mut thread, &["append item", "item/completed", "item/started", "sum up"]);
    thread.begin("and hurry");
    thread.inject("a word");
    thread.transcript.clear();
    says(&mut thread, "in short");
    story(&mut thread, &["append compacted item", "item/completed", "call model"]);
    assert_eq!(told(&thread), (Some("in short".into()), 2), "what came meanwhile");
    says(&mut thread, "done");
    let turn = turns(thread.log.clone(), None).remove(0);
    assert_eq!((turn.status, turn.items.len()), (TurnStatus::Completed, 5));
    let places: Vec<_> = turn.items.iter().map(|item| item.id().to_owned()).collect();
    assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "in the order of their beginning: {places:?}");
}
