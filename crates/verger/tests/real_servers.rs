//! The questions of the end-to-end tests, asked with MCP servers that other people wrote, started as people start them.
//!
//! They need programs from outside: `cargo xtask test` fetches these and names them in the file that
//! `VERGER_REAL_SERVERS` points to. A server that is not named there is told as skipped.

#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use verger_testkit::{Client, ConfigFile, Daemon, Gone, Home, LeakGuard, ServerEntry};

/// The longest orderly end, 2 s, and room for a busy machine.
const ORDERLY: Duration = Duration::from_secs(5);

const THREADS: usize = 3;

/// How to start one server, and a tool of it to call.
#[derive(Clone)]
struct Real(Value);

impl Real {
    /// The server of this name in the list; nothing where it could not be fetched.
    fn find(name: &str) -> Option<Self> {
        let Some(list) = std::env::var_os("VERGER_REAL_SERVERS") else {
            eprintln!(
                "skipped: no VERGER_REAL_SERVERS; run `cargo xtask test get-python get-npm real-servers`"
            );
            return None;
        };
        let text = std::fs::read_to_string(&list).expect("VERGER_REAL_SERVERS names a file");
        let servers: Value = serde_json::from_str(&text).expect("the list of real servers is JSON");
        let server = servers.get(name).cloned().map(Self);
        if server.is_none() {
            eprintln!("skipped: {name} is not in {}", Path::new(&list).display());
        }
        server
    }

    /// Its entry in a configuration, with the home's tag on every process of it.
    fn entry(&self, home: &Home) -> ServerEntry {
        let words = self.0["args"].as_array().expect("args");
        let mut args: Vec<_> = words.iter().map(|word| word.as_str().expect("a word").to_owned()).collect();
        let place = self.0["tagAt"].as_u64().and_then(|at| usize::try_from(at).ok()).expect("tagAt");
        args.insert(place, home.tag().as_str().to_owned());
        let mut entry = ServerEntry::new(self.0["command"].as_str().expect("command"), args);
        if let Some(folder) = self.0.get("cwd") {
            entry = entry.key("cwd", &folder.to_string());
        }
        for (name, value) in self.0["env"].as_object().into_iter().flatten() {
            entry = entry.key(&format!("env.{name}"), &value.to_string());
        }
        entry
    }

    /// Calls its tool and checks the answer: a helper lives.
    async fn touch(&self, client: &Client, thread: &str) {
        let asked = json!({
            "threadId": thread, "server": "real", "tool": self.0["tool"], "arguments": self.0["arguments"],
        });
        let answer = client.call("mcpServer/tool/call", asked).await.to_string();
        let wanted = self.0["answer"].as_str().expect("answer");
        assert!(answer.contains(wanted), "no '{wanted}' in {answer}");
    }
}

/// A server with one home, whose threads have the real server.
struct Stage {
    real: Real,
    daemon: Daemon,
    home: Home,
    guard: LeakGuard,
}

impl Stage {
    fn new(real: Real, dress: fn(ServerEntry) -> ServerEntry) -> Self {
        let guard = LeakGuard::new().patience(ORDERLY);
        let home = Home::new().expect("a temporary folder");
        let config = home.config().server("real", &dress(real.entry(&home)));
        write(&home, &config);
        let daemon = start(&home);
        Self { real, daemon, home, guard }
    }

    async fn client(&self, name: &str) -> Client {
        Client::open(&self.daemon.url(), name).await
    }

    /// A thread with one turn, so that it can be resumed.
    async fn saved(&self, client: &Client) -> String {
        let started = client.call("thread/start", json!({ "cwd": self.home.work() })).await;
        let thread = started["thread"]["id"].as_str().expect("an id").to_owned();
        let from = client.mark();
        let input = json!([{ "type": "text", "text": "hi", "text_elements": [] }]);
        client.call("turn/start", json!({ "threadId": thread, "input": input })).await;
        client.note(from, "turn/completed", |params| params["threadId"] == thread.as_str()).await;
        thread
    }

    /// Every live process of the real server, held by pidfd.
    fn helpers(&self) -> Gone {
        let live = self.home.tag().live();
        assert!(!live.is_empty(), "no helper lives");
        Gone::watch(live.iter().map(|process| process.pid))
    }

