//! `bench`: builds release programs and lets verger-testkit's load client measure them, alone or beside a peer.

use std::path::PathBuf;

use crate::error::Error;
use crate::house::House;
use crate::run::{cargo, is_there, program, read, run};

/// Builds, measures, and leaves the figures below `target/bench`; whether every step has its figures. `words` are steps
/// and options of `load-bench`, which knows and explains them.
pub(crate) fn bench(house: &House, words: &[&str]) -> Result<bool, Error> {
    // One after the other: built together they would share features, and the server measured would not be the one shipped.
    run(cargo(house).args(["build", "--release", "--locked", "--package", "verger"]))?;
    run(cargo(house).args(["build", "--release", "--locked", "--package", "verger-testkit", "--bins"]))?;
    let release = house.target.join("release");
    let out = house.target.join("bench");
    std::fs::create_dir_all(&out).map_err(Error::file(&out))?;
    let stem = out.join(read(program(house, "date").args(["--utc", "+%Y-%m-%dT%H%M%SZ"]))?);
    let mut measure = program(house, release.join("load-bench"));
    measure.arg("--server").arg(release.join("verger")).arg("--out").arg(&stem);
    if let Some(script) = helper_script(house) {
        measure.arg("--helper-script").arg(script);
    }
    // Paths in the words are meant from where they were typed.
    run(measure.args(words).current_dir("."))?;
    println!("\nwritten: {0}.md, {0}.json", stem.display());
    Ok(true)
}

/// The acceptance scripts' MCP server, where it can run: the targets of tool calls are about it.
fn helper_script(house: &House) -> Option<PathBuf> {
    let script = house.acceptance_scripts()?.join("helper.py");
    (script.exists() && is_there(house, "python3")).then_some(script)
}
