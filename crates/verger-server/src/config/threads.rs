//! `[threads]`: how long a thread without subscribers stays.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use verger_core::server::{OrphanTurn, Rules};

use super::duration::Period;

/// How long a thread stays that no client follows any more. Each of these is a duration such as `"0s"`, `"500ms"`,
/// `"15m"` or `"1h 30m"`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Threads {
    /// How long an idle, saved thread stays loaded, and its helpers with it, after its last client left.
    #[schemars(example = &"15m")]
    orphan_grace: Period,
    /// How long a thread stays that had no turn yet, so that nobody could resume it later: its client may be reconnecting.
    /// Then it is discarded.
    #[schemars(example = &"5m")]
    unsaved_grace: Period,
    /// How long a thread stays loaded, and its helpers with it, whose last client the server cut because it did not keep up
    /// (close code 4408): that client comes back. Where another setting keeps the thread longer, that one holds.
    #[schemars(example = &"2m")]
    resume_grace: Period,
    /// What becomes of a turn whose last client left.
    orphan_turn: Turn,
    /// How long a turn may go on whose last client left. Then it is interrupted.
    #[schemars(example = &"2h")]
    orphan_turn_limit: Period,
    /// How long a turn may wait for an approval, or for any other answer that only a client can give, after its last client
    /// left; a client that comes back is asked again. Then it is interrupted.
    #[schemars(example = &"1h")]
    orphan_request_limit: Period,
    /// How long turns may go on once the server was told to stop.
    #[schemars(example = &"1s")]
    drain_limit: Period,
}

/// What becomes of a turn whose last client left.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Turn {
    /// It goes on to its end.
    Finish,
    /// It is interrupted at once.
    Interrupt,
}

impl Default for Threads {
    fn default() -> Self {
        let Rules {
            orphan_grace,
            unsaved_grace,
            resume_grace,
            orphan_turn_limit,
            orphan_request_limit,
            drain_limit,
            ..
        } = Rules::default();
        Self {
            orphan_grace: Period(orphan_grace),
            unsaved_grace: Period(unsaved_grace),
            resume_grace: Period(resume_grace),
            orphan_turn: Turn::Finish,
            orphan_turn_limit: Period(orphan_turn_limit),
            orphan_request_limit: Period(orphan_request_limit),
            drain_limit: Period(drain_limit),
        }
    }
}

impl Threads {
    /// As the core takes them; the rules for helpers are not its own.
    pub fn rules(&self) -> Rules {
        let Self {
            orphan_grace,
            unsaved_grace,
            resume_grace,
            orphan_turn,
            orphan_turn_limit,
            orphan_request_limit,
            drain_limit,
        } = *self;
        let orphan_turn = match orphan_turn {
            Turn::Finish => OrphanTurn::Finish,
            Turn::Interrupt => OrphanTurn::Interrupt,
        };
        Rules {
            orphan_grace: orphan_grace.0,
            unsaved_grace: unsaved_grace.0,
            resume_grace: resume_grace.0,
            orphan_turn,
            orphan_turn_limit: orphan_turn_limit.0,
            orphan_request_limit: orphan_request_limit.0,
            drain_limit: drain_limit.0,
            ..Rules::default()
        }
    }
}
