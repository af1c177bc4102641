//! From nothing to a serving daemon, and back to nothing.

mod auth;
mod error;
mod place;
mod serving;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;
use verger_reaper::{Reaper, Run, RunState, run_state, sweep};
use verger_store::{Liveness, Store};

pub use self::auth::{AuthOptions, Presented};
pub use self::error::DaemonError;
pub use self::place::{Listen, address};

use self::place::Places;
use self::serving::Signals;
use crate::clock::Clock;
use crate::config::{Config, Overrides};
use crate::home::Home;
use crate::house::{House, HouseHandle};
use crate::jobs::{Alarm, JobsHandle, Scheduler, ToJobs};
use crate::run_file::RunFile;
use crate::settings;
use crate::shared::Shared;

/// What a daemon is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its home.
    pub home: Home,
    /// What is set over the configuration's file.
    pub overrides: Arc<Overrides>,
    /// Where its clients come from.
    pub listen: Listen,
    /// What those over TCP present.
    pub auth: AuthOptions,
}

/// What a daemon says once it serves.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Where it listens for WebSockets, if it does.
    pub address: Option<SocketAddr>,
    /// Its Unix socket, if it was to have one.
    pub socket: Option<PathBuf>,
    /// What clients over TCP present.
    pub presented: Presented,
    /// How helpers are contained, and why not better.
    pub containment: String,
    /// How many processes of dead runs were found and ended.
    pub swept: usize,
}

/// Serves until SIGTERM or SIGINT, and returns when everything that it caused is gone. Calls `serving` once clients can
/// connect.
pub async fn run(options: Options, serving: impl FnOnce(&Serving)) -> Result<(), DaemonError> {
    let clock = Clock::start();
    let home = options.home;
    // From here on a signal ends the daemon in order, however early it comes. As PID 1 it would be lost before.
    let signals = Signals::install()?;
    let alarm =
        Alarm::new().map_err(|cause| DaemonError::Kernel { doing: "make a timer for jobs", cause })?;
    let config = Arc::new(Config::read(&home.config_file(), &options.overrides)?);
    settings::log_warnings(&config.warnings);
    let nofile = raise_nofile();
    private_folder(&home.state)?;
    // Two daemons of one home: the second is told before it has touched anything.
    let daemon_lock = options.listen.lock(&home)?;
    let run = Arc::new(Run::begin(&home.state)?);
    // Before anything is served. It logs whom it kills.
    let swept = tokio::task::block_in_place(|| sweep(&home.state, &run))?.killed();
    let store = Store::open(&home.state, run.id(), liveness(home.state.clone()))?;
    let places = match Places::open(&options.listen, &options.auth, &home, &config, run.dir()).await {
        Ok(places) => places,
        Err(error) => {
            // Nothing was started, so that the next start has nothing to look for.
            store.close().await;
            end(run)?;
            return Err(error);
        }
    };

    let reaper_options = verger_reaper::Options { adopt_all: true, nofile, ..Default::default() };
    let (reaper, reaping) = Reaper::start(&run, reaper_options)?;
    let mut reaper_task = JoinSet::new();
    reaper_task.spawn(reaping);

    let rules = config.rules(uuid::Uuid::new_v4().as_u64_pair().0);
    let shared = Shared::new(home, run.id().to_owned(), swept, clock, store.clone(), reaper.clone(), config);
    let shared = Arc::new(shared);
    let (house, inbox) = HouseHandle::new();
    let mut house_task = JoinSet::new();
    let (jobs, jobs_inbox) = JobsHandle::new();
    house_task.spawn(House::new(Arc::clone(&shared), house.clone(), jobs.clone(), rules).run(inbox));
    let mut jobs_task = JoinSet::new();
    // A server that ends with its one client is none to rely on: it answers about jobs, and runs none.
    let runs_jobs = options.listen != Listen::Stdio;
    let ways = (house.clone(), jobs.clone());
    let scheduler = Scheduler::new(Arc::clone(&shared), ways, Arc::clone(&run), alarm, runs_jobs);
    jobs_task.spawn(scheduler.run(jobs_inbox));

    let run_file = RunFile {
        pid: std::process::id(),
        address: places.address,
        socket: places.run_socket,
        is_daemon: daemon_lock.is_some(),
    };
    run_file.write(run.dir())?;
    serving(&Serving {
        address: places.address,
        socket: places.socket,
        presented: places.presented,
        containment: match reaper.level_reason() {
            None => reaper.level().to_string(),
            Some(reason) => format!("{} ({reason})", reaper.level()),
        },
        swept,
    });
    let stdio = options.listen == Listen::Stdio;
    let until_the_end = serving::Serving { stdio, shared: &shared, house: &house, jobs: &jobs, signals };
    let served = until_the_end.run(places.listeners, &mut house_task).await;
    if served.is_err() {
        // Nobody is left to end helpers in order; that they are gone is proven all the same.
        reaper.kill_all();
    }

    // Job runs whose helpers went with the house are ended in the ledger now, unless some are not proven gone.
    jobs.send(ToJobs::HouseEnded { stuck: *served.as_ref().unwrap_or(&usize::MAX) });
    while let Some(ended) = jobs_task.join_next().await {
        ended?;
    }
    // No thread is loaded and no helper lives; what is left is to say goodbye in order.
    reaper.shutdown().await;
    while let Some(ended) = reaper_task.join_next().await {
        ended?;
    }
    drop((reaper, shared));
    store.close().await;
    drop(daemon_lock);
    let stuck = served?;
    if stuck > 0 {
        // The run stays, so that the next start looks for what it left.
        return Err(DaemonError::Stuck(stuck));
    }
    end(run)
}

/// Ends the run, of which nobody has a share any more.
fn end(run: Arc<Run>) -> Result<(), DaemonError> {
    match Arc::into_inner(run) {
        Some(run) => Ok(run.end()?),
        // Left to the next start, which finds nothing of it.
        None => {
            tracing::error!("the run's folder stays: somebody still uses it");
            Ok(())
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

fn private_folder(path: &Path) -> Result<(), DaemonError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|cause| DaemonError::Home {
        path: path.to_owned(),
        doing: "make the folder of the state",
        cause,
    })
}
