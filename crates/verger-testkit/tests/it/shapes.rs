//! The shapes of process trees that bad-helper makes.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use verger_testkit::LeakGuard;

use crate::helper::Helper;

const SOON: Duration = Duration::from_millis(100);

fn terminate(helper: &Helper) {
    let leader = Pid::from_raw(helper.pid()).expect("a pid is not 0");
    kill_process(leader, Signal::TERM).expect("the leader is this test's unreaped child");
}

#[test]
fn ignore_eof_ends_by_term_and_stubborn_only_by_kill() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["ignore-eof"]);
    helper.initialize();
    drop(helper.stdin.take());
    helper.tag.wait_gone(SOON).expect_err("the end of stdin is ignored");
    terminate(&helper);
    helper.tag.wait_gone(Duration::from_secs(2)).expect("TERM ends it");
    helper.child.wait().unwrap();
    assert_eq!(helper.events(), ["start", "stdin-eof", "signal"]);

    let mut helper = Helper::start(&["stubborn"]);
    helper.initialize();
    drop(helper.stdin.take());
    terminate(&helper);
    helper.tag.wait_gone(SOON).expect_err("TERM is ignored");
    assert!(helper.events().contains(&"signal-ignored".to_owned()), "{:?}", helper.events());
    helper.kill();
    guard.finish();
}

#[test]
fn a_stubborn_wrapper_dies_of_term_and_its_server_does_not() {
    let guard = LeakGuard::new().patience(SOON);
    let mut helper = Helper::start(&["wrapper-stubborn"]);
    helper.initialize();
    drop(helper.stdin.take());
    terminate(&helper);
    helper.child.wait().unwrap();
    assert_eq!(helper.tag.live().len(), 1);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guard.finish()))
        .expect_err("the server lives on");
}

#[test]
fn sessions_and_groups_are_as_documented() {
    let guard = LeakGuard::new().patience(SOON);
    let documented = [
        ("grandchild", false, false),
        ("orphan", false, false),
        ("own-group", false, true),
        ("setsid", true, true),
    ];
    for (mode, own_session, own_group) in documented {
        let mut helper = Helper::start(&[mode]);
        helper.initialize();
        let leader = helper.pid();
        helper.close();
        let lines = helper.log_lines();
        let of_leader = lines.iter().find(|line| line["pid"] == leader).unwrap();
        let [relative] = &helper.tag.live()[..] else { panic!("{mode}: one is left") };
        let of_relative =
            lines.iter().find(|line| line["pid"] == relative.pid && line["ev"] == "start").unwrap();
        assert_eq!(of_relative["sid"] != of_leader["sid"], own_session, "{mode}");
        assert_eq!(of_relative["pgid"] != of_leader["pgid"], own_group, "{mode}");
    }
    drop(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guard.finish())).expect_err("four are left"),
    );
}

#[test]
fn a_daemon_without_environment_has_none() {
    let guard = LeakGuard::new().patience(SOON);
    let bare =
        ["daemon-empty-env", "daemon-undumpable", "daemon-empty-env-kill-shim"].map(|mode| (mode, true));
    for (mode, empty) in [("setsid", false), ("daemon-kill-shim", false)].into_iter().chain(bare) {
        let mut helper = Helper::start(&[mode]);
        helper.initialize();
        helper.close();
        let [daemon] = &helper.tag.live()[..] else { panic!("{mode}: one is left") };
        let environ = std::fs::read(format!("/proc/{}/environ", daemon.pid)).unwrap();
        assert_eq!(environ.is_empty(), empty, "{mode}");
    }
    drop(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guard.finish())).expect_err("five are left"),
    );
}

#[test]
fn stopped_is_stopped_by_itself() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["stopped"]);
    helper.initialize();
    helper.ask(2, "tools/list", serde_json::json!({}));
    // Its own SIGSTOP is reported to the parent: that is the fact to wait for.
    #[expect(clippy::disallowed_methods, reason = "the test is the parent")]
    let status =
        rustix::process::waitpid(Pid::from_raw(helper.pid()), rustix::process::WaitOptions::UNTRACED);
    assert!(status.unwrap().unwrap().1.stopped());
    helper.kill();
    guard.finish();
}

#[test]
fn many_are_many_and_in_mixed_sessions() {
    let guard = LeakGuard::new().patience(SOON);
    let mut helper = Helper::start(&["many", "40"]);
    helper.initialize();
    helper.close();
    assert_eq!(helper.tag.live().iter().filter(|p| p.command.contains("--role sleeper")).count(), 30);
    assert_eq!(helper.tag.live().len(), 40);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guard.finish())).expect_err("forty are left");
    assert_eq!(helper.tag.live(), []);
}

#[test]
fn a_parent_that_is_no_shim_is_not_attacked() {
    let guard = LeakGuard::new().patience(SOON);
    for mode in ["kill-shim", "stop-shim", "daemon-kill-shim", "daemon-empty-env-kill-shim"] {
        let mut helper = Helper::start(&[mode]);
        assert!(
            helper.initialize().get("result").is_some(),
            "{mode}: this test, its parent, is alive to see it"
        );
        helper.kill();
    }
    drop(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guard.finish()))
            .expect_err("relatives are left"),
    );
}

