//! The `verger` program.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod columns;
mod demo;
mod helper;
mod job;
mod lines;
mod ps;
mod relay;
mod schema;
mod serve;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    // The reaper starts this same image as the shim of each helper: nothing may come before it.
    if verger_shim::is_shim() {
        verger_shim::main();
    }
    let cli = cli::Cli::parse();
    let overrides = match cli.overrides() {
        Ok(overrides) => overrides,
        Err(error) => cli::Cli::command().error(ErrorKind::ArgumentConflict, error).exit(),
    };
    let done = match cli.command {
        cli::Command::Serve(args) => serve::serve(&args, &overrides),
        cli::Command::AppServer(args) => serve::app_server(&args, &overrides),
        cli::Command::Ps(args) => ps::ps(&args),
        cli::Command::Helper(command) => helper::helper(&command),
        cli::Command::Job(args) => job::job(&args),
        cli::Command::Schema(args) => schema::schema(&args).map_err(Into::into),
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
