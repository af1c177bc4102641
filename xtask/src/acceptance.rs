//! The acceptance scripts: the same questions asked from outside, by a program that knows nothing of this one.

use std::path::Path;

use crate::error::Error;
use crate::house::House;
use crate::report::Outcome;
use crate::run::{cargo, program, run};
use crate::tools::has_python;

/// As fast as a release in what the scripts judge, in half of the build time: see the root Cargo.toml.
const PROFILE: &str = "acceptance";

/// Where the scripts judge a moment by the clock, a shared machine may be this slow, in milliseconds. What is judged here
/// is what stays and in which order; the tight limits are for a quiet machine, by hand.
const PATIENCE: &str = "2000";

/// Minutes that one script may take. All of them end by themselves in less than two.
const LIMIT: &str = "10m";

/// Builds the program that is judged.
pub(crate) fn build(house: &House) -> Result<Outcome, Error> {
    if let Some(skipped) = why_not(house)? {
        return Ok(skipped);
    }
    run(cargo(house).args(["build", "--locked", "--package", "verger", "--profile", PROFILE]))?;
    Ok(Outcome::passed())
}

/// Fifteen threads, each opened, used and left, with a polite helper or one on the Python SDK.
pub(crate) fn switch(house: &House, helper: &str, start: &str) -> Result<Outcome, Error> {
    script(house, "switch", &["--helper", helper, "--start", start, "--eof-ms", PATIENCE])
}

/// The server is killed while helpers of every shape live.
pub(crate) fn kill(house: &House) -> Result<Outcome, Error> {
    script(house, "kill", &["--kill-ms", PATIENCE])
}

/// Every way to end a thread, with every shape.
pub(crate) fn close(house: &House) -> Result<Outcome, Error> {
    script(house, "close", &[])
}

fn script(house: &House, name: &str, arguments: &[&str]) -> Result<Outcome, Error> {
    if let Some(skipped) = why_not(house)? {
        return Ok(skipped);
    }
    let verger = house.target.join(PROFILE).join("verger");
    if !verger.exists() {
        return Ok(Outcome::Skipped("no program to judge: its build failed, or was not asked for".into()));
    }
    let scripts = copy(house)?;
    run(program(house, "timeout")
        .args(["--kill-after", "10s", LIMIT])
        .arg(house.python())
        .arg(format!("{name}.py"))
        .args(arguments)
        .current_dir(scripts)
        .env("VERGER_BIN", verger)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1"))?;
    Ok(Outcome::passed())
}

/// What is missing here, if anything.
fn why_not(house: &House) -> Result<Option<Outcome>, Error> {
    let why = if house.acceptance_scripts().is_none() {
        "no acceptance scripts beside the project"
    } else if !has_python(house)? {
        "no Python environment"
    } else {
        return Ok(None);
    };
    Ok(Some(Outcome::Skipped(why.into())))
}

/// A copy to run in: the scripts write their results where they stand, and that folder is not ours.
fn copy(house: &House) -> Result<std::path::PathBuf, Error> {
    let from = house.acceptance_scripts().unwrap_or_default();
    let to = house.fresh("acceptance-scripts")?;
    for entry in std::fs::read_dir(&from).map_err(Error::file(&from))? {
        let path = entry.map_err(Error::file(&from))?.path();
        if path.extension().is_some_and(|kind| kind == "py") {
            let name = path.file_name().map(Path::new).unwrap_or(Path::new(""));
            std::fs::copy(&path, to.join(name)).map_err(Error::file(&path))?;
        }
    }
    Ok(to)
}
