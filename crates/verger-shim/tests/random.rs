//! Random owners of real shims: they send what they like in any order, cut and garbled, stop and kill whom they can, and
//! leave when they like. Whatever they do, nothing runs without permission and nothing is left.
//!
//! `VERGER_SHIM` names another build of the shim, one that a sanitizer watches, say; `VERGER_TEST_SCALE` is how many
//! times more conversations there are.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod owner;

use std::ffi::CString;
use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper, wait,
};
use verger_shim::protocol::{Graces, Inbox, Order, Report, Start, Stop};

/// Conversations at scale 1.
const CONVERSATIONS: u64 = 200;

/// How long a shim may take for anything, many times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What helpers do, after they have written a line into the file that `$0` names.
const HELPERS: [&str; 6] = [
    "exit 3",
    "cat",
    "trap '' TERM HUP INT; while :; do sleep 1000; done",
    "setsid sh -c 'exec sleep 1000' & exit 0",
    "(trap '' TERM; setsid sh -c 'sleep 1000 & sleep 1000') & sleep 1000",
    "kill -STOP $$",
];

struct Owner {
    shim: Child,
    pidfd: OwnedFd,
    /// Gone when it has left.
    socket: Option<UnixStream>,
    inbox: Inbox,
    heard: Vec<Report>,
    leader: Option<OwnedFd>,
    /// Whether it ever said `Go`.
    has_permitted: bool,
}

impl Owner {
    fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let program = std::env::var_os("VERGER_SHIM");
        let program = program.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_verger-shim")), PathBuf::from);
        #[expect(clippy::disallowed_methods, reason = "the shim itself is under test")]
        let mut command = Command::new(program);
        let shim = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
        let pidfd = pidfd(shim.id()).unwrap();
        let (inbox, heard) = (Inbox::default(), Vec::new());
        Self { shim, pidfd, socket: Some(ours), inbox, heard, leader: None, has_permitted: false }
    }

    /// Sends what the shim may have no ear for any more.
    fn send(&mut self, bytes: &[u8]) {
        let sent = self.socket.as_mut().map_or(Ok(()), |socket| socket.write_all(bytes));
        sent.unwrap_or_else(|e| assert!(is_hung_up(&e), "{e}"));
    }

    fn send_with_fds(&mut self, bytes: &[u8], count: usize) {
        let Some(socket) = &self.socket else { return };
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        let all = vec![null.as_fd(); count];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&all)));
        sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL).unwrap();
    }

    /// The next report; `None` when the shim has said its last.
    fn hear(&mut self) -> Option<Report> {
        loop {
            if let Some(frame) = self.inbox.next_frame().unwrap() {
                let report = Report::decode(frame).unwrap();
                self.heard.push(report);
                if let Report::Forked { pid, .. } = report {
                    self.leader = child(pid, self.shim.id());
                }
                return Some(report);
            }
            match self.socket.as_mut()?.read(self.inbox.space()) {
                Ok(0) => return None,
                Err(e) if is_hung_up(&e) => return None,
                read => self.inbox.filled(read.unwrap()),
            }
        }
    }

    /// A `Start` that is one, or one that is none.
    fn begin(&mut self, start: &Start, rng: &mut Rng) -> bool {
        let mut frame = start.encode().unwrap();
        match rng.u32(..12) {
            0 => self.send_with_fds(&frame, [0, 1, 2, 4, 5][rng.usize(..5)]),
            1 => self.send_with_fds(&frame[..rng.usize(1..frame.len())], 3),
            2 => {
                let place = rng.usize(..frame.len());
                frame[place] ^= 1 << rng.u32(..8);
                self.send_with_fds(&frame, 3);
                // What it became may be a command that exists, or wait for more than came.
                return false;
            }
            3 => {
                let mut noise = vec![0; rng.usize(1..200)];
                rng.fill(&mut noise);
                self.send(&noise);
            }
            4 => {}
            5 => {
                let (first, second) = frame.split_at(rng.usize(1..frame.len()));
                self.send_with_fds(first, 3);
                self.send(second);
                return true;
            }
            _ => {
                self.send_with_fds(&frame, 3);
                return true;
            }
        }
        false
    }

    fn order(&mut self, order: Order) {
        self.has_permitted |= order == Order::Go;
        self.send(order.encode().as_bytes());
    }

    /// One thing that owners, users and kernels do.
    fn act(&mut self, rng: &mut Rng) {
        match rng.u32(..12) {
            0 | 1 => self.order(Order::Stop(Stop::Orderly)),
            2 => self.order(Order::Stop(Stop::Kill)),
            3 => self.order(Order::Go),
            4 => self.send(&[[1, 0, 0, 0, 200], [255; 5], [0; 5]][rng.usize(..3)]),
            5 => self.send(&Order::Stop(Stop::Kill).encode().as_bytes()[..rng.usize(1..5)]),
            6 => signal(self.leader.as_ref(), Signal::KILL),
            7 => signal(self.leader.as_ref(), Signal::TERM),
            8 => {
                signal(Some(&self.pidfd), Signal::STOP);
                self.order(Order::Stop(Stop::Orderly));
                signal(Some(&self.pidfd), Signal::CONT);
            }
            9 => self.socket.as_ref().map_or(Ok(()), |socket| socket.shutdown(Shutdown::Write)).unwrap(),
            10 => self.socket = None,
            _ => {}
        }
    }

    /// Leaves, waits for the shim, and holds it to what a shim promises.
    fn leave(mut self) {
        if let Some(socket) = &self.socket
            && let Err(e) = socket.shutdown(Shutdown::Write)
        {
            assert!(is_hung_up(&e), "{e}");
        }
        while self.hear().is_some() {}
        assert!(exits(&self.pidfd), "a shim without an owner is there after {PATIENCE:?}: {:?}", self.heard);
        let status = self.shim.wait().unwrap();
        assert!(matches!(status.code(), Some(0 | 70)), "{status}: {:?}", self.heard);
        assert!(self.leader.as_ref().is_none_or(has_exited), "a helper without a shim");
        is_in_order(&self.heard);
    }
}

