//! The orphan rules: how long a thread without subscribers stays.

use std::time::Duration;

/// Settings of `[threads]` in the configuration, and of the shutdown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// An idle, materialized orphan stays this long.
    pub orphan_grace: Duration,
    /// An orphan that could not be resumed from the store stays this long.
    pub unsaved_grace: Duration,
    /// What an orphan does with its active turn.
    pub orphan_turn: OrphanTurn,
    /// How long an orphan's turn may run.
    pub orphan_turn_limit: Duration,
    /// How long active turns may run on once shutdown began.
    pub drain_limit: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            orphan_grace: Duration::ZERO,
            unsaved_grace: Duration::from_secs(60),
            orphan_turn: OrphanTurn::Finish,
            orphan_turn_limit: Duration::from_secs(30 * 60),
            drain_limit: Duration::from_secs(5),
        }
    }
}

/// What becomes of a turn when its thread loses its last subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrphanTurn {
    /// It runs on, within `orphan_turn_limit`.
    Finish,
    /// It is interrupted at once.
    Interrupt,
}
