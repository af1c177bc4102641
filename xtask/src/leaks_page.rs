//! docs/leaks.md: what survived, by misbehaviour and by containment.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::leaks::minutes;

const HEAD: &str = "\
# Leaks

What outlives a helper's end, by what the helper does and how it is contained. Made by `cargo xtask soak leaks`, which
plays every combination of misbehaviour, level of containment, user and end on the real kernel, each with a server and a
home of its own, and counts processes from outside. An entry `0 in 18` says that of 18 ends none left a process.
";

/// One cell that was played.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    mode: String,
    column: String,
    end: String,
    passed: bool,
    survivors: u64,
    said: String,
}

impl Cell {
    /// Of what the test printed.
    pub(crate) fn of(json: &Value) -> Self {
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Self {
            mode: text("mode"),
            column: format!("{}, {}", text("level"), text("user")),
            end: text("end"),
            passed: json["passed"] == true,
            survivors: json["survivors"].as_u64().unwrap_or(0),
            said: text("said"),
        }
    }
}

/// The page.
#[derive(Debug)]
pub(crate) struct Page {
    machine: Vec<(String, String)>,
    took: Duration,
    pub(crate) only: Option<String>,
    pub(crate) cells: Vec<Cell>,
    /// Reasons, and how many cells each leaves out.
    pub(crate) excluded: BTreeMap<String, u64>,
}

impl Page {
    pub(crate) fn new(machine: Vec<(String, String)>, took: Duration) -> Self {
        Self { machine, took, only: None, cells: Vec::new(), excluded: BTreeMap::new() }
    }

    pub(crate) fn failed(&self) -> usize {
        self.cells.iter().filter(|cell| !cell.passed).count()
    }

    fn entry(cells: &[&Cell]) -> String {
        let failed = cells.iter().filter(|cell| !cell.passed).count();
        let survivors: u64 = cells.iter().map(|cell| cell.survivors).sum();
        match (cells.len(), failed) {
            (0, _) => "-".to_owned(),
            (all, 0) => format!("0 in {all}"),
            (all, failed) => format!("**{survivors} in {all}, {failed} failed**"),
        }
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut columns: Vec<&str> = self.cells.iter().map(|cell| cell.column.as_str()).collect();
        columns.sort_unstable();
        columns.dedup();
        let mut rows: BTreeMap<&str, Vec<&Cell>> = BTreeMap::new();
        for cell in &self.cells {
            rows.entry(&cell.mode).or_default().push(cell);
        }
        writeln!(f, "\n## Survivors\n\n| misbehaviour | {} |", columns.join(" | "))?;
        writeln!(f, "| --- |{}", " --- |".repeat(columns.len()))?;
        for (mode, cells) in rows {
            let of = |column: &&str| -> Vec<&Cell> {
                cells.iter().copied().filter(|cell| cell.column == **column).collect()
            };
            let entries: Vec<String> = columns.iter().map(|column| Self::entry(&of(column))).collect();
            writeln!(f, "| {mode} | {} |", entries.join(" | "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = [
            ("cells".to_owned(), self.cells.len().to_string()),
            ("failed".to_owned(), self.failed().to_string()),
            ("minutes".to_owned(), minutes(self.took)),
        ];
        let all: Vec<_> = self.machine.iter().chain(&figures).collect();
        let join = |cells: Vec<&str>| cells.join(" | ");
        writeln!(f, "{HEAD}\n| {} |", join(all.iter().map(|(name, _)| name.as_str()).collect()))?;
        writeln!(f, "| {} |", join(all.iter().map(|_| "---").collect()))?;
        writeln!(f, "| {} |", join(all.iter().map(|(_, value)| value.as_str()).collect()))?;
        if let Some(only) = &self.only {
            writeln!(f, "\nA part: only the cells whose name, MODE/LEVEL/USER/END, holds each of `{only}`.")?;
        }
        self.table(f)?;
        // How far starts had come, and what lived when the server was dead: what was hit is said, not assumed.
        let mut notes: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for cell in self.cells.iter().filter(|cell| cell.passed && !cell.said.is_empty()) {
            *notes.entry((&cell.end, &cell.said)).or_default() += 1;
        }
        writeln!(f, "\n## What was hit\n")?;
        for ((end, said), count) in notes {
            writeln!(f, "- `{end}`: {said} ({count} times)")?;
        }
        writeln!(f, "\n## Left out\n")?;
        for (reason, count) in &self.excluded {
            writeln!(f, "- {count} cells: {reason}")?;
        }
        if self.failed() > 0 {
            writeln!(f, "\n## Failed\n")?;
        }
        for cell in self.cells.iter().filter(|cell| !cell.passed) {
            let said: String = cell.said.lines().next().unwrap_or_default().chars().take(300).collect();
            writeln!(f, "- {}, {}, {}: {said}", cell.mode, cell.column, cell.end)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cell(mode: &str, user: &str, end: &str, survivors: Option<u64>, said: &str) -> Cell {
        let passed = survivors == Some(0);
        Cell::of(&json!({
            "mode": mode, "level": "shim", "user": user, "end": end,
            "passed": passed, "survivors": survivors, "said": said, "ms": 3,
        }))
    }

    #[test]
    fn survivors_are_summed_and_failures_are_named() {
        let mut page = Page::new(vec![("date".into(), "today".into())], Duration::from_secs(90));
        page.excluded.insert("no such thing".into(), 4);
        page.cells = vec![
            cell("setsid", "root", "archive", Some(0), ""),
            cell("setsid", "root", "sigkill", Some(0), "1 of 1 lived"),
            cell("polite", "root", "archive", Some(2), "two live\nmore"),
            cell("polite", "root", "delete", None, "no answer"),
            cell("polite", "nobody", "delete", Some(0), ""),
        ];
        let text = page.to_string();
        let tail = "\
| date | cells | failed | minutes |
| --- | --- | --- | --- |
| today | 5 | 2 | 1.5 |

## Survivors

| misbehaviour | shim, nobody | shim, root |
| --- | --- | --- |
| polite | 0 in 1 | **2 in 2, 2 failed** |
| setsid | - | 0 in 2 |

## What was hit

- `sigkill`: 1 of 1 lived (1 times)

## Left out

- 4 cells: no such thing

## Failed

- polite, shim, root, archive: two live
- polite, shim, root, delete: no answer
";
        assert!(text.ends_with(tail), "{text}");
    }
}
