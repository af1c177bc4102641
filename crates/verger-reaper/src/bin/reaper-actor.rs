//! For the reaper's tests: a program that plays every badly behaved helper, a daemon that owns some, and their shim.
//!
//! `reaper-actor TAG SHAPE [ARG..]`. Every process of a test has the test's TAG on its command line, so that a test can
//! find what is left of it without asking the code under test.
#![allow(
    unsafe_code,
    reason = "fork: a chain that renews itself every 0.3 ms cannot afford an exec per link"
)]

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, kill_process, setsid};
use verger_reaper::{Graces, Level, Options, Reaper, Run, Spec};

unsafe extern "C" {
    fn fork() -> i32;
    fn signal(signal: i32, handler: usize) -> usize;
}

fn main() {
    if verger_shim::is_shim() {
        // Asked for by a test, through the one thing of its own that a shim's owner can choose.
        if std::env::args().nth(1).is_some_and(|name| name == "too-late") {
            std::thread::spawn(|| rest());
        }
        verger_shim::main();
    }
    let args: Vec<String> = std::env::args().collect();
    let shape = args.get(2).map(String::as_str).unwrap_or_default();
    if let Some(state) = shape.strip_prefix("house@") {
        // It says that it is up where its helper would; the byte that it waits for is there at once.
        in_child(|| house(&args[1], state, "daemon", Path::new("/dev/zero")));
        return until_stdin_closes();
    }
    if let Some(state) = shape.strip_prefix("sweeper@") {
        in_child(|| house(&args[1], state, "sweeper", &Path::new(state).join("sweep")));
        return until_stdin_closes();
    }
    match shape {
        "good" => {}
        "stubborn" => sit(),
        // Deaf to its stdin, but they go when they are told to.
        "obedient" => {
            in_child(|| rest());
            ready();
            rest()
        }
        // A leader that does no more than wait for its child, as npx and uvx do.
        "wrapper" => in_child(sit_quietly),
        "grandchild" => in_child(sit_quietly),
        "crowd" => (0..200).for_each(|_| in_child(sit_quietly)),
        // 64 MiB that five processes share, as a server that forks its workers does.
        "copies" => {
            Box::leak(vec![1_u8; 64 << 20].into_boxed_slice());
            (0..4).for_each(|_| in_child(sit_quietly));
        }
        "setsid" => in_child(|| {
            setsid().expect("a child is no leader");
            in_child(|| sit());
        }),
        "naked" => in_child(|| naked(&args[1])),
        // What `naked` has become.
        "sit" => {
            setsid().expect("a child is no leader");
            sit()
        }
        "stopped" => {
            ready();
            stop_myself();
        }
        "chain" => in_child(chain),
        "shim-killer" => {
            in_child(|| naked(&args[1]));
            on_command(|shim| kill_process(shim, Signal::KILL).expect("its shim is alive"));
        }
        "shim-stopper" => {
            ignore_term();
            ready();
            on_command(|shim| {
                loop {
                    let _gone = kill_process(shim, Signal::STOP);
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        }
        "report" => report(),
        "blind" => blind(Path::new(&args[3]), &args[4]),
        "daemon" => daemon(&args, |_| {}),
        // Sweeps in the middle of its life, when a byte comes in, and says how many it has killed.
        "sweeper" => daemon(&args, |run| {
            let report = verger_reaper::sweep(Path::new(&args[3]), run).expect("a sweep");
            let mut swept = open(&Path::new(&args[3]).join("swept"));
            writeln!(swept, "{}", report.killed()).expect("the test reads this");
        }),
        other => panic!("no shape is called '{other}'"),
    }
    match shape {
        // These leave by themselves when their stdin closes, whatever they leave behind.
        "good" | "grandchild" | "crowd" | "copies" => {
            ready();
            until_stdin_closes();
        }
        // Here the one that is left behind is the one that says it is ready.
        "setsid" | "naked" => until_stdin_closes(),
        "wrapper" | "chain" => {
            ready();
            rest();
        }
        _ => {}
    }
}

fn ready() {
    std::io::stdout().write_all(b"ready\n").expect("the test reads this");
}

fn until_stdin_closes() {
    std::io::stdin().read_to_end(&mut Vec::new()).expect("stdin is a pipe");
}

fn rest() -> ! {
    loop {
        std::thread::park();
    }
}

fn ignore_term() {
    // SAFETY: SIG_IGN (1) runs no code.
    unsafe { signal(Signal::TERM.as_raw(), 1) };
}

fn sit() -> ! {
    ignore_term();
    ready();
    rest()
}

fn sit_quietly() {
    ignore_term();
    rest()
}

/// Runs `f` in a child that then exits.
fn in_child(f: impl FnOnce()) {
    // SAFETY: this program has one thread.
    match unsafe { fork() } {
        0 => {
            f();
            std::process::exit(0)
        }
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        _ => {}
    }
}

/// A daemon of its own, owner of one helper, that was started by a helper and outlives it.
fn house(tag: &str, state: &str, role: &str, stdin: &Path) {
    setsid().expect("a child is no leader");
    #[expect(clippy::disallowed_methods, reason = "exec: starts nothing new")]
    let mut me = std::process::Command::new("/proc/self/exe");
    panic!("exec: {}", me.args([tag, role, state, "cgroup", "good"]).stdin(open(stdin)).exec());
}

/// A device or a pipe of the test's, whoever else has it open.
fn open(path: &Path) -> std::fs::File {
    std::fs::File::options().read(true).write(true).open(path).expect("the test has made it")
}

/// A daemon by the book: own session, parent gone, and nothing in its environment to know it by.
fn naked(tag: &str) {
    in_child(|| {
        #[expect(clippy::disallowed_methods, reason = "exec: starts nothing new")]
        let mut me = std::process::Command::new("/proc/self/exe");
        panic!("exec: {}", me.env_clear().args([tag, "sit"]).exec());
    });
}

fn stop_myself() {
    kill_process(rustix::process::getpid(), Signal::STOP).expect("one may stop oneself");
    rest()
}

/// Never the same process for longer than 0.3 ms, each in its own session with its parent gone.
fn chain() {
    ignore_term();
    loop {
        let _failure = setsid();
        std::thread::sleep(Duration::from_micros(300));
        // SAFETY: this program has one thread.
        match unsafe { fork() } {
            0 => {}
            _ => std::process::exit(0),
        }
    }
}

/// Does something to its shim when a byte comes in, and says so if it still can.
fn on_command(f: impl FnOnce(Pid)) {
    std::io::stdin().read_exact(&mut [0]).expect("the test writes a byte");
    f(getppid().expect("a helper has a parent"));
    ready();
    rest()
}

/// Says how a run stands, without a descriptor to find that out.
fn blind(state: &Path, id: &str) {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, none).expect("a limit may be lowered");
    println!("{:?}", verger_reaper::run_state(state, id));
}

/// Says what a helper finds when it starts.
fn report() {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
    for line in status.lines().filter(|line| line.starts_with("Sig") || line.starts_with("Shd")) {
        println!("{line}");
    }
    let mut fds: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .expect("proc is mounted")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    fds.sort_unstable();
    // The last one is the folder being read.
    fds.pop();
    println!("fds {fds:?}");
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    println!("nofile {:?}", limit.current);
    println!("cwd {}", std::env::current_dir().expect("it exists").display());
    let mut keys: Vec<String> = std::env::vars().map(|(key, _)| key).collect();
    keys.sort();
    println!("env {keys:?}");
    println!("leads its group {}", rustix::process::getpgrp() == rustix::process::getpid());
    println!("end");
}

/// `TAG daemon STATE LEVEL SHAPE..`: owns one helper of each shape until it is killed. A byte on stdin goes to all, and then
/// `more` is done.
fn daemon(args: &[String], more: impl FnOnce(&Run)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let run = Run::begin(Path::new(&args[3])).expect("a run");
        let level = match &args[4][..] {
            "shim" => Level::Shim,
            "pidns" => Level::Pidns,
            _ => Level::Cgroup,
        };
        let options = Options { adopt_all: true, level: Some(level), ..Options::default() };
        let (reaper, task) = Reaper::start(&run, options).expect("a reaper");
        let helpers = async {
            let mut helpers = Vec::new();
            let program = std::env::current_exe().expect("this program");
            for shape in &args[5..] {
                let mut spec = Spec::new(shape, &program);
                spec.args = vec![args[1].clone().into(), shape.into()];
                spec.graces = Graces::default();
                let helper = reaper.spawn(spec).await.unwrap_or_else(|e| panic!("no helper: {e}"));
                helper.stdout.readable().await.expect("it says that it is ready");
                helpers.push(helper);
            }
            println!("up {} {}", run.id(), reaper.level());
            std::io::stdin().read_exact(&mut [0]).expect("the test writes a byte or kills");
            for helper in &helpers {
                helper.stdin.try_write(b"x").expect("there is room for a byte");
            }
            more(&run);
            std::future::pending::<()>().await;
        };
        tokio::join!(task, helpers);
    });
}
