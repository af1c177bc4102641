//! Random histories: whatever happens, a newcomer learns exactly what the first client was told (K5, K7), and each
//! request is answered once. The executor asserts it after every event.

use proptest::prelude::*;
use serde_json::json;
use verger_wire::DynamicToolCallResponse;
use verger_wire::types::{McpServerElicitationAction, McpToolCallResult, TokenUsageBreakdown, TurnError};

use super::executor::{Executor, says};
use crate::thread::{Answer, Event, Record, Says, Seal, Thought, ThoughtPart, ToolOutcome};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Begin,
    Request(u8),
    NotBegun,
    Interrupt,
    OrphanInterrupt,
    Text(u8, bool),
    TextDone(u8),
    ThoughtDelta(u8, ThoughtPart),
    ThoughtDone(u8, bool),
    Tool,
    Spent,
    Completed,
    Failed,
    ToolDone(bool),
    ClientTool,
    Approval(u8),
    Elicit(bool),
    Answer(u8, Kind),
    Withdraw(u8),
    Stale,
    Compact,
    Revert(prop::sample::Index),
    Inject,
    Full(bool),
    DiskFull,
    DiskFree,
    Lag(u8),
    Leave(u8),
    Feed(u8, u8),
    CatchUp(u8),
}

/// What a client answers; not always to what it was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Accept,
    Decline,
    Tool,
    Unable,
}

fn part() -> impl Strategy<Value = ThoughtPart> {
    prop_oneof![(0..4_usize).prop_map(ThoughtPart::Summary), (0..4_usize).prop_map(ThoughtPart::Content),]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Begin),
        2 => (0..3_u8).prop_map(Step::Request),
        1 => Just(Step::NotBegun),
        1 => Just(Step::Interrupt),
        1 => Just(Step::OrphanInterrupt),
        8 => (0..2_u8, any::<bool>()).prop_map(|(output, start)| Step::Text(output, start)),
        3 => (0..2_u8).prop_map(Step::TextDone),
        3 => (0..2_u8, part()).prop_map(|(output, part)| Step::ThoughtDelta(output, part)),
        1 => (0..2_u8, any::<bool>()).prop_map(|(output, sealed)| Step::ThoughtDone(output, sealed)),
        4 => Just(Step::Tool),
        2 => Just(Step::Spent),
        6 => Just(Step::Completed),
        1 => Just(Step::Failed),
        6 => any::<bool>().prop_map(Step::ToolDone),
        2 => Just(Step::ClientTool),
        4 => (0..3_u8).prop_map(Step::Approval),
        2 => any::<bool>().prop_map(Step::Elicit),
        6 => (0..3_u8, prop::sample::select(vec![Kind::Accept, Kind::Decline, Kind::Tool, Kind::Unable]))
            .prop_map(|(which, kind)| Step::Answer(which, kind)),
        1 => (0..3_u8).prop_map(Step::Withdraw),
        1 => Just(Step::Stale),
        1 => Just(Step::Compact),
        2 => any::<prop::sample::Index>().prop_map(Step::Revert),
        1 => Just(Step::Inject),
        1 => any::<bool>().prop_map(Step::Full),
        1 => Just(Step::DiskFull),
        2 => Just(Step::DiskFree),
        3 => (0..6_u8).prop_map(Step::Lag),
        2 => (0..6_u8).prop_map(Step::Leave),
        4 => (any::<u8>(), 1..6_u8).prop_map(|(which, records)| Step::Feed(which, records)),
        3 => any::<u8>().prop_map(Step::CatchUp),
    ]
}

