//! A server with one home under test: what most stories start from, and the zero that each must end in.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use verger_testkit::{Client, ConfigFile, Daemon, Gone, Home, LeakGuard};

/// A thing that takes no time at all on a quiet machine may take this long on a busy one.
pub(crate) const SOON: Duration = Duration::from_secs(1);

/// The longest orderly end: 500 ms for stdin, 1.5 s for TERM, then KILL; and room for a busy machine.
pub(crate) const STUBBORN: Duration = Duration::from_secs(5);

/// Every way in which a helper's processes are laid out and refuse to go.
pub(crate) const SHAPES: [&str; 6] =
    ["polite", "stubborn", "wrapper", "wrapper-stubborn", "grandchild", "setsid"];

/// The program under test.
pub(crate) fn verger() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_verger"))
}

/// How often a repeated story is told: `VERGER_TEST_SCALE`, 1 unless set.
pub(crate) fn scale() -> usize {
    let scale = std::env::var("VERGER_TEST_SCALE");
    scale.map_or(1, |scale| scale.parse().expect("VERGER_TEST_SCALE is a whole number"))
}

/// A running server and its home. The order of the fields is the order of their ends.
pub(crate) struct Stage {
    pub(crate) daemon: Daemon,
    pub(crate) home: Home,
    guard: LeakGuard,
}

impl Stage {
    /// A server with the configuration that `config` makes.
    pub(crate) fn new(config: impl FnOnce(&Home) -> ConfigFile) -> Self {
        let guard = LeakGuard::new().patience(STUBBORN);
        let home = Home::new().expect("a temporary folder and a port");
        home.write_config(&config(&home).text()).expect("the home is writable");
        let daemon = Daemon::app_server(verger(), &home);
        Self { daemon, home, guard }
    }

    /// A server whose threads have one lazy MCP server, `helper`, that misbehaves as `mode` says.
    pub(crate) fn lazy(mode: &[&str]) -> Self {
        Self::new(|home| home.config().server("helper", &home.bad_helper(mode)))
    }

    /// The same, started with its thread.
    pub(crate) fn eager(mode: &[&str]) -> Self {
        Self::new(|home| home.config().server("helper", &home.bad_helper(mode).eager()))
    }

    /// A server without helpers.
    pub(crate) fn bare() -> Self {
        Self::new(Home::config)
    }

    pub(crate) async fn client(&self, name: &str) -> Client {
        Client::open(&self.daemon.url(), name).await
    }

    /// The Unix socket of the server's own run, where clients speak in lines.
    pub(crate) fn run_socket(&self) -> String {
        let runs = std::fs::read_dir(self.home.path().join("runs")).expect("a server has a run");
        let sockets = runs.map(|run| run.expect("readable").path().join("sock"));
        let socket = sockets.filter(|socket| socket.exists()).last().expect("a run has a socket");
        format!("unix://{}", socket.display())
    }

    /// A new thread in the home's working folder.
    pub(crate) async fn thread(&self, client: &Client) -> String {
        thread(client, &self.home).await
    }

    /// A thread with one completed turn, so that it can be resumed from the store.
    pub(crate) async fn saved(&self, client: &Client) -> String {
        let thread = self.thread(client).await;
        turn(client, &thread, "hi").await;
        thread
    }

    /// The same, saved before the configuration has a helper that a turn would wait for.
    pub(crate) async fn saved_without_helpers(&self, client: &Client) -> String {
        let whole = std::fs::read_to_string(self.home.path().join("config.toml")).expect("there is one");
        self.home.write_config(&self.home.config().text()).expect("the home is writable");
        client.call("config/mcpServer/reload", json!({})).await;
        let thread = self.saved(client).await;
        self.home.write_config(&whole).expect("the home is writable");
        client.call("config/mcpServer/reload", json!({})).await;
        thread
    }

    /// A client that wants no deltas, and its thread of 8 MB, which takes a while to be shown.
    pub(crate) async fn long(&self) -> (Client, String) {
        let quiet = json!({ "optOutNotificationMethods": ["item/agentMessage/delta"] });
        let client = Client::open_with(&self.daemon.url(), "client", quiet).await;
        let thread = self.saved(&client).await;
        turn(&client, &thread, "STREAM n=60 size=131072").await;
        (client, thread)
    }

    /// Stops the server and lets another begin on the same home.
    pub(crate) fn restart(&mut self) {
        self.daemon.signal(rustix::process::Signal::TERM);
        self.daemon.wait(Duration::from_secs(15));
        self.start_again();
    }

