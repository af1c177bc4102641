//! A server and its shims die at the same moment: the next `verger serve` ends what they left, and only that.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use verger_testkit::{Client, Gone, Home, Launch, LeakGuard};

use crate::stage::{STUBBORN, children, thread, touch, verger};

fn serve(home: &Home) -> Launch {
    Launch::new(verger(), home, &["serve", "--listen", "127.0.0.1:0"]).env("VERGER_LOG", "warn")
}

fn send(pids: &[i32], signal: Signal) {
    let open = |&pid| pidfd_open(Pid::from_raw(pid).expect("not zero"), PidfdFlags::empty());
    let held: Vec<OwnedFd> = pids.iter().map(open).collect::<Result<_, _>>().expect("they are alive");
    held.iter().for_each(|pidfd| pidfd_send_signal(pidfd, signal).expect("they are this user's"));
}

fn arguments(pid: i32) -> Vec<String> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it is alive");
    line.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_next_start_ends_what_a_dead_run_left_and_nothing_that_looks_like_it() {
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().expect("a temporary folder and a port");
    let config = home.config().server("helper", &home.bad_helper(&["setsid"]));
    home.write_config(&config.text()).expect("the home is writable");
    let mut daemon = serve(&home).start().expect("it serves");
    let socket = format!("unix://{}", home.path().join("verger.sock").display());
    let client = Client::open(&socket, "client").await;
    let helper = touch(&client, &thread(&client, &home).await).await;
    let left: Vec<i32> = home.tag().live().into_iter().map(|process| process.pid).collect();

    // By hand, with the same arguments in the same folder: the server's helper in all but its owner.
    let line = arguments(helper);
    #[expect(clippy::disallowed_methods, reason = "no one's helper: the test is its owner")]
    let mut by_hand = std::process::Command::new(&line[0]);
    by_hand.args(&line[1..]).current_dir(home.work()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut by_hand = by_hand.spawn().expect("it is a program");
    // Its daemon is up before it serves.
    home.wait_for_helper_event("start", 6);
    let all: Vec<i32> = home.tag().live().into_iter().map(|process| process.pid).collect();
    let alike: Vec<i32> = all.into_iter().filter(|pid| !left.contains(pid)).collect();
    assert_eq!((left.len(), alike.len()), (2, 2), "a leader and its daemon each");
    let (left, alike_held) = (Gone::watch(left), Gone::watch(alike.clone()));

    // Nobody is left who knows: the shims cannot finish what they would begin.
    let shims = children(daemon.pid());
    send(&shims, Signal::STOP);
    daemon.signal(Signal::KILL);
    daemon.wait(STUBBORN);
    send(&shims, Signal::KILL);
    drop(client);
    assert!(!left.alive().is_empty(), "the daemon is alive, so that there is something to sweep");

    let daemon = serve(&home).start().expect("it serves");
    assert_eq!(left.alive(), [0; 0], "alive when the next server served");
    assert_eq!(alike_held.alive(), alike, "what looks like a helper was touched");
    let said = daemon.stderr_with("swept what dead runs had left");
    let kills: Vec<&str> = said.lines().filter(|line| line.contains("it outlived its run")).collect();
    assert!(!kills.is_empty(), "{said}");
    for kill in &kills {
        for word in ["pid=", "bad-helper (", "age="] {
            assert!(kill.contains(word), "no {word} in {kill}");
        }
        assert!(!kill.contains(home.tag().as_str()), "arguments may be secrets: {kill}");
    }
    let swept = kills.len();
    assert!(said.contains(&format!("swept what dead runs had left runs=1 killed={swept}")), "{said}");
    let ps = |args: &[&str]| Launch::new(verger(), &home, args).output().expect("it is a program").stdout;
    let picture: Value = serde_json::from_slice(&ps(&["ps", "--json"])).expect("one line of JSON");
    assert_eq!(picture["server"]["swept"], swept, "{picture}");
    let table = String::from_utf8(ps(&["ps"])).expect("text");
    assert!(table.contains(&format!("swept: {swept} process(es)")), "{table}");

    assert!(daemon.stop().success());
    assert_eq!(alike_held.alive(), alike);
    send(&alike, Signal::KILL);
    by_hand.wait().expect("it is this test's child");
    alike_held.wait(STUBBORN).expect("nothing survives KILL");
    guard.finish();
}
