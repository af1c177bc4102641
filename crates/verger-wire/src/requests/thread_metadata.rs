//! What is noted on a thread from outside its turns.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use ts_rs::TS;

/// `thread/metadata/update`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct ThreadMetadataUpdateParams {
    /// The thread.
    pub thread_id: String,
    /// The state of the repository that it works on.
    #[serde(default)]
    pub git_info: Option<GitInfoUpdate>,
}

/// A change of [`GitInfo`](crate::types::GitInfo): what is absent stays, `null` takes away, text replaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(optional_fields = nullable)]
pub struct GitInfoUpdate {
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[ts(as = "Option<String>")]
    pub sha: Option<Option<String>>,
    /// The branch.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[ts(as = "Option<String>")]
    pub branch: Option<Option<String>>,
    /// The remote.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[ts(as = "Option<String>")]
    pub origin_url: Option<Option<String>>,
}

/// Keeps `null` apart from a missing member.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