    /// Starts a server where the last one has ended.
    pub(crate) fn start_again(&mut self) {
        self.daemon = Daemon::app_server(verger(), &self.home);
    }

    /// Every live process of this home's helpers, held by pidfd. None is a failure: nothing is proven by zero.
    pub(crate) fn helpers(&self) -> Gone {
        let live = self.home.tag().live();
        assert!(!live.is_empty(), "no helper lives");
        Gone::watch(live.iter().map(|process| process.pid))
    }

    /// Requires that no helper lives, as seen from outside.
    #[track_caller]
    pub(crate) fn assert_no_helper(&self) {
        assert_eq!(self.home.tag().live(), [], "helpers are alive");
    }

    /// TERM; then nothing that this test caused may be left.
    pub(crate) fn finish(self) {
        let Self { daemon, home, guard } = self;
        let status = daemon.stop();
        assert!(status.success(), "after TERM: {status}");
        Self::nothing_left(home, guard);
    }

    /// The same where the server has ended already.
    pub(crate) fn end(self) {
        let Self { daemon, home, guard } = self;
        drop(daemon);
        Self::nothing_left(home, guard);
    }

    fn nothing_left(home: Home, guard: LeakGuard) {
        assert_eq!(home.tag().live(), [], "helpers outlived the server");
        drop(home);
        guard.finish();
    }
}

/// `thread/start` in `home`'s working folder.
pub(crate) async fn thread(client: &Client, home: &Home) -> String {
    let started = client.call("thread/start", json!({ "cwd": home.work() })).await;
    started["thread"]["id"].as_str().expect("a thread has an id").to_owned()
}

pub(crate) async fn resume(client: &Client, thread: &str) -> Value {
    client.call("thread/resume", json!({ "threadId": thread })).await
}

/// Parameters of `turn/start`.
pub(crate) fn say(thread: &str, text: &str) -> Value {
    json!({ "threadId": thread, "input": [{ "type": "text", "text": text, "text_elements": [] }] })
}

/// Starts a turn; its id.
pub(crate) async fn begin_turn(client: &Client, thread: &str, text: &str) -> String {
    let started = client.call("turn/start", say(thread, text)).await;
    started["turn"]["id"].as_str().expect("a turn has an id").to_owned()
}

/// Runs a turn to its end; the turn of `turn/completed`.
pub(crate) async fn turn(client: &Client, thread: &str, text: &str) -> Value {
    let from = client.mark();
    let id = begin_turn(client, thread, text).await;
    ended(client, from, &id).await
}

/// Waits for the end of turn `id`.
pub(crate) async fn ended(client: &Client, from: usize, id: &str) -> Value {
    client.note(from, "turn/completed", |params| params["turn"]["id"] == id).await["turn"].clone()
}

/// Parameters of `mcpServer/tool/call` for the server `helper`.
pub(crate) fn tool(thread: &str, tool: &str, arguments: Value) -> Value {
    json!({ "threadId": thread, "server": "helper", "tool": tool, "arguments": arguments })
}

/// Calls a tool of `helper`; the text of its answer.
pub(crate) async fn call(client: &Client, thread: &str, name: &str, arguments: Value) -> String {
    let answer = client.call("mcpServer/tool/call", tool(thread, name, arguments)).await;
    answer["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {answer}")).to_owned()
}

/// Uses the helper, so that one lives; its pid.
pub(crate) async fn touch(client: &Client, thread: &str) -> i32 {
    call(client, thread, "pid", json!({})).await.parse().expect("the tool answers with a pid")
}

/// Ids of the loaded threads.
pub(crate) async fn loaded(client: &Client) -> Vec<String> {
    let list = client.call("thread/loaded/list", json!({})).await;
    serde_json::from_value(list["data"].clone()).expect("ids")
}

/// Waits until `observer` is told that `thread` closed.
pub(crate) async fn closed(observer: &Client, from: usize, thread: &str) {
    observer.note(from, "thread/closed", |params| params["threadId"] == thread).await;
}

/// Direct children of a process, zombies too, whichever of its threads started them.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it is alive");
    let lists = threads.map(|thread| {
        let children = thread.expect("it is alive").path().join("children");
        // A thread that has ended meanwhile has none.
        std::fs::read_to_string(children).unwrap_or_default()
    });
    let pids =
        |list: String| list.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect::<Vec<_>>();
    lists.flat_map(pids).collect()
}
