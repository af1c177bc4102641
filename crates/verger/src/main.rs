//! The `verger` program.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod ps;
mod serve;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // The reaper starts this same image as the shim of each helper: nothing may come before it.
    if verger_shim::is_shim() {
        verger_shim::main();
    }
    let done = match cli::Cli::parse().command {
        cli::Command::Serve(args) => serve::serve(&args),
        cli::Command::AppServer(args) => serve::app_server(&args),
        cli::Command::Ps(args) => ps::ps(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("verger: {error}");
            ExitCode::FAILURE
        }
    }
}
