//! What each step came to: one line per step, printed as a table when all are done.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With what one may want to know about how; often nothing.
    Passed(String),
    /// With what is missing here.
    Skipped(String),
    /// With what went wrong.
    Failed(String),
}

impl Outcome {
    /// Passed, and nothing more to say.
    pub(crate) fn passed() -> Self {
        Self::Passed(String::new())
    }
}

#[derive(Debug)]
struct Line {
    step: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

impl Report {
    /// Does a step and notes how it ended. A step that fails does not keep later ones from running: the table
    /// tells the whole story.
    pub(crate) fn step(&mut self, step: &'static str, work: impl FnOnce() -> Result<Outcome, Error>) {
        println!("\n=== {step}");
        let begun = now();
        let outcome = work().unwrap_or_else(|error| Outcome::Failed(error.to_string()));
        match &outcome {
            Outcome::Passed(_) => {}
            Outcome::Skipped(why) => println!("skipped: {why}"),
            Outcome::Failed(why) => println!("FAILED: {why}"),
        }
        self.lines.push(Line { step, outcome, took: now().duration_since(begun) });
    }

    /// Whether no step failed. Skipped ones are no failure: they say by name what was not asked.
    pub(crate) fn is_green(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_))) == 0
    }

    fn count(&self, fits: impl Fn(&Outcome) -> bool) -> usize {
        self.lines.iter().filter(|line| fits(&line.outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lines.iter().map(|line| line.step.len()).max().unwrap_or(0).max("step".len());
        writeln!(f, "{:width$}  outcome  seconds", "step")?;
        for Line { step, outcome, took } in &self.lines {
            let (word, note) = match outcome {
                Outcome::Passed(note) => ("passed", note),
                Outcome::Skipped(why) => ("skipped", why),
                Outcome::Failed(why) => ("FAILED", why),
            };
            let line = format!("{step:width$}  {word:7}  {:7.1}  {note}", took.as_secs_f64());
            writeln!(f, "{}", line.trim_end())?;
        }
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed(_)));
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        write!(f, "steps: {passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[expect(clippy::disallowed_methods, reason = "xtask tells people how long its steps took")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: [Outcome; 3]) -> Report {
        let lines = ["fmt", "lint", "real servers"]
            .into_iter()
            .zip(outcomes)
            .zip([12, 60_000, 0])
            .map(|((step, outcome), millis)| Line { step, outcome, took: Duration::from_millis(millis) });
        Report { lines: lines.collect() }
    }

    #[test]
    fn the_table_names_what_was_skipped_and_what_failed() {
        let red = report([
            Outcome::passed(),
            Outcome::Failed("'cargo clippy' failed: exit status: 101".into()),
            Outcome::Skipped("no npm".into()),
        ]);
        assert_eq!(
            red.to_string(),
            "step          outcome  seconds\n\
             fmt           passed       0.0\n\
             lint          FAILED      60.0  'cargo clippy' failed: exit status: 101\n\
             real servers  skipped      0.0  no npm\n\
             steps: 1 passed, 1 failed, 1 skipped"
        );
        assert!(!red.is_green());
    }

    #[test]
    fn what_was_skipped_is_no_failure() {
        let green =
            report([Outcome::passed(), Outcome::Passed("in 3 s".into()), Outcome::Skipped("no npm".into())]);
        assert!(green.is_green());
    }

    #[test]
    fn an_error_in_a_step_is_a_failure_and_the_next_step_runs() {
        let mut report = Report::default();
        report.step("first", || Err(Error::Usage("no".into())));
        report.step("second", || Ok(Outcome::passed()));
        assert!(!report.is_green());
        assert_eq!(report.lines.len(), 2);
    }
}
