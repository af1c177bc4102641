//! From nothing to a serving daemon, and back to nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use verger_core::ids::ConnectionId;
use verger_reaper::{Reaper, ReaperError, Run, RunState, run_state, sweep};
use verger_store::{Liveness, Store, StoreError};

use crate::clock::Clock;
use crate::config::{Auth, Config, ConfigError};
use crate::connection;
use crate::dispatch::Dispatch;
use crate::home::Home;
use crate::house::{House, HouseHandle, ToHouse};
use crate::listen::{self, Guard};
use crate::run_file::RunFile;
use crate::shared::Shared;
use crate::token;

/// Upgraded sockets that may wait for the daemon to take them.
const UPGRADED: usize = 64;

/// How long clients may take to read the last of what they were sent.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a daemon is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its home.
    pub home: Home,
    /// Where it listens; the configuration's `server.listen`, or the default, where nothing is said.
    pub listen: Option<SocketAddr>,
    /// Whether clients need the home's token; the configuration's `server.auth` where nothing is said.
    pub auth: Option<Auth>,
}

/// What a daemon says once it serves.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Where.
    pub address: SocketAddr,
    /// The file with the token that clients present, if they must.
    pub token_file: Option<PathBuf>,
    /// How helpers are contained, and why not better.
    pub containment: String,
    /// How many processes of dead runs were found and ended.
    pub swept: usize,
}

/// Why a daemon did not serve, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The home cannot be written.
    #[error("{path}: {doing}: {cause}")]
    Home {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        cause: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {cause}; is another server running there? choose another with --listen"
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// The address is none, or not on this machine.
    #[error("{listen}: {reason}")]
    Address {
        /// As it was given.
        listen: String,
        /// What is wrong, and what to write.
        reason: &'static str,
    },
    /// Processes cannot be owned here.
    #[error(transparent)]
    Reaper(#[from] ReaperError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel refused something that everything rests on.
    #[error("{doing}: {cause}")]
    Kernel {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        cause: std::io::Error,
    },
    /// A task panicked.
    #[error("a part of the server failed: {0}")]
    Task(#[from] JoinError),
    /// Shutdown is complete but for these.
    #[error("{0} helper(s) could not be proven gone; the next start of this home looks for them")]
    Stuck(usize),
}

/// Reads `HOST:PORT`, and refuses what is not on this machine's loopback interface.
pub fn loopback(listen: &str) -> Result<SocketAddr, DaemonError> {
    let refuse = |reason| DaemonError::Address { listen: listen.to_owned(), reason };
    let text = listen
        .strip_prefix("localhost:")
        .map_or_else(|| listen.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr =
        text.parse().map_err(|_| refuse("not an address; write one like 127.0.0.1:7717"))?;
    if !address.ip().is_loopback() {
        return Err(refuse("not a loopback address; this version serves this machine only"));
    }
    Ok(address)
}

/// Serves until SIGTERM or SIGINT, and returns when everything that it caused is gone. Calls `serving` once clients can
/// connect.
pub async fn run(options: Options, serving: impl FnOnce(&Serving)) -> Result<(), DaemonError> {
    let clock = Clock::start();
    let home = options.home;
    let config = Arc::new(Config::read(&home.config_file())?);
    let address = match (options.listen, &config.server.listen) {
        (Some(address), _) => address,
        (None, Some(listen)) => loopback(listen)?,
        (None, None) => SocketAddr::from(([127, 0, 0, 1], 7717)),
    };
    // From here on a signal ends the daemon in order, however early it comes.
    let signals = Signals::install()?;
    let nofile = raise_nofile();
    private_folder(&home.state)?;
    let token_file = match options.auth.unwrap_or(config.server.auth) {
        Auth::None => None,
        Auth::Token => Some(home.token_file()),
    };
    let token = token_file.as_deref().map(token::read_or_make).transpose()?;

    let run = Run::begin(&home.state)?;
    let swept = sweep_dead_runs(&home.state, &run).await?;
    let store = Store::open(&home.state, run.id(), liveness(home.state.clone()))?;
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(cause) => {
            // Nothing was started, so that the next start has nothing to look for.
            store.close().await;
            run.end()?;
            return Err(DaemonError::Listen { address, cause });
        }
    };
    let address = listener.local_addr().map_err(|cause| DaemonError::Listen { address, cause })?;

    let reaper_options = verger_reaper::Options { adopt_all: true, nofile, ..Default::default() };
    let (reaper, reaping) = Reaper::start(&run, reaper_options)?;
    let mut reaper_task = JoinSet::new();
    reaper_task.spawn(reaping);

    let rules = config.threads.rules();
    let guard = Guard {
        token,
        allowed_origins: config.server.allowed_origins.clone(),
        allowed_hosts: config.server.allowed_hosts.clone(),
    };
    let shared = Shared::new(home, run.id().to_owned(), clock, store.clone(), reaper.clone(), config);
    let shared = Arc::new(shared);
    let (house, inbox) = HouseHandle::new();
    let mut house_task = JoinSet::new();
    house_task.spawn(House::new(Arc::clone(&shared), house.clone(), rules).run(inbox));

    RunFile { pid: std::process::id(), address }.write(run.dir())?;
    serving(&Serving {
        address,
        token_file,
        containment: match reaper.level_reason() {
            None => reaper.level().to_string(),
            Some(reason) => format!("{} ({reason})", reaper.level()),
        },
        swept,
    });
    let served = serve(listener, guard, &shared, &house, signals, &mut house_task).await;
    if served.is_err() {
        // Nobody is left to end helpers in order; that they are gone is proven all the same.
        reaper.kill_all();
    }

    // No thread is loaded and no helper lives; what is left is to say goodbye in order.
    reaper.shutdown().await;
    while let Some(ended) = reaper_task.join_next().await {
        ended?;
    }
    drop((reaper, shared));
    store.close().await;
    let stuck = served?;
    if stuck > 0 {
        // The run stays, so that the next start looks for what it left.
        return Err(DaemonError::Stuck(stuck));
    }
    Ok(run.end()?)
}

/// Takes connections until the house has ended; returns how many helpers it could not prove gone.
async fn serve(
    listener: TcpListener,
    guard: Guard,
    shared: &Arc<Shared>,
    house: &HouseHandle,
    mut signals: Signals,
    house_task: &mut JoinSet<usize>,
) -> Result<usize, DaemonError> {
    let shutdown = CancellationToken::new();
    let (upgraded, mut sockets) = mpsc::channel(UPGRADED);
    let mut listener_task = JoinSet::new();
    listener_task.spawn(listen::serve(listener, Arc::new(guard), upgraded, shutdown.clone()));
    let mut connections = JoinSet::new();
    let mut last = 0;
    let stuck = loop {
        tokio::select! {
            Some(socket) = sockets.recv() => {
                last += 1;
                let (shared, house) = (Arc::clone(shared), house.clone());
                let dispatch = Dispatch { shared, house, connection: ConnectionId(last) };
                connections.spawn(connection::serve(socket, dispatch, shutdown.clone()));
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection did not end well");
                }
            }
            () = signals.next() => house.send(ToHouse::Shutdown),
            Some(ended) = house_task.join_next() => break ended?,
            Some(ended) = listener_task.join_next() => {
                let cause = ended?.err().unwrap_or_else(|| std::io::Error::other("it ended by itself"));
                tracing::error!(%cause, "the listener failed; shutting down");
                house.send(ToHouse::Shutdown);
            }
        }
    };
    shutdown.cancel();
    let farewell = async { while connections.join_next().await.is_some() {} };
    if timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!(connections = connections.len(), "clients did not read to the end and are left");
    }
    connections.shutdown().await;
    listener_task.shutdown().await;
    Ok(stuck)
}

