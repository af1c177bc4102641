//! A real shim on a real socket, and owners that die, stammer, forge and fall silent.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::CString;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use verger_shim::protocol::{Exit, Graces, Inbox, MAX_START, Order, PREFIX, Report, Stage, Start, Stop};

/// An owner, its shim, and the file that the helper would write if it ran.
struct Owner {
    shim: Child,
    socket: UnixStream,
    inbox: Inbox,
}

/// Writes `ran` into the file and then ignores everything but SIGKILL.
fn start(file: &Path) -> Start {
    let script = format!("echo ran > {}; trap '' TERM; while :; do sleep 1000; done", file.display());
    let text = |s: &str| CString::new(s).unwrap();
    Start {
        program: text("/bin/sh"),
        argv: vec![text("sh"), text("-c"), text(&script)],
        envp: vec![text("PATH=/usr/bin:/bin")],
        cwd: None,
        graces: Graces::default(),
        nofile: None,
        cgroup: false,
    }
}

impl Owner {
    fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        // A test that waits for a report that never comes fails instead of hanging.
        ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the shim itself is under test")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_verger-shim"));
        let shim = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
        Self { shim, socket: ours, inbox: Inbox::default() }
    }

    fn send_start(&self, start: &Start, fds: usize) {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        let all = vec![null.as_fd(); fds];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&all)));
        let frame = start.encode().unwrap();
        sendmsg(&self.socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::empty()).unwrap();
    }

    fn order(&mut self, order: Order) {
        self.socket.write_all(order.encode().as_bytes()).unwrap();
    }

    /// `None` when the shim is gone.
    fn report(&mut self) -> Option<Report> {
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

    fn forked(&mut self) -> u32 {
        match self.report() {
            Some(Report::Forked { pid, cgroup_errno: 0 }) => pid,
            other => panic!("{other:?}"),
        }
    }

    fn running(file: &Path) -> (Self, u32) {
        let mut owner = Self::new();
        owner.send_start(&start(file), 3);
        let pid = owner.forked();
        owner.order(Order::Go);
        assert_eq!(owner.report(), Some(Report::Running));
        (owner, pid)
    }

    /// Nothing of the helper is left, and the shim ends.
    fn ends(mut self, helper: u32) {
        while self.report().is_some() {}
        self.shim.wait().unwrap();
        assert!(!Path::new(&format!("/proc/{helper}")).exists());
    }
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    (folder, file)
}

#[test]
fn an_owner_that_dies_before_go_has_started_nothing() {
    let (_folder, file) = folder();
    let mut owner = Owner::new();
    owner.send_start(&start(&file), 3);
    let helper = owner.forked();
    owner.socket.shutdown(std::net::Shutdown::Write).unwrap();
    owner.ends(helper);
    assert!(!file.exists(), "the helper ran without permission");
}

#[test]
fn a_stop_before_go_has_started_nothing_either() {
    let (_folder, file) = folder();
    let mut owner = Owner::new();
    owner.send_start(&start(&file), 3);
    let helper = owner.forked();
    // Less than the graces: nothing runs that could use them.
    owner.socket.set_read_timeout(Some(Duration::from_millis(450))).unwrap();
    owner.order(Order::Stop(Stop::Orderly));
    assert_eq!(owner.report(), Some(Report::LeaderExited(Exit::Signal(9))));
    assert_eq!(owner.report(), Some(Report::Empty { exit: Some(Exit::Signal(9)), strays: 0 }));
    owner.ends(helper);
    assert!(!file.exists(), "the helper ran without permission");
}

#[test]
fn an_owner_that_leaves_at_once_leaves_no_shim() {
    let mut owner = Owner::new();
    owner.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(owner.shim.wait().unwrap().success());
}

#[test]
fn half_a_start_and_a_forged_start_start_nothing() {
    let (_folder, file) = folder();
    let whole = start(&file).encode().unwrap();
    let overlong = u32::try_from(MAX_START + 1).unwrap().to_le_bytes().to_vec();
    for bytes in [whole[..whole.len() / 2].to_vec(), overlong, vec![1, 0, 0, 0, 99], vec![0; PREFIX]] {
        let mut owner = Owner::new();
        owner.socket.write_all(&bytes).unwrap();
        owner.socket.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(owner.report(), None);
        assert_eq!(owner.shim.wait().unwrap().code(), Some(70));
    }
    for fds in [1, 2, 4, 5] {
        let mut owner = Owner::new();
        owner.send_start(&start(&file), fds);
        assert_eq!(owner.report(), None, "{fds} descriptors");
        assert_eq!(owner.shim.wait().unwrap().code(), Some(70));
    }
    assert!(!file.exists());
}

#[test]
fn garbage_ends_the_helper_and_never_forges_an_order() {
    let (_folder, file) = folder();
    let go = Order::Go.encode();
    for garbage in [&[255; 64][..], &[0; 4], &[1, 0, 0, 0, 200], &[2, 0, 0, 0, 2, 2], go.as_bytes()] {
        let (mut owner, helper) = Owner::running(&file);
        owner.socket.write_all(garbage).unwrap();
        owner.ends(helper);
    }
}

#[test]
fn a_silent_owner_with_half_an_order_does_not_block_reaping() {
    let (_folder, file) = folder();
    let (mut owner, helper) = Owner::running(&file);
    owner.socket.write_all(&[1, 0]).unwrap();
    let pid = rustix::process::Pid::from_raw(helper.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(owner.report(), Some(Report::LeaderExited(Exit::Signal(9))));
    owner.ends(helper);
}

#[test]
fn a_failed_exec_is_told_with_its_stage() {
    let (folder, file) = folder();
    let program = CString::new(folder.path().join("none").to_str().unwrap()).unwrap();
    let cwd = CString::new("/no/such/folder").unwrap();
    let cases = [
        (Start { program, ..start(&file) }, Stage::Exec),
        (Start { cwd: Some(cwd), ..start(&file) }, Stage::Chdir),
    ];
    for (start, stage) in cases {
        let mut owner = Owner::new();
        owner.send_start(&start, 3);
        let helper = owner.forked();
        owner.order(Order::Go);
        assert_eq!(owner.report(), Some(Report::ExecFailed { stage, errno: 2 }));
        owner.ends(helper);
    }
}
