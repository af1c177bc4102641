//! What clients ask at their start: account, models, configuration. Some end without an answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;

use crate::types::Account;

/// `account/read`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", default)]
pub struct GetAccountParams {
    /// Renew the sign-in first.
    #[ts(optional, as = "Option<_>")]
    pub refresh_token: bool,
}

/// Answer to `account/read`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct GetAccountResponse {
    /// Who is signed in; nobody, with Verger.
    #[serde(default)]
    pub account: Option<Account>,
    /// The provider's name for them.
    #[serde(default)]
    pub user_id: Option<String>,
    /// The client must sign in before anything works.
    pub requires_openai_auth: bool,
}

/// `model/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(optional_fields = nullable)]
pub struct ModelListParams {
    /// Where to go on.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
    /// With those that are not meant to be chosen.
    pub include_hidden: Option<bool>,
    /// Of this provider rather than the default one.
    pub model_provider: Option<String>,
}

/// Answer to `model/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ModelListResponse {
    /// This page.
    pub data: Vec<Model>,
    /// The next page; `null` at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// A model to choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// For clients.
    pub id: String,
    /// For the provider.
    pub model: String,
    /// For people.
    pub display_name: String,
    /// About it.
    pub description: String,
    /// Not meant to be chosen.
    pub hidden: bool,
    /// How hard it can think.
    pub supported_reasoning_efforts: Vec<ReasoningEffortOption>,
    /// How hard it thinks unless told.
    pub default_reasoning_effort: String,
    /// Chosen unless told.
    pub is_default: bool,
}

/// How hard a model can think.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ReasoningEffortOption {
    /// Its name.
    pub reasoning_effort: String,
    /// About it.
    pub description: String,
}

/// `config/read`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(optional_fields = nullable)]
pub struct ConfigReadParams {
    /// As seen from this directory.
    pub cwd: Option<String>,
    /// With the files that it came from.
    #[ts(optional, as = "Option<_>")]
    pub include_layers: bool,
}

/// Answer to `config/read`. Keys as in the file, `null` where unset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct ConfigReadResponse {
    /// What is in force.
    pub config: Map<String, Value>,
    /// Where each key came from.
    pub origins: Map<String, Value>,
    /// The files.
    #[serde(default)]
    pub layers: Option<Vec<Value>>,
}

/// Answer to `configRequirements/read`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ConfigRequirementsReadResponse {
    /// None, with Verger.
    #[serde(default)]
    pub requirements: Option<Value>,
}
