//! Sessions with real processes that misbehave, each test under LeakGuard.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use verger_mcp::{CallError, ConnectError};
use verger_testkit::LeakGuard;

use crate::helper::Helper;

const LONG: Duration = Duration::from_secs(30);

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().expect("a text")
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("tests run with /proc");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn a_polite_helper_from_start_to_end() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["polite"]);
    let session = helper.connect().await.expect("it is polite");
    assert_eq!(session.tools().iter().filter(|tool| tool.hints.read_only == Some(true)).count(), 7);
    let echo = session.call("echo", Some(json!({ "text": "hi" })), None, LONG).await.expect("answered");
    assert_eq!(text(&echo), "hi");
    let hello = session.read_resource("test://hello", LONG).await.expect("answered");
    assert_eq!(hello["contents"][0]["text"], "hello");
    assert_eq!(session.list_resources(None, LONG).await.expect("answered")["resources"][0]["name"], "hello");
    assert_eq!(
        session.list_resource_templates(None, LONG).await.expect("answered")["resourceTemplates"],
        json!([])
    );
    session.close().await;
    assert_eq!(helper.exit().await, Some(0));
    guard.finish();
}

#[tokio::test]
async fn calls_overtake_each_other_and_a_dropped_one_is_cancelled_in_the_helper() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["polite"]);
    let session = helper.connect().await.expect("it is polite");
    let limit = Duration::from_millis(100);
    let (slow, quick) = tokio::join!(
        session.call("slow", Some(json!({ "seconds": 60 })), None, limit),
        session.call("echo", Some(json!({ "text": "quick" })), None, LONG),
    );
    assert!(matches!(slow, Err(CallError::Timeout { .. })), "{slow:?}");
    assert_eq!(text(&quick.expect("not held up")), "quick");
    // Answered after the cancellation was read, so that is in the log by now; its thread may need a moment.
    session.call("slow", Some(json!({ "seconds": 0.1 })), None, LONG).await.expect("the server lives on");
    assert_eq!(helper.count("call-cancelled"), 1);
    session.close().await;
    helper.exit().await;
    guard.finish();
}

#[tokio::test]
async fn a_death_in_a_call_is_told_and_the_call_was_sent_once() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["exit-in-call"]);
    let session = helper.connect().await.expect("it is polite until then");
    let gone = session.call("echo", None, None, LONG).await;
    assert_eq!(gone, Err(CallError::HelperGone { server: "bad".into() }));
    let late = session.call("echo", None, None, LONG).await;
    assert_eq!(late, Err(CallError::NotSent { server: "bad".into() }));
    assert_eq!((helper.exit().await, helper.count("call")), (Some(3), 1));
    guard.finish();
}

#[tokio::test]
async fn connecting_fails_as_the_helper_fails() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["exit-in-init"]);
    let gone = helper.connect().await.expect_err("it exits");
    assert!(matches!(gone, ConnectError::HelperGone { request: "initialize", .. }), "{gone}");
    assert_eq!(helper.exit().await, Some(3));
    let mut helper = Helper::start(&["reject-init"]);
    let refused = helper.connect().await.expect_err("it refuses");
    assert_eq!(
        refused.to_string(),
        "server 'bad' refused 'initialize' with error -32603: this server is not in the mood"
    );
    assert_eq!(helper.exit().await, Some(0), "its stdin was closed");
    let mut helper = Helper::start(&["never-init"]);
    assert!(!helper.connect_within(Duration::from_millis(50)).await);
    assert_eq!(helper.exit().await, Some(0), "its stdin was closed");
    let mut helper = Helper::start(&["slow-init", "100"]);
    helper.connect().await.expect("slow is not never").close().await;
    assert_eq!(helper.exit().await, Some(0));
    guard.finish();
}

