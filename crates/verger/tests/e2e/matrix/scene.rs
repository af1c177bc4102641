//! What a cell is played on: a home and a server of some user, a client with the helper under test, and a bystander with
//! a helper of its own that nothing may disturb.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use verger_testkit::{Client, Daemon, Gone, Home, Launch, LeakGuard, RunTag, ServerEntry, bad_helper};

use super::cast::{Cell, End, Level, Reach, User};
use super::verdict::Failure;
use crate::stage::{STUBBORN, closed, thread, turn, verger};

/// Of a user that owns nothing.
const NOBODY: u32 = 65534;

/// Longer than any call that is answered, shorter than a test's patience.
const TOOL_TIMEOUT: &str = "1.0";

pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) home: Home,
    user: User,
    /// On the processes of every helper that is not under test.
    others: RunTag,
    guard: LeakGuard,
}

// === impl Scene ===

impl Scene {
    /// A server of `user` without helpers.
    pub(crate) fn new(user: User) -> Self {
        let guard = LeakGuard::new().patience(STUBBORN);
        let home = Home::new().expect("a temporary folder and a port");
        home.write_config(&home.config().text()).expect("the home is writable");
        if user == User::Unprivileged && is_root() {
            home.give_to(NOBODY).expect("root may give things away");
        }
        let daemon = start(user, &home);
        Self { daemon, home, user, others: RunTag::new(), guard }
    }

    pub(crate) async fn client(&self, name: &str) -> Client {
        Client::open(&self.daemon.url(), name).await
    }

    /// Starts a server where the last one has ended.
    pub(crate) fn start_again(&mut self) {
        self.daemon = start(self.user, &self.home);
    }

    /// The helper under test, as `cell` wants it.
    pub(crate) fn entry(&self, cell: &Cell) -> ServerEntry {
        let mode = cell.mode();
        let mut entry = self.home.bad_helper(mode.words);
        if matches!(cell.end, End::StartupTimeout | End::CallerCancelled) {
            entry = entry.arg("--fault").arg("hang-in-init");
        }
        if cell.end == End::StartupTimeout {
            entry = entry.key("startup_timeout_sec", "0.5");
        }
        if cell.end == End::ToolTimeout || mode.reach == Reach::HangsInCall {
            entry = entry.key("tool_timeout_sec", TOOL_TIMEOUT);
        }
        let grace = if cell.end == End::SecondTerm { "\"60s\"" } else { "\"50ms\"" };
        contained(entry, cell.level).key("stdin_grace", grace).key("term_grace", grace)
    }

    /// A polite helper that is not under test, run by `command`.
    pub(crate) fn polite(&self, command: &Path) -> ServerEntry {
        let args = ["--mode", "polite", "--tag", self.others.as_str()].map(str::to_owned);
        ServerEntry::new(command.to_str().expect("temporary folders are UTF-8"), args)
    }

    /// Puts the bystander's server and `helper` in force.
    pub(crate) fn configure(&self, helper: Option<&ServerEntry>) {
        let mut config = self.home.config().server("other", &self.polite(bad_helper::path()));
        if let Some(helper) = helper {
            config = config.server("helper", helper);
        }
        self.home.write_config(&config.text()).expect("the home is writable");
    }

    /// Everything that lives of the helper under test and carries its tag, and `shims`.
    fn watch(&self, shims: Vec<i32>) -> Gone {
        Gone::watch(self.home.tag().live().iter().map(|process| process.pid).chain(shims))
    }

    /// Requires that of the helper under test nothing lives at this moment.
    pub(crate) fn none_left(&self, when: &str, seen: &Gone) -> Result<(), Failure> {
        let tagged = self.home.tag().live();
        let mut alive = seen.alive();
        alive.extend(tagged.iter().map(|process| process.pid));
        alive.sort_unstable();
        alive.dedup();
        match alive.len() {
            0 => Ok(()),
            survivors => Err(Failure::survivors(survivors, format!("{when}: {alive:?} live; {tagged:?}"))),
        }
    }

    /// The same after at most [`STUBBORN`].
    pub(crate) fn soon_none_left(&self, when: &str, seen: &Gone) -> Result<(), Failure> {
        // What outlasts these is named by the look that follows.
        seen.wait(STUBBORN).ok();
        self.home.tag().wait_gone(STUBBORN).ok();
        self.none_left(when, seen)
    }

    /// The server's end by TERM, and then nothing at all.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self { mut daemon, home, others, guard, .. } = self;
        daemon.signal(rustix::process::Signal::TERM);
        let status = daemon.wait(Duration::from_secs(15));
        if !status.success() {
            return Err(Failure::other(format!("after TERM: {status}; it said:\n{}", daemon.stderr())));
        }
        drop(daemon);
        Self::nothing_left(home, &others, guard)
    }

    /// The same where the server has ended already.
    pub(crate) fn end(self) -> Result<(), Failure> {
        let Self { daemon, home, others, guard, .. } = self;
        drop(daemon);
        Self::nothing_left(home, &others, guard)
    }

    fn nothing_left(home: Home, others: &RunTag, guard: LeakGuard) -> Result<(), Failure> {
        // Of a killed server these end by themselves; what does not is named below.
        others.wait_gone(STUBBORN).ok();
        for tag in [home.tag(), others] {
            let live = tag.live();
            if !live.is_empty() {
                return Err(Failure::survivors(live.len(), format!("they outlived the server: {live:?}")));
            }
        }
        drop(home);
        // Whatever had another name, or none.
        guard.finish();
        Ok(())
    }
}

