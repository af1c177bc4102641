//! The hidden `verger demo-keeper`: a server's parent, which tells what the server leaves when it is killed.
//!
//! It is a subreaper, so whatever the server abandons comes to it, and it ends only when the kernel says ECHILD. It kills
//! nothing: what ends, ends by itself. It is itself ended by the demo's shim.
//!
//! On stdout, line by line: `started PID`, then what the server says, `ended STATUS`, `orphan PID` for each process that
//! came from the server and has ended, and `empty`.

use std::io::{Write, stdout};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, wait};

use crate::serve::Failure;

pub(crate) fn demo_keeper() -> Result<(), Failure> {
    set_child_subreaper(Some(getpid()))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a server that is to be killed on purpose, with nobody cleaning up after it; the demo's shim owns both"
    )]
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::null());
    let server = command.stderr(stdout().as_fd().try_clone_to_owned()?).spawn()?.id();
    say(&format!("started {server}"))?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if Pid::as_raw(Some(pid)).cast_unsigned() == server => {
                let how = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("exit {code}"),
                    (None, signal) => format!("signal {}", signal.unwrap_or_default()),
                };
                say(&format!("ended {how}"))?;
            }
            Ok(Some((pid, _))) => say(&format!("orphan {}", Pid::as_raw(Some(pid))))?,
            Ok(None) | Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return Ok(say("empty")?),
            Err(error) => return Err(error.into()),
        }
    }
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
