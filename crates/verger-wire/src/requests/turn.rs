//! Turns: begin, add to, stop.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use super::Empty;
use crate::types::{
    ApprovalsReviewer, AskForApproval, Personality, ReasoningSummary, SandboxPolicy, Turn, UserInput,
};

/// `turn/start`. While a turn runs, the input joins it and the answer names that turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct TurnStartParams {
    /// In which thread.
    pub thread_id: String,
    /// What the user says.
    pub input: Vec<UserInput>,
    /// Verger's own: a second request with the same one starts nothing and answers with the first one's turn.
    #[serde(default)]
    pub client_request_id: Option<String>,
    /// The client's own name for the message; comes back as `clientId` of its item.
    #[serde(default)]
    pub client_user_message_id: Option<String>,
    /// From now on: the model's name.
    #[serde(default)]
    pub model: Option<String>,
    /// From now on: how hard it thinks.
    #[serde(default)]
    pub effort: Option<String>,
    /// From now on: how much of it the model tells.
    #[serde(default)]
    pub summary: Option<ReasoningSummary>,
    /// From now on: the working directory.
    #[serde(default)]
    pub cwd: Option<String>,
    /// From now on: when to ask.
    #[serde(default)]
    pub approval_policy: Option<AskForApproval>,
    /// From now on: whom to ask.
    #[serde(default)]
    pub approvals_reviewer: Option<ApprovalsReviewer>,
    /// From now on: what may be touched.
    #[serde(default)]
    pub sandbox_policy: Option<SandboxPolicy>,
    /// From now on: the tone.
    #[serde(default)]
    pub personality: Option<Personality>,
    /// From now on: the provider's lane.
    #[serde(default)]
    pub service_tier: Option<String>,
    /// JSON Schema of the last answer.
    #[serde(default)]
    pub output_schema: Option<Value>,
}

/// Answer to `turn/start`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct TurnStartResponse {
    /// In progress, without items.
    pub turn: Turn,
}

/// `turn/steer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct TurnSteerParams {
    /// In which thread.
    pub thread_id: String,
    /// What the user says.
    pub input: Vec<UserInput>,
    /// The turn that it is meant for; another one refuses it.
    pub expected_turn_id: String,
    /// The client's own name for the message.
    #[serde(default)]
    pub client_user_message_id: Option<String>,
}

/// Answer to `turn/steer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct TurnSteerResponse {
    /// The turn that took it.
    pub turn_id: String,
}

/// `turn/interrupt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct TurnInterruptParams {
    /// In which thread.
    pub thread_id: String,
    /// The turn.
    pub turn_id: String,
}

/// Answer to `turn/interrupt`.
pub type TurnInterruptResponse = Empty;
