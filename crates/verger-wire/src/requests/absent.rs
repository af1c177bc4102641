//! Hooks and skills, which Verger does not have. Clients list them at their start, and show an error where they cannot.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

/// Which folders to look in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(default)]
pub struct FoldersParams {
    /// In these folders; in the server's own where there are none.
    #[ts(optional, as = "Option<_>")]
    pub cwds: Vec<String>,
}

/// `hooks/list`.
pub type HooksListParams = FoldersParams;
/// `skills/list`.
pub type SkillsListParams = FoldersParams;

/// Answer to `hooks/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct HooksListResponse {
    /// One for each folder.
    pub data: Vec<FolderHooks>,
}

/// The hooks of a folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct FolderHooks {
    /// The folder.
    pub cwd: String,
    /// None, with Verger.
    pub hooks: Vec<Value>,
    /// None, with Verger.
    pub warnings: Vec<String>,
    /// None, with Verger.
    pub errors: Vec<Value>,
}

/// Answer to `skills/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct SkillsListResponse {
    /// One for each folder.
    pub data: Vec<FolderSkills>,
}

/// The skills of a folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct FolderSkills {
    /// The folder.
    pub cwd: String,
    /// None, with Verger.
    pub skills: Vec<Value>,
    /// None, with Verger.
    pub errors: Vec<Value>,
}
