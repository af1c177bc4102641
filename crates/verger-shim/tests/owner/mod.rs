//! A shim's owner for tests, and the helper that it asks for.
#![allow(dead_code, reason = "each test program uses its part")]

use std::ffi::{CString, OsStr};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use verger_shim::protocol::{Graces, Inbox, Order, Report, Start};

pub(crate) const SHIM: &str = env!("CARGO_BIN_EXE_verger-shim");

/// An owner, its shim, and the file that the helper would write if it ran.
pub(crate) struct Owner {
    pub(crate) shim: Child,
    pub(crate) socket: UnixStream,
    inbox: Inbox,
}

/// Writes `ran` into the file and then ignores everything but SIGKILL.
pub(crate) fn start(file: &Path) -> Start {
    let script = format!("echo ran > {}; trap '' TERM; while :; do sleep 1000; done", file.display());
    let text = |s: &str| CString::new(s).unwrap();
    Start {
        program: text("/bin/sh"),
        argv: vec![text("sh"), text("-c"), text(&script)],
        envp: vec![text("PATH=/usr/bin:/bin")],
        cwd: None,
        graces: Graces::default(),
        nofile: None,
        mark: None,
        cgroup: false,
        pidns: false,
    }
}

impl Owner {
    pub(crate) fn new() -> Self {
        Self::of(command(SHIM))
    }

    /// The owner of the shim that `command` becomes.
    pub(crate) fn of(mut command: Command) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        // A test that waits for a report that never comes fails instead of hanging.
        ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let shim = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
        Self { shim, socket: ours, inbox: Inbox::default() }
    }

    pub(crate) fn send_start(&self, start: &Start, fds: usize) {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        let all = vec![null.as_fd(); fds];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&all)));
        let frame = start.encode().unwrap();
        sendmsg(&self.socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::empty()).unwrap();
    }

    pub(crate) fn order(&mut self, order: Order) {
        self.socket.write_all(order.encode().as_bytes()).unwrap();
    }

    /// `None` when the shim is gone.
    pub(crate) fn report(&mut self) -> Option<Report> {
        loop {
            if let Some(frame) = self.inbox.next_frame().unwrap() {
                return Some(Report::decode(frame).unwrap());
            }
            match self.socket.read(self.inbox.space()) {
                Ok(0) => return None,
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
                read => self.inbox.filled(read.unwrap()),
            }
        }
    }

    pub(crate) fn forked(&mut self) -> u32 {
        match self.report() {
            Some(Report::Forked { pid, cgroup_errno: 0 }) => pid,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn running(start: &Start) -> (Self, u32) {
        let mut owner = Self::new();
        owner.send_start(start, 3);
        let pid = owner.forked();
        owner.order(Order::Go);
        assert_eq!(owner.report(), Some(Report::Running));
        (owner, pid)
    }

    /// Nothing of the helper is left, and the shim ends.
    pub(crate) fn ends(mut self, helper: u32) {
        while self.report().is_some() {}
        self.shim.wait().unwrap();
        assert!(!Path::new(&format!("/proc/{helper}")).exists());
    }
}

#[expect(clippy::disallowed_methods, reason = "the shim itself is under test")]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Whether `wrapper unshare ...` makes a PID namespace with its own `/proc`, with a user namespace around it or as it is.
pub(crate) fn namespaces_can_be_had(wrapper: &[&str]) -> bool {
    [&["--user", "--map-root-user"][..], &[]].iter().any(|user| {
        let unshare = ["unshare", "--pid", "--fork", "--mount-proc"];
        let words: Vec<&str> = [wrapper, &unshare, user, &["true"]].concat();
        command(words[0]).args(&words[1..]).stderr(Stdio::null()).status().unwrap().success()
    })
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

pub(crate) fn wait_exit(pidfd: &OwnedFd) {
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    let exited = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(exited, 1, "it still lives");
}

pub(crate) fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    (folder, file)
}
