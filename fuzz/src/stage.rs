//! One daemon for as long as the process lives, in the same process: what it runs through counts as coverage, and where it
//! panics libFuzzer's hook ends everything and keeps the input.
//!
//! It is the whole daemon with a store of its own, reached over its Unix socket; it has no MCP servers and the offline
//! model, so that it starts no process and asks no network.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};
use verger_server::{AuthOptions, Home, Listen, Options};

/// Memory where there is a folder for it: the store syncs at each commit.
const MEMORY: &str = "/dev/shm";

/// Folders are named after their process.
const PREFIX: &str = "verger-fuzz-";

/// Nothing stays loaded for a client that may come back: what is left when all have gone is a leak.
const CONFIG: &str = "[threads]\nunsaved_grace = \"0s\"\n";

/// Starts the daemon; returns its socket once clients can connect.
///
/// # Panics
/// When it does not start. When it ends, the panic is in its own thread, and ends the process.
#[must_use]
pub fn open() -> PathBuf {
    let folder = folder().expect("a folder for the daemon's home");
    fs::write(folder.join("config.toml"), CONFIG).expect("its configuration is written");
    let socket = folder.join("fuzz");
    let listen = Listen::Socket(Some(socket.clone()));
    let options =
        Options { home: Home::at(&folder), overrides: Arc::default(), listen, auth: AuthOptions::default() };
    let (serving, serves) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        // As Rust's own `main` does, which libFuzzer's stands in for: who writes to a client that is gone gets an error.
        let pipe = runtime.block_on(async { signal(SignalKind::pipe()) });
        assert!(pipe.is_ok(), "no signal can be listened for: {pipe:?}");
        let ended =
            runtime.block_on(verger_server::run(options, |_| serving.send(()).expect("it is awaited")));
        panic!("the daemon ended, by itself or by a signal: {ended:?}");
    });
    serves.recv().expect("the daemon starts");
    socket
}

/// A new folder. libFuzzer leaves by `_exit`, so that each process clears up after those before it.
fn folder() -> std::io::Result<PathBuf> {
    let memory = Path::new(MEMORY);
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    for entry in fs::read_dir(&parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // Another process may be clearing up too.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
    let folder = parent.join(format!("{PREFIX}{}", std::process::id()));
    fs::create_dir(&folder)?;
    Ok(folder)
}
