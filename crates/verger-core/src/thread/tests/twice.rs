//! A request that comes twice is taken once, whatever has become of its turn meanwhile.

use super::executor::Executor;
use super::stories::story;
use crate::thread::{REMEMBERED_REQUESTS, Says};

#[test]
fn during_its_turn_it_is_answered_with_it() {
    let mut thread = Executor::new();
    thread.request("hi", Some("r1"));
    assert_eq!(thread.transcript[0], "append turn+ item request");
    thread.transcript.clear();
    thread.request("hi", Some("r1"));
    story(&mut thread, &["reply turn InProgress"]);
    thread.request("more", Some("r2"));
    thread.transcript.clear();
    thread.request("more", Some("r2"));
    story(&mut thread, &["reply turn InProgress"]);
    thread.says(Says::Completed);
    assert_eq!(thread.idle_seen, thread.begins, "each is counted");
}

#[test]
fn after_its_turn_it_is_answered_with_what_became_of_it() {
    let mut thread = Executor::new();
    thread.request("hi", Some("r1"));
    thread.says(Says::Completed);
    thread.transcript.clear();
    thread.request("hi", Some("r1"));
    story(&mut thread, &["recall turn Completed"]);
    assert_eq!(thread.idle_seen, thread.begins, "the thread is idle again");
    thread.begin("another");
    thread.transcript.clear();
    thread.request("hi", Some("r1"));
    story(&mut thread, &["recall turn Completed"]);
}

#[test]
fn one_that_failed_to_begin_may_come_again() {
    let mut thread = Executor::new();
    thread.room = Some(0);
    thread.request("hi", Some("r1"));
    thread.room = None;
    thread.transcript.clear();
    thread.request("hi", Some("r1"));
    assert_eq!(thread.transcript[0], "append turn+ item request");
}

#[test]
fn after_a_restart_it_is_known_from_the_log() {
    let mut before = Executor::new();
    before.request("hi", Some("r1"));
    let mut after = before.successor();
    after.request("hi", Some("r1"));
    story(&mut after, &["recall turn Interrupted"]);
}

#[test]
fn the_oldest_are_forgotten() {
    let mut thread = Executor::new();
    thread.machine.has_taken((0..REMEMBERED_REQUESTS).map(|n| (n.to_string(), "t".to_owned())));
    assert_eq!(thread.machine.turn_of("0"), Some("t"));
    thread.request("hi", Some("new"));
    assert_eq!(thread.machine.turn_of("0"), None);
    assert_eq!(thread.machine.turn_of("1"), Some("t"));
}