    fn finish(self) {
        let Self { daemon, home, guard, .. } = self;
        let status = daemon.stop();
        assert!(status.success(), "after TERM: {status}");
        assert_eq!(home.tag().live(), [], "helpers outlived the server");
        drop(home);
        guard.finish();
    }
}

fn start(home: &Home) -> Daemon {
    Daemon::app_server(Path::new(env!("CARGO_BIN_EXE_verger")), home)
}

fn write(home: &Home, config: &ConfigFile) {
    home.write_config(&config.text()).expect("a folder of our own");
}

/// Opens, uses and leaves saved threads one by one; after each, nothing is loaded and no helper lives.
async fn switch(name: &str, dress: fn(ServerEntry) -> ServerEntry) {
    let Some(real) = Real::find(name) else { return };
    let mut stage = Stage::new(real, dress);
    let maker = stage.client("maker").await;
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        threads.push(stage.saved(&maker).await);
    }
    maker.close().await;
    stage.daemon.signal(Signal::TERM);
    stage.daemon.wait(Duration::from_secs(15));
    assert_eq!(stage.home.tag().live(), [], "helpers outlived the server that made the threads");
    stage.daemon = start(&stage.home);
    let observer = stage.client("observer").await;
    for thread in &threads {
        let from = observer.mark();
        let client = stage.client("switcher").await;
        client.call("thread/resume", json!({ "threadId": thread })).await;
        stage.real.touch(&client, thread).await;
        let helpers = stage.helpers();
        client.close().await;
        helpers.wait(ORDERLY).expect("gone with the client");
        observer.note(from, "thread/closed", |params| params["threadId"] == thread.as_str()).await;
        assert_eq!(observer.call("thread/loaded/list", json!({})).await["data"], json!([]));
        assert_eq!(stage.home.tag().live(), [], "a helper that nobody saw start");
    }
    observer.close().await;
    stage.finish();
}

/// Each request that ends a helper is answered only when the whole tree is gone (K2).
async fn close(name: &str) {
    let Some(real) = Real::find(name) else { return };
    let stage = Stage::new(real, |entry| entry);
    let client = stage.client("client").await;
    for method in ["thread/archive", "thread/delete", "config/mcpServer/reload"] {
        let thread = stage.saved(&client).await;
        stage.real.touch(&client, &thread).await;
        let helpers = stage.helpers();
        if method == "config/mcpServer/reload" {
            write(&stage.home, &stage.home.config());
        }
        client.call(method, json!({ "threadId": thread })).await;
        assert_eq!(helpers.alive(), [0; 0], "{method}: answered while they were alive");
        assert_eq!(stage.home.tag().live(), [], "{method}");
    }
    client.close().await;
    stage.finish();
}

/// The server dies or stops while trees live; none survives it.
async fn kill(name: &str) {
    let Some(real) = Real::find(name) else { return };
    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        let mut stage = Stage::new(real.clone(), |entry| entry);
        let client = stage.client("client").await;
        for _ in 0..THREADS {
            let thread = stage.saved(&client).await;
            stage.real.touch(&client, &thread).await;
        }
        let helpers = stage.helpers();
        assert!(helpers.len() >= THREADS, "{} processes of {THREADS} trees", helpers.len());
        stage.daemon.signal(signal);
        stage.daemon.wait(Duration::from_secs(15));
        if signal != Signal::KILL {
            assert_eq!(helpers.alive(), [0; 0], "{signal:?}: the server left before its helpers");
        }
        helpers.wait(ORDERLY).unwrap_or_else(|alive| panic!("{signal:?}: {alive:?} survive"));
        assert_eq!(stage.home.tag().live(), [], "{signal:?}");
        let Stage { daemon, home, guard, .. } = stage;
        drop((client, daemon, home));
        guard.finish();
    }
}

/// Seconds from one slot to the next.
const EVERY: i64 = 2;

/// Seconds in which slots are looked at.
const MINUTE: i64 = 60;