/// SIGTERM and SIGINT, which mean the same.
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> Result<Self, DaemonError> {
        let listen =
            |kind| signal(kind).map_err(|cause| DaemonError::Kernel { doing: "listen for signals", cause });
        Ok(Self { term: listen(SignalKind::terminate())?, int: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Raises the soft limit of open files to the hard one; returns the old soft limit, which helpers get back.
fn raise_nofile() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files was not raised");
    }
    current
}

fn liveness(state: PathBuf) -> Arc<dyn Fn(&str) -> Liveness + Send + Sync> {
    Arc::new(move |run: &str| match run_state(&state, run) {
        RunState::Live { pid } => Liveness::Live { pid },
        RunState::Gone => Liveness::Gone,
    })
}

/// Ends what dead runs of this home left, before anything is served. Returns how many processes that were.
async fn sweep_dead_runs(state: &Path, run: &Run) -> Result<usize, DaemonError> {
    let report = tokio::task::block_in_place(|| sweep(state, run))?;
    let mut swept = 0;
    for dead in &report.runs {
        for killed in &dead.killed {
            tracing::warn!(run = dead.id, pid = killed.pid, age = ?killed.age, command = killed.command, "a dead run had left this process; killed");
        }
        for left in &dead.unproven {
            tracing::error!(
                run = dead.id,
                pid = left.pid,
                command = left.command,
                "a dead run had left this process; killed, but it does not die"
            );
        }
        swept += dead.killed.len();
    }
    Ok(swept)
}

fn private_folder(path: &Path) -> Result<(), DaemonError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|cause| DaemonError::Home {
        path: path.to_owned(),
        doing: "make the folder of the state",
        cause,
    })
}
