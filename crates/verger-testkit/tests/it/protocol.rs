//! What bad-helper says and does on its pipes.

use serde_json::json;
use verger_testkit::LeakGuard;

use crate::helper::Helper;

#[test]
fn polite_serves_every_tool_and_the_resource() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["polite"]);
    let init = helper.initialize();
    assert_eq!(init["result"]["protocolVersion"], "2025-11-25");
    let pid = helper.pid().to_string();
    assert_eq!(helper.call(2, "echo", json!({ "text": "hi" })), "hi");
    assert_eq!(helper.call(3, "pid", json!({})), pid);
    assert_eq!(helper.call(4, "cwd", json!({})), std::env::current_dir().unwrap().display().to_string());
    assert!(helper.call(5, "env", json!({})).contains("\"PATH\""));
    assert_eq!(helper.call(6, "alloc", json!({ "mib": 1 })), "ok");
    let read = helper.ask(7, "resources/read", json!({ "uri": "test://hello" }));
    assert_eq!(read["result"]["contents"][0]["text"], "hello");
    assert_eq!(helper.ask(8, "nope", json!({}))["error"]["code"], -32601);
    assert_eq!(helper.close(), Some(0));
    assert_eq!(helper.events().last().map(String::as_str), Some("exit"));
    guard.finish();
}

#[test]
fn without_a_log_only_stdio_is_open() {
    let guard = LeakGuard::new();
    #[expect(clippy::disallowed_methods, reason = "the test is the owner, and LeakGuard checks it")]
    let mut command = std::process::Command::new(verger_testkit::bad_helper::path());
    use std::process::Stdio;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let call = json!({ "id": 1, "method": "tools/call", "params": { "name": "fds", "arguments": {} } });
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{call}\n").as_bytes()).unwrap();
    let said = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    child.wait().unwrap();
    let own: Vec<u32> = [0, 1, 2].into_iter().chain(inheritable()).collect();
    assert!(
        said.contains(&format!("\"{}\"", json!(own))),
        "{said}: bad-helper opened something, or stdio is missing"
    );
    guard.finish();
}

/// Descriptors past stdio that whoever runs the tests leaves open for every program below.
fn inheritable() -> Vec<u32> {
    const CLOEXEC: u32 = 0o2_000_000;
    let open = std::fs::read_dir("/proc/self/fdinfo").expect("tests run with /proc").flatten();
    let inherited = open.filter_map(|entry| {
        let info = std::fs::read_to_string(entry.path()).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
        (flags & CLOEXEC == 0).then_some(entry.file_name().to_str()?.parse().ok()?)
    });
    let mut inherited: Vec<u32> = inherited.filter(|fd| *fd > 2).collect();
    inherited.sort_unstable();
    inherited
}

#[test]
fn slow_calls_are_overtaken_and_can_be_cancelled() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["polite"]);
    helper.initialize();
    let call = |id, seconds| json!({ "id": id, "method": "tools/call", "params": { "name": "slow", "arguments": { "seconds": seconds } } });
    helper.send(&call(2, 60.0));
    helper.send(&call(3, 0.05));
    assert_eq!(helper.call(4, "echo", json!({ "text": "first" })), "first");
    assert_eq!(helper.answer().unwrap()["id"], 3);
    helper.send(&json!({ "method": "notifications/cancelled", "params": { "requestId": 2 } }));
    assert_eq!(helper.call(5, "slow", json!({ "seconds": 0.05 })), "ok");
    assert!(helper.events().contains(&"call-cancelled".to_owned()), "{:?}", helper.events());
    helper.close();
    guard.finish();
}

#[test]
fn exits_are_as_asked() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["polite"]);
    helper.send(
        &json!({ "id": 1, "method": "tools/call", "params": { "name": "exit", "arguments": { "code": 7 } } }),
    );
    assert_eq!((helper.answer(), helper.close()), (None, Some(7)));
    let mut helper = Helper::start(&["exit-in-init"]);
    helper.send(&json!({ "id": 1, "method": "initialize" }));
    assert_eq!((helper.answer(), helper.close()), (None, Some(3)));
    let mut helper = Helper::start(&["exit-in-call"]);
    helper.initialize();
    helper.send(&json!({ "id": 2, "method": "tools/call", "params": { "name": "echo" } }));
    assert_eq!((helper.answer(), helper.close()), (None, Some(3)));
    guard.finish();
}

#[test]
fn initialize_is_refused_where_it_should_be() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["reject-init"]);
    assert_eq!(helper.initialize()["error"]["code"], -32603);
    helper.close();
    let mut helper = Helper::start(&["never-init"]);
    helper.send(&json!({ "id": 1, "method": "initialize" }));
    assert_eq!(helper.ask(2, "ping", json!({}))["id"], 2, "initialize got no answer");
    helper.close();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("once");
    let mode = ["reject-reinit", file.to_str().unwrap()];
    let mut helper = Helper::start(&mode);
    assert!(helper.initialize().get("result").is_some());
    helper.close();
    let mut helper = Helper::start(&mode);
    assert!(helper.initialize().get("error").is_some());
    helper.close();
    guard.finish();
}

