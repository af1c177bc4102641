//! Tokens spent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What a thread has spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadTokenUsage {
    /// Since it began.
    pub total: TokenUsageBreakdown,
    /// In its last request to the model.
    pub last: TokenUsageBreakdown,
    /// How many tokens the model can hold.
    #[serde(default)]
    pub model_context_window: Option<i64>,
}

/// Tokens by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct TokenUsageBreakdown {
    /// In and out.
    pub total_tokens: i64,
    /// In, cached ones included.
    pub input_tokens: i64,
    /// In, read from the provider's cache.
    pub cached_input_tokens: i64,
    /// In, written to the provider's cache.
    #[serde(default)]
    pub cache_write_input_tokens: i64,
    /// Out, reasoning included.
    pub output_tokens: i64,
    /// Out, as reasoning.
    pub reasoning_output_tokens: i64,
}
