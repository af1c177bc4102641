//! A shim that AddressSanitizer and LeakSanitizer watch: it ends with a status of its own where it reads or writes what it
//! should not, or loses memory, and its tests expect another.

use std::ffi::OsString;

use crate::error::Error;
use crate::fuzz::host;
use crate::house::House;
use crate::run::{cargo, run};

/// Builds it; returns the variables by which tests find it and it finds where to write what was wrong.
pub(crate) fn shim(house: &House) -> Result<[(&'static str, OsString); 2], Error> {
    let (target, host) = (house.target.join("sanitized"), host(house)?);
    run(cargo(house)
        .args(["build", "--package", "verger-shim", "--bin", "verger-shim", "--locked", "--target", &host])
        // Sanitizers are not stable yet, though their runtimes come with the stable compiler.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", "-Zsanitizer=address")
        .env("CARGO_TARGET_DIR", &target))?;
    // Its stderr goes nowhere, as every shim's does.
    let mut options = OsString::from("detect_leaks=1:exitcode=99:log_path=");
    options.push(target.join("shim-report"));
    Ok([("VERGER_SHIM", target.join(host).join("debug/verger-shim").into()), ("ASAN_OPTIONS", options)])
}
