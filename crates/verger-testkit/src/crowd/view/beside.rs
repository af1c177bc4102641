//! A view beside what a scribe of the same thread knows.

use super::View;
use crate::crowd::chronicle::{Chronicle, Verdict};

impl View {
    /// Compares with what a scribe of the same thread knows, when nothing is under way.
    #[must_use]
    pub(in crate::crowd) fn against(&self, scribe: &Self) -> Option<String> {
        // Snapshots count records that are never told: who had one may be before who had none.
        let told = scribe.chronicle.as_ref().map(Chronicle::last).unwrap_or_default();
        if let Some(cursor) = self.cursor.as_ref().filter(|cursor| cursor.seq < told) {
            return Some(format!("it is at {} and the scribe was told {told}", cursor.seq));
        }
        if let Some((id, _)) = self.questions.open().next() {
            return Some(format!("question {id} is still open"));
        }
        self.turns.against(&scribe.turns, false)
    }

    /// Compares with what a scribe knows of the moment at which this client is, whatever happened since.
    #[must_use]
    pub(in crate::crowd) fn beside(&self, scribe: &Self) -> Verdict {
        let (Some(cursor), Some(chronicle)) = (&self.cursor, &scribe.chronicle) else {
            return Verdict::Unknown;
        };
        if self.stale {
            return Verdict::Unknown;
        }
        match chronicle.events(self.base, cursor.seq, &self.told) {
            Verdict::Same => {}
            other => return other,
        }
        let Some(then) = chronicle.at(cursor.seq) else { return Verdict::Unknown };
        self.turns.against(&then, true).map_or(Verdict::Same, Verdict::Different)
    }

    /// Compares texts in flight with what a scribe heard of them: one may be behind the other.
    #[must_use]
    pub(in crate::crowd) fn in_flight_beside(&self, scribe: &Self) -> Option<String> {
        self.flights.iter().find_map(|(id, flight)| {
            if let Some(theirs) = scribe.flights.get(id) {
                // Under another generation another text may have begun.
                let same = theirs.generation == flight.generation;
                return same.then(|| flight.beside(theirs)).flatten();
            }
            let whole = scribe.turns.item(&flight.turn, id).filter(|_| flight.is_news())?;
            let whole = serde_json::from_str(whole).ok()?;
            flight.against(&whole).map(|fault| format!("item {id}: {fault}"))
        })
    }
}
