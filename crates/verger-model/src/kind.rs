//! What kind of failure an error is: for programs, which cannot read its message.
//!
//! Providers agree on little. Their word for the cause is believed first, then what is well known of their sentences (a
//! conversation that is too long is told in a dozen ways, under statuses from 400 to 500), then the status.

/// A failure by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelErrorKind {
    /// The conversation is longer than the model can read.
    ContextLength,
    /// What was paid for, or allowed, is used up.
    UsageLimit,
    /// Too many requests in too little time.
    RateLimit,
    /// The provider has no room.
    Overloaded,
    /// The key is missing, wrong, or may not do this.
    Unauthorized,
    /// No such model.
    UnknownModel,
    /// The provider does not take the request.
    BadRequest,
    /// The provider failed.
    ProviderFailed,
    /// A setting of ours cannot work.
    Setting,
    /// No connection, or none that lasted to the head of an answer.
    Unreachable,
    /// The stream ended, or fell silent, before the answer was whole.
    BrokenOff,
    /// The answer was cut on purpose.
    Incomplete,
    /// What came is not what the provider is said to speak.
    Unreadable,
}

/// The kind of a failure that the provider told, with an HTTP status where it refused, without one in the stream.
pub(crate) fn told(status: Option<u16>, code: Option<&str>, message: &str) -> ModelErrorKind {
    let code = code.unwrap_or_default();
    // Some write the status where the word belongs.
    let status = status.or_else(|| code.parse().ok());
    if let Some(kind) = by_code(code) {
        return kind;
    }
    let message = message.to_lowercase();
    let may_be_long = status.is_none_or(|status| !matches!(status, 401..=404 | 429));
    if may_be_long && is_too_long(&message) {
        return ModelErrorKind::ContextLength;
    }
    // Gateways keep the sentence and lose the word.
    if message.contains("exceeded your current quota") {
        return ModelErrorKind::UsageLimit;
    }
    match status {
        Some(400 | 405 | 406 | 413..=417 | 422) => ModelErrorKind::BadRequest,
        Some(401 | 403) => ModelErrorKind::Unauthorized,
        Some(402) => ModelErrorKind::UsageLimit,
        Some(404) if message.contains("model") => ModelErrorKind::UnknownModel,
        Some(404) => ModelErrorKind::BadRequest,
        Some(429) => ModelErrorKind::RateLimit,
        Some(503 | 529) => ModelErrorKind::Overloaded,
        None if matches!(code, "invalid_request_error" | "BadRequestError") => ModelErrorKind::BadRequest,
        _ => ModelErrorKind::ProviderFailed,
    }
}

/// Words that mean one thing. Words that say no more than a status does are not among them.
fn by_code(code: &str) -> Option<ModelErrorKind> {
    Some(match code {
        "context_length_exceeded" | "exceed_context_size_error" | "string_above_max_length" => {
            ModelErrorKind::ContextLength
        }
        "insufficient_quota"
        | "usage_limit_reached"
        | "usage_not_included"
        | "billing_hard_limit_reached" => ModelErrorKind::UsageLimit,
        "rate_limit_exceeded" | "rate_limit_error" | "RateLimitError" => ModelErrorKind::RateLimit,
        "server_is_overloaded" | "slow_down" | "overloaded_error" | "unavailable_error" => {
            ModelErrorKind::Overloaded
        }
        "invalid_api_key" | "authentication_error" | "AuthenticationError" => ModelErrorKind::Unauthorized,
        "model_not_found" => ModelErrorKind::UnknownModel,
        "invalid_prompt" => ModelErrorKind::BadRequest,
        _ => return None,
    })
}

