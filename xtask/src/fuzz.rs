//! Fuzzing: programs that throw at Verger what no client, helper or supervisor should send.
//!
//! They are in `fuzz/`, a workspace of its own, since all of it is built with coverage counters. The flags for those are
//! stable ones, so that nothing here needs a nightly compiler; libFuzzer itself is C++ and needs a compiler for that.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use crate::error::Error;
use crate::fuzz_log::{self, Figures};
use crate::house::House;
use crate::report::Outcome;
use crate::run::{cargo, is_there, program, read, run};

/// Coverage for libFuzzer to steer by: a counter on every edge. These are cargo-fuzz's flags for `--sanitizer none`
/// (there is hardly any unsafe code for a sanitizer to watch) but for the operands of comparisons: the words that
/// those would find are known from the schema, and they cost a quarter of the time.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// A program that fuzzes, and the folder of its corpus.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    name: &'static str,
    /// Longest input that is tried, in bytes.
    max_len: u32,
    /// Longest input that is kept in the repository, in bytes.
    max_kept: u32,
    /// How long a run lasts in `test`, in seconds.
    short: u32,
}

/// Bytes that claim to be a message.
pub(crate) const DECODE: Target = Target { name: "decode", max_len: 64 << 10, max_kept: 1 << 10, short: 60 };

/// Clients that ask a whole daemon for anything, in any order. Its inputs are scripts that people can read.
pub(crate) const DISPATCH: Target =
    Target { name: "dispatch", max_len: 8 << 10, max_kept: 2 << 10, short: 60 };

/// Bytes between a shim and its owner.
pub(crate) const CHANNEL: Target = Target { name: "channel", max_len: 4 << 10, max_kept: 1 << 10, short: 20 };

/// What a helper writes to its stdout.
pub(crate) const FRAMING: Target =
    Target { name: "framing", max_len: 16 << 10, max_kept: 1 << 10, short: 20 };

const TARGETS: [Target; 4] = [DECODE, DISPATCH, CHANNEL, FRAMING];

/// How long a run lasts in `soak`, in seconds.
pub(crate) const LONG: u32 = 3600;

/// Resident megabytes at which a run counts as leaking.
const RSS_LIMIT: u32 = 1024;

/// Seconds after which one input counts as hanging: many times what the slowest takes on a busy machine.
const HANGING: u32 = 60;

/// Builds every target.
pub(crate) fn build(house: &House) -> Result<Outcome, Error> {
    if !is_there(house, "c++") {
        return Ok(Outcome::Skipped("no c++ on PATH: libFuzzer needs a compiler".into()));
    }
    // With a target named, build scripts and macros are built without the flags.
    run(cargo(house)
        .args(["build", "--manifest-path", "fuzz/Cargo.toml", "--release", "--locked"])
        .args(["--target", &host(house)?])
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"))
        .env("CARGO_TARGET_DIR", build_folder(house)))?;
    Ok(Outcome::passed())
}

/// Fuzzes for as long as CI has time for.
pub(crate) fn short(house: &House, target: Target) -> Result<Outcome, Error> {
    if !executable(house, target)?.exists() {
        return Ok(Outcome::Skipped(format!("'{}' is not built: see the step fuzz-build", target.name)));
    }
    let figures = fuzz(house, target, target.short)?;
    let Figures { runs, rate, edges } = figures;
    Ok(Outcome::Passed(format!("{runs} inputs, {rate} per second, {edges} edges")))
}

/// Builds the target and fuzzes for an hour.
pub(crate) fn long(house: &House, target: Target) -> Result<Figures, Error> {
    if let Outcome::Skipped(what) = build(house)? {
        return Err(Error::Missing { what });
    }
    fuzz(house, target, LONG)
}

/// Makes the repository's corpora anew out of what is in them and what runs here have found: the fewest inputs that
/// reach all that any of these reaches.
pub(crate) fn minimise(house: &House) -> Result<(), Error> {
    if let Outcome::Skipped(what) = build(house)? {
        return Err(Error::Missing { what });
    }
    for target in TARGETS {
        let kept = kept(house, target);
        let fewest = house.fresh("fuzz-found/fewest")?;
        run(fuzzer(house, target)?
            .args(["-merge=1".to_owned(), format!("-max_len={}", target.max_kept)])
            .args([&fewest, &kept, &found(house, target)?]))?;
        std::fs::remove_dir_all(&kept).map_err(Error::file(&kept))?;
        std::fs::create_dir(&kept).map_err(Error::file(&kept))?;
        for entry in std::fs::read_dir(&fewest).map_err(Error::file(&fewest))? {
            let from = entry.map_err(Error::file(&fewest))?.path();
            let name = from.file_name().expect("what is in a folder has a name");
            std::fs::copy(&from, kept.join(name)).map_err(Error::file(&from))?;
        }
    }
    Ok(())
}

/// Fuzzes from all inputs that are known; what is new is kept below `target`.
fn fuzz(house: &House, target: Target, seconds: u32) -> Result<Figures, Error> {
    let found = found(house, target)?;
    let log = found.with_extension("log");
    let mut fuzzer = fuzzer(house, target)?;
    fuzzer
        .args([format!("-max_total_time={seconds}"), format!("-max_len={}", target.max_len)])
        .args([format!("-timeout={HANGING}"), format!("-rss_limit_mb={RSS_LIMIT}")])
        .args(["-len_control=0", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}-", found.display()))
        .args([&found, &kept(house, target)])
        .stderr(File::create(&log).map_err(Error::file(&log))?);
    let ran = run(&mut fuzzer);
    let said = std::fs::read(&log).map_err(Error::file(&log))?;
    // An input that was found is shown as it is, and need not be text.
    let said = String::from_utf8_lossy(&said);
    match ran {
        Ok(()) => Figures::read(&said).ok_or(Error::Finding { log, said: "no figures".into() }),
        Err(Error::Failed { .. }) => Err(Error::Finding { log, said: fuzz_log::finding(&said) }),
        Err(other) => Err(other),
    }
}

fn fuzzer(house: &House, target: Target) -> Result<Command, Error> {
    Ok(program(house, executable(house, target)?))
}

fn executable(house: &House, target: Target) -> Result<PathBuf, Error> {
    Ok(build_folder(house).join(host(house)?).join("release").join(target.name))
}

/// Apart from the workspace's own: other flags, other features.
fn build_folder(house: &House) -> PathBuf {
    house.target.join("fuzz")
}

/// The corpus in the repository.
fn kept(house: &House, target: Target) -> PathBuf {
    house.root.join("fuzz/corpus").join(target.name)
}

/// The corpus that runs here have added to; beside it, the log of the last run and what it found.
fn found(house: &House, target: Target) -> Result<PathBuf, Error> {
    let folder = house.target.join("fuzz-found").join(target.name);
    std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    Ok(folder)
}

/// The machine that the compiler compiles for.
pub(crate) fn host(house: &House) -> Result<String, Error> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = read(program(house, rustc).arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or(Error::Missing { what: "the line `host:` of `rustc -vV`".into() })
}