/// A job for each server, due every two seconds for a minute: each slot of that minute is run, or skipped while the run before it goes
/// on, and every run leaves nothing behind.
async fn jobs(names: &[&str]) {
    let Some(reals) = names.iter().map(|name| Real::find(name)).collect::<Option<Vec<_>>>() else { return };
    let guard = LeakGuard::new().patience(ORDERLY);
    let home = Home::new().expect("a temporary folder");
    let with_job = |config: ConfigFile, (name, real): (&&str, &Real)| {
        let (tool, arguments) = (&real.0["tool"], real.0["arguments"].as_object().expect("arguments"));
        let arguments: Vec<_> = arguments.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let job = format!(
            "[jobs.{name}]\nschedule = \"every {EVERY}s\"\nkeep = 1000\ntimeout = \"30s\"\n\
             call = {{ server = \"{name}\", tool = {tool}, arguments = {{ {} }} }}",
            arguments.join(", ")
        );
        config.server(name, &real.entry(&home)).table(&job)
    };
    write(&home, &names.iter().zip(&reals).fold(home.config(), with_job));
    let daemon = start(&home);
    let client = Client::open(&daemon.url(), "client").await;
    client.call("verger/job/list", json!({})).await;
    let told = |params: &Value| params["run"]["slotAt"].as_i64();
    let first = told(&client.note(0, "verger/job/run/updated", |params| told(params).is_some()).await);
    let first = first.expect("a slot");
    let minute = || (first..=first + MINUTE).step_by(usize::try_from(EVERY).expect("small"));
    for slot in minute() {
        for name in names {
            let fits = |params: &Value| params["run"]["job"] == *name && is_of(&params["run"], slot);
            client.note(0, "verger/job/run/updated", |params| fits(params) && is_over(&params["run"])).await;
        }
    }
    for name in names {
        client.call("verger/job/pause", json!({ "name": name })).await;
    }
    for (name, real) in names.iter().zip(&reals) {
        let history = json!({ "name": name, "limit": 100 });
        let rows = client.call("verger/job/history", history).await["data"].clone();
        let rows = rows.as_array().expect("rows");
        for row in rows {
            client
                .note(0, "verger/job/run/updated", |told| {
                    told["run"]["id"] == row["id"] && is_over(&told["run"])
                })
                .await;
        }
        let mut succeeded = 0;
        for slot in minute() {
            let of_slot: Vec<&Value> = rows.iter().filter(|row| is_of(row, slot)).collect();
            let [row] = of_slot[..] else { panic!("{name}: slot {slot} has {of_slot:#?} of {rows:#?}") };
            let has = |field: &str, text: &str| row[field].as_str().is_some_and(|words| words.contains(text));
            match row["state"].as_str() {
                Some("succeeded") if has("summary", real.0["answer"].as_str().expect("answer")) => {
                    succeeded += 1
                }
                Some("skipped") if has("reason", "overlap: run ") => {}
                _ => panic!("{name}: {row}"),
            }
        }
        eprintln!("{name}: {succeeded} of {} slots ran, the others were skipped", minute().count());
        assert!(succeeded >= 5, "{name}: {rows:#?}");
    }
    assert_eq!(home.tag().live(), [], "helpers of runs that are over");
    client.close().await;
    let status = daemon.stop();
    assert!(status.success(), "after TERM: {status}");
    drop(home);
    guard.finish();
}

/// Whether a row of a job's history stands for a slot.
fn is_of(row: &Value, slot: i64) -> bool {
    let (first, last) = (row["slotAt"].as_i64(), row["lastSlotAt"].as_i64());
    first.is_some_and(|first| first <= slot) && last.is_some_and(|last| slot <= last)
}

fn is_over(row: &Value) -> bool {
    row["state"] != "scheduled" && row["state"] != "running"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_server_everything_goes_with_its_client() {
    switch("everything", |entry| entry).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_server_everything_goes_with_its_client_when_started_eagerly() {
    switch("everything", ServerEntry::eager).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_server_everything_is_gone_when_a_close_is_answered() {
    close("everything").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_server_everything_does_not_outlive_the_server() {
    kill("everything").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_server_time_goes_with_its_client() {
    switch("time", |entry| entry).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_server_time_goes_with_its_client_when_started_eagerly() {
    switch("time", ServerEntry::eager).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_server_time_is_gone_when_a_close_is_answered() {
    close("time").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_server_time_does_not_outlive_the_server() {
    kill("time").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_server_time_and_memory_every_two_seconds_leave_nothing() {
    jobs(&["time", "memory"]).await;
}
