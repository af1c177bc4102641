//! The lines that the demo prints: aligned, and readable without colour.

use std::time::Duration;

use verger_wire::requests::PsResponse;

/// What is alive at one moment, by two counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Alive {
    /// Loaded threads, as the server says.
    pub(super) threads: usize,
    /// Helpers, as the server says.
    pub(super) helpers: usize,
    /// Processes of helpers, as the server says.
    pub(super) processes: usize,
    /// Processes below the server, as the kernel says: those of helpers, and one shim for each helper.
    pub(super) kernel: usize,
}

impl Alive {
    pub(super) fn new(ps: &PsResponse, kernel: usize) -> Self {
        let processes =
            ps.helpers.iter().map(|helper| usize::try_from(helper.processes).unwrap_or(usize::MAX));
        Self { threads: ps.threads.len(), helpers: ps.helpers.len(), processes: processes.sum(), kernel }
    }
}

/// One switch: a client opened a thread, used it and left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch {
    pub(super) number: usize,
    /// From connecting to the thread's answer.
    pub(super) open: Duration,
    /// The tool call, which starts the helper.
    pub(super) call: Duration,
    pub(super) used: Alive,
    /// From leaving to the exit of every process and the word of the server.
    pub(super) gone: Duration,
    pub(super) left: Alive,
}

/// The heads of the columns of [`Switch`].
pub(super) const HEADS: &str = concat!(
    "        |                  |          in use           |          |       after leaving\n",
    " switch |    open      use | threads helpers procs all |  gone in | threads helpers procs all\n",
    " -------+------------------+---------------------------+----------+--------------------------",
);

/// What the columns mean.
pub(super) const LEGEND: &str = concat!(
    "        threads, helpers, procs: loaded threads, helpers and their processes, says the server (verger/ps)\n",
    "        all: live processes below the server, says the kernel (/proc): those of helpers and their shims\n",
    "        open: connect and resume; use: a tool call, which starts the helper; gone in: from leaving until\n",
    "        all these processes have exited (pidfds) and the server says that the thread is closed",
);

impl std::fmt::Display for Alive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>7} {:>7} {:>5} {:>3}", self.threads, self.helpers, self.processes, self.kernel)
    }
}

impl std::fmt::Display for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, open, call, used, gone, left } = self;
        let (open, call, gone) = (millis(*open), millis(*call), millis(*gone));
        write!(f, " {number:>6} | {open:>7} {call:>8} | {used} | {gone:>8} | {left}")
    }
}

/// For people: `12.3 ms`, `1240 ms`
pub(super) fn millis(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// For people: `12.3 s`
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_under_their_heads() {
        let switch = Switch {
            number: 12,
            open: Duration::from_micros(1_930),
            call: Duration::from_millis(1_240),
            used: Alive { threads: 1, helpers: 1, processes: 3, kernel: 4 },
            gone: Duration::from_micros(24_260),
            left: Alive::default(),
        };
        let line = switch.to_string();
        assert_eq!(
            line,
            "     12 |  1.9 ms  1240 ms |       1       1     3   4 |  24.3 ms |       0       0     0   0"
        );
        let bars = |line: &str| line.match_indices(['|', '+']).map(|(at, _)| at).collect::<Vec<_>>();
        for head in HEADS.lines() {
            assert_eq!(bars(head), bars(&line), "{head}");
        }
    }

    #[test]
    fn times_are_short() {
        assert_eq!(millis(Duration::from_micros(99_940)), "99.9 ms");
        assert_eq!(millis(Duration::from_millis(12_345)), "12345 ms");
        assert_eq!(seconds(Duration::from_millis(12_345)), "12.3 s");
    }
}
