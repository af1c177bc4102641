//! A model's failure as clients know failures: in the peer's words, where the peer has one for it.

use verger_model::{ModelError, ModelErrorKind};
use verger_wire::types::{CodexErrorInfo, TurnError};

use super::model_call::turn_error;

/// A failure that ends the turn.
pub(super) fn last(error: &ModelError) -> TurnError {
    let http_status_code = error.status();
    let info = match error.kind() {
        ModelErrorKind::ContextLength => CodexErrorInfo::ContextWindowExceeded,
        ModelErrorKind::UsageLimit => CodexErrorInfo::UsageLimitExceeded,
        ModelErrorKind::RateLimit => CodexErrorInfo::RateLimitExceeded,
        ModelErrorKind::Overloaded => CodexErrorInfo::ServerOverloaded,
        ModelErrorKind::Unauthorized => CodexErrorInfo::Unauthorized,
        ModelErrorKind::UnknownModel => CodexErrorInfo::ModelNotFound,
        ModelErrorKind::BadRequest => CodexErrorInfo::BadRequest,
        ModelErrorKind::ProviderFailed if http_status_code == Some(500) => {
            CodexErrorInfo::InternalServerError
        }
        ModelErrorKind::ProviderFailed if http_status_code.is_some() => {
            CodexErrorInfo::ResponseTooManyFailedAttempts { http_status_code }
        }
        ModelErrorKind::ProviderFailed | ModelErrorKind::BrokenOff | ModelErrorKind::Incomplete => {
            CodexErrorInfo::ResponseStreamDisconnected { http_status_code }
        }
        ModelErrorKind::Unreachable => CodexErrorInfo::HttpConnectionFailed { http_status_code },
        ModelErrorKind::Unreadable => CodexErrorInfo::ResponseStreamConnectionFailed { http_status_code },
        _ => CodexErrorInfo::Other,
    };
    turn_error(error.to_string(), Some(info))
}

/// A failure that another attempt follows.
pub(super) fn passing(message: String, http_status_code: Option<u16>) -> TurnError {
    turn_error(message, Some(CodexErrorInfo::ResponseStreamDisconnected { http_status_code }))
}
