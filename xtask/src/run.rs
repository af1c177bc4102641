//! The one place where xtask starts programs: each is shown before it runs, in words one can repeat.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::error::Error;
use crate::house::House;

/// Variables that `cargo run` sets for this process alone. Handed on they would change what build scripts see
/// (ring's watches them), and every `cargo build` after a `cargo xtask` would build those crates again.
const OF_CARGO_RUN: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// A program with the project as its directory, no standard input, and `target/tools` first on PATH.
pub(crate) fn program(house: &House, program: impl AsRef<OsStr>) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "a developer's tool, not the daemon: each child is awaited on the line after its start"
    )]
    let mut command = Command::new(program);
    command.current_dir(&house.root).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if OF_CARGO_RUN.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(house.tools().join("bin")).chain(std::env::split_paths(&path));
    // A folder with a colon in its name cannot be on PATH: then the machine's own tools must do.
    if let Ok(joined) = std::env::join_paths(folders) {
        command.env("PATH", joined);
    }
    command
}

/// Cargo, the same that runs xtask.
pub(crate) fn cargo(house: &House) -> Command {
    program(house, std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs it to its end, its output being ours.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let shown = show(command);
    println!("$ {shown}");
    let status = command.status().map_err(cannot_start(command))?;
    judge(shown, status)
}

/// Runs it to its end and returns what it printed, without the last line break. Nothing is shown unless it fails.
pub(crate) fn read(command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(cannot_start(command))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    judge(show(command), output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Runs it to its end; its output is ours, and each line of it goes through `see` too.
pub(crate) fn watch(command: &mut Command, mut see: impl FnMut(&str)) -> Result<(), Error> {
    let shown = show(command);
    println!("$ {shown}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot_start(command))?;
    let stdout = child.stdout.take().expect("it was asked to be a pipe");
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(Error::file("the output of a child"))?;
        println!("{line}");
        see(&line);
    }
    let status = child.wait().map_err(cannot_start(command))?;
    judge(shown, status)
}

/// Runs `work` beside a server that ends when its standard input does, from when a line of its stderr holds `ready`. What it
/// said is shown if something fails.
pub(crate) fn beside<T>(
    command: &mut Command,
    ready: &str,
    limit: Duration,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let shown = show(command);
    println!("$ {shown} &");
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = piped.spawn().map_err(cannot_start(command))?;
    let stderr = server.stderr.take().expect("it was asked to be a pipe");
    let (tell, told) = mpsc::channel();
    let wanted = ready.to_owned();
    let reader = thread::spawn(move || {
        let mut said = String::new();
        // An unreadable output ends like a closed one: the channel tells.
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains(&wanted) {
                // Nobody hears it only where the time was up.
                let _heard = tell.send(()).is_ok();
            }
            said += &line;
            said.push('\n');
        }
        said
    });
    let done = match told.recv_timeout(limit) {
        Ok(()) => work(),
        Err(_) => Err(Error::NotReady { command: shown, ready: ready.to_owned() }),
    };
    drop(server.stdin.take());
    server.wait().map_err(cannot_start(command))?;
    let said = reader.join().expect("the reader does not panic");
    if done.is_err() {
        eprint!("{said}");
    }
    done
}

/// Whether this program starts at all and answers `--version`.
pub(crate) fn is_there(house: &House, name: &str) -> bool {
    let mut asked = program(house, name);
    asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

fn judge(command: String, status: ExitStatus) -> Result<(), Error> {
    if status.success() { Ok(()) } else { Err(Error::Failed { command, status }) }
}

fn cannot_start(command: &Command) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let program = command.get_program().to_string_lossy().into_owned();
    move |source| Error::Start { program, source }
}

/// The command as one types it; a program's folder adds nothing to read.
fn show(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args()).map(|word| {
        let word = word.to_string_lossy();
        if word.is_empty() || word.contains([' ', '\'', '"', '(', '*']) {
            format!("{word:?}")
        } else {
            word.into_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn house(root: &Path) -> House {
        House { root: root.to_owned(), target: root.join("target") }
    }

    #[test]
    fn a_tool_below_target_is_found_and_one_that_is_nowhere_is_not() {
        let root = tempfile::tempdir().unwrap();
        let house = house(root.path());
        assert!(!is_there(&house, "verger-no-such-tool"));
        let tool = house.tools().join("bin/verger-no-such-tool");
        std::fs::create_dir_all(house.tools().join("bin")).unwrap();
        std::fs::write(&tool, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(is_there(&house, "verger-no-such-tool"));
    }

    #[test]
    fn what_cargo_run_sets_is_not_handed_on() {
        let root = tempfile::tempdir().unwrap();
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "cargo sets it for tests too");
        let seen = read(&mut program(&house(root.path()), "env")).unwrap();
        assert!(seen.contains("PATH=") && !seen.contains("CARGO_MANIFEST_"), "{seen}");
    }

    #[test]
    fn a_failure_names_the_command_and_a_missing_program_itself() {
        let root = tempfile::tempdir().unwrap();
        let house = house(root.path());
        let failed = run(program(&house, "sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(failed.to_string(), "'sh -c \"exit 3\"' failed: exit status: 3");
        let missing = run(&mut program(&house, "verger-no-such-tool")).unwrap_err();
        assert!(missing.to_string().starts_with("'verger-no-such-tool' could not be started"), "{missing}");
    }

    #[test]
    fn a_watched_program_is_seen_line_by_line_and_still_judged() {
        let root = tempfile::tempdir().unwrap();
        let (house, mut lines) = (house(root.path()), Vec::new());
        let script = "echo one; echo two; exit 1";
        let failed = watch(program(&house, "sh").args(["-c", script]), |line| lines.push(line.to_owned()));
        assert!(matches!(failed, Err(Error::Failed { .. })), "{failed:?}");
        assert_eq!(lines, ["one", "two"]);
    }
}
