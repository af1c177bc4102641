//! What can be said of the code without running it: format, lints, and what it is built from.

use crate::error::Error;
use crate::house::House;
use crate::report::{Outcome, Report};
use crate::run::{cargo, is_there, program, run};

/// The workspace, and the one beside it.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

/// Whether the code is formatted.
pub(crate) fn fmt(house: &House) -> Result<(), Error> {
    MANIFESTS.iter().try_for_each(|manifest| {
        run(cargo(house).args(["fmt", "--all", "--check", "--manifest-path", manifest]))
    })
}

/// Formats it.
pub(crate) fn fix_fmt(house: &House) -> Result<(), Error> {
    MANIFESTS
        .iter()
        .try_for_each(|manifest| run(cargo(house).args(["fmt", "--all", "--manifest-path", manifest])))
}

/// Clippy on the whole workspace, tests and examples too; a warning is an error.
pub(crate) fn clippy(house: &House) -> Result<Outcome, Error> {
    run(cargo(house).args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    Ok(Outcome::passed())
}

/// deny.toml, where cargo-deny is installed: building it takes longer than all of the lints.
pub(crate) fn deny(house: &House) -> Result<Outcome, Error> {
    if !is_there(house, "cargo-deny") {
        return Ok(Outcome::Skipped("no cargo-deny here: cargo install --locked cargo-deny".into()));
    }
    run(program(house, "cargo-deny")
        .args(["--locked", "check", "--hide-inclusion-graph"])
        .args(["bans", "licenses", "sources"]))?;
    Ok(Outcome::passed())
}

/// All lints, with a table; whether they hold.
pub(crate) fn lint(house: &House) -> Result<bool, Error> {
    let mut report = Report::default();
    report.step("clippy", || clippy(house));
    report.step("deny", || deny(house));
    println!("\n{report}");
    Ok(report.is_green())
}
