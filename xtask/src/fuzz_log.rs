//! What libFuzzer says of a run: figures when it ends, and what broke when something did.

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Inputs tried.
    pub(crate) runs: u64,
    /// Inputs a second.
    pub(crate) rate: u64,
    /// Edges of the program that were reached by any input.
    pub(crate) edges: u64,
}

/// Lines about a finding that are worth repeating.
const SHOWN: usize = 12;

impl Figures {
    /// Reads the log of a run that went well.
    pub(crate) fn read(log: &str) -> Option<Self> {
        let stat = |name: &str| {
            let line = log.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name))?;
            line.strip_prefix(':')?.trim().parse().ok()
        };
        let edges = log.lines().rev().find_map(|line| line.split_once(" cov: "))?.1;
        Some(Self {
            runs: stat("number_of_executed_units")?,
            rate: stat("average_exec_per_sec")?,
            edges: edges.split(' ').next()?.parse().ok()?,
        })
    }

    /// As the columns of a row.
    pub(crate) fn cells(self) -> Vec<(String, String)> {
        let Self { runs, rate, edges } = self;
        let columns = [("inputs", runs), ("inputs per second", rate), ("edges", edges)];
        columns.map(|(name, figure)| (name.to_owned(), figure.to_string())).into()
    }
}

/// The lines of a failed run that say what broke and where its input is: the panic, libFuzzer's summary, the file.
pub(crate) fn finding(log: &str) -> String {
    let says = |line: &&str| {
        ["panicked at", "ERROR: libFuzzer", "SUMMARY:", "Test unit written to"]
            .iter()
            .any(|mark| line.contains(mark))
    };
    let mut lines = Vec::new();
    let mut rest = log.lines();
    while let Some(line) = rest.by_ref().find(says) {
        lines.push(line);
        // The next line is the panic's message.
        lines.extend(line.contains("panicked at").then(|| rest.next()).flatten());
    }
    if lines.is_empty() {
        // Nobody had time to say anything: where it was must do.
        lines.extend(log.lines().last());
    }
    lines.truncate(SHOWN);
    lines.iter().map(|line| line.chars().take(400).collect()).collect::<Vec<String>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_run_is_read_from_its_last_lines() {
        let log = "#2\tINITED cov: 31 ft: 40 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                   #900\tDONE   cov: 1357 ft: 4000 corp: 9/10Kb lim: 65536 exec/s: 5900 rss: 43Mb\n\
                   Done 354418 runs in 61 second(s)\n\
                   stat::number_of_executed_units: 354418\n\
                   stat::average_exec_per_sec:     5810\n";
        assert_eq!(Figures::read(log), Some(Figures { runs: 354_418, rate: 5810, edges: 1357 }));
        assert_eq!(Figures::read("#2\tINITED cov: 31 ft: 40\n"), None);
    }

    #[test]
    fn a_finding_is_told_by_its_panic_and_its_file() {
        let log = "INFO: Seed: 1\n\
                   thread '<unnamed>' (7) panicked at src/cost.rs:37:5:\n\
                   9 bytes were asked of the allocator for 1 bytes of input\n\
                   stack backtrace:\n   0: f\n\
                   ==7== ERROR: libFuzzer: deadly signal\n\
                   SUMMARY: libFuzzer: deadly signal\n\
                   artifact_prefix='t/decode-'; Test unit written to t/decode-crash-ab\n";
        let told = finding(log);
        assert_eq!(told.lines().count(), 5, "{told}");
        assert!(told.contains("\n9 bytes were asked") && told.ends_with("t/decode-crash-ab"), "{told}");
        assert_eq!(finding("INFO: Seed: 1\n#42 NEW cov: 10\n"), "#42 NEW cov: 10");
    }
}
