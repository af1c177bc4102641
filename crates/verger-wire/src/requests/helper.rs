//! Verger's own: helpers as people handle them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// `verger/helper/restart`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct HelperRestartParams {
    /// The server's name in the configuration.
    pub server: String,
    /// In this thread only; without it in every thread, and for requests without one.
    #[serde(default)]
    pub thread_id: Option<String>,
}

/// Answer to `verger/helper/restart`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct HelperRestartResponse {
    /// How many helpers were ended and are proven gone.
    pub ended: u64,
    /// In how many threads failures were forgotten; requests without a thread count as one.
    pub forgiven: u64,
}
