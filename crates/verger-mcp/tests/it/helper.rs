//! A real bad-helper on real pipes, as the daemon would have it.

use std::{
    fs,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::net::unix::pipe;
use verger_mcp::{ConnectError, Session, SessionOptions, StderrRing};

/// The process, its stderr, and the event log.
pub(crate) struct Helper {
    child: Option<Child>,
    pub(crate) stderr: StderrRing,
    following: tokio::task::JoinSet<()>,
    pipes: Option<(pipe::Receiver, pipe::Sender)>,
    log: PathBuf,
    _dir: tempfile::TempDir,
}

impl Helper {
    #[expect(clippy::disallowed_methods, reason = "the test is the owner, and LeakGuard checks it")]
    pub(crate) fn start(mode: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = dir.path().join("events");
        let mut child = Command::new(verger_testkit::bad_helper::path())
            .arg("--mode")
            .args(mode)
            .arg("--log")
            .arg(&log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bad-helper starts");
        let stdin = pipe::Sender::from_owned_fd(OwnedFd::from(child.stdin.take().expect("piped")));
        let stdout = pipe::Receiver::from_owned_fd(OwnedFd::from(child.stdout.take().expect("piped")));
        let stderr = pipe::Receiver::from_owned_fd(OwnedFd::from(child.stderr.take().expect("piped")));
        let ring = StderrRing::new(8 * 1024);
        let mut following = tokio::task::JoinSet::new();
        let (to, from) = (ring.clone(), stderr.expect("a pipe"));
        following.spawn(async move { to.follow(from).await.expect("stderr is readable") });
        let pipes = Some((stdout.expect("a pipe"), stdin.expect("a pipe")));
        Self { child: Some(child), stderr: ring, following, pipes, log, _dir: dir }
    }

    pub(crate) async fn connect(&mut self) -> Result<Session, ConnectError> {
        let (stdout, stdin) = self.pipes.take().expect("connected once");
        let options =
            SessionOptions { server: "bad".into(), client_version: "0.0.1".into(), questions: None };
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, Session::connect(stdout, stdin, options))
            .await
            .expect("an outcome in time")
    }

    /// As `connect`, cut off after `limit`.
    pub(crate) async fn connect_within(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.connect()).await.is_ok()
    }

    /// Waits for the leader, and reads stderr to its end; the exit status. The runtime goes on meanwhile: it may
    /// have the pipes to close that the leader waits for.
    pub(crate) async fn exit(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("waited for once");
        let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("no panic");
        while let Some(followed) = self.following.join_next().await {
            followed.expect("no panic");
        }
        status.expect("the leader is this test's child").code()
    }

    /// KILLs the leader; its children live on.
    pub(crate) fn kill_leader(&mut self) {
        let mut child = self.child.take().expect("waited for once");
        child.kill().expect("the leader is this test's child");
        child.wait().expect("the leader is this test's child");
    }

    pub(crate) fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("whole JSON lines")).collect()
    }

    pub(crate) fn count(&self, event: &str) -> usize {
        self.log().iter().filter(|line| line["ev"] == event).count()
    }
}
