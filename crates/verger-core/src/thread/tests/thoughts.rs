//! Thoughts grow part by part, complete once, and are sealed for their provider alone.

use verger_wire::types::ThreadItem;

use super::executor::Executor;
use super::stories::story;
use crate::thread::{Record, Says, Seal, Thought, ThoughtPart, turns};

fn delta(part: ThoughtPart, delta: &str) -> Says {
    Says::ThoughtDelta { output: "t".into(), part, delta: delta.into() }
}

fn done(summary: &[&str], seal: Option<Seal>) -> Says {
    let summary = summary.iter().map(|&part| part.to_owned()).collect();
    Says::ThoughtDone { output: "t".into(), thought: Thought { summary, content: Vec::new(), seal } }
}

/// The parts of the only thought.
fn kept(thread: &Executor) -> (Vec<String>, Vec<String>) {
    let turns = turns(thread.log.clone(), None);
    let found = turns[0].items.iter().find_map(|item| match item {
        ThreadItem::Reasoning(item) => Some((item.summary.clone(), item.content.clone())),
        _ => None,
    });
    found.expect("there is a thought")
}

#[test]
fn a_thought_starts_grows_and_completes() {
    let mut thread = Executor::new();
    thread.begin("why?");
    thread.transcript.clear();
    thread.says(delta(ThoughtPart::Summary(0), "be"));
    thread.says(delta(ThoughtPart::Summary(0), "cause"));
    thread.says(delta(ThoughtPart::Summary(1), "so"));
    thread.says(delta(ThoughtPart::Content(0), "hm"));
    story(
        &mut thread,
        &[
            "item/started",
            "item/reasoning/summaryPartAdded",
            "item/reasoning/summaryTextDelta",
            "item/reasoning/summaryTextDelta",
            "item/reasoning/summaryPartAdded",
            "item/reasoning/summaryTextDelta",
            "item/reasoning/textDelta",
        ],
    );
    let seal = Seal { provider: "p".into(), id: "rs_1".into(), content: "secret".into() };
    thread.says(done(&["because", "so"], Some(seal.clone())));
    story(&mut thread, &["append item seal", "item/completed"]);
    assert_eq!(kept(&thread), (vec!["because".to_owned(), "so".to_owned()], Vec::new()));
    let sealed = thread.log.iter().find_map(|record| match record {
        Record::ThoughtSealed { seal, .. } => Some(seal.clone()),
        _ => None,
    });
    assert_eq!(sealed, Some(seal));
}

#[test]
fn a_thought_that_comes_whole_starts_and_completes_at_once() {
    let mut thread = Executor::new();
    thread.begin("why?");
    thread.transcript.clear();
    thread.says(done(&["because"], None));
    story(&mut thread, &["append item", "item/started", "item/completed"]);
}

#[test]
fn a_thought_that_is_cut_keeps_what_it_has() {
    let mut thread = Executor::new();
    thread.begin("why?");
    thread.says(delta(ThoughtPart::Summary(0), "be"));
    thread.transcript.clear();
    thread.interrupt();
    story(
        &mut thread,
        &["append item turn", "item/completed", "reply interrupted", "status idle", "turn/completed"],
    );
    assert_eq!(kept(&thread), (vec!["be".to_owned()], Vec::new()));
}

#[test]
fn a_message_and_a_thought_of_one_name_are_two() {
    let mut thread = Executor::new();
    thread.begin("why?");
    thread.says(delta(ThoughtPart::Content(0), "hm"));
    thread.says(Says::TextDelta { output: "t".into(), delta: "because".into() });
    thread.says(done(&["hm"], None));
    thread.says(Says::TextDone { output: "t".into() });
    thread.says(Says::Completed);
    assert_eq!(turns(thread.log.clone(), None)[0].items.len(), 3);
}
