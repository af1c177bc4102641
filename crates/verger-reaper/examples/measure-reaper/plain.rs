//! No custody: a process group for each helper, killpg, wait. What custody is compared with.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::helpers::{BYTE, STUBBORN, arguments};
use crate::now;
use crate::worker::{Keeping, raise_nofile};

/// Those that are held.
#[derive(Default)]
pub(crate) struct Plain(Vec<Child>);

impl Keeping for Plain {
    fn first_byte(&mut self) -> Duration {
        let begun = now();
        let mut child = start(BYTE);
        let took = begun.elapsed();
        child.wait().unwrap();
        took
    }

    fn end(&mut self, count: usize) -> Duration {
        raise_nofile();
        let mut children: Vec<Child> = (0..count).map(|_| start(STUBBORN)).collect();
        let begun = now();
        for child in &children {
            kill_process_group(Pid::from_child(child), Signal::KILL).unwrap();
        }
        children.iter_mut().for_each(|child| assert!(!child.wait().unwrap().success()));
        begun.elapsed()
    }

    fn private(&mut self) -> Vec<u64> {
        Vec::new()
    }

    fn hold(&mut self, count: usize) -> Vec<u32> {
        // Who was held before has been killed by now.
        self.0.drain(..).for_each(|mut child| assert!(!child.wait().unwrap().success()));
        self.0 = (0..count).map(|_| start(STUBBORN)).collect();
        self.0.iter().map(Child::id).collect()
    }
}

fn start(script: &str) -> Child {
    #[expect(clippy::disallowed_methods, reason = "what custody is compared with")]
    let mut command = Command::new("/bin/sh");
    command.args(arguments(script)).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}
