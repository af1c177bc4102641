//! What a provider says when it refuses or fails: a code and a sentence, in any of the shapes in use.

use serde_json::Value;

/// Longer messages are somebody's HTML page.
const MAX_MESSAGE: usize = 1_000;

/// A provider's account of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// A word; where there is none, a number that is an HTTP status.
    pub(crate) code: Option<String>,
    /// At most [`MAX_MESSAGE`] characters; never empty.
    pub(crate) message: String,
}

// === impl Said ===

impl Said {
    /// Reads a body or event: `{error: {code, type, message}}`, `{error: "..."}`, `{message}`, `{detail}`, or any text.
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str::<Value>(text)
            .ok()
            .and_then(|value| Self::of(&value))
            .unwrap_or_else(|| Self { code: None, message: bounded(text) })
    }

    /// Reads an error object, or what holds one.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        if let Some(inner) = value.get("error").filter(|inner| !inner.is_null()) {
            return Self::of(inner);
        }
        if let Value::String(text) = value {
            return Some(Self { code: None, message: bounded(text) });
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        // An `error` event's own type says nothing, and a number no more than a status does.
        let says = |word: &&str| !matches!(*word, "error" | "None") && word.parse::<u16>().is_err();
        let word = text("code").filter(says).or_else(|| text("type").filter(says)).map(str::to_owned);
        let number = || match value.get("code")? {
            Value::Number(number) => Some(number.to_string()),
            code => code.as_str().filter(|code| code.parse::<u16>().is_ok()).map(str::to_owned),
        };
        let code = word.or_else(number);
        let message = text("message").or_else(|| text("detail")).or(code.as_deref())?;
        let message = bounded(message);
        Some(Self { code, message })
    }
}

fn bounded(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None if text.is_empty() => "no reason given".to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: Option<&str>, message: &str) {
        let want = Said { code: code.map(str::to_owned), message: message.to_owned() };
        assert_eq!(Said::read(text), want, "{text}");
    }

    #[test]
    fn every_shape_in_use_is_read() {
        check(
            r#"{"error":{"message":"no","type":"quota","code":"insufficient_quota"}}"#,
            Some("insufficient_quota"),
            "no",
        );
        check(r#"{"error":{"message":"no","type":"server_error","code":null}}"#, Some("server_error"), "no");
        check(r#"{"type":"error","code":"slow_down","message":"no"}"#, Some("slow_down"), "no");
        check(
            r#"{"error":{"code":400,"type":"exceed_context_size_error","message":"no"}}"#,
            Some("exceed_context_size_error"),
            "no",
        );
        check(r#"{"error":{"code":"400","type":"None","message":"no"}}"#, Some("400"), "no");
        check(r#"{"code":429,"message":"no"}"#, Some("429"), "no");
        check(r#"{"error":"model not found"}"#, None, "model not found");
        check(r#"{"detail":"no"}"#, None, "no");
        check("upstream is down\n", None, "upstream is down");
        check("", None, "no reason given");
        check("[1]", None, "[1]");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = Said::read(&"é".repeat(5_000)).message;
        assert_eq!(message.chars().count(), MAX_MESSAGE + 3);
    }
}
