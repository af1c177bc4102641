//! Views told by hand: what they know, and what they find wrong.

use serde_json::{Value, json};

use super::chronicle::Verdict;
use super::position::Cursor;
use super::turns::Turns;
use super::view::View;

const T: &str = "t";

fn cursor(seq: u64) -> Cursor {
    Cursor { epoch: json!("log"), seq }
}

fn answer(turns: &Value, replay: &Value) -> Value {
    json!({ "thread": { "id": T, "turns": turns }, "replay": replay })
}

fn snapshot(turns: &Value, head: u64, generation: u64) -> Value {
    let replay = json!({
        "recovered": false, "from": head + 1, "to": head, "headSeq": head, "logEpoch": "log", "gen": generation,
    });
    answer(turns, &replay)
}

fn recovered(from: u64, to: u64, generation: u64) -> Value {
    let replay = json!({ "recovered": true, "from": from, "to": to, "headSeq": to, "logEpoch": "log", "gen": generation });
    answer(&json!([]), &replay)
}

/// A view that was told these events, each with its method.
fn told(view: &mut View, events: &[(&str, Value)]) -> Vec<String> {
    for (method, params) in events {
        view.note(method, params);
    }
    view.faults()
}

fn new() -> View {
    let mut view = View::of_scribe();
    view.answered(&snapshot(&json!([]), 0, 1), None);
    view
}

fn kept(mut params: Value, seq: u64) -> Value {
    params["threadId"] = T.into();
    params["_stream"] = json!({ "logEpoch": "log", "seq": seq, "gen": 1 });
    params
}

fn flying(mut params: Value, off: u64, generation: u64) -> Value {
    params["threadId"] = T.into();
    let id = params.get("itemId").unwrap_or(&params["item"]["id"]).clone();
    params["_stream"] = json!({ "itemId": id, "off": off, "gen": generation });
    params
}

fn begun(turn: &str, seq: u64) -> (&'static str, Value) {
    ("turn/started", kept(json!({ "turn": { "id": turn, "status": "inProgress" } }), seq))
}

fn ended(turn: &str, seq: u64) -> (&'static str, Value) {
    ("turn/completed", kept(json!({ "turn": { "id": turn, "status": "completed" } }), seq))
}

fn item(text: &str) -> Value {
    json!({ "turnId": "a", "item": { "id": "a-1", "type": "agentMessage", "text": text } })
}

fn started(generation: u64) -> (&'static str, Value) {
    ("item/started", flying(item(""), 0, generation))
}

fn completed(text: &str, seq: u64) -> (&'static str, Value) {
    ("item/completed", kept(item(text), seq))
}

fn delta(text: &str, off: u64, generation: u64) -> (&'static str, Value) {
    let params = json!({ "turnId": "a", "itemId": "a-1", "delta": text });
    ("item/agentMessage/delta", flying(params, off, generation))
}

fn a_turn() -> Vec<(&'static str, Value)> {
    vec![begun("a", 1), started(1), delta("on", 0, 1), delta("ce", 2, 1), completed("once", 3), ended("a", 4)]
}

#[track_caller]
fn finds(faults: &[String], part: &str) {
    assert!(faults.len() == 1 && faults[0].contains(part), "{part:?} was to be found, not {faults:?}");
}

#[test]
fn a_turn_as_it_should_be_is_known_and_a_replay_adds_nothing() {
    let mut view = new();
    assert_eq!(told(&mut view, &a_turn()), [""; 0]);
    let kept = json!([{ "id": "a", "status": "completed", "items": [item("once")["item"]] }]);
    assert_eq!(view.turns().against(&Turns::of_snapshot(&kept), false), None);
    assert_eq!(view.cursor(), Some(&cursor(4)));
    view.disconnected();
    view.answered(&recovered(2, 4, 1), Some(&cursor(1)));
    // All that is durable comes again, each item with its beginning.
    assert_eq!(told(&mut view, &[started(1), completed("once", 3), ended("a", 4)]), [""; 0]);
    assert_eq!(view.turns().against(&Turns::of_snapshot(&kept), false), None);
    finds(&told(&mut view, &[ended("a", 4)]), "number 4 was told after 4");
}

