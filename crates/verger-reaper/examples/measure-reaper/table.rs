//! The report: medians, and ratios to the plain way of the same round.

use std::fmt;
use std::time::Duration;

/// What was found so far.
pub(crate) struct Table {
    /// The first one is what others are compared with.
    ways: Vec<&'static str>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    name: String,
    /// For each way, the times of all rounds.
    times: Vec<Vec<Duration>>,
}

impl Table {
    pub(crate) fn new(ways: Vec<&'static str>) -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap();
        let load: Vec<&str> = load.split(' ').take(3).collect();
        let cores = std::thread::available_parallelism().unwrap();
        let notes = vec![format!("{cores} cores; load average as it began: {}", load.join(", "))];
        Self { ways, rows: Vec::new(), notes }
    }

    pub(crate) fn add(&mut self, name: &str, way: usize, time: Duration) {
        if !self.rows.iter().any(|row| row.name == name) {
            self.rows.push(Row { name: name.to_owned(), times: vec![Vec::new(); self.ways.len()] });
        }
        let row = self.rows.iter_mut().find(|row| row.name == name).unwrap();
        row.times[way].push(time);
    }

    /// Bytes of each shim.
    pub(crate) fn private(&mut self, way: usize, mut bytes: Vec<u64>) {
        bytes.sort_unstable();
        let [least, median, most] = [0, bytes.len() / 2, bytes.len() - 1].map(|n| bytes[n] / 1024);
        let way = self.ways[way];
        self.notes.push(format!("private memory of a shim, {way}: {median} KiB ({least} - {most})"));
    }

    /// Notes how two rows differ, for each way.
    pub(crate) fn compare(&mut self, what: &str, with: &str) {
        let row = |name: &str| self.rows.iter().find(|row| row.name == name).unwrap();
        let (what, with) = (row(what), row(with));
        for (way, name) in self.ways.iter().enumerate() {
            let ratio = Ratio::of(&what.times[way], &with.times[way]);
            self.notes.push(format!("{} over {}, {name}: {}", what.name, with.name, ratio.median()));
            if way > 0 {
                let more = millis(median(&with.times[way])) - millis(median(&with.times[0]));
                self.notes.push(format!("{}, {name}: {more:+.2} ms over {}", with.name, self.ways[0]));
            }
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| what | rounds | {} |", self.ways[0])?;
        for way in &self.ways[1..] {
            write!(f, " {way} | ratio (least - most) |")?;
        }
        writeln!(f, "\n|{}", " --- |".repeat(1 + 2 * self.ways.len()))?;
        for row in &self.rows {
            let plain = &row.times[0];
            write!(f, "| {} | {} | {:.2} ms |", row.name, plain.len(), millis(median(plain)))?;
            for times in &row.times[1..] {
                write!(f, " {:.2} ms | {} |", millis(median(times)), Ratio::of(times, plain))?;
            }
            writeln!(f)?;
        }
        for note in &self.notes {
            write!(f, "\n- {note}")?;
        }
        Ok(())
    }
}

/// Of the times of the same rounds, sorted.
struct Ratio(Vec<f64>);

impl Ratio {
    fn of(times: &[Duration], plain: &[Duration]) -> Self {
        let mut ratios: Vec<f64> = times.iter().zip(plain).map(|(a, b)| millis(*a) / millis(*b)).collect();
        ratios.sort_by(f64::total_cmp);
        Self(ratios)
    }

    fn median(&self) -> String {
        format!("{:.2}", self.0[self.0.len() / 2])
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.2} - {:.2})", self.median(), self.0[0], self.0[self.0.len() - 1])
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
