//! LeakGuard and RunTag: what they must catch, and what they must let pass.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use verger_testkit::{LeakGuard, RunTag};

use crate::helper::Helper;

const SHORT: Duration = Duration::from_millis(50);

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    panic.downcast_ref::<String>().cloned().expect("the guard panics with a text")
}

#[test]
fn a_test_that_collects_its_children_passes() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["polite"]);
    assert_eq!(helper.close(), Some(0));
    assert_eq!(guard.finish(), 0, "nothing was left to reap");
}

#[test]
fn a_zombie_that_nobody_collected_is_reaped_and_counted() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["polite"]);
    drop(helper.stdin.take());
    assert_eq!(guard.finish(), 1);
}

#[test]
fn a_child_about_to_end_gets_its_time() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["slow-init", "200"]);
    helper.send(&serde_json::json!({ "id": 1, "method": "initialize", "params": {} }));
    drop(helper.stdin.take());
    assert_eq!(guard.finish(), 1);
}

#[test]
fn a_daemon_is_caught_named_and_ended() {
    for mode in ["setsid", "daemon-empty-env", "grandchild"] {
        let guard = LeakGuard::new().patience(SHORT);
        let mut helper = Helper::start(&[mode]);
        helper.initialize();
        helper.close();
        let said = message(
            catch_unwind(AssertUnwindSafe(|| guard.finish())).expect_err("a leak must fail the test"),
        );
        assert!(said.contains("1 leaked process") && said.contains(helper.tag.as_str()), "{mode}: {said}");
        assert_eq!(helper.tag.live(), [], "{mode}: the guard ends what it caught");
        assert_eq!(LeakGuard::new().finish(), 0, "{mode}: and reaps it");
    }
}

#[test]
fn a_chain_that_forks_on_and_on_is_caught_and_ended() {
    let guard = LeakGuard::new().patience(SHORT);
    let mut helper = Helper::start(&["forking-chain"]);
    helper.initialize();
    helper.close();
    catch_unwind(AssertUnwindSafe(|| guard.finish())).expect_err("the chain is longer than the patience");
    assert_eq!(helper.tag.live(), []);
}

#[test]
fn a_panicking_test_leaves_nothing_and_keeps_its_message() {
    let tag = catch_unwind(|| {
        let _guard = LeakGuard::new();
        let helper = Helper::start(&["stubborn"]);
        assert_eq!(helper.tag.live().len(), 1);
        panic!("{}", helper.tag);
    });
    let tag = message(tag.expect_err("it panicked"));
    let listed = RunTag::default().live();
    assert!(listed.is_empty(), "an unused tag is on nobody: {listed:?}");
    assert_eq!(LeakGuard::new().finish(), 0, "the stubborn helper of {tag} was ended");
}

#[test]
fn a_tag_counts_the_whole_family_and_waits_for_its_end() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["wrapper"]);
    helper.initialize();
    let live = helper.tag.live();
    assert_eq!(live.len(), 2, "{live:?}");
    assert_eq!(live.iter().filter(|process| process.ppid == helper.pid()).count(), 1, "{live:?}");
    assert_eq!(helper.tag.wait_gone(SHORT).expect_err("both live").len(), 2);
    helper.close();
    helper.tag.wait_gone(Duration::from_secs(2)).expect("the family ends with its stdin");
    guard.finish();
}
