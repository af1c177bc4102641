//! A model's failure as clients know failures: by the word that the peer has for it, as far as that is known.
//!
//! The peer tells most statuses as a connection that failed, and what breaks a stream as anything else; a client that knows it
//! looks there for what it knows.

use verger_model::{ModelError, ModelErrorKind};
use verger_wire::types::{CodexErrorInfo, TurnError};

use super::model_call::turn_error;

/// A failure that ends the turn.
pub(super) fn last(error: &ModelError) -> TurnError {
    let http_status_code = error.status();
    let info = match (error.kind(), http_status_code) {
        (ModelErrorKind::ContextLength, _) => CodexErrorInfo::ContextWindowExceeded,
        (ModelErrorKind::UsageLimit, _) => CodexErrorInfo::UsageLimitExceeded,
        (ModelErrorKind::RateLimit, Some(_)) => {
            CodexErrorInfo::ResponseTooManyFailedAttempts { http_status_code }
        }
        (ModelErrorKind::RateLimit, None) => CodexErrorInfo::RateLimitExceeded,
        (ModelErrorKind::Overloaded, None) => CodexErrorInfo::ServerOverloaded,
        (ModelErrorKind::Unauthorized, None) => CodexErrorInfo::Unauthorized,
        (ModelErrorKind::UnknownModel, None) => CodexErrorInfo::ModelNotFound,
        (ModelErrorKind::ProviderFailed, Some(500)) => CodexErrorInfo::InternalServerError,
        (ModelErrorKind::BadRequest, Some(400)) => CodexErrorInfo::Other,
        (_, Some(_)) | (ModelErrorKind::Unreachable, None) => {
            CodexErrorInfo::HttpConnectionFailed { http_status_code }
        }
        _ => CodexErrorInfo::Other,
    };
    turn_error(error.to_string(), Some(info))
}

/// A failure that another attempt follows: the `attempt`th of at most `of`.
pub(super) fn passing(cause: String, http_status_code: Option<u16>, attempt: u32, of: u32) -> TurnError {
    let info = CodexErrorInfo::ResponseStreamDisconnected { http_status_code };
    TurnError {
        additional_details: Some(cause),
        ..turn_error(format!("Reconnecting... {attempt}/{of}"), Some(info))
    }
}
