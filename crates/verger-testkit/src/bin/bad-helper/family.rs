//! The processes that bad-helper starts of itself, and the parts they play.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Child, Command, ExitCode, Stdio},
    str::FromStr,
    thread,
    time::Duration,
};

use rustix::{
    io::write,
    process::{DumpableBehavior, Signal, getpid, kill_process, set_dumpable_behavior, setsid},
    stdio::{dup2_stdin, stdin},
};
use serde_json::json;

use crate::{args::Args, event_log::EventLog, mode::Mode, shim_attack, signals};

/// Longest life of anything that sleeps here: a failed test must not fill the machine.
const LIFETIME: Duration = Duration::from_secs(300);

/// A part played by a process of the family other than the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sleeps.
    Sleeper,
    /// Sleeps, and ignores TERM, HUP, INT.
    DeafSleeper,
    /// Opens a session of its own, then sleeps.
    SessionSleeper,
    /// Forbids all but root to look at it, then sleeps.
    UndumpableSleeper,
    /// Starts a sleeper in its own group, exits.
    Orphaner,
    /// Opens a session, starts a sleeper in it, exits: the second fork of a daemon.
    Daemoniser,
    /// As `Daemoniser`; the sleeper's environment is empty.
    BareDaemoniser,
    /// As `BareDaemoniser`, but what it starts is an `UndumpableSleeper`.
    UndumpableDaemoniser,
    /// As `Daemoniser`, but what it starts is an `Assassin`.
    AssassinDaemoniser,
    /// As `BareDaemoniser`, but what it starts is an `Assassin`.
    BareAssassinDaemoniser,
    /// Waits to be adopted by a `verger-shim`, kills it, sleeps.
    Assassin,
    /// Starts a `Link`, exits.
    FirstLink,
    /// Opens a session, starts the next of its kind, exits.
    Link,
}

const ROLES: [(&str, Role); 13] = [
    ("sleeper", Role::Sleeper),
    ("deaf-sleeper", Role::DeafSleeper),
    ("session-sleeper", Role::SessionSleeper),
    ("undumpable-sleeper", Role::UndumpableSleeper),
    ("orphaner", Role::Orphaner),
    ("daemoniser", Role::Daemoniser),
    ("bare-daemoniser", Role::BareDaemoniser),
    ("undumpable-daemoniser", Role::UndumpableDaemoniser),
    ("assassin-daemoniser", Role::AssassinDaemoniser),
    ("bare-assassin-daemoniser", Role::BareAssassinDaemoniser),
    ("assassin", Role::Assassin),
    ("first-link", Role::FirstLink),
    ("link", Role::Link),
];

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        ROLES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, role)| *role)
            .ok_or(format!("no role {name:?}"))
    }
}

impl Role {
    fn name(self) -> &'static str {
        ROLES.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }

    /// True for those whose parent collects them, as the first fork of a daemon does.
    fn exits_at_once(self) -> bool {
        matches!(self, Self::Orphaner | Self::FirstLink) || self.daemon().is_some()
    }

    /// What the second fork of a daemon starts, and whether with an empty environment.
    fn daemon(self) -> Option<(Self, bool)> {
        Some(match self {
            Self::Daemoniser => (Self::Sleeper, false),
            Self::BareDaemoniser => (Self::Sleeper, true),
            Self::UndumpableDaemoniser => (Self::UndumpableSleeper, true),
            Self::AssassinDaemoniser => (Self::Assassin, false),
            Self::BareAssassinDaemoniser => (Self::Assassin, true),
            _ => return None,
        })
    }
}

/// Plays `role` to its end.
pub(crate) fn play(role: Role, args: &Args, log: &EventLog) -> ExitCode {
    match role {
        Role::Sleeper => announce_and_sleep(),
        Role::DeafSleeper => {
            signals::ignore(log);
            announce_and_sleep();
        }
        Role::SessionSleeper => {
            open_session();
            announce_and_sleep();
        }
        Role::UndumpableSleeper => {
            set_dumpable_behavior(DumpableBehavior::NotDumpable).expect("any process may hide");
            announce_and_sleep();
        }
        Role::Orphaner => drop(start(&mut relative(Role::Sleeper, args, Stdio::inherit()))),
        Role::Daemoniser
        | Role::BareDaemoniser
        | Role::UndumpableDaemoniser
        | Role::AssassinDaemoniser
        | Role::BareAssassinDaemoniser => {
            open_session();
            let (next, bare) = role.daemon().expect("these start one");
            let mut daemon = relative(next, args, Stdio::inherit());
            if bare {
                daemon.env_clear();
            }
            drop(start(&mut daemon));
        }
        Role::Assassin => {
            announce();
            shim_attack::wait_for_word(args);
            shim_attack::kill_adopter();
            log.event("attacked", json!({}));
            sleep();
        }
        Role::FirstLink => {
            announce();
            start_next_link(args);
        }
        Role::Link => {
            open_session();
            start_next_link(args);
        }
    }
    ExitCode::SUCCESS
}

