//! Tokens are counted, kept without a commit of their own, and told when they are durable.

use verger_wire::types::TokenUsageBreakdown;

use super::executor::Executor;
use super::stories::{story, text, tool};
use crate::thread::{Event, Says};

fn spent(tokens: i64) -> Says {
    let used = TokenUsageBreakdown {
        total_tokens: tokens,
        input_tokens: tokens - 1,
        output_tokens: 1,
        ..Default::default()
    };
    Says::Spent { used, window: Some(1_000) }
}

/// What the first client was told: all of it, the last of it, and what the model can hold.
fn told(thread: &Executor) -> Option<(i64, i64, Option<i64>)> {
    let usage = thread.first.spent.as_ref()?;
    Some((usage.total.total_tokens, usage.last.total_tokens, usage.model_context_window))
}

#[test]
fn a_trivial_turn_still_takes_three_appends() {
    let mut thread = Executor::new();
    thread.begin("hi");
    text(&mut thread, &["ok"]);
    thread.says(Says::TextDone { output: "m".into() });
    thread.transcript.clear();
    thread.says(spent(10));
    story(&mut thread, &[]);
    thread.says(Says::Completed);
    story(&mut thread, &["append spent turn", "thread/tokenUsage/updated", "status idle", "turn/completed"]);
    assert_eq!(told(&thread), Some((10, 10, Some(1_000))));
}

#[test]
fn each_answer_of_a_turn_adds_to_the_total() {
    let mut thread = Executor::new();
    thread.begin("what time is it?");
    thread.says(tool("now"));
    thread.says(spent(10));
    thread.transcript.clear();
    thread.says(Says::Completed);
    story(&mut thread, &["append spent item+", "thread/tokenUsage/updated", "item/started", "call tool now"]);
    let item = thread.tools.remove(0);
    thread.handle(Event::ToolDone { item, outcome: Err("gone".into()) });
    thread.says(spent(7));
    thread.says(Says::Completed);
    assert_eq!(told(&thread), Some((17, 7, Some(1_000))));
}

#[test]
fn an_answer_that_was_cut_after_its_cost_was_known_counts() {
    let mut thread = Executor::new();
    thread.begin("one");
    thread.says(spent(10));
    thread.transcript.clear();
    thread.interrupt();
    story(
        &mut thread,
        &[
            "append spent turn",
            "thread/tokenUsage/updated",
            "reply interrupted",
            "status idle",
            "turn/completed",
        ],
    );
}

#[test]
fn a_later_owner_goes_on_counting() {
    let mut before = Executor::new();
    before.begin("one");
    before.says(spent(10));
    before.says(Says::Completed);
    let mut after = Executor::new();
    after.machine.has_spent(before.machine.spent().cloned());
    after.begin("two");
    after.says(spent(5));
    after.says(Says::Completed);
    assert_eq!(told(&after), Some((15, 5, Some(1_000))));
}

#[test]
fn what_could_not_be_kept_is_not_told() {
    let mut thread = Executor::new();
    thread.begin("one");
    thread.says(spent(10));
    thread.room = Some(0);
    thread.says(Says::Completed);
    assert_eq!(told(&thread), None);
}