pub(super) fn take(thread: &mut Executor, step: Step) {
    let output = |n: u8| format!("m{n}").into();
    match step {
        Step::Begin => thread.begin("hi"),
        Step::Request(n) => request(thread, n),
        Step::NotBegun => {
            thread.begins += 1;
            thread.handle(Event::NotBegun);
        }
        Step::Interrupt => thread.interrupt(),
        Step::OrphanInterrupt => thread.handle(Event::Interrupt { ticket: None, turn: None }),
        Step::Text(n, true) => thread.says(Says::TextStarted { output: output(n) }),
        Step::Text(n, false) => thread.says(Says::TextDelta { output: output(n), delta: "né".into() }),
        Step::TextDone(n) => thread.says(Says::TextDone { output: output(n) }),
        Step::ThoughtDelta(n, part) => {
            thread.says(Says::ThoughtDelta { output: output(n), part, delta: "h".into() });
        }
        Step::ThoughtDone(n, sealed) => {
            let seal = Seal { provider: "p".into(), id: "rs".into(), content: "?".into() };
            let seal = sealed.then_some(seal);
            let thought = Thought { summary: vec!["s".into()], content: Vec::new(), seal };
            thread.says(Says::ThoughtDone { output: output(n), thought });
        }
        Step::Tool => {
            let (server, tool, arguments) = ("s".into(), "t".into(), json!({}));
            thread.says(Says::ToolCall { server, tool, arguments, read_only: None });
        }
        Step::Spent => thread.says(spent()),
        Step::Completed => {
            let call = thread.call.take();
            if let Some(call) = call {
                thread.handle(Event::Model { call, says: Says::Completed });
            }
        }
        Step::Failed => {
            let error = TurnError {
                message: "no".into(),
                codex_error_info: None,
                additional_details: None,
                misalignment: None,
            };
            thread.says(Says::Failed { error });
        }
        Step::ToolDone(ok) => {
            // One that waits for an approval was not sent; its call may still end, if its helper cannot be started.
            let Some(item) = thread.tools.pop() else { return };
            let result = ToolOutcome { result: McpToolCallResult::default(), is_error: !ok };
            let outcome = if ok { Ok(result) } else { Err("died".into()) };
            thread.handle(Event::ToolDone { item, outcome });
        }
        Step::ClientTool => {
            thread.says(Says::ClientToolCall { namespace: None, tool: "t".into(), arguments: json!({}) });
        }
        Step::Approval(which) => {
            let item = thread.tools.get(usize::from(which)).cloned();
            let is_new = |item: &String| !thread.unapproved.values().any(|asked| asked == item);
            if let Some(item) = item.filter(is_new) {
                thread.ask_approval(&item);
            }
        }
        Step::Elicit(of_turn) => {
            thread.elicit(if of_turn { "s" } else { "other" });
        }
        Step::Answer(which, kind) => {
            let Some(question) = thread.asked.keys().nth(usize::from(which)).copied() else { return };
            let answer = match kind {
                Kind::Accept => says(McpServerElicitationAction::Accept),
                Kind::Decline => says(McpServerElicitationAction::Decline),
                Kind::Tool => {
                    Answer::Tool(DynamicToolCallResponse { content_items: Vec::new(), success: true })
                }
                Kind::Unable => Answer::Unable("no".into()),
            };
            thread.answer(question, answer.clone());
            // The second answer, of another client, changes nothing.
            let before = thread.transcript.len();
            thread.answer(question, answer);
            assert_eq!(thread.transcript.len(), before, "K8: a second answer counts");
        }
        Step::Withdraw(which) => {
            let Some(question) = thread.askers.iter().nth(usize::from(which)).copied() else { return };
            thread.handle(Event::Withdrawn { question });
        }
        Step::Stale => {
            thread.handle(Event::Model { call: 0, says: Says::Completed });
            thread.handle(Event::ToolDone { item: "no such".into(), outcome: Err("late".into()) });
        }
        Step::Compact => thread.compact(),
        Step::Revert(_) if thread.failed || thread.first.turns.is_empty() => {}
        Step::Revert(n) => thread.revert(n.index(thread.first.turns.len())),
        Step::Inject => thread.inject("word"),
        Step::Full(full) => {
            thread.machine.sum_up_past(Some(10));
            thread.machine.holds(full.then_some(10));
        }
        Step::DiskFull => thread.room = Some(1),
        Step::DiskFree => thread.room = None,
        Step::Lag(after) => thread.fall_behind(after, false),
        Step::Leave(after) => thread.fall_behind(after, true),
        Step::Feed(which, records) => thread.feed(which, records.into()),
        Step::CatchUp(which) => thread.catch_up(which),
    }
}

fn spent() -> Says {
    let used =
        TokenUsageBreakdown { total_tokens: 3, input_tokens: 2, output_tokens: 1, ..Default::default() };
    Says::Spent { used, window: Some(100) }
}

/// A request made twice is taken once.
fn request(thread: &mut Executor, n: u8) {
    let name = format!("r{n}");
    let taken = |thread: &Executor| {
        let live = thread.live();
        let taken =
            live.iter().filter(|r| matches!(r, Record::RequestTaken { request, .. } if *request == name));
        taken.count()
    };
    thread.request("hi", Some(&name));
    assert!(taken(thread) <= 1, "a request is taken twice");
    assert_eq!(taken(thread) == 1, thread.machine.turn_of(&name).is_some(), "the log and the machine differ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_newcomer_learns_what_the_first_client_was_told(
        steps in prop::collection::vec(step(), 1..120),
        in_memory in any::<bool>(),
    ) {
        let mut thread = Executor::new();
        thread.in_memory = in_memory;
        for step in steps {
            take(&mut thread, step);
        }
        thread.catch_all_up();
        thread.handle(Event::Interrupt { ticket: None, turn: None });
        thread.catch_all_up();
        prop_assert!(thread.machine.active_turn().is_none());
        prop_assert_eq!(thread.idle_seen, thread.begins, "the thread is never reported idle");
    }
}
