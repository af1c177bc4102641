//! `cargo xtask COMMAND`: the one vocabulary for people and CI.

#![forbid(unsafe_code)]

mod acceptance;
mod bench;
mod bench_reaper;
mod chaos;
mod checks;
mod clients;
mod docs;
mod error;
mod fuzz;
mod fuzz_log;
mod gateway;
mod house;
mod leaks;
mod leaks_page;
mod peer;
mod real_servers;
mod report;
mod run;
mod rust_tests;
mod sanitized;
mod seeds;
mod soak;
mod soak_table;
mod suite;
mod tools;

use std::process::ExitCode;

use error::Error;
use house::House;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  fmt [--fix]            is the code formatted? --fix formats it
  lint                   clippy on everything, warnings are errors; cargo-deny where it is installed
  test [STEP]...         everything that CI asks, or only these steps; fetches what it needs into target/
  soak [NAME]... [--minutes N]
                         the long runs, or only these; adds what they measured to docs/soak.md, and writes docs/leaks.md.
                         N is how long chaos lasts, for a try
  bench [STEP]... [--peer PATH] [--runs N]
                         how fast, how large: a table, and JSON below target/bench; beside a peer where there is one
  bench reaper [small]   what custody costs against killing plainly; added to docs/bench.md, or for a try printed only
  docs                   write the pages of docs/ that are made of the code
  fuzz-corpus            makes fuzz/corpus anew from itself and what fuzzing here has found
  help                   this text, and the names of steps and long runs
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match obey(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the words say; whether all went well.
fn obey(arguments: &[String]) -> Result<bool, Error> {
    let house = House::find()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["fmt"] => checks::fmt(&house).map(|()| true),
        ["fmt", "--fix"] => checks::fix_fmt(&house).map(|()| true),
        ["lint"] => checks::lint(&house),
        ["test", steps @ ..] => suite::test(&house, steps),
        ["soak", names @ ..] => soak::soak(&house, names),
        ["bench", "reaper", words @ ..] => bench_reaper::bench_reaper(&house, words),
        ["bench", words @ ..] => bench::bench(&house, words),
        ["docs"] => docs::docs(&house).map(|()| true),
        ["fuzz-corpus"] => fuzz::minimise(&house).map(|()| true),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}\nsteps of test: {}\nlong runs: {}", suite::names(), soak::names());
            Ok(true)
        }
        [] => Err(Error::Usage("no command".into())),
        [other, ..] => Err(Error::Usage(format!("'{other}': not understood"))),
    }
}