#[tokio::test]
async fn garbage_and_halves_on_stdout_are_survived() {
    let guard = LeakGuard::new();
    for mode in ["garbage-stdout", "half-lines"] {
        let mut helper = Helper::start(&[mode]);
        let session = helper.connect().await.expect("there are messages between");
        for n in 0..5 {
            let echo =
                session.call("echo", Some(json!({ "text": n.to_string() })), None, LONG).await.expect(mode);
            assert_eq!(text(&echo), n.to_string());
        }
        assert_eq!(session.noise() > 0, mode == "garbage-stdout", "{mode}: {}", session.noise());
        session.close().await;
        assert_eq!(helper.exit().await, Some(0));
    }
    guard.finish();
}

#[tokio::test]
async fn a_hundred_megabytes_in_one_line_are_skipped_in_little_memory() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["long-line"]);
    let session = helper.connect().await.expect("it is polite until then");
    let before = rss_kib();
    let echo =
        session.call("echo", Some(json!({ "text": "after" })), None, LONG).await.expect("it comes after");
    assert_eq!((text(&echo), session.noise()), ("after", 1));
    session.close().await;
    helper.exit().await;
    // The line is held until it is too long: 16 MiB, in a buffer that doubles.
    assert!(rss_kib() - before < 50 * 1024, "{} kB more", rss_kib() - before);

    let mut helper = Helper::start(&["long-answer", "20"]);
    let session = helper.connect().await.expect("it is polite until then");
    let large = session.call("echo", None, None, LONG).await.expect_err("20 MB");
    assert!(matches!(large, CallError::TooLarge { bytes: 20_000_000.., .. }), "{large}");
    session.close().await;
    helper.exit().await;
    guard.finish();
}

#[tokio::test]
async fn a_flood_of_stderr_blocks_nothing() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["stderr-flood"]);
    let session = helper.connect().await.expect("its stderr is read");
    session.call("echo", None, None, LONG).await.expect("its stderr is read");
    session.close().await;
    helper.exit().await;
    assert_eq!(helper.stderr.dropped(), 20_000_000 - 8 * 1024);
    assert_eq!(helper.stderr.last_lines(2), ["e".repeat(99), "e".repeat(99)]);
    guard.finish();
}

#[tokio::test]
async fn a_child_that_holds_stdout_does_not_keep_callers_waiting_once_closed() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["wrapper-stubborn"]);
    let session = helper.connect().await.expect("the server inside is polite");
    let call = session.call("slow", Some(json!({ "seconds": 60 })), None, LONG);
    let end = async {
        // Written after the slow call, so once this is answered that is under way.
        session.call("echo", None, None, LONG).await.expect("not held up");
        helper.kill_leader();
        session.close().await;
    };
    let (call, ()) = tokio::join!(call, end);
    assert_eq!(call, Err(CallError::HelperGone { server: "bad".into() }));
    drop(session);
    let stubborn = std::panic::AssertUnwindSafe(|| guard.patience(Duration::from_millis(50)).finish());
    std::panic::catch_unwind(stubborn).expect_err("ending the tree is the reaper's work, not the session's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_reaches_the_helper_within_milliseconds() {
    let guard = LeakGuard::new();
    let mut worst = 0;
    for _ in 0..20 {
        let mut helper = Helper::start(&["polite"]);
        let session = helper.connect().await.expect("it is polite");
        let closed = clock_gettime(ClockId::Monotonic);
        session.close().await;
        helper.exit().await;
        let seen =
            helper.log().iter().find(|line| line["ev"] == "stdin-eof").map(|line| line["mono_ns"].clone());
        let seen = seen.and_then(|ns| ns.as_i64()).expect("the helper saw the end of its stdin");
        worst = worst.max(seen - (closed.tv_sec * 1_000_000_000 + closed.tv_nsec));
    }
    println!("worst of 20, from close() to the helper's end of stdin: {} us", worst / 1000);
    assert!(worst < 10_000_000, "{worst} ns");
    guard.finish();
}
