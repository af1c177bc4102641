//! Providers of models, as clients show them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::Empty;

/// `modelProvider/list`.
pub type ModelProviderListParams = Empty;

/// Answer to `modelProvider/list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ModelProviderListResponse {
    /// All of them.
    pub data: Vec<ModelProviderSummary>,
    /// The one of a thread that names none.
    pub default_provider_id: String,
    /// Clients may choose another default; never, with Verger.
    pub can_change_default: bool,
}

/// One provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ModelProviderSummary {
    /// Its name in the configuration.
    pub id: String,
    /// For people.
    pub name: String,
    /// Clients may change it; never, with Verger.
    pub can_edit: bool,
    /// Where its API begins, without credentials and query; `null` where there is none.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Its kind.
    pub settings: ProviderSettings,
}

/// What kind of provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ProviderSettings {
    /// The built-in one of the peer.
    Openai,
    /// Any endpoint.
    CustomGateway {
        /// How it knows who asks.
        auth: GatewayAuth,
    },
}

/// How a provider knows who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(tag = "mode", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum GatewayAuth {
    /// It does not.
    None,
    /// By a key in an environment variable of the server.
    EnvironmentVariable {
        /// Its name.
        env_key: String,
    },
    /// By something in the configuration that is not shown.
    ExternallyConfigured {
        /// A variable besides, if any.
        #[serde(default)]
        env_key: Option<String>,
    },
}
