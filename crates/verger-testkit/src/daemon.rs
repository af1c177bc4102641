//! A `verger` server under test: a real process, told apart by its pidfd, its stderr kept for failures.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::unix::pipe;

use crate::gone::Gone;
use crate::home::Home;
use crate::link::Link;
use crate::proc_fs;

/// Longer than any start on any machine that builds this project.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    address: String,
    stderr: Arc<Said>,
    /// Ends with the server's stderr.
    reader: Option<JoinHandle<()>>,
}

/// What a server has said so far. Its reader is a thread of the test's own, and may be behind what a client was told.
#[derive(Debug, Default)]
struct Said {
    text: Mutex<String>,
    grown: Condvar,
}

/// A server that ended instead of serving.
#[derive(Debug)]
pub struct Refused {
    /// How it ended.
    pub status: ExitStatus,
    /// All that it said.
    pub stderr: String,
}

/// How to start a server: which program, where, with what.
#[derive(Debug)]
pub struct Launch {
    command: Command,
}

// === impl Launch ===

impl Launch {
    /// `PROGRAM args...` in `home`. The environment is the test's own, without what could reach past the home.
    #[must_use]
    pub fn new(program: &Path, home: &Home, args: &[&str]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the test is the owner, and LeakGuard checks it")]
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            // Those of Verger are its settings, or for the test itself.
            if name.as_encoded_bytes().starts_with(b"VERGER_") {
                command.env_remove(name);
            }
        }
        for name in ["OPENAI_API_KEY", "XDG_RUNTIME_DIR"] {
            command.env_remove(name);
        }
        command.args(args).current_dir(home.work()).env("VERGER_HOME", home.path());
        Self { command }
    }

    /// Sets a variable of the server's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it in a process group of its own: Ctrl-C in a terminal is for whoever runs the test, and not for it.
    #[must_use]
    pub fn own_group(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// Starts it in another folder than the home's.
    #[must_use]
    pub fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Starts, and waits until the server says where it serves.
    ///
    /// # Errors
    ///
    /// How it ended and what it said, when it ended instead, or was killed because it did neither in 30 s.
    ///
    /// # Panics
    ///
    /// When the program cannot be executed.
    pub fn start(mut self) -> Result<Daemon, Refused> {
        self.command.stdin(Stdio::null()).stdout(Stdio::null());
        let (mut daemon, told) = self.spawn();
        match told.recv_timeout(START_LIMIT) {
            Ok(address) => daemon.address = address,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = daemon.wait(START_LIMIT);
                return Err(Refused { status, stderr: daemon.stderr() });
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                daemon.signal(Signal::KILL);
                let status = daemon.wait(START_LIMIT);
                return Err(Refused { status, stderr: daemon.stderr() });
            }
        }
        Ok(daemon)
    }

    /// Starts a server that serves one client on its stdin and stdout, and connects to it.
    ///
    /// # Panics
    ///
    /// When the program cannot be executed, or outside of a runtime.
    #[must_use]
    pub fn start_piped(mut self) -> (Daemon, Link) {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let (mut daemon, _) = self.spawn();
        let stdin = OwnedFd::from(daemon.child.stdin.take().expect("stdin is piped"));
        let stdout = OwnedFd::from(daemon.child.stdout.take().expect("stdout is piped"));
        let stdin = pipe::Sender::from_owned_fd(stdin).expect("a pipe");
        let stdout = pipe::Receiver::from_owned_fd(stdout).expect("a pipe");
        (daemon, Link::lines(stdout, stdin))
    }

    /// Starts the program; where it says that it serves comes through the channel.
    fn spawn(&mut self) -> (Daemon, mpsc::Receiver<String>) {
        let mut child = self.command.stderr(Stdio::piped()).spawn().expect("the program can be executed");
        let (stderr, said) = (child.stderr.take().expect("stderr is piped"), Arc::default());
        let (tell, told) = mpsc::channel();
        let theirs = Arc::clone(&said);
        let reader = thread::spawn(move || read(stderr, &theirs, &tell));
        (Daemon { child, address: String::new(), stderr: said, reader: Some(reader) }, told)
    }

    /// Runs the program to its end with `input` on its stdin, which must fit into a pipe.
    ///
    /// # Errors
    ///
    /// When it cannot be executed or its stdin not be written.
    ///
    /// # Panics
    ///
    /// Never: stdin is piped.
    pub fn output_with(mut self, input: impl AsRef<[u8]>) -> io::Result<std::process::Output> {
        let piped = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn()?;
        io::Write::write_all(&mut child.stdin.take().expect("stdin is piped"), input.as_ref())?;
        child.wait_with_output()
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be executed.
    pub fn output(mut self) -> io::Result<std::process::Output> {
        self.command.stdin(Stdio::null()).output()
    }
}

