//! Three servers on one home under load: the home's daemon and two that each serve one client on stdio.

use std::time::Duration;

use futures_util::future::try_join_all;
use verger_testkit::load::{self, Bounds, Latency, Load, connect, shift};
use verger_testkit::{Daemon, Home, Launch, LeakGuard, NoResult};

use crate::stage::{STUBBORN, scale, verger};

/// Clients of the daemon; the two others have one each.
const CLIENTS: usize = 4;
const THREADS: usize = 2;

/// A server on stdio that is not relayed, since its PATH is not the daemon's.
async fn own_server(home: &Home, name: &str) -> (Daemon, load::Client) {
    let path = format!("/{name}:{}", std::env::var("PATH").expect("tests run with a PATH"));
    let (daemon, link) = Launch::new(verger(), home, &["app-server"]).env("PATH", &path).start_piped();
    (daemon, load::Client::over(link, name).await.expect("it serves"))
}

/// One of another run's threads is refused, whatever is asked of it.
async fn refused(client: &load::Client, thread: &str, owner: i32) {
    let wanted = format!("thread {thread} already has an active writer (pid {owner})");
    for method in ["thread/resume", "thread/archive", "thread/delete"] {
        let answer = client.ask(method, serde_json::json!({ "threadId": thread })).await;
        match answer {
            Err(NoResult::Refused { code: -32600, message, .. }) => assert_eq!(message, wanted, "{method}"),
            other => panic!("{method} was to be refused, not {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn three_runs_on_one_home_lose_and_double_nothing() {
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().expect("a temporary folder and a port");
    let config = home.config().server("helper", &home.bad_helper(&["polite"]));
    home.write_config(&config.text()).expect("the home is writable");
    let daemon =
        Launch::new(verger(), &home, &["serve", "--listen", "127.0.0.1:0"]).start().expect("it serves");
    let socket = format!("unix://{}", home.path().join("verger.sock").display());
    let many = connect(&socket, CLIENTS).await.expect("it serves");
    let (second, first_piped) = own_server(&home, "second").await;
    let (third, second_piped) = own_server(&home, "third").await;
    let mut load = Load::new(vec![many, vec![first_piped], vec![second_piped]]);

    let bounds = Bounds { count: 30 * scale(), time: Duration::MAX };
    let texts = ["hi", "STREAM n=20 size=50", "CALL mcp__helper echo {\"text\":\"x\"}"];
    let says = |turn: usize| texts[turn % texts.len()].to_owned();
    let work = home.work();
    let shifts = load.all().map(|(_, client)| shift(client, &work, THREADS, bounds, says));
    let shifts = try_join_all(shifts).await.expect("every turn completes");
    let mut writes = Latency::default();
    shifts.iter().for_each(|shift| writes.merge(&shift.writes));
    assert_eq!(writes.count(), ((CLIENTS + 2) * bounds.count) as u64);

    let owners = [daemon.pid(), second.pid(), third.pid()];
    let threads: Vec<&str> =
        [0, CLIENTS, CLIENTS + 1].iter().map(|n| shifts[*n].threads[0].as_str()).collect();
    for (asks, client) in load.all().filter(|(server, _)| *server > 0) {
        for (server, thread) in threads.iter().enumerate().filter(|(server, _)| *server != asks) {
            refused(client, thread, owners[server]).await;
        }
    }
    for (_, reader) in load.all() {
        assert_eq!(load.faults(reader).await.expect("every thread can be read"), [""; 0]);
    }
    let millis = |took: Duration| format!("{:.1}", took.as_secs_f64() * 1e3);
    println!(
        "SOAK {}",
        serde_json::json!({
            "clients": CLIENTS + 2,
            "writes": writes.count(),
            "write_p50_ms": millis(writes.quantile(0.50)),
            "write_p99_ms": millis(writes.quantile(0.99)),
            "write_max_ms": millis(writes.max()),
        })
    );
    // Killed, a run leaves its threads to the others.
    second.kill();
    load.cut(1, 0);
    let heir = &load.clients(2)[0];
    heir.resume(threads[1]).await.expect("its owner is gone");
    assert_eq!(heir.turn(threads[1], "hi").await.as_deref(), Ok("completed"));
    assert_eq!(load.faults(heir).await.expect("every thread can be read"), [""; 0]);
    drop(load);
    let mut third = third;
    assert!(third.wait(STUBBORN).success(), "it ends with its client: {}", third.stderr());
    assert!(daemon.stop().success());
    home.tag().wait_gone(STUBBORN).expect("helpers outlived their servers");
    drop(home);
    guard.finish();
}
