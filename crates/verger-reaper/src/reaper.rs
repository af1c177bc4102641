//! The reaper: a handle that anyone may clone, and the one task that starts every shim and knows them all.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, getpid, getrlimit, set_child_subreaper};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use verger_shim::protocol::{Graces, Start, Stop};

use crate::cgroup::RunGroup;
use crate::custody::{Facts, Helper};
use crate::helper::{Birth, Limits};
use crate::run::Run;
use crate::shim::Image;
use crate::task::Task;
use crate::token::{TOKEN_VARIABLE, Token};
use crate::{Custody, HelperInfo, Level, ReaperError, SpawnError, Spec, Tree, command};

/// How many spawn requests wait at most; more wait in [`Reaper::spawn`] itself.
const QUEUE: usize = 64;

/// How a reaper works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that becomes a shim when its argv0 is `verger-shim`. This very program if `None`, which then has to
    /// call `verger_shim::main` in the first line of its `main`.
    pub image: Option<PathBuf>,
    /// That this process has no children of its own: every child that is no shim is an orphan of ours. Without it, a child
    /// of the host's that is younger than a killed shim cannot be told from an orphan that has rid itself of its session,
    /// its environment and, with privileges, its mark: the helper is stuck until that child has exited.
    pub adopt_all: bool,
    /// The soft RLIMIT_NOFILE that helpers get; the current one if `None`. For hosts that have raised their own.
    pub nofile: Option<u64>,
    /// The level of helpers that ask for none. `Shim` means that no cgroup is made at all, for nobody. The best of `Cgroup`
    /// and `Shim` that can be had here if `None`.
    pub level: Option<Level>,
    /// Time from the start of a shim to its helper's execution. 10 s by default.
    pub start_limit: Duration,
    /// Time from the first possible KILL to the proof, after which a helper is stuck. 10 s by default.
    pub proof_limit: Duration,
    /// Time from the first possible KILL after which a silent shim is killed, and time after which one that is silent during
    /// a start is woken. 2 s by default.
    pub shim_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            image: None,
            adopt_all: false,
            nofile: None,
            level: None,
            start_limit: Duration::from_secs(10),
            proof_limit: Duration::from_secs(10),
            shim_limit: Duration::from_secs(2),
        }
    }
}

/// Starts helpers and sees them out.
#[derive(Clone, Debug)]
pub struct Reaper {
    /// Closed when the task has ended; waits when the task is [`QUEUE`] requests behind.
    requests: mpsc::Sender<SpawnRequest>,
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
}

/// What handles and task have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// `Some` since shutdown began.
    pub(crate) stop_all: watch::Sender<Option<Stop>>,
    pub(crate) containment: Result<RunGroup, String>,
    /// Of helpers that ask for none.
    level: Level,
    nofile: Option<u64>,
    pub(crate) token: Token,
    /// Never held across an await.
    book: Mutex<BTreeMap<u64, Entry>>,
}

/// A helper in the book.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) shim_pid: u32,
    pub(crate) started: Instant,
    pub(crate) facts: watch::Receiver<Facts>,
}

impl Entry {
    /// The process whose descendants are the helper's, and no one else's.
    fn root_pid(&self) -> u32 {
        self.facts.borrow().init_pid.unwrap_or(self.shim_pid)
    }
}

/// A helper that wants to be started.
#[derive(Debug)]
pub(crate) struct SpawnRequest {
    pub(crate) name: String,
    pub(crate) graces: Graces,
    pub(crate) level: Level,
    pub(crate) start: Start,
    pub(crate) birth: Birth,
}

impl Reaper {
    /// Makes this process a subreaper and returns the handle and the reaper's task, which the caller spawns and awaits.
    /// It ends after [`shutdown`](Self::shutdown), or when all handles are dropped and all helpers are gone. Dropping
    /// it kills every helper, without proof.
    pub fn start(
        run: &Run,
        options: Options,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), ReaperError> {
        let kernel = |doing| move |source| ReaperError::Kernel { doing, source };
        std::fs::metadata("/proc/thread-self/children").map_err(kernel("look for children in /proc"))?;
        set_child_subreaper(Some(getpid())).map_err(|e| kernel("become a subreaper")(e.into()))?;
        let image = Image::open(options.image.as_deref())?;
        let containment = match options.level {
            Some(Level::Shim) => Err("level 'shim' was asked for".to_owned()),
            Some(Level::Cgroup | Level::Pidns) | None => RunGroup::create(run.id()),
        };
        let level = match (options.level, &containment) {
            (Some(Level::Pidns), _) => Level::Pidns,
            (_, Ok(_)) => Level::Cgroup,
            (_, Err(_)) => Level::Shim,
        };
        match &containment {
            Ok(group) => run.record_cgroup(group.path())?,
            Err(reason) => tracing::info!("no helper is contained by a cgroup: {reason}"),
        }
        let (requests, incoming) = mpsc::channel(QUEUE);
        let (adoptions, adopting) = mpsc::channel(QUEUE);
        let (ending, ended) = watch::channel(false);
        let nofile = options.nofile.or_else(|| getrlimit(Resource::Nofile).current);
        let shared = Arc::new(Shared {
            stop_all: watch::channel(None).0,
            containment,
            level,
            nofile,
            token: run.token().clone(),
            book: Mutex::default(),
        });
        let limits =
            Limits { start: options.start_limit, proof: options.proof_limit, shim: options.shim_limit };
        let task = Task::new(image, options.adopt_all, limits, Arc::clone(&shared), adoptions);
        let task = async move {
            task.run(incoming, adopting).await;
            ending.send_replace(true);
        };
        Ok((Self { requests, shared, ended }, task))
    }

