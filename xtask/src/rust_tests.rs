//! The workspace's own tests: built once, run under nextest where there is one.

use crate::error::Error;
use crate::house::House;
use crate::report::Outcome;
use crate::run::{cargo, run};
use crate::tools::has_nextest;

/// Builds every program and every test, so that the next steps' seconds are those of running.
pub(crate) fn build(house: &House) -> Result<Outcome, Error> {
    let runner: &[&str] = if has_nextest(house) { &["nextest", "run"] } else { &["test"] };
    // Not `cargo build`: it leaves dev-dependencies out, and half of the crates would be built twice.
    run(cargo(house).args(runner).args(["--workspace", "--locked", "--no-run"]))?;
    Ok(Outcome::passed())
}

/// All tests that need nothing from outside.
pub(crate) fn tests(house: &House) -> Result<Outcome, Error> {
    if has_nextest(house) {
        run(cargo(house).args(["nextest", "run", "--workspace", "--locked"]))?;
        return Ok(Outcome::passed());
    }
    // One thread, because LeakGuard asks after all children of its process; doctests have a step of their own.
    run(cargo(house)
        .args(["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins", "--tests"])
        .args(["--", "--test-threads", "1"]))?;
    Ok(Outcome::Passed("by `cargo test`, without a process for each test: no cargo-nextest".into()))
}

/// The examples in doc comments.
pub(crate) fn doctests(house: &House) -> Result<Outcome, Error> {
    run(cargo(house).args(["test", "--workspace", "--locked", "--doc", "--quiet"]))?;
    Ok(Outcome::passed())
}