#[test]
fn what_comes_twice_goes_back_or_never_began_is_found() {
    let mut view = new();
    finds(&told(&mut view, &[begun("a", 2), begun("b", 1)]), "number 1 was told after 2");
    finds(&told(&mut view, &[completed("x", 3)]), "item a-1 completed and never began");
    finds(&told(&mut view, &[ended("a", 4), ended("a", 5)]), "turn a ended twice");
    finds(&told(&mut view, &[ended("z", 6)]), "never said to begin");
    let elsewhere = ("turn/started", {
        let mut params = begun("c", 7).1;
        params["_stream"]["logEpoch"] = "other".into();
        params
    });
    finds(&told(&mut view, &[elsewhere]), "another log");
}

#[test]
fn a_replay_tells_the_same_as_before() {
    let mut view = new();
    assert_eq!(told(&mut view, &a_turn()), [""; 0]);
    view.answered(&recovered(2, 4, 1), Some(&cursor(1)));
    finds(&told(&mut view, &[started(1), completed("twice", 3)]), "number 3 is told otherwise than before");
    view.answered(&recovered(3, 4, 1), Some(&cursor(2)));
    finds(&told(&mut view, &[ended("b", 2)]), "number 2 was told after 2");
    view.answered(&recovered(2, 4, 1), None);
    finds(&view.faults(), "asked for no replay");
}

#[test]
fn a_gap_in_a_text_is_found_and_an_overlap_is_not() {
    let mut view = new();
    let whole = [begun("a", 1), started(1), delta("abc", 0, 1), delta("bcde", 1, 1), delta("ab", 0, 1)];
    assert_eq!(told(&mut view, &whole), [""; 0]);
    finds(&told(&mut view, &[delta("x", 6, 1)]), "a gap");
    finds(&told(&mut view, &[delta("x", 4, 1)]), "told otherwise");
    finds(&told(&mut view, &[completed("abcd", 2)]), "began as \"abcde\"");
}

#[test]
fn what_was_in_flight_under_an_older_generation_never_was() {
    let mut view = new();
    assert_eq!(told(&mut view, &[begun("a", 1), started(1), delta("old", 0, 1)]), [""; 0]);
    view.answered(&recovered(2, 1, 2), Some(&cursor(1)));
    assert_eq!(told(&mut view, &[started(2), delta("new", 0, 2)]), [""; 0]);
    finds(&told(&mut view, &[delta("x", 3, 1)]), "generation 1 after 2");
}

#[test]
fn a_torn_turn_ends_without_a_number_at_every_resume() {
    let mut view = new();
    assert_eq!(told(&mut view, &[begun("a", 1), started(1)]), [""; 0]);
    let torn = ("turn/completed", json!({ "threadId": T, "turn": { "id": "a", "status": "interrupted" } }));
    for _ in 0..2 {
        view.disconnected();
        view.answered(&recovered(2, 1, 2), Some(&cursor(1)));
        assert_eq!(told(&mut view, std::slice::from_ref(&torn)), [""; 0]);
    }
    let otherwise =
        ("turn/completed", json!({ "threadId": T, "turn": { "id": "a", "status": "completed" } }));
    finds(&told(&mut view, &[otherwise]), "ended twice");
}

#[test]
fn only_who_follows_hears() {
    let mut view = new();
    view.unsubscribed();
    finds(&told(&mut view, &[begun("a", 1)]), "does not follow");
    view.asked(7, "mcpServer/elicitation/request", &json!({ "threadId": T }));
    finds(&view.faults(), "does not follow");
    let status = json!({ "threadId": T, "status": { "type": "idle" } });
    assert_eq!(told(&mut view, &[("thread/status/changed", status)]), [""; 0]);
}

