//! Who pays: Verger has no accounts, but clients ask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// How the server is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Account {
    /// With a key of the provider.
    ApiKey {},
    /// With a subscription.
    Chatgpt {
        /// The subscriber.
        email: Option<String>,
        /// The kind of subscription.
        plan_type: String,
        /// The workspace, if any.
        #[serde(default)]
        workspace_name: Option<String>,
    },
}
