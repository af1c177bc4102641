//! The other end of a session, in memory: it says exactly what a test makes it say.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use verger_mcp::{ConnectError, Session, SessionOptions};

/// How long a session may say nothing. Longer than any wait that a test means.
const PATIENCE: Duration = Duration::from_secs(10);

/// A fake helper's two pipes.
pub(crate) struct Peer {
    stdin: BufReader<DuplexStream>,
    stdout: DuplexStream,
}

/// The session's ends of them.
pub(crate) struct Ends {
    stdout: DuplexStream,
    stdin: DuplexStream,
}

impl Ends {
    pub(crate) async fn connect(self) -> Result<Session, ConnectError> {
        let options =
            SessionOptions { server: "fake".into(), client_version: "0.0.1".into(), questions: None };
        Session::connect(self.stdout, self.stdin, options).await
    }
}

/// A peer whose pipes hold `capacity` bytes each.
pub(crate) fn pair(capacity: usize) -> (Peer, Ends) {
    // Each used in one direction only, as a pipe is; a dropped end is the other end's end of file.
    let (stdin_reader, stdin) = duplex(capacity);
    let (stdout, stdout_writer) = duplex(capacity);
    (Peer { stdin: BufReader::new(stdin_reader), stdout: stdout_writer }, Ends { stdout, stdin })
}

/// A session that stands, with tools of these names.
pub(crate) async fn connected(tools: &[&str]) -> (Session, Peer) {
    let (mut peer, ends) = pair(64 * 1024);
    let (session, ()) = tokio::join!(ends.connect(), peer.welcome(tools));
    (session.expect("the peer is polite"), peer)
}

/// `tools/list` with tools of these names.
pub(crate) fn tool_list(names: &[&str]) -> Value {
    let tools: Vec<Value> =
        names.iter().map(|name| json!({ "name": name, "inputSchema": { "type": "object" } })).collect();
    json!({ "tools": tools })
}

impl Peer {
    /// Plays a polite server up to the end of `connect`.
    pub(crate) async fn welcome(&mut self, tools: &[&str]) {
        let init = self.expect("initialize").await;
        self.answer(&init, initialized("2025-11-25", json!({ "tools": {} }))).await;
        self.expect("notifications/initialized").await;
        let list = self.expect("tools/list").await;
        self.answer(&list, tool_list(tools)).await;
    }

    /// The next message from the session, or nothing when it closed stdin.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        // A test of a broken session should fail, not hang.
        let read = tokio::time::timeout(PATIENCE, self.stdin.read_line(&mut line)).await;
        let count = read.expect("the session says something in time").expect("UTF-8 from the session");
        (count > 0).then(|| serde_json::from_str(&line).expect("JSON from the session"))
    }

    /// The next message, which has to be `method`.
    pub(crate) async fn expect(&mut self, method: &str) -> Value {
        let message = self.next().await.unwrap_or_else(|| panic!("{method} before the end of stdin"));
        assert_eq!(message["jsonrpc"], "2.0");
        assert_eq!(message["method"], method, "{message}");
        message
    }

    pub(crate) async fn answer(&mut self, request: &Value, result: Value) {
        self.send(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).await;
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.raw(format!("{message}\n").as_bytes()).await;
    }

    /// Writes these bytes to stdout, whatever they are.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stdout.write_all(bytes).await.expect("the session reads");
    }

    /// Closes stdout, as a helper that exits does.
    pub(crate) async fn hang_up(&mut self) {
        self.stdout.shutdown().await.expect("stdout is open");
    }
}

/// The result of `initialize`.
pub(crate) fn initialized(version: &str, capabilities: Value) -> Value {
    let info = json!({ "name": "fake", "version": "7", "vendor/extra": true });
    json!({ "protocolVersion": version, "capabilities": capabilities, "serverInfo": info, "instructions": "be kind" })
}