#[test]
fn a_parent_that_calls_itself_a_shim_is_killed_and_its_killer_lives_on() {
    use std::{
        os::unix::process::{CommandExt, ExitStatusExt},
        process::{Command, Stdio},
    };
    let guard = LeakGuard::new().patience(SOON);
    let tag = verger_testkit::RunTag::new();
    #[expect(clippy::disallowed_methods, reason = "the test is the owner, and LeakGuard checks it")]
    let mut parent = Command::new(verger_testkit::bad_helper::path())
        .arg0("verger-shim")
        .args(["--mode", "wrapper", "kill-shim", "--tag", tag.as_str()])
        .stdin(Stdio::piped())
        .spawn()
        .expect("bad-helper starts");
    assert_eq!(parent.wait().expect("the parent is this test's child").signal(), Some(9));
    assert_eq!(tag.live().len(), 2, "the killer and its companion in another session");
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guard.finish())).expect_err("two are left");
}

#[test]
fn what_must_not_be_dumped_belongs_to_root() {
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;
    if !rustix::process::geteuid().is_root() {
        // The daemon shows it by hiding its environment even from its own user.
        let guard = LeakGuard::new().patience(SOON);
        let mut helper = Helper::start(&["daemon-undumpable"]);
        helper.initialize();
        helper.close();
        let [daemon] = &helper.tag.live()[..] else { panic!("one is left") };
        std::fs::read(format!("/proc/{}/environ", daemon.pid)).expect_err("it is hidden");
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guard.finish())).expect_err("one is left");
        return;
    }
    let guard = LeakGuard::new().patience(SOON);
    for (mode, owner) in [("daemon-empty-env", 65534), ("daemon-undumpable", 0)] {
        let tag = verger_testkit::RunTag::new();
        #[expect(clippy::disallowed_methods, reason = "the test is the owner, and LeakGuard checks it")]
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(verger_testkit::bad_helper::path()).args(["--mode", mode, "--tag", tag.as_str()]);
        let mut leader = command.stdin(std::process::Stdio::piped()).spawn().expect("setpriv is there");
        drop(leader.stdin.take());
        assert!(leader.wait().expect("it is this test's child").success());
        let [daemon] = &tag.live()[..] else { panic!("{mode}: one is left") };
        let environ = std::fs::metadata(format!("/proc/{}/environ", daemon.pid)).unwrap();
        assert_eq!(environ.uid(), owner, "{mode}");
    }
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guard.finish())).expect_err("two are left");
}

#[test]
fn a_chain_of_wrappers_is_three_processes_and_has_an_end() {
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["wrapper-chain"]);
    helper.initialize();
    let server: i32 = helper.call(2, "pid", serde_json::json!({})).parse().expect("a pid");
    let live = helper.tag.live();
    let parent_of = |pid| live.iter().find(|process| process.pid == pid).expect("it lives").ppid;
    assert_eq!((live.len(), parent_of(parent_of(server))), (3, helper.pid()), "{live:?}");
    assert_eq!(helper.close(), Some(0), "an exit goes up the chain");
    guard.finish();
}

#[test]
fn a_storm_is_four_chains_and_each_link_opens_a_session_and_leaves() {
    const LINKS: usize = 100;
    let guard = LeakGuard::new();
    let mut helper = Helper::start(&["forking-storm", &LINKS.to_string()]);
    helper.initialize();
    helper.close();
    let adopted = guard.finish();
    let lines = helper.log_lines();
    let born = lines.iter().filter(|line| line["ev"] == "start").count();
    // The leader, and of each chain its first link and those after it.
    assert_eq!(born, 1 + 4 * (1 + LINKS));
    assert_eq!(adopted, 4 * LINKS, "every link came to its subreaper");
    let sessions: std::collections::BTreeSet<u64> =
        lines.iter().filter_map(|line| line["sid"].as_u64()).collect();
    // A link logs the session that it was born in, that of the link before it.
    assert_eq!(sessions.len(), 1 + 4 * (LINKS - 1));
}

#[test]
fn an_attack_waits_for_its_word() {
    use std::{
        io::Write,
        os::unix::process::{CommandExt, ExitStatusExt},
        process::{Command, Stdio},
    };
    let guard = LeakGuard::new().patience(SOON);
    let home = verger_testkit::Home::new().expect("a temporary folder and a port");
    let (path, mut pipe) = home.pipe("word").expect("a named pipe");
    #[expect(clippy::disallowed_methods, reason = "the test is the owner, and LeakGuard checks it")]
    let mut parent = Command::new(verger_testkit::bad_helper::path())
        .arg0("verger-shim")
        .args(["--mode", "wrapper", "kill-shim", "--tag", home.tag().as_str(), "--attack-on"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bad-helper starts");
    let ping = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    writeln!(parent.stdin.as_mut().expect("piped"), "{ping}").expect("it reads");
    let mut answer = String::new();
    let mut stdout = std::io::BufReader::new(parent.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut stdout, &mut answer).expect("it answers");
    assert_eq!(parent.try_wait().expect("it is this test's child"), None, "it serves and attacks nobody yet");
    pipe.write_all(b"!").expect("a pipe has room");
    assert_eq!(parent.wait().expect("it is this test's child").signal(), Some(9));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guard.finish())).expect_err("two are left");
}
