//! What travelled, kept for a judge: with `VERGER_WIRE_LOG=FOLDER` every client writes each frame to a file of its own.
//!
//! A file is called `TEST.CLIENT.PID-N.jsonl`. Its lines, in the order of sending and hearing:
//!
//! | line | means |
//! |---|---|
//! | `{"sent": MESSAGE}` | the client sent it |
//! | `{"sentText": TEXT}` | the client sent this, which is no JSON |
//! | `{"heard": MESSAGE}` | the server sent it |
//!
//! `cargo xtask test peer-schema` reads them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// One client's file; nothing where nobody asked for it.
#[derive(Debug)]
pub(crate) struct WireLog(Option<Mutex<File>>);

// === impl WireLog ===

impl WireLog {
    /// Opens a new file, if there is to be one.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written: a judge would take silence for consent.
    pub(crate) fn open(client: &str) -> Self {
        static OPENED: AtomicUsize = AtomicUsize::new(0);
        let Some(folder) = std::env::var_os("VERGER_WIRE_LOG").map(PathBuf::from) else { return Self(None) };
        let thread = std::thread::current();
        // A test's thread bears the test's name.
        let test = thread.name().unwrap_or("unnamed").replace("::", "-");
        let client: String = client.chars().filter(char::is_ascii_alphanumeric).collect();
        let (pid, n) = (std::process::id(), OPENED.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(format!("{test}.{client}.{pid}-{n}.jsonl"));
        let file = fs::create_dir_all(&folder).and_then(|()| File::create_new(&path));
        Self(Some(Mutex::new(file.unwrap_or_else(|error| panic!("{}: {error}", path.display())))))
    }

    /// Notes what is about to be sent.
    pub(crate) fn sent(&self, text: &str) {
        if self.0.is_some() {
            match serde_json::from_str::<Value>(text) {
                Ok(message) => self.write(&json!({ "sent": message })),
                Err(_) => self.write(&json!({ "sentText": text })),
            }
        }
    }

    /// Notes what has come.
    pub(crate) fn heard(&self, message: &Value) {
        if self.0.is_some() {
            self.write(&json!({ "heard": message }));
        }
    }

    fn write(&self, line: &Value) {
        if let Self(Some(file)) = self {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // In one write, so that a client that is dropped half-way leaves whole lines.
            file.write_all(format!("{line}\n").as_bytes()).expect("VERGER_WIRE_LOG names a folder with room");
        }
    }
}
