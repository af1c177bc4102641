//! A bad-helper on std pipes, and just enough MCP to talk to it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use verger_testkit::RunTag;

/// A running bad-helper, its pipes, and the event log of its family.
pub(crate) struct Helper {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: BufReader<ChildStdout>,
    pub(crate) stderr: ChildStderr,
    pub(crate) tag: RunTag,
    log: PathBuf,
    _dir: tempfile::TempDir,
}

impl Helper {
    pub(crate) fn start(mode: &[&str]) -> Self {
        Self::start_with_env(mode, false)
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the owner, and LeakGuard checks it")]
    pub(crate) fn start_with_env(mode: &[&str], empty_env: bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (tag, log) = (RunTag::new(), dir.path().join("events"));
        let mut command = Command::new(verger_testkit::bad_helper::path());
        if empty_env {
            command.env_clear();
        }
        command.arg("--mode").args(mode).args(["--tag", tag.as_str()]).arg("--log").arg(&log);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bad-helper starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take().expect("piped"));
        Self { child, stdin, stdout, stderr, tag, log, _dir: dir }
    }

    pub(crate) fn send(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(format!("{message}\n").as_bytes()).expect("the helper reads");
    }

    /// The next line of stdout, or nothing at its end.
    pub(crate) fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        (self.stdout.read_until(b'\n', &mut line).expect("stdout is readable") > 0).then_some(line)
    }

    /// Sends a request and reads on to the next JSON-RPC message.
    pub(crate) fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        self.answer().expect("an answer before the end of stdout")
    }

    /// The next JSON-RPC message.
    pub(crate) fn answer(&mut self) -> Option<Value> {
        loop {
            let line = self.line()?;
            match serde_json::from_slice::<Value>(&line) {
                Ok(message) if message.get("jsonrpc").is_some() => return Some(message),
                _ => {}
            }
        }
    }

    pub(crate) fn initialize(&mut self) -> Value {
        let client = json!({ "name": "test", "version": "0" });
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
        let answer = self.ask(1, "initialize", params);
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        answer
    }

    /// Calls a tool and gives back the text of its answer.
    pub(crate) fn call(&mut self, id: u64, tool: &str, arguments: Value) -> String {
        let answer = self.ask(id, "tools/call", json!({ "name": tool, "arguments": arguments }));
        answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Closes stdin and waits for the leader; its exit status.
    pub(crate) fn close(&mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().expect("the leader is this test's child").code()
    }

    /// KILLs the leader, this test's own unreaped child.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the leader is this test's child");
        self.child.wait().expect("the leader is this test's child");
    }

    /// Everything written to stderr; ends when all who hold it are gone.
    pub(crate) fn stderr_text(&mut self) -> String {
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).expect("stderr is readable");
        text
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Names of the logged events, in order.
    pub(crate) fn events(&self) -> Vec<String> {
        self.log_lines().iter().map(|line| line["ev"].as_str().unwrap_or_default().to_owned()).collect()
    }

    pub(crate) fn log_lines(&self) -> Vec<Value> {
        read_log(&self.log)
    }
}

fn read_log(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("whole JSON lines")).collect()
}
