//! The demo, run as people run it: to its end, interrupted, and killed midway.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Lines, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use verger_testkit::LeakGuard;

/// A demo whose temporary folder is in `tmp`.
struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Demo {
    fn start(tmp: &Path, args: &[&str]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a demo to be killed; LeakGuard judges what it leaves")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_verger"));
        command.arg("demo").args(args).env("TMPDIR", tmp).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on until a line fits; returns it.
    fn until(&mut self, fits: impl Fn(&str) -> bool) -> String {
        let mut seen = String::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if fits(&line) {
                return line;
            }
            seen += &(line + "\n");
        }
        panic!("the demo ended without that line:\n{seen}");
    }

    /// Reads to the end; returns the last line and how the demo ended.
    fn end(mut self) -> (String, ExitStatus) {
        let last = self.lines.by_ref().map_while(Result::ok).last().unwrap_or_default();
        (last, self.child.wait().unwrap())
    }
}

/// The row of a switch begins with its number.
fn is_row(line: &str, number: &str) -> bool {
    line.split('|').next().is_some_and(|cell| cell.trim() == number)
}

#[test]
fn it_ends_with_a_verdict_and_leaves_nothing() {
    let guard = LeakGuard::new();
    let tmp = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(tmp.path(), &["--helper", "built-in", "--threads", "3"]);
    let row = demo.until(|line| is_row(line, "3"));
    let cells: Vec<_> = row.split_whitespace().filter(|cell| *cell != "|").collect();
    // In use: a thread, its helper, one process of it, and that process and its shim. Left: nothing.
    assert_eq!((&cells[5..9], &cells[11..]), (&["1", "1", "1", "2"][..], &["0"; 4][..]), "{row}");
    demo.until(|line| line.starts_with("crash"));
    demo.until(|line| line.contains("survivors: 0 of 6"));
    let (verdict, status) = demo.end();
    assert_eq!(
        verdict,
        "verdict: PASS: 3 switches left nothing alive; SIGKILL of the server left 0 of 6 processes; \
         3 of 3 threads are there"
    );
    assert_eq!(status.code(), Some(0));
    assert_eq!(tmp.path().read_dir().unwrap().count(), 0, "the temporary home is gone");
    guard.finish();
}

#[test]
fn killed_midway_it_leaves_no_process() {
    let guard = LeakGuard::new().patience(Duration::from_secs(5));
    let tmp = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(tmp.path(), &["--helper", "built-in", "--threads", "40"]);
    demo.until(|line| is_row(line, "2"));
    demo.child.kill().unwrap();
    assert_eq!(demo.child.wait().unwrap().code(), None, "it was killed before it ended");
    guard.finish();
}

#[test]
fn interrupted_it_ends_everything_and_says_so() {
    let guard = LeakGuard::new();
    let tmp = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(tmp.path(), &["--helper", "built-in", "--threads", "40"]);
    demo.until(|line| is_row(line, "2"));
    kill_process(Pid::from_child(&demo.child), Signal::INT).unwrap();
    let (last, status) = demo.end();
    assert_eq!(last, "verdict: FAIL: interrupted; everything that was started has been ended");
    assert_eq!(status.code(), Some(1));
    assert_eq!(tmp.path().read_dir().unwrap().count(), 0, "the temporary home is gone");
    assert_eq!(guard.finish(), 0, "nothing came to this process as an orphan");
}

#[test]
fn the_built_in_helper_ends_with_its_stdin() {
    let guard = LeakGuard::new();
    #[expect(clippy::disallowed_methods, reason = "the helper itself, on plain pipes")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_verger"));
    let mut helper = command.arg("demo-helper").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = helper.stdin.take().unwrap();
    let mut said = String::new();
    std::io::Write::write_all(&mut stdin, b"{\"id\":1,\"method\":\"ping\"}\nnonsense\n").unwrap();
    drop(stdin);
    helper.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let answers: Vec<_> = said.lines().collect();
    assert!(answers.len() == 2 && answers[0].contains("\"result\":{}"), "{said}");
    assert!(answers[1].contains("-32700"), "{said}");
    assert!(helper.wait().unwrap().success());
    guard.finish();
}
