//! MCP servers that other people wrote, started the way people start them, under the built `verger`.

use serde_json::{Value, json};

use crate::error::Error;
use crate::house::House;
use crate::report::Outcome;
use crate::run::{cargo, run};
use crate::tools::{EVERYTHING, MEMORY, has_nextest, has_npm, has_python};

/// Runs `tests/real_servers.rs` with those of the servers that could be fetched.
pub(crate) fn tests(house: &House) -> Result<Outcome, Error> {
    let (mut servers, mut missing) = (serde_json::Map::new(), Vec::new());
    if has_npm(house)? {
        servers.insert("everything".into(), everything(house));
        servers.insert("memory".into(), memory(house));
    } else {
        missing.push("server-everything and server-memory (npm)");
    }
    if has_python(house)? {
        servers.insert("time".into(), time(house));
    } else {
        missing.push("mcp-server-time (PyPI)");
    }
    if servers.is_empty() {
        return Ok(Outcome::Skipped(format!("not fetched: {}", missing.join(", "))));
    }
    let list = house.target.join("real-servers.json");
    std::fs::write(&list, Value::Object(servers).to_string()).map_err(Error::file(&list))?;
    let mut tests = cargo(house);
    // All of the workspace is named, so that its crates have the features that the step `build` gave them.
    if has_nextest(house) {
        tests.args(["nextest", "run", "--profile", "real-servers"]);
        tests.args(["--workspace", "--locked", "--test", "real_servers"]);
    } else {
        tests.args([
            "test",
            "--workspace",
            "--locked",
            "--test",
            "real_servers",
            "--",
            "--test-threads",
            "1",
        ]);
    }
    run(tests.env("VERGER_REAL_SERVERS", &list))?;
    if missing.is_empty() {
        return Ok(Outcome::passed());
    }
    Ok(Outcome::Passed(format!("without {}, not fetched", missing.join(", "))))
}

/// A tree of three: npx, a shell, node.
fn everything(house: &House) -> Value {
    json!({
        "command": "npx",
        "args": ["-y", EVERYTHING, "stdio"],
        // Its node_modules holds the package, so that npx asks no registry; a tag at the end reaches every process.
        "cwd": house.npm(),
        "tagAt": 3,
        "env": { "npm_config_cache": house.target.join("npm-cache") },
        "tool": "echo",
        "arguments": { "message": "ding" },
        "answer": "ding",
    })
}

/// Another such tree. Its notes are in a file that nobody writes.
fn memory(house: &House) -> Value {
    json!({
        "command": "npx",
        "args": ["-y", MEMORY],
        "cwd": house.npm(),
        "tagAt": 2,
        "env": {
            "npm_config_cache": house.target.join("npm-cache"),
            "MEMORY_FILE_PATH": house.npm().join("memory.jsonl"),
        },
        "tool": "read_graph",
        "arguments": {},
        "answer": "entities",
    })
}

/// One process, on the official Python SDK.
fn time(house: &House) -> Value {
    json!({
        "command": house.python(),
        // After -X the interpreter takes any word: a place for a tag in the command line of a program that has none.
        "args": ["-X", "-m", "mcp_server_time", "--local-timezone", "UTC"],
        "tagAt": 1,
        "tool": "get_current_time",
        "arguments": { "timezone": "UTC" },
        "answer": "UTC",
    })
}
