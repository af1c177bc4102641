//! A saved conversation, as listings and replies show it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{SessionSource, ThreadStatus, Turn};

/// A thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    /// A UUID.
    pub id: String,
    /// The thread that began this line of threads: its own id, unless it is a helper agent's.
    pub session_id: String,
    /// The thread whose history this one began with.
    #[serde(default)]
    pub forked_from_id: Option<String>,
    /// The thread that this one helps.
    #[serde(default)]
    pub parent_thread_id: Option<String>,
    /// The first user message, empty before it.
    pub preview: String,
    /// Stored nowhere: it ends when it is unloaded.
    pub ephemeral: bool,
    /// The folder of a client's list.
    #[serde(default)]
    pub section: Option<ThreadSection>,
    /// Since when it is there.
    #[serde(default)]
    pub section_entered_at: Option<i64>,
    /// The project, if any.
    #[serde(default)]
    pub project_id: Option<String>,
    /// How turns are to be fetched.
    #[serde(default)]
    pub history_mode: ThreadHistoryMode,
    /// The provider's name in the configuration.
    pub model_provider: String,
    /// The model's name.
    #[serde(default)]
    pub model: Option<String>,
    /// How hard it thinks.
    #[serde(default)]
    pub reasoning_effort: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
    /// Unix seconds of the last user message.
    #[serde(default)]
    pub recency_at: Option<i64>,
    /// What it is doing.
    pub status: ThreadStatus,
    /// Always `null`: Verger keeps threads in a database.
    #[serde(default)]
    pub path: Option<String>,
    /// The working directory, absolute.
    pub cwd: String,
    /// The version of the server that began it.
    pub cli_version: String,
    /// The name of the client that began it.
    #[serde(default)]
    pub originator: Option<String>,
    /// The kind of that client.
    pub source: SessionSource,
    /// What the client said about why.
    #[serde(default)]
    pub thread_source: Option<String>,
    /// A helper agent's name.
    #[serde(default)]
    pub agent_nickname: Option<String>,
    /// A helper agent's role.
    #[serde(default)]
    pub agent_role: Option<String>,
    /// The repository it began in.
    #[serde(default)]
    pub git_info: Option<GitInfo>,
    /// The name that the user gave it.
    #[serde(default)]
    pub name: Option<String>,
    /// Filled by `thread/resume`, `thread/fork` and `thread/read` with `includeTurns`, empty elsewhere.
    pub turns: Vec<Turn>,
}

/// A folder of a client's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct ThreadSection {
    /// A UUID.
    pub id: String,
    /// For people.
    pub name: String,
}

/// How a client should fetch turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum ThreadHistoryMode {
    /// All at once.
    #[default]
    Legacy,
    /// Page by page.
    Paginated,
}

/// The state of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", default)]
pub struct GitInfo {
    /// The commit.
    pub sha: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The remote.
    pub origin_url: Option<String>,
}
