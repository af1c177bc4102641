//! Where the `bad-helper` program is, for tests of any crate.
//!
//! Cargo builds a dependency's library but not its programs, and tells only the package's own tests where those
//! are. So this looks beside the running test, in the same target folder and profile, and has cargo build the
//! program when it is missing or older than its sources.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::SystemTime,
};

/// Path of an up-to-date `bad-helper`. The first call of a process may take as long as a build.
///
/// # Panics
///
/// When the running program is not in a cargo target folder, or the build fails.
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let test = env::current_exe().expect("a test knows its own path");
        // TARGET/PROFILE/deps/NAME-HASH, or TARGET/PROFILE/examples/NAME
        let profile_dir = test.parent().and_then(Path::parent).expect("tests live in TARGET/PROFILE/deps");
        let program = profile_dir.join("bad-helper");
        if !is_fresh(&program) {
            build(profile_dir);
        }
        program
    })
}

/// True when `program` is newer than every source file it is made of.
fn is_fresh(program: &Path) -> bool {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/bad-helper");
    let newest = fs::read_dir(sources).expect("the sources of bad-helper").flatten();
    let newest = newest.filter_map(|entry| modified(&entry.path())).max();
    modified(program) > newest
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

/// Cargo's own lock makes concurrent tests wait for one build; the others then find nothing to do.
#[expect(
    clippy::disallowed_methods,
    reason = "a test builds its own fixture; cargo is waited for right here"
)]
fn build(profile_dir: &Path) {
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = std::process::Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "verger-testkit",
            "--bin",
            "bad-helper",
            "--profile",
            profile,
        ])
        .arg("--target-dir")
        .arg(profile_dir.parent().expect("TARGET/PROFILE has a parent"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("tests run under cargo");
    assert!(status.success(), "bad-helper did not build");
}
