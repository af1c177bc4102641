//! `soak`: the end-to-end tests that ask about leaks, ten times as long or in full, and an hour of fuzzing; what they
//! measured goes into docs/soak.md.

use std::ffi::{OsStr, OsString};

use serde_json::{Map, Value};

use crate::chaos;
use crate::error::Error;
use crate::fuzz;
use crate::house::{House, read_if_there};
use crate::leaks;
use crate::report::{Outcome, Report};
use crate::run::{cargo, program, read, watch};
use crate::sanitized;
use crate::seeds;
use crate::soak_table::add_row;

const RUNS: [LongRun; 14] = [
    LongRun {
        name: "switches",
        work: Work::Test("switches::many_switches_leave_the_server_where_it_stood"),
        about: "1,000 thread switches, each with a helper",
    },
    LongRun {
        name: "kills",
        work: Work::Test("restart::nothing_acknowledged_is_lost_by_a_kill"),
        about: "200 SIGKILLs of the server at random moments of a client's work",
    },
    LongRun {
        name: "three-runs",
        work: Work::Test("three_runs::three_runs_on_one_home_lose_and_double_nothing"),
        about: "three servers on one home, two of them on stdio; a write is a turn/start until its answer",
    },
    LongRun {
        name: "jobs",
        work: Work::Test(
            "jobs_custody::jobs_cut_with_every_shape_of_helper_leave_nothing_and_disturb_nobody",
        ),
        about: "7 jobs, 20 rounds of runs asked for at once with each of 11 shapes of helpers, every run cut by its timeout beside two live chats",
    },
    LongRun {
        name: "jobs-two-servers",
        work: Work::Test("jobs_two_servers::two_servers_that_are_killed_run_each_slot_once_or_say_why_not"),
        about: "two servers on one home, SIGKILLed at random moments of 4 jobs that are due every second",
    },
    LongRun {
        name: "crowd",
        work: Work::Seeds("crowd::every_view_is_the_log_at_its_place"),
        about: "50 random clients of 8 threads; at every rest each knows what the log tells up to its place",
    },
    LongRun {
        name: "crowd-network",
        work: Work::Seeds("crowd::every_view_is_the_log_at_its_place_over_a_bad_network"),
        about: "the same through a proxy that delays, splits, stalls and cuts",
    },
    LongRun {
        name: "chaos",
        work: Work::Chaos,
        about: "a crowd, helpers that fail, and a release server that is killed every minute",
    },
    LongRun {
        name: "leaks",
        work: Work::Leaks,
        about: "every misbehaviour at every level, as every user, through every end",
    },
    LongRun {
        name: "fuzz-decode",
        work: Work::Fuzz(fuzz::DECODE),
        about: "an hour of bytes that claim to be a message",
    },
    LongRun {
        name: "fuzz-dispatch",
        work: Work::Fuzz(fuzz::DISPATCH),
        about: "an hour of clients that ask a whole daemon for anything, in any order",
    },
    LongRun {
        name: "fuzz-channel",
        work: Work::Fuzz(fuzz::CHANNEL),
        about: "an hour of bytes between a shim and its owner",
    },
    LongRun {
        name: "fuzz-framing",
        work: Work::Fuzz(fuzz::FRAMING),
        about: "an hour of what a helper may write to its stdout",
    },
    LongRun {
        name: "shim",
        work: Work::Shim,
        about: "random owners of real shims, a process for each, which AddressSanitizer and LeakSanitizer watch",
    },
];

/// How many times longer than in `test`.
pub(crate) const SCALE: &str = "10";

const HEAD: &str = "\
# Long runs

Each row is one run of `cargo xtask soak NAME` on a debug build (`crowd`: optimised; `chaos`: a release build), added by it; newest last. The test fails when a
figure says that something leaks, so a row is also a pass. Times are the machine's, to be compared within one run.
";

struct LongRun {
    name: &'static str,
    work: Work,
    about: &'static str,
}

enum Work {
    /// An end-to-end test, by its name in the binary `e2e`. It takes its length from VERGER_TEST_SCALE and prints one
    /// line `SOAK {"figure": 1, ...}` to its stdout.
    Test(&'static str),
    /// The same, once for each of many seeds.
    Seeds(&'static str),
    Fuzz(fuzz::Target),
    /// An hour of everything at once, on a release build.
    Chaos,
    /// The shim's random conversations, with a shim that a sanitizer watches.
    Shim,
    /// The matrix, which has a page of its own.
    Leaks,
}

/// The names, for people.
pub(crate) fn names() -> String {
    RUNS.map(|run| run.name).join(", ")
}

impl LongRun {
    /// By its name, or by the first word of it: `fuzz` is all that fuzzes.
    fn is_meant(&self, name: &str) -> bool {
        name == self.name || self.name.split_once('-').is_some_and(|(first, _)| name == first)
    }
}

/// Runs all, or those that are named; whether all went well. `--minutes N` is how long chaos lasts: less than an hour is a
/// try, and leaves no row.
pub(crate) fn soak(house: &House, words: &[&str]) -> Result<bool, Error> {
    let (chosen, minutes) = minutes_of(words)?;
    if let Some(unknown) = chosen.iter().find(|name| !RUNS.iter().any(|run| run.is_meant(name))) {
        return Err(Error::Usage(format!("'{unknown}' is no long run; there are: {}", names())));
    }
    let mut report = Report::default();
    for run in &RUNS {
        if chosen.is_empty() || chosen.iter().any(|name| run.is_meant(name)) {
            report.step(run.name, || one(house, run, minutes));
        }
    }
    println!("\n{report}");
    Ok(report.is_green())
}

/// The words without `--minutes N`, and N.
fn minutes_of<'a>(words: &[&'a str]) -> Result<(Vec<&'a str>, u64), Error> {
    let mut names = words.to_vec();
    let Some(place) = names.iter().position(|word| *word == "--minutes") else {
        return Ok((names, chaos::MINUTES));
    };
    let value = names.drain(place..names.len().min(place + 2)).nth(1).and_then(|value| value.parse().ok());
    match value.filter(|minutes| (1..=24 * 60).contains(minutes)) {
        Some(minutes) => Ok((names, minutes)),
        None => Err(Error::Usage("--minutes needs a number from 1 to 1440".into())),
    }
}

