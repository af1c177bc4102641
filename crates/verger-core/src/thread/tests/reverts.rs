//! Reverts, told as transcripts: what is forgotten, and what is not done meanwhile.

use verger_wire::types::TurnError;

use super::executor::Executor;
use super::stories::{story, text};
use crate::thread::{Said, Says, turns};

fn turn(thread: &mut Executor, words: &str) {
    thread.begin(words);
    text(thread, &["ok"]);
    thread.says(Says::Completed);
    thread.transcript.clear();
}

/// What users and clients said, as the model is told it.
fn heard(thread: &Executor) -> String {
    let said = thread.conversation().said;
    let words = said.iter().map(|said| match said {
        Said::Item(item) => serde_json::to_value(item).expect("an item")["content"][0]["text"].clone(),
        Said::Injected(item) => item.clone(),
    });
    words.filter_map(|word| word.as_str().map(str::to_owned)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_revert_is_answered_when_its_marker_is_durable() {
    let mut thread = Executor::new();
    for words in ["one", "two", "three"] {
        turn(&mut thread, words);
    }
    thread.revert(1);
    story(&mut thread, &["append reverted", "reply reverted", "thread/reverted"]);
    assert_eq!(thread.log.len(), 13, "the log only grows");
    assert_eq!(heard(&thread), "one");
    turn(&mut thread, "four");
    assert_eq!(turns(thread.log.clone(), None).len(), 2);
    assert_eq!(heard(&thread), "one four");
    thread.revert(0);
    assert_eq!((turns(thread.log.clone(), None), heard(&thread)), (Vec::new(), String::new()));
    turn(&mut thread, "five");
    assert_eq!(heard(&thread), "five");
}

#[test]
fn nothing_is_reverted_while_a_turn_runs() {
    let mut thread = Executor::new();
    turn(&mut thread, "one");
    thread.begin("two");
    let (active, before) =
        (thread.machine.active_turn().map(|active| active.turn.id.clone()), thread.log.len());
    thread.transcript.clear();
    thread.revert(0);
    let refused = format!(
        "refuse cannot revert thread 00000000-0000-0000-0000-000000000001 while turn {} is in progress; interrupt it first",
        active.expect("it runs")
    );
    story(&mut thread, &[refused.as_str()]);
    assert_eq!(thread.log.len(), before);
}

#[test]
fn a_failure_is_forgotten_with_its_turn() {
    let mut thread = Executor::new();
    thread.begin("one");
    let message = "no".to_owned();
    let error = TurnError { message, codex_error_info: None, additional_details: None, misalignment: None };
    thread.says(Says::Failed { error });
    thread.transcript.clear();
    thread.revert(0);
    story(&mut thread, &["append reverted", "reply reverted", "status idle", "thread/reverted"]);
}

#[test]
fn a_marker_that_is_not_kept_changes_nothing() {
    let mut thread = Executor::new();
    turn(&mut thread, "one");
    thread.room = Some(0);
    thread.revert(0);
    story(&mut thread, &["append failed", "refuse nothing was changed: disk full"]);
    thread.inject("never");
    story(&mut thread, &["append failed", "refuse nothing was changed: disk full"]);
    thread.room = None;
    turn(&mut thread, "two");
    assert_eq!(heard(&thread), "one two");
}

#[test]
fn what_is_injected_is_heard_where_it_was_put() {
    let mut thread = Executor::new();
    turn(&mut thread, "one");
    thread.inject("between");
    story(&mut thread, &["append injected", "reply"]);
    turn(&mut thread, "two");
    thread.begin("three");
    text(&mut thread, &["ok"]);
    thread.inject("meanwhile");
    thread.transcript.clear();
    thread.says(Says::Completed);
    story(&mut thread, &["append item", "item/completed", "call model"]);
    assert_eq!(heard(&thread), "one between two three meanwhile");
    let said = thread.conversation().said;
    assert_eq!(said.last(), Some(&Said::Injected("meanwhile".into())), "after the answer that was under way");
}
