//! The `verger` program.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod demo;
mod lines;
mod ps;
mod relay;
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
        // Its last line is the verdict, on stdout and in any case.
        cli::Command::Demo(args) => return demo::demo(&args),
        cli::Command::DemoHelper => demo::demo_helper(),
        cli::Command::DemoKeeper => demo::demo_keeper(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("verger: {error}");
            ExitCode::FAILURE
        }
    }
}