fn one(house: &House, run: &LongRun, minutes: u64) -> Result<Outcome, Error> {
    let measured = match run.work {
        Work::Test(test) => measure(house, run.name, &format!("binary(e2e) & test(={test})"), SCALE, &[])?,
        Work::Seeds(test) => seeds::all(house, run.name, &format!("binary(e2e) & test(={test})"))?,
        Work::Fuzz(target) => fuzz::long(house, target)?.cells(),
        Work::Shim => {
            let watched = sanitized::shim(house)?;
            let test = "package(verger-shim) & test(=random_owners_lose_nothing)";
            measure(house, run.name, test, "50", &watched)?
        }
        Work::Chaos => chaos::chaos(house, minutes)?,
        Work::Leaks => return leaks::leaks(house),
    };
    let mut cells = machine(house)?;
    cells.extend(measured);
    if matches!(run.work, Work::Chaos) && minutes < chaos::MINUTES {
        println!("{}", add_row("", run.name, &cells));
        return Ok(Outcome::Passed("a try, not added to docs/soak.md".into()));
    }
    let file = house.root.join("docs/soak.md");
    let before = read_if_there(&file)?.unwrap_or_else(|| HEAD.to_owned());
    let after = add_row(&before, &format!("{}: {}", run.name, run.about), &cells);
    std::fs::write(&file, after).map_err(Error::file(&file))?;
    Ok(Outcome::Passed("added to docs/soak.md".into()))
}

/// Runs the one test that `filter` means and reads its figures.
fn measure(
    house: &House,
    name: &'static str,
    filter: &str,
    scale: &str,
    env: &[(&str, OsString)],
) -> Result<Vec<(String, String)>, Error> {
    let env: Vec<(&str, &OsStr)> = env.iter().map(|(name, value)| (*name, value.as_os_str())).collect();
    let found = measured(house, name, &[], filter, scale, &env)?;
    Ok(cells(&found))
}

/// The same, as they were said, with more `words` for nextest.
pub(crate) fn measured(
    house: &House,
    name: &'static str,
    words: &[&str],
    filter: &str,
    scale: &str,
    env: &[(&str, &OsStr)],
) -> Result<Map<String, Value>, Error> {
    let mut found = Vec::new();
    // All of the workspace is built, so that the programs that the test starts are there too; one test runs.
    watch(
        cargo(house)
            .args(["nextest", "run", "--workspace", "--locked", "--no-capture"])
            .args(words)
            .args(["--filterset", filter])
            .env("VERGER_TEST_SCALE", scale)
            .envs(env.iter().copied()),
        |line| {
            if let Some((_, figures)) = line.split_once("SOAK ") {
                found.push(figures.to_owned());
            }
        },
    )?;
    figures(name, &found)
}

/// The figures of the one line that was `found`, for people.
pub(crate) fn figures_of(name: &'static str, found: &[String]) -> Result<Vec<(String, String)>, Error> {
    Ok(cells(&figures(name, found)?))
}

/// Figures as a row of the table has them.
pub(crate) fn cells(figures: &Map<String, Value>) -> Vec<(String, String)> {
    figures.iter().map(|(name, figure)| (name.replace('_', " "), plain(figure))).collect()
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
pub(crate) fn machine(house: &House) -> Result<Vec<(String, String)>, Error> {
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
    fn a_long_run_is_named_in_full_or_by_its_first_word() {
        let meant = |word: &str| RUNS.iter().filter(|run| run.is_meant(word)).count();
        assert_eq!((meant("kills"), meant("fuzz-decode"), meant("fuzz"), meant("kill")), (1, 1, 4, 0));
        assert_eq!((meant("crowd"), meant("crowd-network")), (2, 1));
        assert_eq!((meant("jobs"), meant("jobs-two-servers")), (2, 1));
    }

    #[test]
    fn minutes_are_taken_out_of_the_words() {
        let minutes = |words: &[&'static str]| minutes_of(words).ok();
        assert_eq!(minutes(&["chaos", "--minutes", "3"]), Some((vec!["chaos"], 3)));
        assert_eq!(minutes(&["--minutes", "3", "kills", "chaos"]), Some((vec!["kills", "chaos"], 3)));
        assert_eq!(minutes(&["kills"]), Some((vec!["kills"], 60)));
        for bad in [&["--minutes"][..], &["--minutes", "0"], &["--minutes", "long"]] {
            assert_eq!(minutes(bad), None);
        }
    }

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
