//! All that was found, row by row, and what was not.

use super::figures::{Figure, Sample};
use crate::load::latency::Latency;

/// What the bench found.
#[derive(Debug)]
pub struct Report {
    subjects: Vec<String>,
    rows: Vec<Row>,
    skipped: Vec<String>,
    notes: Vec<String>,
}

/// One figure of every server.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    /// By subject: its runs, with their numbers.
    pub(super) found: Vec<Vec<(usize, Figure)>>,
}

/// The first server's figure over the second's, each pair from one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

// === impl Report ===

impl Report {
    pub(super) fn new(subjects: Vec<String>, notes: Vec<String>) -> Self {
        Self { subjects, rows: Vec::new(), skipped: Vec::new(), notes }
    }

    pub(super) fn add(&mut self, subject: usize, run: usize, samples: Vec<Sample>) {
        for Sample { name, figure } in samples {
            let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
                self.rows.push(Row { name, found: vec![Vec::new(); self.subjects.len()] });
                self.rows.len() - 1
            });
            self.rows[at].found[subject].push((run, figure));
        }
    }

    pub(super) fn skip(&mut self, what: String) {
        self.skipped.push(what);
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn subjects(&self) -> &[String] {
        &self.subjects
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The names of the rows, in the order in which they were first found.
    pub fn figures(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.name.as_str())
    }

    /// What has no figure, and why. Empty when all went well.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// What the reader should know.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

// === impl Row ===

impl Row {
    /// All runs of one subject as one.
    pub(super) fn merged(&self, subject: usize) -> Option<Figure> {
        let runs = &self.found[subject];
        let middle = || median(runs.iter().map(|(_, figure)| figure.typical()).collect());
        match &runs.first()?.1 {
            Figure::Times { .. } => {
                let (mut all, mut total) = (Latency::new(), None);
                for (_, figure) in runs {
                    if let Figure::Times { latency, cpu } = figure {
                        all.merge(latency);
                        total = cpu.map(|cpu| total.unwrap_or_default() + cpu);
                    }
                }
                Some(Figure::Times { latency: all, cpu: total })
            }
            Figure::Bytes(_) => Some(Figure::Bytes(middle()?)),
            Figure::Count(_) => Some(Figure::Count(middle()?)),
        }
    }

    /// Over the runs that both have.
    pub(super) fn ratio(&self) -> Option<Ratio> {
        let [first, second] = self.found.as_slice() else { return None };
        let pair = |(run, figure): &(usize, Figure)| {
            let other = second.iter().find(|(other, _)| other == run)?.1.typical();
            (other > 0.0).then(|| figure.typical() / other)
        };
        let pairs: Vec<f64> = first.iter().filter_map(pair).collect();
        let least = pairs.iter().copied().reduce(f64::min)?;
        let most = pairs.iter().copied().reduce(f64::max)?;
        Some(Ratio { median: median(pairs)?, least, most })
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(values[below], values[above]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runs_that_both_have_are_compared() {
        let mut report = Report::new(vec!["one".into(), "other".into()], Vec::new());
        let bytes = |value| vec![Sample::bytes("idle", value)];
        for (subject, run, value) in
            [(0, 0, 1.0), (1, 0, 2.0), (0, 1, 9.0), (0, 2, 3.0), (1, 2, 1.0), (1, 3, 7.0)]
        {
            report.add(subject, run, bytes(value));
        }
        let row = &report.rows()[0];
        assert_eq!(row.ratio(), Some(Ratio { median: 1.75, least: 0.5, most: 3.0 }));
        assert_eq!(row.merged(0).map(|figure| figure.typical()), Some(3.0), "the median of 1, 9 and 3");
        assert_eq!(median(Vec::new()), None);
    }
}
