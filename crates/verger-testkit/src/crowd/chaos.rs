//! An hour of everything at once: a crowd, helpers that fail, and a server that is killed every minute and begins again on the
//! same home.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::plan::Plan;
use super::world::{Broken, World};
use crate::clock::now;
use crate::config_file::ConfigFile;
use crate::daemon::{Daemon, Launch, Refused};
use crate::home::Home;
use crate::leak_guard::LeakGuard;

/// Between one kill and the next.
const LIFE: Duration = Duration::from_secs(60);

/// Between one time that everyone leaves and the next.
const STRETCH: Duration = Duration::from_secs(14);

/// How long the helpers of a killed server may take to be gone, and those of a thread whose end was told.
const GONE: Duration = Duration::from_secs(10);

/// How many samples it takes to tell growth from chance.
const ENOUGH: usize = 9;

/// What fails, and how.
const FAILING: [(&str, &[&str]); 5] = [
    ("exits", &["exit-in-call"]),
    ("never", &["never-init"]),
    ("dies", &["exit-in-init"]),
    ("tough", &["stubborn"]),
    ("family", &["setsid"]),
];

/// One run.
#[derive(Debug)]
pub struct Chaos {
    /// The server under test.
    pub server: PathBuf,
    /// The bad-helper that it starts.
    pub helper: PathBuf,
    /// For how long, whole lives of a minute.
    pub time: Duration,
    /// Everything that is drawn follows from it, as far as the kernel's timing lets it.
    pub seed: u64,
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// No home could be made.
    #[error("no home for the server: {0}")]
    Home(#[from] io::Error),
    /// The server did not begin.
    #[error("the server did not begin: {}: {}", .0.status, .0.stderr)]
    Refused(Box<Refused>),
    /// The crowd found something.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// Something else that may not be.
    #[error("seed {seed}, life {life}: {what}")]
    Fault {
        /// Draws the same again.
        seed: u64,
        /// How many servers had been started.
        life: usize,
        /// In words.
        what: String,
    },
}

/// What was counted and measured.
#[derive(Debug, Default)]
struct Figures {
    kills: usize,
    /// Bytes resident and descriptors beside connections, when everyone had left.
    resident: Vec<u64>,
    descriptors: Vec<u64>,
}

/// A server and what it serves; the order of the fields is the order of their ends.
struct Stage {
    daemon: Daemon,
    home: Home,
    life: usize,
}

// === impl Chaos ===

impl Chaos {
    /// Runs until the time is up or `stop` says so; the figures, as one flat JSON object. `say` is told how it goes.
    ///
    /// # Errors
    ///
    /// The first thing that may not be.
    ///
    /// # Panics
    ///
    /// When processes of it outlive it: they are killed first.
    pub async fn run(&self, stop: impl Fn() -> bool, mut say: impl FnMut(&str)) -> Result<Value, ChaosError> {
        let guard = LeakGuard::new().patience(GONE);
        let figures = self.live(&stop, &mut say).await?;
        guard.finish();
        Ok(figures)
    }

