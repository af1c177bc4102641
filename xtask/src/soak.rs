//! `soak`: the end-to-end tests that ask about leaks, ten times as long; what they measured goes into docs/soak.md.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::house::{House, read_if_there};
use crate::report::{Outcome, Report};
use crate::run::{cargo, program, read, watch};
use crate::soak_table::add_row;

/// Each of these end-to-end tests takes its length from VERGER_TEST_SCALE and prints one line
/// `SOAK {"figure": 1, ...}` to its stdout.
const RUNS: [LongRun; 3] = [
    LongRun {
        name: "switches",
        test: "switches::many_switches_leave_the_server_where_it_stood",
        about: "1,000 thread switches, each with a helper",
    },
    LongRun {
        name: "kills",
        test: "restart::nothing_acknowledged_is_lost_by_a_kill",
        about: "200 SIGKILLs of the server at random moments of a client's work",
    },
    LongRun {
        name: "three-runs",
        test: "three_runs::three_runs_on_one_home_lose_and_double_nothing",
        about: "three servers on one home, two of them on stdio; a write is a turn/start until its answer",
    },
];

/// How many times longer than in `test`.
const SCALE: &str = "10";

const HEAD: &str = "\
# Long runs

Each row is one run of `cargo xtask soak NAME` on a debug build, added by it; newest last. The test fails when a
figure says that something leaks, so a row is also a pass. Times are the machine's, to be compared within one run.
";

struct LongRun {
    name: &'static str,
    /// The test's name in the binary `e2e`.
    test: &'static str,
    about: &'static str,
}

/// The names, for people.
pub(crate) fn names() -> String {
    RUNS.map(|run| run.name).join(", ")
}

/// Runs all, or those that are named; whether all went well.
pub(crate) fn soak(house: &House, chosen: &[&str]) -> Result<bool, Error> {
    if let Some(unknown) = chosen.iter().find(|name| RUNS.iter().all(|run| run.name != **name)) {
        return Err(Error::Usage(format!("'{unknown}' is no long run; there are: {}", names())));
    }
    let mut report = Report::default();
    for run in &RUNS {
        if chosen.is_empty() || chosen.contains(&run.name) {
            report.step(run.name, || one(house, run));
        }
    }
    println!("\n{report}");
    Ok(report.is_green())
}

fn one(house: &House, run: &LongRun) -> Result<Outcome, Error> {
    let mut found = Vec::new();
    // All of the workspace is built, so that the programs that the test starts are there too; one test runs.
    watch(
        cargo(house)
            .args(["nextest", "run", "--workspace", "--locked", "--no-capture"])
            .args(["--filterset", &format!("binary(e2e) & test(={})", run.test)])
            .env("VERGER_TEST_SCALE", SCALE),
        |line| {
            if let Some((_, figures)) = line.split_once("SOAK ") {
                found.push(figures.to_owned());
            }
        },
    )?;
    let figures = figures(run.name, &found)?;
    let mut cells = machine(house)?;
    cells.extend(figures.iter().map(|(name, figure)| (name.replace('_', " "), plain(figure))));
    let file = house.root.join("docs/soak.md");
    let before = read_if_there(&file)?.unwrap_or_else(|| HEAD.to_owned());
    let after = add_row(&before, &format!("{}: {}", run.name, run.about), &cells);
    std::fs::write(&file, after).map_err(Error::file(&file))?;
    Ok(Outcome::Passed("added to docs/soak.md".into()))
}

fn figures(name: &'static str, found: &[String]) -> Result<Map<String, Value>, Error> {
    let parsed = match found {
        [only] => serde_json::from_str::<Map<String, Value>>(only).ok(),
        _ => None,
    };
    let flat =
        parsed.filter(|figures| figures.values().all(|figure| !figure.is_array() && !figure.is_object()));
    flat.ok_or_else(|| Error::Figures { name, found: format!("{found:?}") })
}

/// Figures are read by people: a string without its quotes.
fn plain(figure: &Value) -> String {
    figure.as_str().map_or_else(|| figure.to_string(), str::to_owned)
}

/// When and on what: the first columns of every row.
fn machine(house: &House) -> Result<Vec<(String, String)>, Error> {
    let asked: [(&str, &str, &[&str]); 4] = [
        ("date", "date", &["--utc", "+%F"]),
        ("commit", "git", &["describe", "--always", "--dirty"]),
        ("cores", "nproc", &[]),
        ("kernel", "uname", &["--kernel-release"]),
    ];
    let ask = |(column, name, arguments): (&str, &str, &[&str])| {
        Ok((column.to_owned(), read(program(house, name).args(arguments))?))
    };
    asked.into_iter().map(ask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flat_line_of_figures_is_wanted() {
        let good = figures("kills", &[r#"{"kills": 200, "rss": "4.1 MB"}"#.into()]).expect("flat");
        assert_eq!((plain(&good["kills"]), plain(&good["rss"])), ("200".into(), "4.1 MB".into()));
        for bad in [vec![], vec!["{}".into(), "{}".into()], vec!["{".into()], vec![r#"{"a": [1]}"#.into()]] {
            let error = figures("kills", &bad).expect_err("not one flat line");
            assert!(error.to_string().contains("'kills'"), "{error}");
        }
    }
}