/// Keeps every line; the first address in one is what the starter waits for. The channel carries that one message
/// and closes with stderr.
fn read(stderr: ChildStderr, said: &Said, tell: &mpsc::Sender<String>) {
    let mut told = false;
    // An unreadable stderr ends like a closed one: the starter learns it from the channel.
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let words = line.split_whitespace().filter(|_| !told);
        let mut places = words.filter(|word| word.starts_with("ws://") || word.starts_with("unix://"));
        // Verger's first line, and the peer's second.
        let says_where = line.starts_with("verger ") || line.trim_start().starts_with("listening on:");
        if let Some(address) = places.next().filter(|_| says_where) {
            let address = address.strip_prefix("ws://").unwrap_or(address);
            // The starter has gone only if its patience had.
            told = tell.send(address.to_owned()).is_ok();
        }
        let mut text = said.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&line);
        text.push('\n');
        drop(text);
        said.grown.notify_all();
    }
}

// === impl Daemon ===

impl Daemon {
    /// Starts `PROGRAM app-server` on a free port, which asks for no token.
    ///
    /// # Panics
    ///
    /// When it does not serve.
    #[must_use]
    pub fn app_server(program: &Path, home: &Home) -> Self {
        let launch = Launch::new(program, home, &["app-server", "--listen", "ws://127.0.0.1:0"]);
        launch.start().unwrap_or_else(|refused| panic!("{}: {}", refused.status, refused.stderr))
    }

    /// For clients.
    #[must_use]
    pub fn url(&self) -> String {
        match self.address.starts_with("unix://") {
            true => self.address.clone(),
            false => format!("ws://{}", self.address),
        }
    }

    /// HOST:PORT, or unix://PATH where it listens there only.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    ///
    /// # Panics
    ///
    /// Never: pids fit.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Sends a signal. The pid cannot be another process's: this one's own child keeps it until it is waited for.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid()).expect("a child's pid is not zero");
        kill_process(pid, signal).expect("a child can be signalled until it is waited for");
    }

    /// A pidfd on it.
    #[must_use]
    pub fn gone(&self) -> Gone {
        Gone::watch([self.pid()])
    }

    /// Waits for its end, by pidfd, and collects it.
    ///
    /// # Panics
    ///
    /// When it lives longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        if self.gone().wait(limit).is_err() {
            panic!("the server is alive after {limit:?}; it said:\n{}", self.stderr());
        }
        let status = self.child.wait().expect("the server is this test's child");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader of stderr does not panic");
        }
        status
    }

    /// TERM, then its end.
    ///
    /// # Panics
    ///
    /// When it takes longer than the 10 s that it has, and 5 s for a slow machine.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(Duration::from_secs(15))
    }

    /// KILL, then its end.
    ///
    /// # Panics
    ///
    /// When the kernel does not end it in 10 s.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10));
    }

    /// All that it said so far. What it says of a message to a client may come later than that message: see
    /// [`Self::stderr_with`].
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that it said so far, once `part` is in it.
    ///
    /// # Panics
    ///
    /// When it does not say so in 30 s.
    #[must_use]
    pub fn stderr_with(&self, part: &str) -> String {
        let limit = Duration::from_secs(30);
        let text = self.stderr.text.lock().unwrap_or_else(PoisonError::into_inner);
        let lacks = |text: &mut String| !text.contains(part);
        let waited = self.stderr.grown.wait_timeout_while(text, limit, lacks);
        let (text, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "the server did not say {part:?}; it said:\n{text}");
        text.clone()
    }

    /// How many descriptors it has open.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.proc("fd"))?.count())
    }

    /// Its direct children at this moment: the shims of its helpers.
    #[must_use]
    pub fn children(&self) -> Vec<i32> {
        proc_fs::children(self.pid())
    }

    /// Bytes resident.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn rss(&self) -> io::Result<u64> {
        let status = fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS: the process has ended"))
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- stderr of the server (pid {}):\n{}---", self.pid(), self.stderr());
        }
        // Both fail only when it has been collected already.
        if self.child.kill().is_ok() && self.child.wait().is_err() {
            eprintln!("the server {} could not be collected", self.pid());
        }
    }
}
