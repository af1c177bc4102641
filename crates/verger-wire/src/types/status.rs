//! What a thread is doing, as far as clients care.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A thread's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ThreadStatus {
    /// No owner in memory.
    NotLoaded,
    /// Loaded, no turn.
    Idle,
    /// Loaded, and its last turn ended in a failure of the system.
    SystemError,
    /// A turn runs.
    Active {
        /// What it waits for; empty while it works.
        active_flags: Vec<ThreadActiveFlag>,
    },
}

/// What an active thread waits for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, TS,
)]
#[serde(rename_all = "camelCase")]
pub enum ThreadActiveFlag {
    /// Someone must allow something.
    WaitingOnApproval,
    /// Someone must answer a question.
    WaitingOnUserInput,
}
