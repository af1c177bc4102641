//! The hidden `verger demo-helper`: a small honest MCP server on stdio, for machines without Node and Python.
//!
//! It has two tools, `echo` and `time`, and ends when its stdin does.

use std::io::{BufRead, Write, stdin, stdout};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::serve::Failure;

/// The protocol versions that it speaks: for these two tools they are all the same.
const VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

pub(crate) fn demo_helper() -> Result<(), Failure> {
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?) {
            Ok(message) => answer(&message),
            Err(cause) => Some(refusal(&Value::Null, -32700, &format!("not JSON: {cause}"))),
        };
        if let Some(answer) = answer {
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
    }
    Ok(())
}

/// `None` for a notification, which nobody answers.
fn answer(message: &Value) -> Option<Value> {
    let id = message.get("id")?;
    let params = &message["params"];
    let result = match message["method"].as_str()? {
        "initialize" => json!({
            "protocolVersion": version(params["protocolVersion"].as_str()),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "verger-demo-helper", "version": env!("CARGO_PKG_VERSION")},
        }),
        "ping" => json!({}),
        "tools/list" => json!({"tools": tools()}),
        "tools/call" => match call(params) {
            Ok(text) => json!({"content": [{"type": "text", "text": text}]}),
            Err(text) => json!({"content": [{"type": "text", "text": text}], "isError": true}),
        },
        method => return Some(refusal(id, -32601, &format!("Method not found: {method}"))),
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn refusal(id: &Value, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// The client's version if it is known here, else the newest that is.
fn version(asked: Option<&str>) -> &str {
    asked.filter(|asked| VERSIONS.contains(asked)).unwrap_or(VERSIONS[VERSIONS.len() - 1])
}

fn tools() -> Value {
    let message = json!({"type": "string", "description": "What to say"});
    let echo = json!({"type": "object", "properties": {"message": message}, "required": ["message"]});
    json!([
        {"name": "echo", "description": "Says it again", "inputSchema": echo, "annotations": {"readOnlyHint": true}},
        {"name": "time", "description": "Seconds since 1970-01-01 UTC", "inputSchema": {"type": "object"},
         "annotations": {"readOnlyHint": true}},
    ])
}

fn call(params: &Value) -> Result<String, String> {
    match params["name"].as_str() {
        Some("echo") => match params["arguments"]["message"].as_str() {
            Some(message) => Ok(format!("Echo: {message}")),
            None => Err("echo: no message; pass {\"message\": \"TEXT\"}".to_owned()),
        },
        Some("time") => {
            #[expect(clippy::disallowed_methods, reason = "a clock is what this tool is")]
            let now = SystemTime::now();
            let since = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|cause| cause.to_string())?;
            Ok(since.as_secs().to_string())
        }
        name => Err(format!("no tool {}; there are echo and time", name.unwrap_or("without a name"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, params: Value) -> Value {
        answer(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})).unwrap()
    }

    #[test]
    fn it_introduces_itself_in_the_clients_version() {
        for (asked, spoken) in [("2025-06-18", "2025-06-18"), ("1999-01-01", "2025-11-25")] {
            let answer = ask("initialize", json!({"protocolVersion": asked}));
            assert_eq!(answer["result"]["protocolVersion"], spoken);
            assert_eq!(answer["id"], 7);
        }
    }

    #[test]
    fn its_tools_do_what_they_say() {
        let text = |answer: Value| answer["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        let call =
            |name: &str, arguments: Value| ask("tools/call", json!({"name": name, "arguments": arguments}));
        assert_eq!(text(call("echo", json!({"message": "hi"}))), "Echo: hi");
        assert!(text(call("time", json!({}))).parse::<u64>().unwrap() > 1_700_000_000);
        for refused in [call("echo", json!({})), call("rm", json!({}))] {
            assert_eq!(refused["result"]["isError"], true, "{refused}");
        }
        assert_eq!(ask("tools/list", json!({}))["result"]["tools"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn notifications_get_no_answer_and_unknown_methods_an_error() {
        assert_eq!(answer(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})), None);
        assert_eq!(ask("resources/list", json!({}))["error"]["code"], -32601);
    }
}
