//! What is measured, in which order: every round asks each way once, and each round another way goes first.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process_group, pidfd_open, set_child_subreaper};
use verger_reaper::{Level, Options, Reaper, Run};

use crate::now;
use crate::table::Table;
use crate::worker::{Worker, raise_nofile};

/// How much of it.
pub(crate) struct Plan {
    first_bytes: usize,
    /// How many helpers, how often.
    endings: &'static [(usize, usize)],
    /// How many trees, how often.
    kills: &'static [(usize, usize)],
}

pub(crate) const FULL: Plan = Plan {
    first_bytes: 200,
    endings: &[(1, 41), (15, 15), (100, 9), (1000, 5)],
    kills: &[(15, 15), (200, 7)],
};
pub(crate) const SMALL: Plan = Plan { first_bytes: 5, endings: &[(1, 3), (15, 1)], kills: &[(15, 1)] };

/// Weights of a server: what one starts with, and what one may grow to. In MB.
const LIGHT: usize = 10;
const HEAVY: usize = 500;

/// Measures all, and returns the report.
pub(crate) fn measure(image: &Path, plan: &Plan) -> String {
    // A killed worker's shims come here and not to a stranger.
    set_child_subreaper(Some(getpid())).unwrap();
    raise_nofile();
    let ways: Vec<&str> = ["plain"].into_iter().chain(levels()).collect();
    let mut table = Table::new(ways.clone());
    let start = |ballast| ways.iter().map(|way| Worker::start(way, ballast, image)).collect::<Vec<_>>();
    let mut light = start(LIGHT);
    let mut heavy = start(HEAVY);
    let names = [LIGHT, HEAVY].map(|weight| format!("first byte of a helper, server of {weight} MB"));
    for round in 0..plan.first_bytes {
        for way in turns(ways.len(), round) {
            // Both weights one after the other: what disturbs one disturbs the other.
            let times = [light[way].time("byte"), heavy[way].time("byte")];
            names.iter().zip(times).for_each(|(name, time)| table.add(name, way, time));
        }
    }
    heavy.into_iter().for_each(Worker::end);
    for &(count, rounds) in plan.endings {
        let name = format!("decision to proven empty, {count}");
        for round in 0..rounds {
            for way in turns(ways.len(), round) {
                table.add(&name, way, light[way].time(&format!("end {count}")));
            }
        }
    }
    for (way, worker) in light.iter_mut().enumerate().skip(1) {
        table.private(way, worker.numbers("private"));
    }
    for &(count, rounds) in plan.kills {
        let name = format!("SIGKILL of the server to {count} trees gone");
        for round in 0..rounds {
            for way in turns(ways.len(), round) {
                table.add(&name, way, kill(&mut light[way], way == 0, count));
                if way > 0 {
                    let dead = std::mem::replace(&mut light[way], Worker::start(ways[way], LIGHT, image));
                    dead.end();
                }
            }
        }
    }
    light.into_iter().for_each(Worker::end);
    collect_orphans();
    table.compare(&names[1], &names[0]);
    table.to_string()
}

/// The levels that can be had here.
fn levels() -> Vec<&'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let state = tempfile::tempdir().unwrap();
    let run = Run::begin(state.path()).unwrap();
    let (reaper, task) = Reaper::start(&run, Options::default()).unwrap();
    let level = reaper.level();
    // Its task ends when nobody can ask it for anything.
    drop(reaper);
    runtime.block_on(task);
    run.end().unwrap();
    match level {
        Level::Cgroup => vec!["shim", "cgroup"],
        // A namespace is what a helper asks for itself.
        Level::Shim | Level::Pidns => vec!["shim"],
    }
}

/// Every number below `count`, another one first in each round.
fn turns(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |n| (n + round) % count)
}

/// From the kill to the exit of the last helper: of the server, or, without custody, of each helper's group.
fn kill(worker: &mut Worker, is_plain: bool, count: usize) -> Duration {
    let pids = worker.numbers(&format!("hold {count}"));
    let pids = pids.into_iter().map(|pid| Pid::from_raw(i32::try_from(pid).unwrap()).unwrap());
    let helpers: Vec<(Pid, OwnedFd)> =
        pids.map(|pid| (pid, pidfd_open(pid, PidfdFlags::empty()).unwrap())).collect();
    let begun = now();
    if is_plain {
        helpers.iter().for_each(|(pid, _)| kill_process_group(*pid, Signal::KILL).unwrap());
    } else {
        worker.kill();
    }
    for (_, pidfd) in &helpers {
        poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None).unwrap();
    }
    begun.elapsed()
}

/// Shims of killed workers, which have come here.
fn collect_orphans() {
    while rustix::process::wait(rustix::process::WaitOptions::empty()).is_ok() {}
}
