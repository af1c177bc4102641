//! The README's example is the one that is built, and does what the README says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use house::LeakGuard;

const README: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../examples/quickstart.rs");

#[test]
fn the_example_is_short_and_the_one_that_is_shown() {
    let shown = README.split_once("```rust,no_run\n").and_then(|(_, rest)| rest.split_once("```"));
    assert_eq!(shown.map(|(code, _)| code), Some(EXAMPLE));
    assert!(EXAMPLE.lines().count() <= 15, "{} lines", EXAMPLE.lines().count());
}

#[test]
fn the_example_proves_a_daemon_gone() {
    let guard = LeakGuard::new();
    // Cargo tells no test where examples are: beside the folder of tests.
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/quickstart");
    assert!(program.is_file(), "build it: cargo build -p verger-reaper --example quickstart");
    let folder = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let ran = std::process::Command::new(program).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let (what, level) = said.trim_end().rsplit_once(' ').unwrap_or_default();
    assert_eq!(
        what,
        "gone, with 1 left behind and ended; proof:",
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(["cgroup", "shim"].contains(&level), "{level}");
    assert!(ran.status.success());
    let runs = std::fs::read_dir(folder.path().join("state/runs")).unwrap();
    let left: Vec<_> = runs.map(|run| run.unwrap().file_name()).filter(|name| name != ".lock").collect();
    assert!(left.is_empty(), "the run is ended: {left:?}");
    // The sleeper would be this process's child now, if anyone had left it.
    drop(guard);
}
