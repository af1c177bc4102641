//! `[threads]`: how long a thread without subscribers stays.

use std::time::Duration;

use serde::Deserialize;
use verger_core::server::{OrphanTurn, Rules};

use super::duration;

/// The section as written; defaults are those of [`Rules`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Threads {
    #[serde(deserialize_with = "duration::deserialize")]
    orphan_grace: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    unsaved_grace: Duration,
    orphan_turn: Turn,
    #[serde(deserialize_with = "duration::deserialize")]
    orphan_turn_limit: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    drain_limit: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Turn {
    Finish,
    Interrupt,
}

impl Default for Threads {
    fn default() -> Self {
        let Rules { orphan_grace, unsaved_grace, orphan_turn: _, orphan_turn_limit, drain_limit } =
            Rules::default();
        Self { orphan_grace, unsaved_grace, orphan_turn: Turn::Finish, orphan_turn_limit, drain_limit }
    }
}

impl Threads {
    /// As the core takes them.
    pub fn rules(&self) -> Rules {
        let Self { orphan_grace, unsaved_grace, orphan_turn, orphan_turn_limit, drain_limit } = *self;
        let orphan_turn = match orphan_turn {
            Turn::Finish => OrphanTurn::Finish,
            Turn::Interrupt => OrphanTurn::Interrupt,
        };
        Rules { orphan_grace, unsaved_grace, orphan_turn, orphan_turn_limit, drain_limit }
    }
}
