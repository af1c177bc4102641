//! Custody: a reaper with the options of a server.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;
use verger_reaper::{Helper, Level, Options, Reaper, Run, Spec, Stop};

use crate::helpers::{BYTE, STUBBORN, arguments};
use crate::now;
use crate::worker::{Keeping, raise_nofile, work as obey};

/// Those that are held, and who starts them.
struct Held {
    runtime: Handle,
    reaper: Reaper,
    helpers: Vec<Helper>,
}

/// A worker at `level`.
pub(crate) fn work(level: &str, ballast: &str, image: PathBuf) {
    let level = match level {
        "shim" => Level::Shim,
        "cgroup" => Level::Cgroup,
        other => panic!("{other} is no level"),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let state = tempfile::tempdir().unwrap();
    let run = Run::begin(state.path()).unwrap();
    let options = Options {
        adopt_all: true,
        nofile: raise_nofile(),
        level: Some(level),
        image: Some(image),
        ..Options::default()
    };
    let (reaper, task) = {
        let _inside = runtime.enter();
        Reaper::start(&run, options).unwrap()
    };
    assert_eq!(reaper.level(), level, "{:?}", reaper.level_reason());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn_on(task, runtime.handle());
    obey(ballast, Held { runtime: runtime.handle().clone(), reaper: reaper.clone(), helpers: Vec::new() });
    runtime.block_on(async {
        reaper.shutdown().await;
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    });
    run.end().unwrap();
}

impl Held {
    fn start(&self, count: usize) -> Vec<Helper> {
        let start = async {
            let mut helpers = Vec::new();
            for _ in 0..count {
                helpers.push(start(&self.reaper, STUBBORN).await);
            }
            helpers
        };
        self.runtime.block_on(start)
    }
}

impl Keeping for Held {
    fn first_byte(&mut self) -> Duration {
        self.runtime.block_on(async {
            let begun = now();
            let helper = start(&self.reaper, BYTE).await;
            let took = begun.elapsed();
            helper.custody.gone().await.unwrap();
            took
        })
    }

    fn end(&mut self, count: usize) -> Duration {
        let helpers = self.start(count);
        self.runtime.block_on(async {
            let begun = now();
            helpers.iter().for_each(|helper| helper.custody.stop(Stop::Kill));
            for helper in &helpers {
                helper.custody.gone().await.unwrap();
            }
            begun.elapsed()
        })
    }

    fn private(&mut self) -> Vec<u64> {
        let helpers = self.start(16);
        let shims = self.reaper.list().into_iter().map(|helper| private(helper.shim_pid)).collect();
        for helper in helpers {
            helper.custody.stop(Stop::Kill);
            self.runtime.block_on(helper.custody.gone()).unwrap();
        }
        shims
    }

    fn hold(&mut self, count: usize) -> Vec<u32> {
        self.helpers = self.start(count);
        self.helpers.iter().map(|helper| helper.custody.pid()).collect()
    }
}

async fn start(reaper: &Reaper, script: &str) -> Helper {
    let mut spec = Spec::new("measured", "/bin/sh");
    spec.args = arguments(script).map(Into::into).into();
    let mut helper = reaper.spawn(spec).await.unwrap();
    helper.stdout.read_u8().await.unwrap();
    helper
}

/// `Private_Clean` and `Private_Dirty` together, in bytes.
fn private(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024).sum()
}
