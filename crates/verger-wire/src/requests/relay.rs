//! Verger's own: how a process that relays its client's connection says for whom it does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Parameters of `verger/relay`: what would be different if the client had a server of its own. Sent before
/// `initialize`, and refused where it would make a difference that the daemon cannot make up for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct RelayParams {
    /// The folder that threads start in where the client names none: honoured.
    pub cwd: String,
    /// `PATH`, where helpers' programs are looked up: must be the daemon's.
    pub path: Option<String>,
    /// Settings from the command line and the environment, `(key, TOML)` in order: must be the daemon's.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub overrides: Vec<(String, String)>,
    /// Variables that the configuration names, with their values: must be the daemon's.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub environment: BTreeMap<String, Option<String>>,
}
