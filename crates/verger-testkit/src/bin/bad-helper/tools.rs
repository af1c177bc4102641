//! The tools: what they are called, what they take, what they answer.

use std::{env, fs, sync::Mutex, thread, time::Duration};

use serde_json::{Value, json};

/// Memory that `alloc` never gives back.
static HELD: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// The answer to `tools/list`.
pub(crate) fn list() -> Value {
    let tool = |name: &str, description: &str, properties: Value| {
        json!({
            "name": name,
            "description": description,
            "inputSchema": { "type": "object", "properties": properties },
            "annotations": { "readOnlyHint": !matches!(name, "exit" | "alloc" | "write"), "destructiveHint": name == "exit" },
        })
    };
    json!({ "tools": [
        tool("echo", "Answers with the text it was given.", json!({ "text": { "type": "string" } })),
        tool("write", "As echo, and says that it changes something.", json!({ "text": { "type": "string" } })),
        tool("ask", "Asks the user, and answers with the answer.", json!({ "url": { "type": "boolean" } })),
        tool("pid", "The server's process id.", json!({})),
        tool("slow", "Answers after so many seconds; other calls go on.", json!({ "seconds": { "type": "number" } })),
        tool("exit", "Ends the server without an answer.", json!({ "code": { "type": "integer" } })),
        tool("env", "Names of the environment's variables.", json!({})),
        tool("cwd", "The working directory.", json!({})),
        tool("fds", "Numbers of the open descriptors.", json!({})),
        tool("alloc", "Takes so many MiB of memory and keeps them.", json!({ "mib": { "type": "integer" } })),
    ]})
}

/// The text answer of a quick tool; nothing when there is no such tool.
pub(crate) fn call(name: &str, arguments: &Value) -> Option<String> {
    Some(match name {
        "echo" | "write" => arguments["text"].as_str().unwrap_or("ok").to_owned(),
        "pid" => std::process::id().to_string(),
        "env" => {
            json!(env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect::<Vec<_>>())
                .to_string()
        }
        "cwd" => env::current_dir().map_or_else(|error| error.to_string(), |dir| dir.display().to_string()),
        "fds" => json!(fds()).to_string(),
        "alloc" => {
            hold_memory(arguments["mib"].as_u64().unwrap_or(1));
            "ok".to_owned()
        }
        _ => return None,
    })
}

/// A tool result of one text.
pub(crate) fn text(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

/// Takes `mib` MiB, every page of it touched, for good.
pub(crate) fn hold_memory(mib: u64) {
    let mut held = HELD.lock().expect("nobody panics while holding memory");
    held.extend((0..mib).map(|_| vec![1; 1 << 20]));
}

/// Takes 10 MiB every 10 ms beside whatever else goes on, and stops at `mib` MiB.
pub(crate) fn hold_more_and_more(mib: u64) {
    thread::spawn(move || {
        for _ in 0..mib / 10 {
            hold_memory(10);
            thread::sleep(Duration::from_millis(10));
        }
    });
}

/// Open descriptors, without the one that this look itself needs.
fn fds() -> Vec<i32> {
    let Ok(dir) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let open: Vec<i32> = dir.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let mut still: Vec<i32> =
        open.into_iter().filter(|fd| fs::read_link(format!("/proc/self/fd/{fd}")).is_ok()).collect();
    still.sort_unstable();
    still
}
