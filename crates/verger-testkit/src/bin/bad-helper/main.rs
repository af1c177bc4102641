//! bad-helper: an MCP server on stdio that misbehaves in one documented way, chosen by `--mode`.
//!
//! ```text
//! bad-helper --mode MODE [PARAMETER] [--fault FAULT [--once FILE]] [--attack-on PIPE] [--tag TAG] [--log FILE]
//! ```
//!
//! The modes are listed in `mode.rs`, the faults in `fault.rs`: a mode says what its processes do, a fault adds how the
//! server fails its client. `--once` spares the first server that is asked to initialize, the one that could create
//! FILE: it accepts once, and fails ever after. With `--attack-on` a mode that attacks its shim does so only when a byte
//! comes through that named pipe. `--tag` changes nothing: it is there to be counted, and every process of the
//! family carries it. `--log` appends one JSON line per event. Whatever a mode starts is up before the server reads its
//! first request. Nothing here lives longer than five minutes, so that a failed test cannot fill a machine.

#![forbid(unsafe_code)]

mod args;
mod event_log;
mod family;
mod fault;
mod mode;
mod output;
mod server;
mod shim_attack;
mod signals;
mod slow_calls;
mod tools;

use std::process::ExitCode;

use args::Args;
use event_log::EventLog;
use mode::Mode;
use rustix::process::Signal;
use server::Server;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(problem) => {
            eprintln!("bad-helper: {problem}");
            return ExitCode::from(2);
        }
    };
    let log = EventLog::new(&args);
    let (group, session) = event_log::group_and_session().unzip();
    log.event("start", serde_json::json!({ "pgid": group, "sid": session }));
    if let Some(role) = args.role {
        return family::play(role, &args, &log);
    }
    if args.mode.ignores_signals() {
        signals::ignore(&log);
    } else if args.log.is_some() {
        signals::log_then_die(&log);
    }
    match args.mode {
        Mode::Wrapper => return family::wrap(args.inner_mode(), &args, &log),
        Mode::WrapperStubborn => return family::wrap(Mode::Stubborn, &args, &log),
        Mode::WrapperChain => return family::wrap(Mode::Wrapper, &args, &log),
        _ => {}
    }
    family::start_relatives(&args);
    match args.mode {
        Mode::StoppedNow => family::stop_myself(),
        Mode::LeakFdsSteadily => family::leak_descriptors(),
        Mode::KillShim => {
            shim_attack::survive_parent();
            shim_attack::attack_parent(Signal::KILL, &args, &log);
        }
        Mode::StopShim => shim_attack::attack_parent(Signal::STOP, &args, &log),
        _ => {}
    }
    Server::new(args, log).run()
}