    /// Starts a helper and resolves when its program runs. Cancel-safe: when this future is dropped, whatever was
    /// started is killed.
    ///
    /// # Errors
    /// Says what is wrong with the command, the directory or the system; nothing of the attempt is left then.
    pub async fn spawn(&self, spec: Spec) -> Result<Helper, SpawnError> {
        let level = spec.level.unwrap_or(self.shared.level);
        if let (Level::Cgroup, Err(reason)) = (level, &self.shared.containment) {
            return Err(SpawnError::NoCgroup(reason.clone()));
        }
        // Looking at the command and the folder can hang on a dead mount: not on a thread that others need.
        let resolved = tokio::task::spawn_blocking(move || (command::resolve(&spec), spec)).await;
        let (program, spec) = resolved.map_err(|_| SpawnError::ShuttingDown)?;
        let program = program?;
        let start = self.shared.describe(&spec, &program)?;
        let failed =
            |source: std::io::Error| SpawnError::Resources { doing: "make the helper's pipes", source };
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()));
        let ((stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr)) = (pipe()?, pipe()?, pipe()?);
        // Before anything is started, so that nothing can fail after it.
        let stdin_end = pipe::Sender::from_owned_fd(to_stdin).map_err(failed)?;
        let stdout_end = pipe::Receiver::from_owned_fd(from_stdout).map_err(failed)?;
        let stderr_end = pipe::Receiver::from_owned_fd(from_stderr).map_err(failed)?;
        let (reply, running) = oneshot::channel();
        let birth = Birth {
            program,
            fds: vec![stdin, stdout, stderr],
            cgroup_required: spec.level == Some(Level::Cgroup),
            reply,
        };
        let request = SpawnRequest { name: spec.name, graces: spec.graces, level, start, birth };
        self.requests.send(request).await.map_err(|_| SpawnError::ShuttingDown)?;
        let custody = running.await.map_err(|_| SpawnError::ShuttingDown)??;
        Ok(Helper { stdin: stdin_end, stdout: stdout_end, stderr: stderr_end, custody })
    }

    /// How helpers are contained unless they ask for another level.
    pub fn level(&self) -> Level {
        self.shared.level
    }

    /// Why no helper can have level `cgroup`, if none can.
    pub fn level_reason(&self) -> Option<&str> {
        self.shared.containment.as_ref().err().map(String::as_str)
    }

    /// Every helper that is not proven gone.
    pub fn list(&self) -> Vec<HelperInfo> {
        let info = |(&id, entry): (&u64, &Entry)| {
            let facts = entry.facts.borrow();
            // Proven, but its keeper has not been collected yet.
            let is_gone = matches!(facts.outcome, Some(Ok(_)));
            (!is_gone).then(|| HelperInfo {
                id,
                name: entry.name.clone(),
                pid: facts.pid,
                shim_pid: entry.shim_pid,
                root_pid: facts.init_pid.unwrap_or(entry.shim_pid),
                level: facts.level,
                state: facts.state,
                strays: facts.strays,
                age: entry.started.elapsed(),
            })
        };
        self.shared.book().iter().filter_map(info).collect()
    }

    /// The processes of one helper, to be counted; `None` once it is proven gone.
    pub fn tree(&self, custody: &Custody) -> Option<Tree> {
        self.shared.book().get(&custody.id()).map(|entry| Tree::below(entry.root_pid()))
    }

    /// Starts nothing any more, stops every helper in order, and resolves when all are proven gone or called stuck and
    /// the task has ended. Whoever still holds a helper's stdin makes this last for its graces.
    pub async fn shutdown(&self) {
        self.stop_all(Stop::Orderly);
        // An error means that the task was dropped, which has ended everything too.
        self.ended.clone().wait_for(|ended| *ended).await.ok();
    }

    /// Starts nothing any more and kills every helper; [`shutdown`](Self::shutdown) then waits for the proof.
    pub fn kill_all(&self) {
        self.stop_all(Stop::Kill);
    }

    fn stop_all(&self, how: Stop) {
        self.shared.stop_all.send_if_modified(|stop| {
            let more = *stop < Some(how);
            *stop = (*stop).max(Some(how));
            more
        });
    }
}

impl Shared {
    pub(crate) fn book(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, spec: &Spec, program: &Path) -> Result<Start, SpawnError> {
        let text = |what: &dyn Fn() -> String, bytes: &[u8]| {
            CString::new(bytes).map_err(|_| SpawnError::Nul(what()))
        };
        let argument = |arg: &OsStr| text(&|| format!("an argument of '{}'", spec.name), arg.as_bytes());
        let mut argv = vec![argument(&spec.command)?];
        for arg in &spec.args {
            argv.push(argument(arg)?);
        }
        let mut envp = Vec::with_capacity(spec.env.len() + 1);
        for (key, value) in spec.env.iter().filter(|(key, _)| key != TOKEN_VARIABLE) {
            let entry = [key.as_bytes(), b"=", value.as_bytes()].concat();
            envp.push(text(&|| format!("variable {}", key.to_string_lossy()), &entry)?);
        }
        let token = format!("{TOKEN_VARIABLE}={}", self.token.as_str());
        envp.push(text(&|| TOKEN_VARIABLE.to_owned(), token.as_bytes())?);
        let path = |path: &Path| text(&|| format!("'{}'", path.display()), path.as_os_str().as_bytes());
        Ok(Start {
            program: path(program)?,
            argv,
            envp,
            cwd: spec.cwd.as_deref().map(path).transpose()?,
            graces: spec.graces,
            nofile: self.nofile,
            mark: Some(self.token.mark()),
            cgroup: false,
            pidns: false,
        })
    }
}
