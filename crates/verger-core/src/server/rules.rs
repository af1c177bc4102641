//! The rules: how long a thread without subscribers stays, and when helpers are started again that failed.

use std::time::Duration;

/// Settings of `[threads]` and `[helpers]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// An idle, materialized orphan stays this long.
    pub orphan_grace: Duration,
    /// An orphan that could not be resumed from the store stays this long.
    pub unsaved_grace: Duration,
    /// An orphan whose last client was cut, since it did not keep up, stays at least this long.
    pub resume_grace: Duration,
    /// What an orphan does with its active turn.
    pub orphan_turn: OrphanTurn,
    /// How long an orphan's turn may run.
    pub orphan_turn_limit: Duration,
    /// How long an orphan's turn may wait for an answer that only a client can give.
    pub orphan_request_limit: Duration,
    /// How long active turns may run on once shutdown began.
    pub drain_limit: Duration,
    /// At most so many helpers have processes at once.
    pub max_helpers: usize,
    /// One connection follows at most so many threads.
    pub max_threads_per_connection: usize,
    /// When helpers are started again that failed.
    pub restarts: Restarts,
}

/// When helpers are started again that failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Restarts {
    /// The longest wait after the first failure; it doubles with each further one. At least half of it is waited.
    pub delay: Duration,
    /// The wait grows no longer than this.
    pub delay_limit: Duration,
    /// A helper that was ready for so long has made up for earlier failures.
    pub healthy_after: Duration,
    /// With so many failures within `crash_window` the server counts as crashed.
    pub crash_limit: usize,
    /// How long a failure counts.
    pub crash_window: Duration,
    /// What waits are scattered by, so that two runs do not wait alike: any number.
    pub seed: u64,
}

impl Default for Restarts {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(500),
            delay_limit: Duration::from_secs(60),
            healthy_after: Duration::from_secs(60),
            crash_limit: 5,
            crash_window: Duration::from_secs(5 * 60),
            seed: 0,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            orphan_grace: Duration::ZERO,
            unsaved_grace: Duration::from_secs(60),
            resume_grace: Duration::from_secs(30),
            orphan_turn: OrphanTurn::Finish,
            orphan_turn_limit: Duration::from_secs(30 * 60),
            orphan_request_limit: Duration::from_secs(15 * 60),
            drain_limit: Duration::from_secs(5),
            max_helpers: 1000,
            max_threads_per_connection: 1000,
            restarts: Restarts::default(),
        }
    }
}

/// What becomes of a turn when its thread loses its last subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrphanTurn {
    /// It runs on, within `orphan_turn_limit`, or waits for an answer, within `orphan_request_limit`.
    Finish,
    /// It is interrupted at once.
    Interrupt,
}
