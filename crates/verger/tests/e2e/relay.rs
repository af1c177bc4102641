//! `app-server` on stdio in a home with a daemon: the client is the daemon's, as if it had been started by it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use verger_testkit::{Client, Daemon, Home, Launch, LeakGuard};

use crate::stage::{STUBBORN, thread, touch, turn, verger};

struct Served {
    guard: LeakGuard,
    home: Home,
    daemon: Daemon,
}

fn served() -> Served {
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().unwrap();
    let helper = home.bad_helper(&["polite"]).key("env_vars", "[\"LENT\"]");
    home.write_config(&home.config().server("helper", &helper).text()).unwrap();
    let launch = Launch::new(verger(), &home, &["serve", "--listen", "127.0.0.1:0"]);
    let daemon = launch.env("LENT", "secret-one").start().unwrap();
    Served { guard, home, daemon }
}

impl Served {
    fn relay(&self) -> Launch {
        Launch::new(verger(), &self.home, &["app-server"]).env("LENT", "secret-one")
    }

    /// How many servers there are, and how many connections the daemon has.
    fn ps(&self) -> Vec<Value> {
        let output = Launch::new(verger(), &self.home, &["ps", "--json"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn end(self) {
        assert!(self.daemon.stop().success());
        assert_eq!(self.home.tag().live(), [], "helpers outlived the server");
        drop(self.home);
        self.guard.finish();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_is_handed_on_and_its_end_is_the_daemons_news() {
    let served = served();
    let folder = tempfile::tempdir().unwrap();
    let (mut relay, link) = served.relay().current_dir(folder.path()).start_piped();
    let client = Client::over(link, "relayed");
    client.initialize(json!({ "experimentalApi": true })).await;
    let started = client.call("thread/start", json!({})).await;
    assert_eq!(started["cwd"], folder.path().to_str().unwrap(), "its own folder, not the daemon's");
    let fresh = started["thread"]["id"].as_str().unwrap();
    assert_eq!(turn(&client, fresh, "hi").await["status"], "completed");
    touch(&client, fresh).await;
    let servers = served.ps();
    assert_eq!(servers.len(), 1, "the relay is no server: {servers:?}");
    assert_eq!(servers[0]["threads"][0]["id"], fresh);
    assert_eq!(relay.stderr(), "");

    let helpers = verger_testkit::Gone::watch(served.home.tag().live().iter().map(|process| process.pid));
    client.close().await;
    assert!(relay.wait(STUBBORN).success());
    helpers.wait(STUBBORN).expect("the thread unloads with its last client");
    served.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_relay_is_a_disconnect_and_a_killed_daemon_the_end_of_its_relays() {
    let served = served();
    let (relay, link) = served.relay().start_piped();
    let client = Client::over(link, "killed");
    client.initialize(json!({})).await;
    let fresh = thread(&client, &served.home).await;
    turn(&client, &fresh, "hi").await;
    touch(&client, &fresh).await;
    let helpers = verger_testkit::Gone::watch(served.home.tag().live().iter().map(|process| process.pid));
    relay.kill();
    helpers.wait(STUBBORN).expect("the thread unloads with its last client");

    let (mut relay, link) = served.relay().start_piped();
    let client = Client::over(link, "left");
    client.initialize(json!({})).await;
    let Served { guard, home, daemon } = served;
    daemon.kill();
    client.closed().await;
    relay.wait(STUBBORN);
    drop(home);
    guard.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_differs_from_the_daemon_gets_a_server_of_its_own() {
    let served = served();
    let path = format!("/nowhere:{}", std::env::var("PATH").unwrap());
    let differing = [
        (served.relay().env("PATH", &path), "PATH is not the daemon's"),
        (served.relay().env("LENT", "secret-two"), "LENT is not the daemon's"),
        (
            served.relay().env("VERGER_MODEL", "secret-three"),
            "the settings by --config and VERGER_* are not the daemon's",
        ),
    ];
    for (launch, said) in differing {
        let (mut own, link) = launch.start_piped();
        let client = Client::over(link, "own");
        client.initialize(json!({})).await;
        thread(&client, &served.home).await;
        let servers = served.ps();
        assert_eq!(servers.len(), 2, "{said}: {servers:?}");
        let log = own.stderr_with(said);
        assert!(!log.contains("secret"), "values are not shown: {log}");
        client.close().await;
        assert!(own.wait(STUBBORN).success(), "{}", own.stderr());
    }
    served.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_relay_is_introduced_before_its_client() {
    let served = served();
    let socket = format!("unix://{}", served.home.path().join("verger.sock").display());
    let client = Client::open(&socket, "late").await;
    let late = client.refused("verger/relay", json!({ "cwd": "/", "path": null })).await;
    assert_eq!(late, (-32600, "Already initialized".to_owned()));
    client.close().await;
    served.end();
}