/// Starts what the leader's mode wants beside it, and returns when all of it is up.
#[expect(clippy::zombie_processes, reason = "a relative that nobody waits for is the misbehaviour itself")]
pub(crate) fn start_relatives(args: &Args) {
    let (mut announcements, announcer) = io::pipe().expect("descriptors are left");
    let count = match args.mode {
        Mode::Many => args.number(200),
        Mode::ForkingStorm => 4,
        _ => 1,
    };
    for n in 0..count {
        let Some(role) = role_of_relative(args.mode, n) else { return };
        let stdin = announcer.try_clone().expect("descriptors are left");
        let mut command = relative(role, args, stdin.into());
        if args.mode == Mode::Grandchild {
            // Holds the pipe that its leader answers on.
            command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
        }
        if args.mode == Mode::OwnGroup || args.mode == Mode::Many && n % 4 == 1 {
            command.process_group(0);
        }
        let mut child = start(&mut command);
        if role.exits_at_once() {
            child.wait().expect("the child is this process's own");
        }
    }
    drop(announcer);
    let mut all = vec![0; usize::try_from(count).expect("a count of processes")];
    announcements.read_exact(&mut all).expect("every relative comes up");
}

fn role_of_relative(mode: Mode, n: u64) -> Option<Role> {
    Some(match mode {
        Mode::Grandchild => Role::DeafSleeper,
        Mode::Orphan => Role::Orphaner,
        Mode::OwnGroup => Role::Sleeper,
        Mode::Setsid => Role::Daemoniser,
        Mode::DaemonEmptyEnv => Role::BareDaemoniser,
        Mode::DaemonUndumpable => Role::UndumpableDaemoniser,
        Mode::DaemonKillShim => Role::AssassinDaemoniser,
        Mode::DaemonEmptyEnvKillShim => Role::BareAssassinDaemoniser,
        Mode::ForkingChain | Mode::ForkingStorm => Role::FirstLink,
        Mode::KillShim => Role::SessionSleeper,
        Mode::Many => match n % 4 {
            0 | 1 => Role::Sleeper,
            2 => Role::SessionSleeper,
            _ => Role::Daemoniser,
        },
        _ => return None,
    })
}

/// Runs a server of `mode` on this process's own stdio, and ends as it ends.
pub(crate) fn wrap(mode: Mode, args: &Args, log: &EventLog) -> ExitCode {
    // In a chain the inner wrapper takes the parameter, and nobody below it: a chain has an end.
    let parameter = args.parameter.clone().filter(|_| args.mode == Mode::WrapperChain);
    let mut child = start(&mut again(&Args { mode, parameter, ..args.clone() }));
    let status = child.wait().expect("the child is this process's own");
    log.event("exit", json!({ "child": status.code() }));
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Sleeps as long as anything here may live.
pub(crate) fn sleep() {
    thread::sleep(LIFETIME);
}

/// SIGSTOP, which nothing but CONT or KILL from outside undoes.
pub(crate) fn stop_myself() {
    kill_process(getpid(), Signal::STOP).expect("a process may stop itself");
}

/// `count` descriptors that the caller may forget to close.
pub(crate) fn open_descriptors(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| File::open("/dev/null").expect("descriptors are left").into()).collect()
}

/// Ten more every second, until this process may have no more.
pub(crate) fn leak_descriptors() {
    // Ends at the limit of open files, or with the process.
    thread::spawn(|| {
        let mut leaked = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            leaked.push(file);
            thread::sleep(Duration::from_millis(100));
        }
        sleep();
    });
}

fn open_session() {
    setsid().expect("a process that was just started leads no group");
}

/// This program in another role, holding none of the leader's pipes.
fn relative(role: Role, args: &Args, stdin: Stdio) -> Command {
    let mut command = again(args);
    command.arg("--role").arg(role.name()).stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn start_next_link(args: &Args) {
    let left = args.number(20_000);
    if left > 0 {
        let args = Args { parameter: Some((left - 1).to_string()), ..args.clone() };
        drop(start(&mut relative(Role::Link, &args, Stdio::null())));
    }
}

/// Tells the leader, over the pipe that came as stdin, that this process is up; then lets go of the pipe.
fn announce() {
    write(stdin(), b"!").expect("the leader waits for every relative");
    dup2_stdin(File::open("/dev/null").expect("there is /dev/null")).expect("stdin can be replaced");
}

fn announce_and_sleep() {
    announce();
    sleep();
}

#[expect(
    clippy::disallowed_methods,
    reason = "leaking processes is what this program is for; tests run it under LeakGuard"
)]
fn again(args: &Args) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("bad-helper").arg("--mode").arg(args.mode.name());
    if let Some(tag) = &args.tag {
        command.arg("--tag").arg(tag);
    }
    if let Some(log) = &args.log {
        command.arg("--log").arg(log);
    }
    if let Some(fault) = args.fault {
        command.arg("--fault").arg(fault.name());
    }
    if let Some(once) = &args.once {
        command.arg("--once").arg(once);
    }
    if let Some(pipe) = &args.attack_on {
        command.arg("--attack-on").arg(pipe);
    }
    command.args(&args.parameter);
    command
}

fn start(command: &mut Command) -> Child {
    command.spawn().expect("bad-helper can start itself")
}
