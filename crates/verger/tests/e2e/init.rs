//! The server as init of a PID namespace, as in a container: it gets everyone's orphans, and collects them.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use verger_testkit::{Client, Gone, Home, Launch, LeakGuard};

use crate::stage::{STUBBORN, call, children, thread, touch, verger};

/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "started beside the server on purpose; the test is its owner")]
fn command(program: &str) -> std::process::Command {
    std::process::Command::new(program)
}

/// The words that let a program become init, or nothing where this user may not do that.
fn unshare() -> Option<Vec<&'static str>> {
    let mut words = vec!["--pid", "--fork", "--mount-proc"];
    if !rustix::process::geteuid().is_root() {
        words.extend(["--user", "--map-root-user"]);
    }
    let tried = command("unshare").args(&words).arg("true").stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success()).then_some(words)
}

/// Children of `init` that have exited and that nobody has collected.
fn zombies(init: i32) -> Vec<i32> {
    let is_zombie = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"))
    };
    children(init).into_iter().filter(is_zombie).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn init_collects_the_orphans_of_others_and_ends_its_own() {
    let Some(mut words) = unshare() else {
        println!("SKIPPED: this user may not make a PID namespace");
        return;
    };
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().expect("a temporary folder and a port");
    let config = home
        .config()
        .server("helper", &home.bad_helper(&["setsid"]))
        .server("killer", &home.bad_helper(&["daemon-kill-shim"]));
    home.write_config(&config.text()).expect("the home is writable");
    words.extend([verger().to_str().expect("target folders are UTF-8"), "serve", "--listen", "127.0.0.1:0"]);
    let mut daemon = Launch::new("unshare".as_ref(), &home, &words).start().expect("it serves");
    let [init] = children(daemon.pid())[..] else { panic!("unshare has one child") };
    let socket = format!("unix://{}", home.path().join("verger.sock").display());
    let client = Client::open(&socket, "client").await;
    let ps = client.call("verger/ps", json!({})).await;
    assert_eq!(ps["server"]["pid"], 1, "{ps}");
    let thread = thread(&client, &home).await;
    let helper = touch(&client, &thread).await;
    let family = Gone::watch(home.tag().live().into_iter().map(|process| process.pid));
    assert_eq!(family.len(), 2, "a leader and its daemon");

    // Someone looks in and leaves a child behind, ten times.
    let target = init.to_string();
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut guest = command("nsenter");
        guest.args(["--target", &target, "--pid", "--mount", "sh", "-c", "exec 3<&0; (read line <&3) &"]);
        let (reader, writer) = std::io::pipe().expect("descriptors are left");
        guest.stdin(reader).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(guest.status().expect("it is a program").success());
        held.push(writer);
    }
    let orphans: Vec<i32> = children(init).into_iter().filter(|pid| is_called(*pid, "sh")).collect();
    assert_eq!(orphans.len(), 10, "init has inherited each");
    let orphans = Gone::watch(orphans);
    // A helper's daemon kills its shim, so that init inherits what the shim had. The call fails with it or comes before.
    let killer = json!({ "threadId": thread, "server": "killer", "tool": "pid", "arguments": {} });
    let _answer_or_failure = client.ask("mcpServer/tool/call", killer).await;
    drop(held);
    orphans.wait(LIMIT).expect("they have read to the end");

    // Nothing outside tells that a zombie was collected; the server's own answer paces the looks.
    let deadline = verger_testkit::clock::monotonic() + LIMIT;
    while !zombies(init).is_empty() {
        let left = zombies(init);
        assert!(verger_testkit::clock::monotonic() < deadline, "nobody collects {left:?}");
        client.call("verger/ps", json!({})).await;
    }
    assert_eq!(family.alive().len(), 2, "a helper of a live scope was touched");
    assert_eq!(call(&client, &thread, "pid", json!({})).await, helper.to_string(), "it is the same one");

    kill_process(Pid::from_raw(init).expect("not zero"), Signal::TERM).expect("unshare waits for it");
    assert!(daemon.wait(Duration::from_secs(15)).success(), "{}", daemon.stderr());
    assert_eq!(family.alive(), [0; 0], "alive when init had exited");
    drop(client);
    assert_eq!(home.tag().live(), []);
    guard.finish();
}

fn is_called(pid: i32, name: &str) -> bool {
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    comm.trim_end() == name
}