#[test]
fn a_question_is_asked_under_one_id_and_ends_once() {
    let mut view = new();
    let ask = |view: &mut View, id: u64, text: &str| {
        let meta = json!({ "codex_approval_kind": "mcp_tool_call", "tool_params": { "text": text } });
        view.asked(
            id,
            "mcpServer/elicitation/request",
            &json!({ "threadId": T, "turnId": "a", "_meta": meta }),
        );
        view.faults()
    };
    let resolve = |view: &mut View, id: u64| {
        told(view, &[("serverRequest/resolved", json!({ "threadId": T, "requestId": id }))])
    };
    assert_eq!(ask(&mut view, 1, "x"), [""; 0]);
    finds(&ask(&mut view, 1, "x"), "asked twice");
    finds(&ask(&mut view, 2, "x"), "was asked as 1 before");
    // Who comes back is asked again.
    view.answered(&recovered(1, 0, 1), Some(&cursor(0)));
    assert_eq!(ask(&mut view, 1, "x"), [""; 0]);
    view.answered(&recovered(1, 0, 1), Some(&cursor(0)));
    finds(&ask(&mut view, 1, "y"), "is another one now");
    assert_eq!(resolve(&mut view, 1), [""; 0]);
    finds(&resolve(&mut view, 1), "ended twice");
    finds(&ask(&mut view, 1, "x"), "asked again after its end");
    view.of_another_server();
    assert_eq!(ask(&mut view, 1, "z"), [""; 0]);
    finds(&ask(&mut view, 2, "x"), "asked by an earlier server");
}

#[test]
fn a_scribe_tells_what_another_view_lacks() {
    let mut scribe = new();
    assert_eq!(told(&mut scribe, &a_turn()), [""; 0]);
    let follower = || {
        let mut view = View::default();
        view.answered(&snapshot(&json!([]), 0, 1), None);
        view
    };
    let mut same = follower();
    assert_eq!(told(&mut same, &a_turn()[..5]), [""; 0]);
    assert_eq!(same.beside(&scribe), Verdict::Same, "it is at 3, and knows what there was by then");
    let mut lacks = follower();
    let without_3 = [begun("a", 1), started(1), ended("a", 4)];
    assert_eq!(told(&mut lacks, &without_3), [""; 0]);
    let Verdict::Different(words) = lacks.beside(&scribe) else { panic!("it lacks number 3") };
    assert!(words.contains("never told [3]"), "{words}");
    let mut otherwise = follower();
    assert_eq!(told(&mut otherwise, &[begun("a", 1), started(1), completed("twice", 3)]), [""; 0]);
    let Verdict::Different(words) = otherwise.beside(&scribe) else { panic!("it knows another text") };
    assert!(words.contains("told otherwise [3]"), "{words}");
    let mut snapped = follower();
    let torn = json!([{ "id": "a", "status": "inProgress", "items": [] }]);
    snapped.answered(&snapshot(&torn, 3, 1), None);
    let Verdict::Different(words) = snapped.beside(&scribe) else { panic!("the snapshot lacks an item") };
    assert!(words.contains("item a-1 of turn a is nothing here"), "{words}");
    // Before its snapshot a scribe knows nothing.
    let mut late = View::of_scribe();
    late.answered(&snapshot(&torn, 4, 1), None);
    assert_eq!(same.beside(&late), Verdict::Unknown);
}

#[test]
fn texts_in_flight_may_be_behind_and_not_beside() {
    let (mut scribe, mut view) = (new(), new());
    assert_eq!(told(&mut scribe, &[begun("a", 1), started(1), delta("abc", 0, 1)]), [""; 0]);
    assert_eq!(told(&mut view, &[begun("a", 1), started(1), delta("ab", 0, 1)]), [""; 0]);
    assert_eq!(view.in_flight_beside(&scribe), None);
    assert_eq!(told(&mut scribe, &[completed("abc", 2)]), [""; 0]);
    assert_eq!(view.in_flight_beside(&scribe), None);
    assert_eq!(told(&mut view, &[delta("x", 2, 1)]), [""; 0]);
    assert!(view.in_flight_beside(&scribe).is_some_and(|fault| fault.contains("began as \"abx\"")));
}
