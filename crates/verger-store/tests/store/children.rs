//! Child processes: this test binary again, in one of the roles at the end of this file.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use tokio::task::JoinSet;
use uuid::Uuid;
use verger_core::ids::{Generation, Seq, ThreadId};
use verger_store::{Append, ClaimError, Liveness, Record, Store, ThreadPatch};

use crate::full_disk;
use crate::home::{FIRST, create};
use crate::job_kills;

const ROLE: &str = "VERGER_STORE_TEST_ROLE";
const DIR: &str = "VERGER_STORE_TEST_DIR";
const RUN: &str = "VERGER_STORE_TEST_RUN";
const SAID: &str = "said: ";

/// A child of this test, killed and reaped at the latest when dropped.
pub(crate) struct Child {
    process: process::Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// Starts a role in the home `dir` as the run `run`; `wrapper` comes before the command, if any.
    pub(crate) fn start(wrapper: &[&str], role: &str, dir: &Path, run: &str) -> std::io::Result<Self> {
        let own = env::current_exe()?;
        let words = [own.to_str().unwrap(), "--exact", "children::play_role", "--nocapture"];
        let (program, arguments) = match wrapper {
            [] => (words[0], words[1..].to_vec()),
            [program, rest @ ..] => (*program, [rest, &words].concat()),
        };
        #[expect(clippy::disallowed_methods, reason = "a test's own child, owned by this struct")]
        let mut command = Command::new(program);
        command.args(arguments).env(ROLE, role).env(DIR, dir).env(RUN, run);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Ok(Self { process, stdin, stdout: BufReader::new(stdout) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// The next thing that the child said; `None` when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // A line cut off by the kill was not said.
            if let Some((_, said)) = line.split_once(SAID)
                && let Some(said) = said.strip_suffix('\n')
            {
                return Some(said.to_owned());
            }
        }
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear().expect("the child answers each line until it is killed")
    }

    /// SIGKILL. What it said before can still be heard.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error means that it is gone and reaped already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The lock a run holds while it lives, with its pid inside.
struct RunLock {
    _file: File,
}

impl RunLock {
    fn path(dir: &Path, run: &str) -> PathBuf {
        dir.join(format!("{run}.run"))
    }

    fn take(dir: &Path, run: &str) -> Self {
        let mut file = File::create(Self::path(dir, run)).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        write!(file, "{}", process::id()).unwrap();
        Self { _file: file }
    }

    fn liveness(dir: &Path, run: &str) -> Liveness {
        let path = Self::path(dir, run);
        let Ok(file) = File::open(&path) else { return Liveness::Gone };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Liveness::Gone,
            Err(_) => Liveness::Live { pid: fs::read_to_string(path).unwrap().parse().unwrap() },
        }
    }
}

/// The n-th thread that children and their parents agree on.
pub(crate) fn nth_thread(n: u32) -> ThreadId {
    ThreadId(Uuid::from_u128(u128::from(n) + 1))
}

/// What any child writes as record `seq` of its n-th thread.
pub(crate) fn nth_body(n: u32, seq: u32) -> Vec<u8> {
    let length = (n.wrapping_add(seq).wrapping_mul(2_654_435_761) >> 20) as usize;
    format!("{n}/{seq} ").bytes().cycle().take(length).collect()
}

/// Not a test: the entry of child processes.
#[test]
fn play_role() {
    let Ok(role) = env::var(ROLE) else { return };
    let (dir, run) = (PathBuf::from(env::var_os(DIR).unwrap()), env::var(RUN).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match role.as_str() {
        "append" => runtime.block_on(append_until_killed(&open(&dir, &run).0)),
        "keep a job" => runtime.block_on(job_kills::keep_a_job_until_killed(&open(&dir, &run).0)),
        "obey" => runtime.block_on(obey(&open(&dir, &run).0)),
        "fill a tiny disk" => runtime.block_on(full_disk::fill_a_tiny_disk(&dir)),
        other => panic!("no such role: {other}"),
    }
}

pub(crate) fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{SAID}{what}").and_then(|()| out.flush()).unwrap();
}

fn open(dir: &Path, run: &str) -> (Store, RunLock) {
    let lock = RunLock::take(dir, run);
    let home = dir.to_owned();
    let liveness = move |run: &str| RunLock::liveness(&home, run);
    (Store::open(&dir.join("store"), run, Arc::new(liveness)).unwrap(), lock)
}

/// Appends to four threads at once, as fast as they are answered; says `n head` after each answer. The first line of
/// stdin is the number of the first thread.
async fn append_until_killed(store: &Store) {
    let mut first = String::new();
    std::io::stdin().read_line(&mut first).unwrap();
    let first: u32 = first.trim().parse().unwrap();
    let mut appenders = JoinSet::new();
    for n in first..first + 4 {
        let store = store.clone();
        appenders.spawn(async move {
            let thread = nth_thread(n);
            let mut head = match store.claim(thread, FIRST).await {
                Ok(row) => row.head,
                Err(ClaimError::NotFound(_)) => store.append(create(thread, &[])).await.unwrap(),
                Err(error) => panic!("{error}"),
            };
            loop {
                let count = 1 + head.0 % 3;
                let bodies = (head.0 + 1..=head.0 + count).map(|seq| nth_body(n, seq));
                let records = bodies.map(|body| Record { kind: 1, body }).collect();
                let patch = ThreadPatch { updated_at: Some(i64::from(head.0)), ..ThreadPatch::default() };
                let append = Append { thread, generation: FIRST, after: head, create: None, patch, records };
                head = store.append(append).await.unwrap();
                say(&format!("{n} {head}"));
            }
        });
    }
    appenders.join_all().await;
}

/// Does what each line of stdin says to thread 0, and says what came of it.
async fn obey(store: &Store) {
    let thread = nth_thread(0);
    for line in std::io::stdin().lines() {
        let answer = match line.unwrap().as_str() {
            "create" => format!("{:?}", store.append(create(thread, &["first"])).await.unwrap()),
            "release" => format!("{:?}", store.release(thread, FIRST).await.unwrap()),
            "claim" => match store.claim(thread, FIRST).await {
                Ok(row) => format!("claimed at {}", row.head),
                Err(ClaimError::Owned { pid, .. }) => format!("owned by {pid}"),
                Err(error) => panic!("{error}"),
            },
            "append" => {
                let after = store.thread(thread).await.unwrap().unwrap().head;
                let append = crate::home::append(thread, Generation(1), after.0, &["more"]);
                match store.append(append).await {
                    Ok(Seq(head)) => format!("appended {head}"),
                    Err(error) => error.to_string(),
                }
            }
            other => panic!("no such order: {other}"),
        };
        say(&answer);
    }
}
