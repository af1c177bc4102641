//! `soak leaks`: the whole matrix of misbehaviours, levels, users and ends, several cells at once, and the page that says
//! what survived.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::Error;
use crate::house::House;
use crate::leaks_page::{Cell, Page};
use crate::report::Outcome;
use crate::run::{cargo, run, watch};
use crate::soak::machine;

/// End-to-end tests that play a share of the matrix each, and can be played side by side.
const SHARES: [&str; 6] = ["share_1", "share_2", "share_3", "share_4", "share_5", "share_6"];

/// The share that nothing may run beside.
const ALONE: &str = "share_alone";

/// Plays every cell and writes docs/leaks.md. With VERGER_MATRIX_ONLY in the environment, only a part: then the page says
/// which.
pub(crate) fn leaks(house: &House) -> Result<Outcome, Error> {
    let begun = now();
    run(cargo(house).args(TEST).arg("--no-run"))?;
    let told = Mutex::default();
    let mut results: Vec<Result<(), Error>> = std::thread::scope(|scope| {
        let playing = SHARES.map(|share| scope.spawn(|| play(house, share, &told)));
        playing.into_iter().map(|thread| thread.join().expect("playing a share does not panic")).collect()
    });
    results.push(play(house, ALONE, &told));
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut page = Page::new(machine(house)?, now().duration_since(begun));
    page.only = std::env::var("VERGER_MATRIX_ONLY").ok();
    for line in &told {
        take(&mut page, line)?;
    }
    let file = house.root.join("docs/leaks.md");
    std::fs::write(&file, page.to_string()).map_err(Error::file(&file))?;
    results.into_iter().collect::<Result<(), Error>>()?;
    match page.failed() {
        0 if page.cells.is_empty() => Ok(Outcome::Failed("no cell was played".into())),
        0 => Ok(Outcome::Passed(format!("{} cells, 0 survivors; see docs/leaks.md", page.cells.len()))),
        failed => Ok(Outcome::Failed(format!("{failed} of {} cells; see docs/leaks.md", page.cells.len()))),
    }
}

const TEST: [&str; 5] = ["test", "--workspace", "--locked", "--test", "e2e"];

/// One share in a process of its own, since each judges all children of its process.
fn play(house: &House, share: &str, told: &Mutex<Vec<String>>) -> Result<(), Error> {
    let mut command = cargo(house);
    command.args(TEST).args(["--", "--exact", "--nocapture", &format!("matrix::{share}")]);
    watch(command.env("VERGER_MATRIX", "full"), |line| {
        told.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    })
}

/// Reads what a share printed: `CELL {...}` for each cell, `EXCLUDED {reason: count}` once.
fn take(page: &mut Page, line: &str) -> Result<(), Error> {
    // The test's name comes before the first of them, on the same line.
    let json = |marker: &str| line.split_once(marker).map(|(_, json)| serde_json::from_str::<Value>(json));
    let not_json = |_| Error::Figures { name: "leaks", found: line.to_owned() };
    if let Some(cell) = json("CELL ") {
        page.cells.push(Cell::of(&cell.map_err(not_json)?));
    } else if let Some(excluded) = json("EXCLUDED ") {
        let counts: BTreeMap<String, u64> =
            serde_json::from_value(excluded.map_err(not_json)?).map_err(not_json)?;
        page.excluded = counts;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "xtask tells people how long its steps took")]
fn now() -> Instant {
    Instant::now()
}

/// For people.
pub(crate) fn minutes(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f64() / 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_share_are_found_among_others() {
        let mut page = Page::new(Vec::new(), Duration::ZERO);
        let cell = r#"{"mode":"polite","level":"shim","user":"root","end":"archive","passed":true,"survivors":0,"said":"","ms":3}"#;
        let lines = [
            "running 1 test",
            "test matrix::share_1 ... EXCLUDED {\"why\":7}",
            &format!("CELL {cell}"),
            "ok",
        ];
        for line in lines {
            take(&mut page, line).expect("well-formed");
        }
        assert_eq!((page.cells.len(), page.excluded["why"]), (1, 7));
        let error = take(&mut page, "CELL {").expect_err("cut off");
        assert!(error.to_string().contains("leaks"), "{error}");
    }
}
