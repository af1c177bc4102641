//! The report for people: a table in Markdown, one row for each figure.

use std::fmt;
use std::time::Duration;

use super::figures::Figure;
use super::report::Report;
use crate::load::latency::Latency;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| what |")?;
        for subject in self.subjects() {
            write!(f, " {subject}: n | p50 / p99 / max | CPU each |")?;
        }
        let compared = self.subjects().len() == 2;
        writeln!(f, "{}", if compared { " ratio (least - most) |" } else { "" })?;
        let columns = 1 + 3 * self.subjects().len() + usize::from(compared);
        writeln!(f, "|{}", " --- |".repeat(columns))?;
        for row in self.rows() {
            write!(f, "| {} |", row.name)?;
            for subject in 0..self.subjects().len() {
                write!(f, "{}", cells(row.merged(subject).as_ref(), row.found[subject].len()))?;
            }
            match row.ratio() {
                Some(ratio) => writeln!(
                    f,
                    " {} ({} - {}) |",
                    three(ratio.median),
                    three(ratio.least),
                    three(ratio.most)
                )?,
                None if compared => writeln!(f, " - |")?,
                None => writeln!(f)?,
            }
        }
        for note in self.notes() {
            write!(f, "\n- {note}")?;
        }
        for skipped in self.skipped() {
            write!(f, "\n- skipped: {skipped}")?;
        }
        Ok(())
    }
}

/// Three columns of one server.
fn cells(figure: Option<&Figure>, runs: usize) -> String {
    match figure {
        None => " - | - | - |".into(),
        Some(Figure::Count(count)) => format!(" {runs} | {count} | - |"),
        Some(Figure::Bytes(bytes)) => format!(" {runs} | {} | - |", memory(*bytes)),
        Some(Figure::Times { latency, cpu }) => {
            let n = latency.count();
            let each = cpu.map_or("-".into(), |cpu| duration(cpu.div_f64(n.max(1) as f64)));
            format!(" {n} | {} | {each} |", times(latency))
        }
    }
}

/// Median, the value that one in a hundred exceeds, and the longest.
pub(super) fn times(latency: &Latency) -> String {
    [latency.quantile(0.5), latency.quantile(0.99), latency.max()].map(duration).join(" / ")
}

fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds < 1e-3 => format!("{} us", three(seconds * 1e6)),
        _ if seconds < 1.0 => format!("{} ms", three(seconds * 1e3)),
        _ => format!("{} s", three(seconds)),
    }
}

fn memory(bytes: f64) -> String {
    if bytes.abs() < 1e6 {
        format!("{} kB", three(bytes / 1e3))
    } else {
        format!("{} MB", three(bytes / 1e6))
    }
}

/// Three significant digits, which is as much as is known.
fn three(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::bench::Sample;

    #[test]
    fn a_row_says_what_was_found_and_a_dash_what_was_not() {
        let mut report = Report::new(vec!["verger".into(), "peer".into()], vec!["a quiet machine".into()]);
        let (mut quick, mut slow) = (Latency::new(), Latency::new());
        (0..4).for_each(|_| quick.record(Duration::from_micros(250)));
        slow.record(Duration::from_millis(25));
        report.add(0, 0, vec![Sample::times("turn", (quick, Duration::from_micros(400)))]);
        report.add(1, 0, vec![Sample::times("turn", (slow, Duration::from_millis(2)))]);
        report.add(0, 0, vec![Sample::bytes("idle", 14_200_000.0)]);
        report.skip("idle, peer: it fell over".into());
        let expected = "\
| what | verger: n | p50 / p99 / max | CPU each | peer: n | p50 / p99 / max | CPU each | ratio (least - most) |
| --- | --- | --- | --- | --- | --- | --- | --- |
| turn | 4 | 250 us / 250 us / 250 us | 100 us | 1 | 25.0 ms / 25.0 ms / 25.0 ms | 2.00 ms | 0.010 (0.010 - 0.010) |
| idle | 1 | 14.2 MB | - | - | - | - | - |

- a quiet machine
- skipped: idle, peer: it fell over";
        assert_eq!(report.to_string(), expected);
    }
}
