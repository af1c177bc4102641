//! One request and the work it causes, and how it failed if it did.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use super::ThreadItem;

/// A turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// A UUID.
    pub id: String,
    /// The turn that this one is part of the work of: its own id, as a rule.
    #[serde(default)]
    pub root_turn_id: Option<String>,
    /// As many as `itemsView` says.
    pub items: Vec<ThreadItem>,
    /// How much of the turn `items` holds.
    #[serde(default)]
    pub items_view: TurnItemsView,
    /// How far it is.
    pub status: TurnStatus,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<TurnError>,
    /// Unix seconds.
    #[serde(default)]
    pub started_at: Option<i64>,
    /// Unix seconds.
    #[serde(default)]
    pub completed_at: Option<i64>,
    /// Milliseconds.
    #[serde(default)]
    pub duration_ms: Option<i64>,
}

/// How far a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum TurnStatus {
    /// It runs.
    InProgress,
    /// It ended as it should.
    Completed,
    /// Someone stopped it, or the server went down.
    Interrupted,
    /// `error` says why.
    Failed,
}

/// How much of a turn its `items` hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum TurnItemsView {
    /// Nothing: fetch them.
    NotLoaded,
    /// The user's first message and the last answer; of a turn just completed, the answer alone.
    Summary,
    /// Everything.
    #[default]
    Full,
}

/// A failure, as people and programs see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct TurnError {
    /// For people.
    pub message: String,
    /// For programs.
    #[serde(default)]
    pub codex_error_info: Option<CodexErrorInfo>,
    /// More for people.
    #[serde(default)]
    pub additional_details: Option<String>,
    /// Never set by Verger.
    #[serde(default)]
    pub misalignment: Option<Value>,
}

/// A failure by its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CodexErrorInfo {
    /// The conversation no longer fits the model.
    ContextWindowExceeded,
    /// The session's budget is spent.
    SessionBudgetExceeded,
    /// The account's budget is spent.
    UsageLimitExceeded,
    /// Too many requests.
    RateLimitExceeded,
    /// The cheap tier has no room.
    FlexUnavailable,
    /// The provider has no room.
    ServerOverloaded,
    /// No such model.
    ModelNotFound,
    /// A policy has no room.
    PolicyCapacityUnavailable,
    /// A policy forbids it.
    CyberPolicy,
    /// A policy forbids it.
    MisalignmentPolicyViolation,
    /// The user refused too often.
    TooManyDenials,
    /// The provider failed.
    InternalServerError,
    /// The key is wrong.
    Unauthorized,
    /// The provider did not understand.
    BadRequest,
    /// The thread could not be taken back.
    ThreadRollbackFailed,
    /// The sandbox failed.
    SandboxError,
    /// A hook refused the request.
    InferenceHookDenied,
    /// Anything else.
    Other,
    /// No connection to the provider.
    HttpConnectionFailed {
        /// Its answer, if any.
        #[serde(default)]
        http_status_code: Option<u16>,
    },
    /// The stream could not begin.
    ResponseStreamConnectionFailed {
        /// The provider's answer, if any.
        #[serde(default)]
        http_status_code: Option<u16>,
    },
    /// The stream broke off.
    ResponseStreamDisconnected {
        /// The provider's answer, if any.
        #[serde(default)]
        http_status_code: Option<u16>,
    },
    /// The last of several attempts.
    ResponseTooManyFailedAttempts {
        /// The provider's answer, if any.
        #[serde(default)]
        http_status_code: Option<u16>,
    },
    /// This kind of turn takes no further input.
    ActiveTurnNotSteerable {
        /// The kind.
        turn_kind: String,
    },
}
