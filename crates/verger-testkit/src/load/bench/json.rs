//! The report for programs: every run by itself, in seconds and bytes.

use serde_json::{Value, json};

use super::figures::Figure;
use super::report::Report;

impl Report {
    /// `{ notes, skipped, figures: [{ name, ratio: { median, least, most } | null, SUBJECT: [run] }] }`, where a run is
    /// `{ run, n, p50, p99, max, cpu }` in seconds (`cpu` for all `n` together, or null), `{ run, bytes }` or `{ run, count }`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let figures = self.rows().iter().map(|row| {
            let ratio = row.ratio();
            let ratio = ratio.map(|r| json!({ "median": r.median, "least": r.least, "most": r.most }));
            let mut figure = json!({ "name": row.name, "ratio": ratio });
            for (subject, runs) in self.subjects().iter().zip(&row.found) {
                figure[subject] = runs.iter().map(|(number, figure)| run(*number, figure)).collect();
            }
            figure
        });
        json!({ "notes": self.notes(), "skipped": self.skipped(), "figures": figures.collect::<Vec<_>>() })
    }
}

fn run(number: usize, figure: &Figure) -> Value {
    match figure {
        Figure::Count(count) => json!({ "run": number, "count": count }),
        Figure::Bytes(bytes) => json!({ "run": number, "bytes": bytes }),
        Figure::Times { latency, cpu } => json!({
            "run": number,
            "n": latency.count(),
            "p50": latency.quantile(0.5).as_secs_f64(),
            "p99": latency.quantile(0.99).as_secs_f64(),
            "max": latency.max().as_secs_f64(),
            "cpu": cpu.map(|cpu| cpu.as_secs_f64()),
        }),
    }
}
