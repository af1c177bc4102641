//! What a crowd has done.

use std::collections::BTreeMap;
use std::fmt;

use crate::client::NoResult;

/// Counts, by kind.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Steps that were taken.
    pub steps: BTreeMap<&'static str, u64>,
    /// Steps that the server refused, by its words without ids.
    pub refused: BTreeMap<String, u64>,
    /// Connections that the server ended because their client was slow.
    pub slow: u64,
    /// Connections that ended for another reason than the crowd's will.
    pub lost: u64,
    /// Comparisons at rest.
    pub rests: u64,
    /// Views that were compared with a scribe's.
    pub compared: u64,
    /// Those of them of which the scribe could not say.
    pub unknown: u64,
    /// Resumes that were answered with a replay, and with a snapshot.
    pub answers: (u64, u64),
    /// Times that a thread was left by all and unloaded.
    pub emptied: u64,
    /// Turns that the server acknowledged, and that were found again.
    pub acknowledged: u64,
}

impl Tally {
    pub(super) fn step(&mut self, kind: &'static str) {
        *self.steps.entry(kind).or_default() += 1;
    }

    /// How many steps were taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.steps.values().sum()
    }

    pub(super) fn refusal(&mut self, kind: &'static str, error: &NoResult) {
        let words = error.to_string();
        let plain =
            words.split_whitespace().filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()));
        let plain: Vec<&str> = plain.take(8).collect();
        *self.refused.entry(format!("{kind}: {}", plain.join(" "))).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slow, lost, rests, compared, unknown, answers, emptied, acknowledged, .. } = self;
        writeln!(
            f,
            "{} steps, {rests} rests, {compared} views compared ({unknown} unknown), {} replays, {} snapshots, {slow} cut as slow, \
             {lost} connections lost, {emptied} threads emptied, {acknowledged} turns acknowledged",
            self.taken(),
            answers.0,
            answers.1
        )?;
        let steps: Vec<String> = self.steps.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(f, "  {}", steps.join(", "))?;
        self.refused.iter().try_for_each(|(words, count)| writeln!(f, "  refused {count}: {words}"))
    }
}