#[test]
fn a_fault_comes_on_top_of_any_mode_and_spares_the_first() {
    let guard = LeakGuard::new();
    let dir = tempfile::tempdir().unwrap();
    for (fault, status) in [
        ("hang-in-init", Some(0)),
        ("reject-init", Some(0)),
        ("exit-in-init", Some(3)),
        ("exit-in-call", Some(3)),
    ] {
        let file = dir.path().join(fault);
        let mode = ["wrapper", "--fault", fault, "--once", file.to_str().unwrap()];
        let mut helper = Helper::start(&mode);
        assert!(helper.initialize().get("result").is_some(), "{fault}: the first is spared");
        assert_eq!(helper.call(2, "echo", json!({ "text": "hi" })), "hi", "{fault}");
        assert_eq!(helper.close(), Some(0), "{fault}");
        let mut helper = Helper::start(&mode);
        helper.send(&json!({ "id": 1, "method": "initialize" }));
        match fault {
            "hang-in-init" => {
                assert_eq!(helper.ask(2, "ping", json!({}))["id"], 2, "initialize got no answer")
            }
            "reject-init" => assert!(helper.answer().unwrap().get("error").is_some()),
            "exit-in-init" => assert_eq!(helper.answer(), None),
            _ => {
                assert!(helper.answer().unwrap().get("result").is_some());
                helper.send(&json!({ "id": 2, "method": "tools/call", "params": { "name": "echo" } }));
                assert_eq!(helper.answer(), None);
            }
        }
        assert_eq!(helper.close(), status, "{fault}");
    }
    guard.finish();
}

#[test]
fn stdout_and_stderr_are_as_bad_as_promised() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["garbage-stdout"]);
    helper.send(&json!({ "id": 1, "method": "ping" }));
    assert_eq!(helper.line().unwrap(), b"listening on stdio...\n");
    assert_eq!(helper.answer().unwrap()["id"], 1);
    helper.close();
    let mut helper = Helper::start(&["half-lines"]);
    helper.initialize();
    helper.close();
    let left = helper.line().unwrap();
    assert!(!left.ends_with(b"\n") && left.starts_with(b"{"), "{left:?}");
    let mut helper = Helper::start(&["long-line", "3"]);
    helper.initialize();
    helper.send(&json!({ "id": 2, "method": "tools/call", "params": { "name": "echo" } }));
    assert_eq!(helper.line().unwrap().len(), 3_000_001);
    helper.close();
    let mut helper = Helper::start(&["long-answer", "3"]);
    helper.initialize();
    assert_eq!(helper.call(2, "echo", json!({})).len(), 3_000_000);
    helper.close();
    let mut helper = Helper::start(&["stderr-flood"]);
    drop(helper.stdin.take());
    assert_eq!(helper.stderr_text().len(), 10_000_000);
    helper.close();
    guard.finish();
}

#[test]
fn descriptors_and_memory_are_kept() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["leak-fds"]);
    helper.initialize();
    let first = helper.call(2, "fds", json!({})).split(',').count();
    let second = helper.call(3, "fds", json!({})).split(',').count();
    assert!(first > 100 && second == first + 10, "{first} {second}");
    helper.close();
    let mut helper = Helper::start(&["leak-fds-steadily"]);
    helper.initialize();
    let first = helper.call(2, "fds", json!({})).split(',').count();
    assert_eq!(helper.call(3, "slow", json!({ "seconds": 1.5 })), "ok");
    let second = helper.call(4, "fds", json!({})).split(',').count();
    // Ten a second, and a busy machine is slower.
    assert!((5..=15).contains(&(second - first)), "{first} {second}");
    helper.close();
    for mode in [["alloc", "20"], ["alloc-unbounded", "30"]] {
        let mut helper = Helper::start(&mode);
        helper.initialize();
        // The one takes its memory before it serves, the other while it does: there the limit is what must be reached.
        let mut kib = rss_kib(helper.pid());
        for n in 0.. {
            if mode[0] == "alloc" || kib > 20 * 1024 || n == 1_000 {
                break;
            }
            helper.call(4 + n, "slow", json!({ "seconds": 0.01 }));
            kib = rss_kib(helper.pid());
        }
        assert!(kib > 20 * 1024, "{mode:?}: {kib}");
        helper.close();
    }
    guard.finish();
}

fn rss_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a live process has memory");
    rss.trim().trim_end_matches(" kB").parse().expect("a number of kB")
}
