//! Verger's own: how a process that relays its client's connection says for whom it does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Parameters of `verger/relay`: what would be different if the client had a server of its own. Sent before
/// `initialize`, and refused where it would make a difference that the daemon cannot make up for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayParams {
    /// The folder that threads start in where the client names none: honoured.
    pub cwd: String,
    /// `PATH`, where helpers' programs are looked up: must be the daemon's.
    pub path: Option<String>,
    /// Settings from the command line and the environment, `(key, TOML)` in order: must be the daemon's.
    #[serde(default)]
    pub overrides: Vec<(String, String)>,
    /// Variables that the configuration names, with their values: must be the daemon's.
    #[serde(default)]
    pub environment: BTreeMap<String, Option<String>>,
}
