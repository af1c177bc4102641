//! stdout: one message per line, written as badly as the mode asks.

use std::{
    io::{self, Write},
    sync::Mutex,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::mode::Mode;

/// The server's stdout, shared by the threads of slow calls.
#[derive(Debug)]
pub(crate) struct Output {
    mode: Mode,
    stdout: Mutex<io::Stdout>,
}

impl Output {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { mode, stdout: Mutex::new(io::stdout()) }
    }

    /// Answers request `id`.
    pub(crate) fn result(&self, id: &Value, result: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
    }

    /// Asks the client.
    pub(crate) fn request(&self, id: &str, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
    }

    /// Refuses request `id`.
    pub(crate) fn error(&self, id: &Value, code: i32, message: &str) {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }));
    }

    /// A line of `megabytes` that means nothing.
    pub(crate) fn long_line(&self, megabytes: u64) {
        let chunk = vec![b'x'; 1_000_000];
        self.write(|out| {
            for _ in 0..megabytes {
                out.write_all(&chunk)?;
            }
            out.write_all(b"\n")
        });
    }

    /// What half-lines leaves behind at its end.
    pub(crate) fn half_a_line(&self) {
        self.write(|out| out.write_all(br#"{"jsonrpc":"2.0","id":"#));
    }

    fn send(&self, message: &Value) {
        let line = format!("{message}\n");
        self.write(|out| match self.mode {
            Mode::GarbageStdout => {
                out.write_all(b"listening on stdio...\n\n\xff\xfe not even text\n{\"level\":30,\"msg\":\"a log line\"}\n42\n")?;
                out.write_all(line.as_bytes())
            }
            Mode::HalfLines => {
                let (first, second) = line.as_bytes().split_at(line.len() / 2);
                out.write_all(first)?;
                out.flush()?;
                thread::sleep(Duration::from_millis(2));
                out.write_all(second)
            }
            _ => out.write_all(line.as_bytes()),
        });
    }

    fn write(&self, put: impl FnOnce(&mut io::Stdout) -> io::Result<()>) {
        let mut out = self.stdout.lock().expect("no writer panics while it holds stdout");
        if let Err(error) = put(&mut out).and_then(|()| out.flush()) {
            // The client closed its end; stdin will end too. Nothing is left to say it on but stderr.
            eprintln!("bad-helper: stdout: {error}");
        }
    }
}