/// `Forked`, `Running` or `ExecFailed`, `LeaderExited`, `Stray`s, `Empty`; any of them may be missing.
fn is_in_order(heard: &[Report]) {
    let rank = |report: &Report| match report {
        Report::Forked { .. } => 0,
        Report::Running | Report::ExecFailed { .. } => 1,
        Report::LeaderExited(_) => 2,
        Report::Stray(_) => 3,
        Report::Empty { .. } => 4,
    };
    for pair in heard.windows(2) {
        let both_strays = matches!(pair, [Report::Stray(_), Report::Stray(_)]);
        assert!(rank(&pair[0]) < rank(&pair[1]) || both_strays, "out of order: {heard:?}");
    }
}

fn converse(file: &Path, with_pidns: bool, rng: &mut Rng) {
    std::fs::remove_file(file)
        .or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
        .unwrap();
    let mut owner = Owner::new();
    let start = start(file, with_pidns, rng);
    // One that announces a cgroup comes with four descriptors, and here none does.
    let is_start = owner.begin(&start, rng) && !start.cgroup;
    // As often as not, one who waits for answers, as an owner that means well does.
    let is_patient = rng.bool();
    if is_start && is_patient {
        assert!(matches!(owner.hear(), Some(Report::Forked { .. })), "{:?}", owner.heard);
    }
    if rng.u32(..8) != 0 {
        owner.order(Order::Go);
        if is_start && is_patient {
            owner.hear();
        }
    }
    for _ in 0..rng.u32(..4) {
        owner.act(rng);
    }
    let was_permitted = owner.has_permitted;
    owner.leave();
    assert!(was_permitted || !file.exists(), "a helper ran without permission");
}

fn start(file: &Path, with_pidns: bool, rng: &mut Rng) -> Start {
    let contained = rng.u32(..20);
    let text = |s: &str| CString::new(s).unwrap();
    let script = format!("echo ran > \"$0\"; {}", HELPERS[rng.usize(..HELPERS.len())]);
    let program = if rng.u32(..20) == 0 { "/no/such/program" } else { "/bin/sh" };
    let grace = |rng: &mut Rng| Duration::from_millis(rng.u64(..10));
    Start {
        program: text(program),
        argv: vec![text("sh"), text("-c"), text(&script), text(file.to_str().unwrap())],
        envp: vec![text("PATH=/usr/bin:/bin")],
        cwd: (rng.u32(..20) == 0).then(|| text("/no/such/folder")),
        graces: Graces { stdin: grace(rng), term: grace(rng), leave: grace(rng) },
        nofile: rng.bool().then_some(256),
        mark: rng.bool().then_some(1 << 60),
        cgroup: contained == 0,
        pidns: with_pidns && (1..5).contains(&contained),
    }
}

fn pidfd(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid.cast_signed()).unwrap(), PidfdFlags::empty()).ok()
}

/// The process `pid` if it is a child of `parent`, or of its init: its shim may have reaped it before its owner came to listen, and the
/// number may be a stranger's by then.
fn child(pid: u32, parent: u32) -> Option<OwnedFd> {
    let pidfd = pidfd(pid)?;
    let above = parent_of(pid)?;
    (above == parent || parent_of(above) == Some(parent)).then_some(pidfd)
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1)?.parse().ok()
}

/// Whoever has exited takes no signal.
fn signal(to: Option<&OwnedFd>, signal: Signal) {
    if let Some(to) = to {
        pidfd_send_signal(to, signal)
            .or_else(|e| if e == rustix::io::Errno::SRCH { Ok(()) } else { Err(e) })
            .unwrap();
    }
}

fn exits(pidfd: &OwnedFd) -> bool {
    poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&Timespec::try_from(PATIENCE).unwrap())).unwrap() == 1
}

fn has_exited(pidfd: &OwnedFd) -> bool {
    poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1
}

fn is_hung_up(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::NotConnected)
}

#[test]
fn random_owners_lose_nothing() {
    // What a shim leaves comes here, and would be seen.
    set_child_subreaper(Some(getpid())).unwrap();
    let scale = std::env::var("VERGER_TEST_SCALE").map_or(1, |scale| scale.parse::<u64>().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let with_pidns = owner::namespaces_can_be_had(&[]);
    let open_before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    for seed in 0..CONVERSATIONS * scale {
        let told = std::panic::catch_unwind(|| converse(&file, with_pidns, &mut Rng::with_seed(seed)));
        if let Err(panic) = told {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
        match wait(WaitOptions::NOHANG) {
            Err(rustix::io::Errno::CHILD) => {}
            left => panic!("seed {seed}: a process was left: {left:?}"),
        }
    }
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert_eq!(open, open_before, "the owner's own descriptors");
    println!("SOAK {{\"conversations\": {}}}", CONVERSATIONS * scale);
}
