//! What can go wrong when connecting to a server, and when asking it something.

use std::time::Duration;

use serde_json::Value;

use crate::MAX_LINE;

/// Why there is no session. The server's stderr, which the caller has, usually says more.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConnectError {
    /// The helper closed its stdout (most likely it exited) before the session stood.
    #[error("server '{server}' ended while answering '{request}'; its stderr may say why")]
    HelperGone {
        /// Configured name of the server.
        server: String,
        /// The request that was not answered: `initialize` or `tools/list`.
        request: &'static str,
    },
    /// The server answered with an error.
    #[error("server '{server}' refused '{request}' with error {code}: {}", or_nothing(.message))]
    Refused {
        /// Configured name of the server.
        server: String,
        /// The request that was refused.
        request: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// The server's own words, maybe none.
        message: String,
        /// What the server added.
        data: Option<Value>,
    },
    /// The server wants to speak a version of MCP without `initialize`, or none that is known.
    #[error(
        "server '{server}' answered initialize with MCP version '{version}'; verger speaks up to {newest} here"
    )]
    Version {
        /// Configured name of the server.
        server: String,
        /// What the server answered.
        version: String,
        /// The newest version that Verger offers in `initialize`.
        newest: String,
    },
    /// The answer is not what MCP says it should be.
    #[error("server '{server}' answered '{request}' wrongly: {problem}")]
    Malformed {
        /// Configured name of the server.
        server: String,
        /// The request that was answered.
        request: &'static str,
        /// What is wrong with the answer.
        problem: String,
    },
}

/// Why a request has no result. A request is never sent twice, whatever this says.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The helper died, or was stopped, after the request was sent and before it was answered.
    #[error("server '{server}' went away before it answered: outcome unknown, not sent again")]
    HelperGone {
        /// Configured name of the server.
        server: String,
    },
    /// The helper was ended, after the request was sent and before it was answered, for a reason that its caller should know.
    #[error("server '{server}' was ended before it answered: {reason}; outcome unknown, not sent again")]
    Ended {
        /// Configured name of the server.
        server: String,
        /// Why.
        reason: String,
    },
    /// The helper was gone before anything of the request was sent, so a new helper may be asked.
    #[error("server '{server}' is not running any more; the request was not sent")]
    NotSent {
        /// Configured name of the server.
        server: String,
    },
    /// No answer in time. The server was told that nobody waits any more, and other requests go on.
    #[error(
        "server '{server}' did not answer '{request}' within {} s; raise its tool_timeout_sec if it needs longer",
        .limit.as_secs_f64()
    )]
    Timeout {
        /// Configured name of the server.
        server: String,
        /// The tool, or the method of any other request.
        request: String,
        /// How long it was given.
        limit: Duration,
    },
    /// The server answered with a JSON-RPC error. A tool's own failure is not this: that is a result with `isError`.
    #[error("server '{server}' answered with error {code}: {}", or_nothing(.message))]
    Server {
        /// Configured name of the server.
        server: String,
        /// JSON-RPC error code.
        code: i64,
        /// The server's own words, maybe none.
        message: String,
        /// What the server added.
        data: Option<Value>,
    },
    /// The catalog has no such tool, so nothing was sent.
    #[error("tool '{tool}' is not in server '{server}' (any more); ask for its tools again")]
    UnknownTool {
        /// Configured name of the server.
        server: String,
        /// What was asked for.
        tool: String,
    },
    /// The session takes no new requests, because its helper is about to be stopped.
    #[error("server '{server}' is being stopped and takes no new calls")]
    Draining {
        /// Configured name of the server.
        server: String,
    },
    /// The request cannot be expressed in MCP, so nothing was sent.
    #[error("bad call of server '{server}': {problem}")]
    BadArguments {
        /// Configured name of the server.
        server: String,
        /// What is wrong.
        problem: String,
    },
    /// The answer was longer than [`MAX_LINE`] and was skipped.
    #[error("server '{server}' answered with {bytes} bytes; at most {MAX_LINE} are taken, ask it for less")]
    TooLarge {
        /// Configured name of the server.
        server: String,
        /// Length of the answer.
        bytes: u64,
    },
    /// The answer is not what MCP says it should be.
    #[error("server '{server}' answered wrongly: {problem}")]
    Malformed {
        /// Configured name of the server.
        server: String,
        /// What is wrong with the answer.
        problem: String,
    },
}

impl CallError {
    /// The same failure, seen from `connect`, where only a handful of kinds can happen.
    pub(crate) fn while_connecting(self, request: &'static str) -> ConnectError {
        match self {
            Self::Server { server, code, message, data } => {
                ConnectError::Refused { server, request, code, message, data }
            }
            Self::Malformed { server, problem } | Self::BadArguments { server, problem } => {
                ConnectError::Malformed { server, request, problem }
            }
            Self::HelperGone { server }
            | Self::Ended { server, .. }
            | Self::NotSent { server }
            | Self::Draining { server } => ConnectError::HelperGone { server, request },
            Self::TooLarge { ref server, .. }
            | Self::Timeout { ref server, .. }
            | Self::UnknownTool { ref server, .. } => {
                ConnectError::Malformed { server: server.clone(), request, problem: self.to_string() }
            }
        }
    }
}

fn or_nothing(message: &str) -> &str {
    if message.trim().is_empty() { "(no message)" } else { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_words_still_reads() {
        let error =
            CallError::Server { server: "git".into(), code: -32603, message: String::new(), data: None };
        assert_eq!(error.to_string(), "server 'git' answered with error -32603: (no message)");
    }
}