/// Whether a sentence, in lowercase, says that the conversation is too long: what holds it, and that it does not fit.
fn is_too_long(message: &str) -> bool {
    const HOLDS: [&str; 6] = [
        "context length",
        "context window",
        "context size",
        "maximum context",
        "model length",
        "contextwindow",
    ];
    const NOT_FIT: [&str; 10] = [
        "exceed",
        "longer than",
        "too long",
        "too large",
        "too many",
        "you requested",
        "greater than",
        "reduce",
        "overflow",
        "your request has",
    ];
    // Sentences that name no context at all.
    const WHOLE: [&str; 7] = [
        "prompt is too long",
        "prompt too long",
        "input is too long",
        "exceeds the maximum number of tokens",
        "reduce the length of the messages",
        "`inputs` tokens + `max_new_tokens` must be <=",
        // What is left for the answer, once the prompt is larger than all there is.
        "max_tokens must be at least 1, got -",
    ];
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    has(&WHOLE) || (has(&HOLDS) && has(&NOT_FIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_that_is_too_long_is_known_by_whatever_sentence() {
        for (status, message) in [
            // OpenAI, old and new; vLLM, old and new
            (400, "This model's maximum context length is 4097 tokens. However, you requested 4120 tokens"),
            (
                400,
                "Your input exceeds the context window of this model. Please adjust your input and try again.",
            ),
            (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096."),
            (
                400,
                "This model's maximum context length is 8192 tokens and your request has 9210 input tokens",
            ),
            (400, "max_tokens must be at least 1, got -186."),
            // llama.cpp, which said 500 once
            (
                500,
                "the request exceeds the available context size. try increasing the context size or enable context shift",
            ),
            (400, "request (1407 tokens) exceeds the available context size (256 tokens), try increasing it"),
            // Ollama, LM Studio
            (400, "the input length exceeds the context length"),
            (400, "The number of tokens to keep from the initial prompt is greater than the context length"),
            // gateways in front of others
            (400, "litellm.ContextWindowExceededError: prompt is too long: 200001 tokens > 200000 maximum"),
            (400, "The input token count (582632) exceeds the maximum number of tokens allowed (131072)."),
            (413, "Please reduce the length of the messages or completion."),
        ] {
            assert_eq!(told(Some(status), None, message), ModelErrorKind::ContextLength, "{message}");
            assert_eq!(
                told(None, Some("invalid_request_error"), message),
                ModelErrorKind::ContextLength,
                "{message}"
            );
        }
        for message in ["unsupported parameter: context", "the context window is open", "invalid tool schema"]
        {
            assert_eq!(told(Some(400), None, message), ModelErrorKind::BadRequest, "{message}");
        }
        let limit = "Rate limit reached: requested tokens exceed the context window of your tier";
        assert_eq!(told(Some(429), None, limit), ModelErrorKind::RateLimit);
    }

    #[test]
    fn a_word_wins_over_a_status_and_a_status_over_nothing() {
        let check = |status: u16, code: Option<&str>, message: &str, want| {
            assert_eq!(told(Some(status), code, message), want, "{status} {code:?} {message}");
        };
        check(500, Some("exceed_context_size_error"), "no", ModelErrorKind::ContextLength);
        check(429, Some("insufficient_quota"), "no", ModelErrorKind::UsageLimit);
        check(429, None, "no", ModelErrorKind::RateLimit);
        check(
            429,
            None,
            "You exceeded your current quota, please check your plan",
            ModelErrorKind::UsageLimit,
        );
        check(404, None, "model \"m\" not found, try pulling it first", ModelErrorKind::UnknownModel);
        check(404, Some("NotFoundError"), "The model `m` does not exist.", ModelErrorKind::UnknownModel);
        check(404, None, "404 page not found", ModelErrorKind::BadRequest);
        check(401, None, "no", ModelErrorKind::Unauthorized);
        check(400, Some("invalid_request_error"), "no", ModelErrorKind::BadRequest);
        check(503, None, "Loading model", ModelErrorKind::Overloaded);
        check(502, None, "no", ModelErrorKind::ProviderFailed);
        assert_eq!(told(None, Some("429"), "no"), ModelErrorKind::RateLimit);
        assert_eq!(told(None, None, "no"), ModelErrorKind::ProviderFailed);
    }
}