    async fn live(&self, stop: &impl Fn() -> bool, say: &mut impl FnMut(&str)) -> Result<Value, ChaosError> {
        let home = Home::new()?;
        home.write_config(&self.config(&home).text())?;
        let mut stage = Stage { daemon: self.serve(&home)?, home, life: 1 };
        let failing = FAILING.map(|(name, _)| name).to_vec();
        let plan = Plan { rough: true, failing, ..Plan::full(self.seed) };
        let (url, work) = (stage.daemon.url(), stage.home.work());
        let mut world = World::begin(plan, &url, &url, &work).await?;
        let (mut rng, mut figures) = (Rng::with_seed(self.seed), Figures::default());
        let begun = now();
        let over = || now().duration_since(begun) >= self.time || stop();
        while !over() {
            let born = now();
            while now().duration_since(born) < LIFE && !over() {
                let began = now();
                while now().duration_since(began) < STRETCH && !over() {
                    self.work(&mut world, &stage).await?;
                }
                self.leave(&mut world, &stage, &mut figures).await?;
            }
            if over() {
                break;
            }
            self.kill(&mut world, &mut stage, &mut rng).await?;
            figures.kills += 1;
            let seconds = now().duration_since(begun).as_secs();
            say(&format!("{seconds} s, {} kills; {}", figures.kills, world.tally()));
        }
        world.rest().await?;
        say(&world.tally().to_string());
        let seconds = now().duration_since(begun).as_secs();
        let tally = world.tally();
        drop(world);
        let Stage { daemon, home, life } = stage;
        let fault = |what: String| ChaosError::Fault { seed: self.seed, life, what };
        let status = daemon.stop();
        if !status.success() {
            return Err(fault(format!("the server ended with {status} after TERM")));
        }
        home.tag()
            .wait_gone(Duration::ZERO)
            .map_err(|live| fault(format!("outlived the server: {live:?}")))?;
        let calls = calls(&home).map_err(fault)?;
        let json = json!({
            "minutes": seconds / 60,
            "kills": figures.kills,
            "steps": tally.taken(),
            "views_compared": tally.compared,
            "replays": tally.answers.0,
            "snapshots": tally.answers.1,
            "cut_as_slow": tally.slow,
            "turns_acknowledged": tally.acknowledged,
            "threads_emptied": tally.emptied,
            "helper_calls": calls,
            "rss_first": megabytes(first(&figures.resident)),
            "rss_last": megabytes(last(&figures.resident)),
            "descriptors_first": first(&figures.descriptors),
            "descriptors_last": last(&figures.descriptors),
        });
        flat(&figures).map_err(fault)?;
        Ok(json)
    }

    fn config(&self, home: &Home) -> ConfigFile {
        // Threads are to be left while clients that were cut have not come back.
        let config = home.config().table("[threads]\nresume_grace = \"1s\"");
        let polite = config.server("helper", &home.helper(&self.helper, &["polite"]));
        FAILING.iter().fold(polite, |config, (name, mode)| {
            let entry = home.helper(&self.helper, mode).key("startup_timeout_sec", "0.5");
            config.server(name, &entry)
        })
    }

    fn serve(&self, home: &Home) -> Result<Daemon, ChaosError> {
        let words = ["app-server", "--listen", "ws://127.0.0.1:0"];
        let launch = Launch::new(&self.server, home, &words).own_group();
        launch.start().map_err(|refused| ChaosError::Refused(Box::new(refused)))
    }

    /// Some steps, and now and then a rest.
    async fn work(&self, world: &mut World, stage: &Stage) -> Result<(), ChaosError> {
        for _ in 0..60 {
            world.batch().await.map_err(|broken| self.said(broken, stage))?;
        }
        world.rest().await.map_err(|broken| self.said(broken, stage))?;
        stage.home.model().forget();
        Ok(())
    }

    /// Everyone leaves: then no helper may be left, and the server is measured.
    async fn leave(&self, world: &mut World, stage: &Stage, figures: &mut Figures) -> Result<(), ChaosError> {
        world.rest().await.map_err(|broken| self.said(broken, stage))?;
        world.empty().await.map_err(|broken| self.said(broken, stage))?;
        let fault = |what: String| ChaosError::Fault { seed: self.seed, life: stage.life, what };
        let gone = stage.home.tag().wait_gone(Duration::ZERO);
        gone.map_err(|live| fault(format!("every thread is closed, and alive are {live:?}")))?;
        let descriptors = stage.daemon.descriptors()?.saturating_sub(world.connections());
        figures.descriptors.push(u64::try_from(descriptors).unwrap_or(u64::MAX));
        figures.resident.push(stage.daemon.rss()?);
        world.scatter().await;
        world.return_scribes().await.map_err(|broken| self.said(broken, stage))?;
        Ok(())
    }

