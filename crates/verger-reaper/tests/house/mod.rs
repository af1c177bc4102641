//! What the tests stand on: a reaper of their own, and a way to see what is left that does not ask the reaper.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, set_child_subreaper};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::task::JoinSet;
use verger_reaper::{Graces, Helper, Level, Options, Reaper, Run, SpawnError, Spec};

pub(crate) const ACTOR: &str = env!("CARGO_BIN_EXE_reaper-actor");

/// One test at a time in this process, which ends without a child: whatever a test started and lost comes here, because
/// the process is a subreaper.
pub(crate) struct LeakGuard(MutexGuard<'static, ()>);

impl LeakGuard {
    pub(crate) fn new() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        set_child_subreaper(Some(getpid())).unwrap();
        Self(one)
    }

    /// Waits for every child, shims too. Only for tests that kill a daemon: they stand in for init.
    pub(crate) fn reap_all(&self) {
        while rustix::process::wait(WaitOptions::empty()).is_ok() {}
    }

    /// Collects what is dead already.
    pub(crate) fn reap(&self) {
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    }
}

impl Drop for LeakGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A test that has failed does not leave its cast on the machine.
            while !children().is_empty() {
                children().into_iter().filter_map(pidfd).for_each(|child| {
                    rustix::process::pidfd_send_signal(&child, rustix::process::Signal::KILL).ok();
                });
                rustix::process::wait(WaitOptions::empty()).ok();
            }
            return;
        }
        match rustix::process::wait(WaitOptions::NOHANG) {
            Err(rustix::io::Errno::CHILD) => {}
            Ok(Some((pid, status))) => panic!("unreaped: process {pid:?} had ended with {status:?}"),
            other => panic!("leaked: this process still has children ({other:?})"),
        }
    }
}

/// A word on the command line of every process of one test.
pub(crate) struct Tag(pub(crate) String);

impl Tag {
    pub(crate) fn new() -> Self {
        Self(format!("tag-{}", uuid::Uuid::now_v7()))
    }

    /// Live processes with this tag, zombies left out: pid and command line.
    pub(crate) fn alive(&self) -> BTreeMap<u32, String> {
        let pids =
            std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
        let read = |pid: u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(&self.0).then_some((pid, line))
        };
        pids.filter_map(read).collect()
    }

    /// Waits, event by event, until no process has this tag.
    pub(crate) fn wait_gone(&self, limit: Duration, mut between: impl FnMut()) -> Duration {
        let begun = now();
        loop {
            between();
            let alive = self.alive();
            if alive.is_empty() {
                return begun.elapsed();
            }
            let left = limit.checked_sub(begun.elapsed());
            let left = left.unwrap_or_else(|| panic!("still alive after {limit:?}: {alive:?}"));
            let pidfds: Vec<OwnedFd> = alive.keys().filter_map(|&pid| pidfd(pid)).collect();
            if pidfds.is_empty() {
                // Gone since they were listed.
                continue;
            }
            let mut fds: Vec<_> = pidfds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
            poll(&mut fds, Some(&Timespec::try_from(left).unwrap())).unwrap();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests measure real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Of this process. Unreaped, so these pids mean nobody else.
pub(crate) fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

pub(crate) fn pidfd(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()
}

pub(crate) fn wait_exit(pidfd: &OwnedFd) {
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    let exited = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(exited, 1, "it still lives");
}

/// Kills a process that was reported by its owner a moment ago.
pub(crate) fn kill(pid: u32) {
    let pidfd = pidfd(pid).expect("it was alive");
    rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL).unwrap();
}

/// Shorter than the defaults, so that the tests are.
pub(crate) const GRACES: Graces = Graces {
    stdin: Duration::from_millis(100),
    term: Duration::from_millis(200),
    leave: Duration::from_millis(50),
};

/// A reaper with its run, in this process.
pub(crate) struct House {
    pub(crate) reaper: Reaper,
    pub(crate) run: Run,
    pub(crate) state: tempfile::TempDir,
    pub(crate) tag: Tag,
    task: JoinSet<()>,
    _guard: LeakGuard,
}

pub(crate) fn options() -> Options {
    Options {
        image: Some(PathBuf::from(ACTOR)),
        adopt_all: true,
        shim_limit: Duration::from_millis(500),
        ..Options::default()
    }
}

impl House {
    pub(crate) fn open(options: Options) -> Self {
        let guard = LeakGuard::new();
        let state = tempfile::tempdir().unwrap();
        let run = Run::begin(state.path()).unwrap();
        // Asked before there is a reaper that collects every child.
        has_namespaces();
        let (reaper, task) = Reaper::start(&run, options).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(task);
        Self { reaper, run, state, tag: Tag::new(), task: tasks, _guard: guard }
    }

    pub(crate) fn spec(&self, shape: &str, level: Option<Level>) -> Spec {
        let mut spec = Spec::new(shape, ACTOR);
        spec.args = vec![self.tag.0.clone().into(), shape.into()];
        spec.graces = GRACES;
        spec.level = level;
        spec
    }

    pub(crate) async fn spawn(&self, shape: &str, level: Option<Level>) -> Result<Helper, SpawnError> {
        let mut helper = self.reaper.spawn(self.spec(shape, level)).await?;
        assert_eq!(line(&mut helper).await, "ready");
        Ok(helper)
    }

    /// The levels that can be had here.
    pub(crate) fn levels(&self) -> Vec<Level> {
        levels(&self.reaper)
    }

    /// Nothing is left: not a process, not a cgroup, not a child.
    pub(crate) async fn close(mut self) {
        let cgroup = std::fs::read_to_string(self.run.dir().join("cgroup")).ok();
        self.reaper.shutdown().await;
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
        assert_eq!(self.tag.alive(), BTreeMap::new());
        assert!(cgroup.is_none_or(|path| !Path::new(&path).exists()), "the run's cgroup is still there");
        assert!(self.reaper.list().is_empty());
        self.run.end().unwrap();
    }
}

/// The levels that can be had here.
pub(crate) fn levels(reaper: &Reaper) -> Vec<Level> {
    let cgroup = reaper.level_reason().is_none().then_some(Level::Cgroup);
    let pidns = has_namespaces().then_some(Level::Pidns);
    [Some(Level::Shim), cgroup, pidns].into_iter().flatten().collect()
}

/// Whether PID namespaces can be had here, found out once.
fn has_namespaces() -> bool {
    static HAS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *HAS.get_or_init(|| namespaces_can_be_had(&[]))
}

/// Whether `wrapper unshare ...` makes a PID namespace with its own `/proc`, with a user namespace around it or as it is.
pub(crate) fn namespaces_can_be_had(wrapper: &[&str]) -> bool {
    [&["--user", "--map-root-user"][..], &[]].iter().any(|user| {
        let unshare = ["unshare", "--pid", "--fork", "--mount-proc"];
        let words: Vec<&str> = [wrapper, &unshare, user, &["true"]].concat();
        #[expect(clippy::disallowed_methods, reason = "asks the machine what the reaper's level depends on")]
        let mut command = std::process::Command::new(words[0]);
        command.args(&words[1..]).stderr(std::process::Stdio::null()).status().unwrap().success()
    })
}

pub(crate) async fn line(helper: &mut Helper) -> String {
    let mut text = Vec::new();
    let mut reader = BufReader::with_capacity(1, &mut helper.stdout);
    loop {
        match reader.read_u8().await {
            Ok(b'\n') | Err(_) => return String::from_utf8(text).unwrap(),
            Ok(byte) => text.push(byte),
        }
    }
}
