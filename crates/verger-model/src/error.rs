//! What can go wrong between us and a model.

use std::path::PathBuf;
use std::time::Duration;

use crate::kind::{self, ModelErrorKind};

/// Why a model did not answer. Each message names the provider, the cause, and the remedy where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The key's environment variable is unset or empty.
    #[error(
        "provider {provider}: {var} is not set: put the key into that environment variable, or remove `env_key`"
    )]
    MissingKey {
        /// The provider's id.
        provider: String,
        /// The variable.
        var: String,
    },
    /// The file with the key is not fit to be read.
    #[error("provider {provider}: key_file {} {cause}", path.display())]
    KeyFile {
        /// The provider's id.
        provider: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        cause: String,
    },
    /// A setting that cannot work.
    #[error("provider {provider}: {setting}: {cause}")]
    Setting {
        /// The provider's id.
        provider: String,
        /// The setting, as the configuration spells it.
        setting: String,
        /// What is wrong with it.
        cause: String,
    },
    /// TLS could not be set up on this machine.
    #[error(
        "provider {provider}: no root certificates: {cause}; install the system's CA certificates or set SSL_CERT_FILE"
    )]
    Roots {
        /// The provider's id.
        provider: String,
        /// What the search for them said.
        cause: String,
    },
    /// No answer at all: no connection, or it broke before the answer's head.
    #[error("provider {provider}: cannot reach {address}: {cause}")]
    Unreachable {
        /// The provider's id.
        provider: String,
        /// Host and port.
        address: String,
        /// Whether a connection was made at all; if not, nothing was sent.
        connected: bool,
        /// The innermost causes.
        cause: String,
    },
    /// An answer that is not a success.
    #[error("provider {provider}: answered {status}: {message}")]
    Status {
        /// The provider's id.
        provider: String,
        /// The HTTP status.
        status: u16,
        /// The provider's word for the cause, as in `insufficient_quota`.
        code: Option<String>,
        /// What the provider said, at most 1,000 characters, never with our key in it.
        message: String,
        /// How long it asked us to stay away.
        retry_after: Option<Duration>,
    },
    /// The stream ended before the answer did.
    #[error("provider {provider}: the stream broke off before the answer was complete: {cause}")]
    BrokenOff {
        /// The provider's id.
        provider: String,
        /// How it ended.
        cause: String,
    },
    /// Nothing came for the provider's `stream_idle_timeout`.
    #[error("provider {provider}: silent for {} s: raise `stream_idle_timeout_ms` if it needs longer", limit.as_secs_f32())]
    Silent {
        /// The provider's id.
        provider: String,
        /// The limit that passed.
        limit: Duration,
    },
    /// The model gave up, and said so in the stream.
    #[error("provider {provider}: {message}")]
    Failed {
        /// The provider's id.
        provider: String,
        /// The provider's word for the cause, as in `context_length_exceeded`.
        code: Option<String>,
        /// What the provider said, at most 1,000 characters, never with our key in it.
        message: String,
    },
    /// The answer was cut on purpose.
    #[error("provider {provider}: the answer is incomplete: {reason}")]
    Incomplete {
        /// The provider's id.
        provider: String,
        /// As in `max_output_tokens`.
        reason: String,
    },
    /// The stream is not what the provider's API is said to be.
    #[error("provider {provider}: unreadable stream: {cause}: is `wire_api` right?")]
    Unreadable {
        /// The provider's id.
        provider: String,
        /// What could not be read.
        cause: String,
    },
}

// === impl ModelError ===

impl ModelError {
    /// What kind of failure it is, for programs.
    pub fn kind(&self) -> ModelErrorKind {
        match self {
            Self::MissingKey { .. } | Self::KeyFile { .. } | Self::Setting { .. } | Self::Roots { .. } => {
                ModelErrorKind::Setting
            }
            Self::Unreachable { .. } => ModelErrorKind::Unreachable,
            Self::BrokenOff { .. } | Self::Silent { .. } => ModelErrorKind::BrokenOff,
            Self::Incomplete { .. } => ModelErrorKind::Incomplete,
            Self::Unreadable { .. } => ModelErrorKind::Unreadable,
            Self::Status { status, code, message, .. } => kind::told(Some(*status), code.as_deref(), message),
            Self::Failed { code, message, .. } => kind::told(None, code.as_deref(), message),
        }
    }

    /// The HTTP status of an answer that is not a success.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        let curable = match self.kind() {
            ModelErrorKind::RateLimit
            | ModelErrorKind::Overloaded
            | ModelErrorKind::ProviderFailed
            | ModelErrorKind::Unreachable
            | ModelErrorKind::BrokenOff => true,
            ModelErrorKind::ContextLength
            | ModelErrorKind::UsageLimit
            | ModelErrorKind::Unauthorized
            | ModelErrorKind::UnknownModel
            | ModelErrorKind::BadRequest
            | ModelErrorKind::Setting
            | ModelErrorKind::Incomplete
            | ModelErrorKind::Unreadable => false,
        };
        curable && self.status().is_none_or(|status| matches!(status, 408 | 409 | 425 | 429 | 500..=599))
    }

    /// How long the provider asked us to stay away.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
