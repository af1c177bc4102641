//! What a request asks the fake to do.

use std::time::Duration;

use serde_json::Value;

use super::Request;

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Script {
    /// A text of `n` deltas; each is `text`, or `size` bytes where that is not 0.
    Text {
        n: usize,
        text: &'static str,
        size: usize,
        delay: Duration,
    },
    /// Silence, then `ok`.
    Sleep(Duration),
    Call {
        namespace: Option<String>,
        tool: String,
        arguments: String,
    },
    Fail {
        status: u16,
        retry_after: Option<String>,
    },
    Abort {
        code: String,
    },
    Drop {
        after: usize,
    },
    Incomplete,
    /// Not the Responses API at all.
    NotFound,
}

// === impl Script ===

impl Script {
    /// Reads the last user text, which `earlier` requests have carried already.
    pub(super) fn parse(request: &Request, text: &str, earlier: usize) -> Self {
        if !request.path.split('?').next().is_some_and(|path| path.ends_with("/responses")) {
            return Self::NotFound;
        }
        let number = |key: &str| value(text, key).and_then(|value| value.parse::<u64>().ok());
        let count = |key: &str, default: usize| {
            number(key).map_or(default, |number| usize::try_from(number).unwrap_or(usize::MAX))
        };
        let due = earlier < count("times", usize::MAX);
        match text.split_whitespace().next() {
            Some("STREAM") => Self::Text {
                n: count("n", 10),
                text: "ok",
                size: count("size", 20),
                delay: Duration::from_millis(number("delay_ms").unwrap_or(0)),
            },
            Some("SLEEP") => Self::Sleep(Duration::from_secs(number("s").unwrap_or(1))),
            Some("CALL") if tool_answered(&request.body) => Self::say("done"),
            Some("CALL") => {
                let mut words = text.trim_start().splitn(4, char::is_whitespace).skip(1);
                let mut next = || words.next().unwrap_or_default().to_owned();
                let (namespace, tool, arguments) = (next(), next(), next());
                Self::Call { namespace: Some(namespace).filter(|name| name != "-"), tool, arguments }
            }
            Some("FAIL") if due => Self::Fail {
                status: number("status").and_then(|status| status.try_into().ok()).unwrap_or(500),
                retry_after: value(text, "retry_after").map(str::to_owned),
            },
            Some("ABORT") if due => {
                Self::Abort { code: value(text, "code").unwrap_or("server_error").to_owned() }
            }
            Some("DROP") if due => Self::Drop { after: count("after", 0) },
            Some("INCOMPLETE") => Self::Incomplete,
            _ => Self::say("ok"),
        }
    }

    fn say(text: &'static str) -> Self {
        Self::Text { n: 1, text, size: 0, delay: Duration::ZERO }
    }
}

/// The last thing the user said, its parts joined by spaces.
pub(super) fn last_user_text(body: &Value) -> Option<String> {
    let message = input(body).rev().find(|item| item["role"] == "user")?;
    let parts = message["content"].as_array()?.iter().filter_map(|part| part["text"].as_str());
    Some(parts.collect::<Vec<_>>().join(" "))
}

/// Whether a tool's output came after the last thing the user said.
fn tool_answered(body: &Value) -> bool {
    input(body)
        .rev()
        .take_while(|item| item["role"] != "user")
        .any(|item| item["type"] == "function_call_output")
}

fn input(body: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    body["input"].as_array().into_iter().flatten()
}

/// What follows `key=`, up to a space.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}
