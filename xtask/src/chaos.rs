//! `soak chaos`: release programs, and verger-testkit's chaos with them.

use crate::error::Error;
use crate::house::House;
use crate::run::{cargo, program, run, watch};
use crate::soak::figures_of;

/// How long a run is that is worth a row.
pub(crate) const MINUTES: u64 = 60;

/// Builds, and runs for that many minutes; what was measured.
pub(crate) fn chaos(house: &House, minutes: u64) -> Result<Vec<(String, String)>, Error> {
    // One after the other: built together they would share features, and the server would not be the one shipped.
    run(cargo(house).args(["build", "--release", "--locked", "--package", "verger"]))?;
    run(cargo(house).args(["build", "--release", "--locked", "--package", "verger-testkit", "--bins"]))?;
    let release = house.target.join("release");
    let mut found = Vec::new();
    let mut command = program(house, release.join("chaos"));
    command.arg("--server").arg(release.join("verger")).args(["--minutes", &minutes.to_string()]);
    watch(&mut command, |line| {
        if let Some((_, figures)) = line.split_once("SOAK ") {
            found.push(figures.to_owned());
        }
    })?;
    figures_of("chaos", &found)
}