/// `entry` at `level`.
pub(crate) fn contained(entry: ServerEntry, level: Level) -> ServerEntry {
    entry.key("containment", &json!(level.name()).to_string())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn start(user: User, home: &Home) -> Daemon {
    let serve = ["app-server", "--listen", "ws://127.0.0.1:0"];
    if user == User::Root || !is_root() {
        return Launch::new(verger(), home, &serve)
            .start()
            .unwrap_or_else(|no| panic!("{}: {}", no.status, no.stderr));
    }
    let id = NOBODY.to_string();
    let (uid, gid) = (format!("--reuid={id}"), format!("--regid={id}"));
    let program = verger().to_str().expect("target folders are UTF-8");
    let args = [&[&uid, &gid, "--clear-groups", program], &serve[..]].concat();
    let launch = Launch::new(Path::new("setpriv"), home, &args);
    launch.start().unwrap_or_else(|no| panic!("{}: {}", no.status, no.stderr))
}

/// A client with a saved thread and the helper under test as far up as its mode goes, and a bystander.
pub(crate) struct Play {
    pub(crate) scene: Scene,
    pub(crate) cell: Cell,
    pub(crate) client: Client,
    pub(crate) thread: String,
    pub(crate) observer: Client,
    others_thread: String,
    others_pid: String,
    others_shims: Vec<i32>,
}

// === impl Play ===

impl Play {
    /// All but the helper under test, which is configured and not started.
    pub(crate) async fn set(cell: &Cell) -> Self {
        let scene = Scene::new(cell.user);
        let (client, observer) = (scene.client("client").await, scene.client("observer").await);
        let saved = thread(&client, &scene.home).await;
        turn(&client, &saved, "hi").await;
        scene.configure(Some(&scene.entry(cell)));
        client.call("config/mcpServer/reload", json!({})).await;
        let others_thread = thread(&observer, &scene.home).await;
        let others_pid = pid(&observer, &others_thread, "other").await;
        let others_shims = scene.daemon.children();
        Self { scene, cell: *cell, client, thread: saved, observer, others_thread, others_pid, others_shims }
    }

    /// What the server has started for the helper under test, and what came to it from there.
    pub(crate) fn shims(&self) -> Vec<i32> {
        let mut shims = self.scene.daemon.children();
        shims.retain(|shim| !self.others_shims.contains(shim));
        shims
    }

    /// Everything that lives of the helper under test, its shim too: that has gone when its end is proven. So the end of
    /// a tree that changes faster than one can look is told by the end of its shim.
    pub(crate) fn helpers(&self) -> Gone {
        self.scene.watch(self.shims())
    }

    /// Brings the helper up as far as its mode goes.
    pub(crate) async fn bring_up(&self) {
        let call = call(&self.thread, "helper", "pid", json!({}));
        match self.cell.mode().reach {
            // On a busy machine even this call may take longer than a timeout that is there to be hit.
            Reach::Answers if self.cell.end == End::ToolTimeout => {
                self.client.ask("mcpServer/tool/call", call).await.ok();
            }
            Reach::Answers | Reach::AnswersAtOnce => {
                self.client.call("mcpServer/tool/call", call).await;
            }
            Reach::HangsInCall => {
                self.client.refused("mcpServer/tool/call", call).await;
            }
            Reach::DiesInCall | Reach::HangsInStart | Reach::FailsToStart | Reach::Unsure => {
                self.start_only().await;
            }
        }
    }

    /// Asks for the helper, and waits no longer than until it runs.
    pub(crate) async fn start_only(&self) {
        let call = call(&self.thread, "helper", "pid", json!({}));
        self.client.begin("mcpServer/tool/call", call).await.expect("the server serves");
        self.scene.home.wait_for_helper_event("start", 1);
    }

    /// Requires that the thread closes, with nothing left when it is said to be closed (K2).
    pub(crate) async fn closes(&self, from: usize, seen: &Gone) -> Result<(), Failure> {
        closed(&self.observer, from, &self.thread).await;
        self.scene.none_left("when the thread was said to be closed", seen)
    }

    /// Lets the thread go and requires that it closes.
    pub(crate) async fn unsubscribe(&self, seen: &Gone) -> Result<(), Failure> {
        let from = self.observer.mark();
        self.client.call("thread/unsubscribe", json!({ "threadId": self.thread })).await;
        self.closes(from, seen).await
    }

    /// Requires that the bystander's helper is the one that it was.
    pub(crate) async fn undisturbed(&self) -> Result<(), Failure> {
        match pid(&self.observer, &self.others_thread, "other").await {
            now if now == self.others_pid => Ok(()),
            now => {
                Err(Failure::other(format!("another client's helper was {}, and is {now}", self.others_pid)))
            }
        }
    }
}

/// Parameters of a call.
pub(crate) fn call(thread: &str, server: &str, tool: &str, arguments: Value) -> Value {
    json!({ "threadId": thread, "server": server, "tool": tool, "arguments": arguments })
}

/// Which process answers.
pub(crate) async fn pid(client: &Client, thread: &str, server: &str) -> String {
    let answer = client.call("mcpServer/tool/call", call(thread, server, "pid", json!({}))).await;
    answer["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {answer}")).to_owned()
}