    /// SIGKILL in the middle of work, and another server on the same home.
    async fn kill(&self, world: &mut World, stage: &mut Stage, rng: &mut Rng) -> Result<(), ChaosError> {
        let fault = |what: String| ChaosError::Fault { seed: self.seed, life: stage.life, what };
        for _ in 0..10 {
            world.batch().await?;
        }
        {
            let moment = Duration::from_millis(rng.u64(0..40));
            let daemon = &stage.daemon;
            let kill = async {
                // The moment is drawn too; nothing waits for it.
                sleep(moment).await;
                daemon.signal(Signal::KILL);
            };
            let (done, ()) = tokio::join!(world.batch(), kill);
            done?;
        }
        stage.daemon.wait(GONE);
        let mut next = self.serve(&stage.home)?;
        std::mem::swap(&mut stage.daemon, &mut next);
        drop(next);
        world.moved(&stage.daemon.url()).await?;
        let gone = stage.home.tag().wait_gone(Duration::ZERO);
        gone.map_err(|live| {
            fault(format!("the killed server's helpers outlived the next one's first answers: {live:?}"))
        })?;
        stage.life += 1;
        world.rest().await.map_err(|broken| self.said(broken, stage))?;
        Ok(())
    }

    /// With what the server said.
    fn said(&self, broken: Broken, stage: &Stage) -> ChaosError {
        let stderr = stage.daemon.stderr();
        let tail: Vec<&str> = stderr.lines().rev().take(20).collect();
        let tail: Vec<String> = tail.into_iter().rev().map(str::to_owned).collect();
        let faults = broken.faults.into_iter().chain(["the server said last:".to_owned()]).chain(tail);
        Broken { faults: faults.collect(), ..broken_of(broken.seed, broken.step) }.into()
    }
}

fn broken_of(seed: u64, step: u64) -> Broken {
    Broken { seed, step, faults: Vec::new() }
}

/// How many calls reached a helper; each has a text of its own, which no other may have (K10).
fn calls(home: &Home) -> Result<usize, String> {
    let mut by_text: BTreeMap<String, usize> = BTreeMap::new();
    for call in home.helper_events("call") {
        if let Some(text) = call["text"].as_str() {
            *by_text.entry(text.to_owned()).or_default() += 1;
        }
    }
    match by_text.iter().find(|(_, times)| **times > 1) {
        Some((text, times)) => Err(format!("the call {text} was made {times} times")),
        None => Ok(by_text.len()),
    }
}

fn median(of: &[u64]) -> u64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Of the first third.
fn first(of: &[u64]) -> u64 {
    median(&of[..of.len().div_ceil(3)])
}

/// Of the last third.
fn last(of: &[u64]) -> u64 {
    median(&of[of.len() - of.len().div_ceil(3)..])
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Whether neither memory nor descriptors grew: by a tenth, or a little that small figures may. A few samples say nothing.
fn flat(figures: &Figures) -> Result<(), String> {
    if figures.resident.len() < ENOUGH {
        return Ok(());
    }
    let grown = |of: &[u64], little: u64| last(of) > first(of) + first(of) / 10 + little;
    if grown(&figures.resident, 3_000_000) {
        return Err(format!("resident memory grew: {:?}", figures.resident));
    }
    if grown(&figures.descriptors, 3) {
        return Err(format!("descriptors grew: {:?}", figures.descriptors));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_over_thirds_is_not_flat() {
        let of = |resident: Vec<u64>, descriptors: Vec<u64>| Figures { kills: 0, resident, descriptors };
        let level = vec![20_000_000; 9];
        assert_eq!(flat(&of(level.clone(), vec![30; 9])), Ok(()));
        assert_eq!(flat(&of(vec![1, 20_000_000], vec![1, 30])), Ok(()), "too few to say");
        let rising = (1..=9).map(|n| n * 20_000_000).collect();
        assert!(flat(&of(rising, vec![30; 9])).is_err_and(|fault| fault.contains("memory")));
        let rising = vec![30, 31, 33, 36, 40, 44, 48, 52, 56];
        assert!(flat(&of(level, rising)).is_err_and(|fault| fault.contains("descriptors")));
    }
}
