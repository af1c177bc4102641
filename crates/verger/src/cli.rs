//! What a person can type.

use clap::{Args, Parser, Subcommand};

/// A server for agent threads whose helper processes never leak.
#[derive(Debug, Parser)]
#[command(name = "verger", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve this home's threads until SIGTERM or Ctrl-C
    ///
    /// Clients connect over WebSocket and present the token that is made at the first start.
    Serve(ServeArgs),
    /// Serve as the app-server that existing clients start themselves
    AppServer(AppServerArgs),
    /// Show what runs: servers, threads and helpers
    Ps(PsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen, HOST:PORT [default: server.listen of the config, or 127.0.0.1:7717]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AppServerArgs {
    /// Where to listen, ws://HOST:PORT; clients need no token
    #[arg(long, value_name = "URL")]
    pub(crate) listen: String,
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Print JSON, one object for each server
    #[arg(long)]
    pub(crate) json: bool,
}
