//! What the month has to come to, found without the code under test.

use super::*;

impl World {
    /// Whether somebody was there at any moment of these.
    fn was_there(&self, from: Timestamp, to: Timestamp) -> bool {
        let next = self.present.partition_point(|(_, until)| *until < from);
        self.present.get(next).is_some_and(|(since, _)| *since <= to)
    }

    pub(super) fn check(&self) -> BTreeMap<String, usize> {
        let mut sums = BTreeMap::new();
        for (&job, made) in &self.jobs {
            let rows: Vec<_> = self.ledger.rows.iter().filter(|(_, row)| row.job == job).collect();
            self.check_slots(made, rows.iter().filter(|(_, row)| row.attempt == 1).map(|(_, row)| *row));
            self.check_alone(made, rows.iter().map(|(run, _)| **run));
            for (run, row) in rows {
                self.check_end(*run, row);
                *sums.entry(format!("{:?}", row.state)).or_default() += 1;
            }
        }
        sums
    }

    /// Each slot is in exactly one row, and in the right one.
    fn check_slots<'a>(&self, made: &Made, rows: impl Iterator<Item = &'a Row>) {
        let text = &made.rules.schedule;
        let mut found = BTreeSet::new();
        for row in rows {
            let within: Vec<_> = made.slots.range(row.first..=row.last).copied().collect();
            assert_eq!(within.len(), row.count as usize, "'{text}': {row:?} covers {within:?}");
            assert!(
                within.contains(&row.first) && within.contains(&row.last),
                "'{text}': {row:?} is no slot"
            );
            for slot in within {
                assert!(found.insert(slot), "'{text}': {slot} twice, again in {row:?}");
                self.check_fate(made, slot, row);
            }
        }
        // What is put off past the end has not come.
        let last = later(self.now, -60);
        let lost: Vec<_> = made.slots.iter().filter(|slot| **slot <= last && !found.contains(slot)).collect();
        let came: Vec<_> = lost.into_iter().filter(|slot| self.was_there(**slot, last)).collect();
        assert!(came.is_empty(), "'{text}' lost {came:?}");
    }

    fn check_fate(&self, made: &Made, slot: Timestamp, row: &Row) {
        let text = &made.rules.schedule;
        let put_off = made.rules.jitter.as_secs().cast_signed();
        let grace = GRACE.as_secs().cast_signed();
        let is_punctual =
            !row.late && !matches!(row.state, State::Skipped(Skipped::Missed | Skipped::Merged));
        // Who dies as the slot comes, or while a ledger that has failed is left alone, has not put it down.
        let surely_there = self.was_there(later(slot, put_off + 6), later(slot, grace));
        let maybe_there = self.was_there(slot, later(slot, put_off + grace));
        assert!(is_punctual || !surely_there, "'{text}': {slot} was not missed: {row:?}");
        assert!(!is_punctual || maybe_there, "'{text}': {slot} was missed: {row:?}");
        let wants = match row.state {
            State::Skipped(Skipped::Missed) => made.rules.missed == Missed::Skip,
            State::Skipped(Skipped::Merged) => made.rules.missed == Missed::RunOnce,
            State::Skipped(Skipped::Overlap) => made.rules.overlap == Overlap::Skip,
            State::Skipped(_) => false,
            _ => !row.late || made.rules.missed == Missed::RunOnce,
        };
        assert!(wants, "'{text}' does not want this: {row:?}");
    }

    /// Of a job whose runs do not overlap one goes on at a time, in whichever server.
    fn check_alone(&self, made: &Made, runs: impl Iterator<Item = JobRunId>) {
        let mut spans: Vec<_> = runs.filter_map(|run| self.spans.get(&run)).collect();
        spans.sort();
        let ends_before =
            |pair: &[&(Timestamp, Option<Timestamp>)]| pair[0].1.is_some_and(|end| end <= pair[1].0);
        let twice =
            spans.windows(2).find(|pair| made.rules.overlap != Overlap::Parallel && !ends_before(pair));
        assert!(twice.is_none(), "'{}' ran twice at once: {twice:?}", made.rules.schedule);
    }

    /// What was cut off says so, and nothing else does; what failed was tried again, and nothing else was.
    fn check_end(&self, run: JobRunId, row: &Row) {
        let is_cut = self.cut.contains(&run);
        match row.state {
            State::Interrupted => assert!(is_cut, "{run} was not cut off: {row:?}"),
            State::Running => {}
            state => assert!(!is_cut, "{run} was cut off, and is {state:?}"),
        }
        let next = |other: &&Row| {
            other.job == row.job && other.first == row.first && other.attempt == row.attempt + 1
        };
        let again = self.ledger.rows.values().filter(next).count();
        let wants = usize::from(row.state == State::Failed && row.attempt <= RETRIES);
        assert_eq!(again, wants, "attempts after {row:?}");
    }
}
