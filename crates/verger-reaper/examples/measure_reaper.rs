//! What custody costs, against starting and killing the same programs plainly: `cargo run --release --example measure_reaper`.
//!
//! Prints medians. Private memory is `Private_Clean + Private_Dirty` of a shim's smaps_rollup while its helper runs.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on says why by failing")]

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use verger_reaper::{Helper, Level, Options, Reaper, Run, Spec, Stop};

/// Ignores SIGTERM and its stdin, after one byte that says it is up.
const STUBBORN: &str = "trap '' TERM; printf x; exec sleep 1000";

fn main() {
    if verger_shim::is_shim() {
        verger_shim::main();
    }
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}

async fn measure() {
    let state = tempfile::tempdir().unwrap();
    let run = Run::begin(state.path()).unwrap();
    let options = Options { adopt_all: true, ..Options::default() };
    let (reaper, task) = Reaper::start(&run, options).unwrap();
    let measured = async {
        let levels = if reaper.level() == Level::Cgroup {
            vec![Level::Shim, Level::Cgroup]
        } else {
            vec![Level::Shim]
        };
        println!("first byte, plain:  {:?}", median((0..200).map(|_| plain_first_byte()).collect()));
        for &level in &levels {
            let mut times = Vec::new();
            for _ in 0..200 {
                let begun = now();
                let helper = start(&reaper, level, "printf x").await;
                times.push(begun.elapsed());
                helper.custody.gone().await.unwrap();
            }
            println!("first byte, {level}: {:?}", median(times));
        }
        let helper = start(&reaper, Level::Shim, STUBBORN).await;
        println!("private memory of a shim: {} kB", private_kb(reaper.list()[0].shim_pid));
        drop(helper);
        for count in [1, 15, 100] {
            println!("kill of {count}, plain:  {:?}", median((0..9).map(|_| plain_kill(count)).collect()));
            for &level in &levels {
                let mut times = Vec::new();
                for _ in 0..9 {
                    times.push(custody_kill(&reaper, level, count).await);
                }
                println!("kill of {count}, {level}: {:?}", median(times));
            }
        }
        reaper.shutdown().await;
    };
    tokio::join!(task, measured);
    run.end().unwrap();
}

async fn start(reaper: &Reaper, level: Level, script: &str) -> Helper {
    let mut spec = Spec::new("measured", "/bin/sh");
    spec.args = vec!["-c".into(), script.into()];
    spec.level = Some(level);
    let mut helper = reaper.spawn(spec).await.unwrap();
    helper.stdout.read_u8().await.unwrap();
    helper
}

async fn custody_kill(reaper: &Reaper, level: Level, count: usize) -> Duration {
    let mut helpers = Vec::new();
    for _ in 0..count {
        helpers.push(start(reaper, level, STUBBORN).await);
    }
    let begun = now();
    helpers.iter().for_each(|helper| helper.custody.stop(Stop::Kill));
    for helper in &helpers {
        helper.custody.gone().await.unwrap();
    }
    begun.elapsed()
}

fn plain(script: &str) -> std::process::Child {
    #[expect(clippy::disallowed_methods, reason = "what custody is compared with")]
    let mut command = Command::new("/bin/sh");
    let mut child =
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

fn plain_first_byte() -> Duration {
    let begun = now();
    let mut child = plain("printf x");
    let took = begun.elapsed();
    child.wait().unwrap();
    took
}

fn plain_kill(count: usize) -> Duration {
    let mut children: Vec<_> = (0..count).map(|_| plain(STUBBORN)).collect();
    let begun = now();
    children.iter_mut().for_each(|child| child.kill().unwrap());
    children.iter_mut().for_each(|child| assert!(!child.wait().unwrap().success()));
    begun.elapsed()
}

fn private_kb(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    private.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "measures real time")]
fn now() -> Instant {
    Instant::now()
}
