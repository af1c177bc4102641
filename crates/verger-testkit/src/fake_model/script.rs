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
    /// A thought, silence, then these calls, or `ok` where there are none.
    Think {
        thought: String,
        pause: Duration,
        calls: Vec<Call>,
    },
    Calls {
        calls: Vec<Call>,
        in_pieces: bool,
    },
    Fail {
        status: u16,
        retry_after: Option<String>,
        code: String,
        message: String,
    },
    /// A page for people where a stream should be.
    Page,
    Abort {
        code: String,
    },
    Drop {
        after: usize,
    },
    Incomplete,
    /// No wire that it speaks.
    NotFound,
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) namespace: Option<String>,
    pub(super) tool: String,
    /// JSON, or what a test wants in its place.
    pub(super) arguments: String,
}

/// What a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Responses,
    Chat,
}

// === impl Wire ===

impl Wire {
    /// Going by the address; nothing else is answered.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let path = request.path.split('?').next().unwrap_or_default();
        let chat = path.ends_with("/chat/completions").then_some(Self::Chat);
        chat.or_else(|| path.ends_with("/responses").then_some(Self::Responses))
    }
}

// === impl Call ===

impl Call {
    /// Of `NAMESPACE TOOL JSON`.
    fn parse(line: &str) -> Self {
        let mut words = line.trim_start().splitn(3, char::is_whitespace);
        let mut next = || words.next().unwrap_or_default().to_owned();
        let (namespace, tool, arguments) = (next(), next(), next());
        Self { namespace: Some(namespace).filter(|name| name != "-"), tool, arguments }
    }
}

// === impl Script ===

impl Script {
    /// Reads the last user text, which `earlier` requests have carried already.
    pub(super) fn parse(request: &Request, text: &str, earlier: usize) -> Self {
        if Wire::of(request).is_none() {
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
            Some("CALL" | "CALLS" | "THINK") if tool_answered(&request.body) => Self::say("done"),
            Some("CALL") => {
                let call = text.trim_start().strip_prefix("CALL").unwrap_or_default();
                Self::Calls { calls: vec![Call::parse(call)], in_pieces: false }
            }
            Some("CALLS") => {
                Self::Calls { calls: text.lines().skip(1).map(Call::parse).collect(), in_pieces: true }
            }
            Some("THINK") => {
                let mut lines = text.trim_start().lines();
                let thought = lines.next().and_then(|line| line.strip_prefix("THINK")).unwrap_or_default();
                let pause = Duration::from_secs(number("s").unwrap_or(0));
                let calls = lines.map(Call::parse).collect();
                Self::Think { thought: thought.trim().to_owned(), pause, calls }
            }
            Some("PAGE") => Self::Page,
            Some("FAIL") if due => {
                let status = number("status").and_then(|status| status.try_into().ok()).unwrap_or(500);
                let code = value(text, "code").unwrap_or("on_request").to_owned();
                Self::Fail {
                    status,
                    retry_after: value(text, "retry_after").map(str::to_owned),
                    message: match value(text, "repeat").and_then(|name| request.header(name)) {
                        Some(value) => format!("no user has {value}"),
                        None => complaint(&code, &format!("told to fail with {status}")),
                    },
                    code,
                }
            }
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

/// The last thing the user said, its parts joined by spaces: of a text in paragraphs the last one, as clients may join
/// messages.
pub(super) fn last_user_text(body: &Value) -> Option<String> {
    let message = input(body).rev().find(|item| item["role"] == "user")?;
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        content => {
            let parts = content.as_array()?.iter().filter_map(|part| part["text"].as_str());
            parts.collect::<Vec<_>>().join(" ")
        }
    };
    text.rsplit("\n\n").next().map(str::to_owned)
}

/// What a failure says. Some are known by their sentences, which gateways hand on, more than by their codes.
pub(super) fn complaint(code: &str, else_: &str) -> String {
    match code {
        "context_length_exceeded" => {
            "This model's maximum context length is 100 tokens. However, you requested 200 tokens."
        }
        "insufficient_quota" => {
            "You exceeded your current quota, please check your plan and billing details."
        }
        _ => else_,
    }
    .to_owned()
}

/// Whether a tool's output came after the last thing the user said.
fn tool_answered(body: &Value) -> bool {
    input(body)
        .rev()
        .take_while(|item| item["role"] != "user")
        .any(|item| item["type"] == "function_call_output" || item["role"] == "tool")
}

/// The conversation, on either wire.
fn input(body: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    body["input"].as_array().or(body["messages"].as_array()).into_iter().flatten()
}

/// What follows `key=`, up to a space.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}
