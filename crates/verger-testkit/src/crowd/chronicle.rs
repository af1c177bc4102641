//! What a scribe keeps: every durable event of a thread by its number, so that the thread of any moment can be told again.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::turns::{Change, Turns};

/// Stretches of the log, each from a snapshot on.
#[derive(Debug, Default)]
pub(super) struct Chronicle(Vec<Stretch>);

#[derive(Debug)]
struct Stretch {
    /// The number of the last record in the snapshot.
    base: u64,
    turns: Turns,
    events: BTreeMap<u64, Event>,
    /// The last event before a revert, which forgot turns without saying which.
    reverted: Option<u64>,
}

#[derive(Debug)]
struct Event {
    digest: u64,
    change: Option<Change>,
}

/// What was found beside a chronicle.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is the same.
    Same,
    /// The scribe was not there then, so that it cannot say.
    Unknown,
    /// In words.
    Different(String),
}

// === impl Chronicle ===

impl Chronicle {
    /// A snapshot at `base`: what came before it and after the last event is not known.
    pub(super) fn snapshot(&mut self, base: u64, turns: &Turns) {
        self.0.push(Stretch { base, turns: turns.clone(), events: BTreeMap::new(), reverted: None });
    }

    pub(super) fn note(&mut self, seq: u64, digest: u64, change: Option<Change>) {
        if let Some(stretch) = self.0.last_mut() {
            stretch.events.insert(seq, Event { digest, change });
        }
    }

    /// The thread was reverted: what it is from here on, the next snapshot will say.
    pub(super) fn reverted(&mut self) {
        if let Some(stretch) = self.0.last_mut() {
            let last = stretch.last();
            stretch.reverted.get_or_insert(last);
        }
    }

    /// The last event.
    pub(super) fn last(&self) -> u64 {
        self.0.iter().rev().find_map(|stretch| stretch.events.keys().next_back().copied()).unwrap_or_default()
    }

    /// Compares with the events that a client was told by number, all of those after `from` and up to `upto`.
    #[must_use]
    pub(super) fn events(&self, from: u64, upto: u64, told: &BTreeMap<u64, u64>) -> Verdict {
        let Some(stretch) = self.stretch(from, upto) else { return Verdict::Unknown };
        let after = (std::ops::Bound::Excluded(from), std::ops::Bound::Included(upto.max(from)));
        let ours: Vec<(u64, u64)> =
            stretch.events.range(after).map(|(seq, event)| (*seq, event.digest)).collect();
        let theirs: Vec<(u64, u64)> = told.range(after).map(|(seq, digest)| (*seq, *digest)).collect();
        if ours == theirs {
            return Verdict::Same;
        }
        let missing: Vec<u64> =
            ours.iter().map(|(seq, _)| *seq).filter(|seq| !told.contains_key(seq)).collect();
        let extra: Vec<u64> =
            theirs.iter().map(|(seq, _)| *seq).filter(|seq| !stretch.events.contains_key(seq)).collect();
        let other = |(seq, digest): &&(u64, u64)| told.get(seq).is_some_and(|theirs| theirs != digest);
        let otherwise: Vec<u64> = ours.iter().filter(other).map(|(seq, _)| *seq).collect();
        Verdict::Different(format!(
            "of the events after {from} up to {upto}: never told {missing:?}, told to this client alone {extra:?}, told otherwise \
             {otherwise:?}"
        ))
    }

    /// The thread as it was at `seq`.
    #[must_use]
    pub(super) fn at(&self, seq: u64) -> Option<Turns> {
        let stretch = self.stretch(seq, seq)?;
        if stretch.reverted.is_some_and(|reverted| seq > reverted) {
            return None;
        }
        let mut turns = stretch.turns.clone();
        for event in stretch.events.range(..=seq).map(|(_, event)| event) {
            if let Some(change) = &event.change {
                turns.apply(change);
            }
        }
        Some(turns)
    }

    /// The stretch that knows all from `from` to `upto`.
    fn stretch(&self, from: u64, upto: u64) -> Option<&Stretch> {
        let place = self.0.iter().rposition(|stretch| stretch.base <= from)?;
        let stretch = &self.0[place];
        let last = stretch.last();
        // Between one stretch and the next the scribe knows nothing.
        (upto <= last || (place + 1 == self.0.len() && from <= last)).then_some(stretch)
    }
}

impl Stretch {
    fn last(&self) -> u64 {
        self.events.keys().next_back().map_or(self.base, |last| *last)
    }
}

/// What two clients were told under one number is the same if this is.
pub(super) fn digest(method: &str, params: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    method.hash(&mut hasher);
    // Generations are about who tells it, not about what.
    let told: Vec<_> =
        params.as_object().into_iter().flatten().filter(|(name, _)| *name != "_stream").collect();
    for (name, value) in told {
        (name, value.to_string()).hash(&mut hasher);
    }
    hasher.finish()
}
