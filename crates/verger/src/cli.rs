//! What a person can type.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use verger_server::{AuthOptions, TokenHash};

use crate::job::JobArgs;

/// A server for agent threads whose helper processes never leak.
#[derive(Debug, Parser)]
#[command(name = "verger", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) over: OverrideArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The values of `--config` before and after the command, in the order in which they stand.
    ///
    /// # Errors
    /// What is wrong, where the command has no configuration.
    pub(crate) fn overrides(&self) -> Result<Vec<String>, String> {
        let after = match &self.command {
            Command::Serve(args) => &args.over.config,
            Command::AppServer(args) => &args.over.config,
            _ if self.over.config.is_empty() => return Ok(Vec::new()),
            _ => {
                return Err(
                    "--config is for serve and app-server: no other command reads the configuration".into()
                );
            }
        };
        Ok(self.over.config.iter().chain(after).cloned().collect())
    }
}

/// Before the command or after it, as the peer takes them.
#[derive(Debug, Args)]
pub(crate) struct OverrideArgs {
    /// Set a key over the configuration file; may be repeated
    ///
    /// KEY is dotted, as in threads.orphan_grace; VALUE is TOML, or a string where it is none. Wins over VERGER_*
    /// variables (VERGER_THREADS__ORPHAN_GRACE), which win over the file.
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) config: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve this home's threads until SIGTERM or Ctrl-C
    ///
    /// Clients connect over WebSocket and present the token that is made at the first start.
    Serve(ServeArgs),
    /// Serve as the app-server that existing clients start themselves
    ///
    /// On stdio it serves the one client that started it, by way of `verger serve` where that serves this home.
    AppServer(AppServerArgs),
    /// Show what runs: servers, threads and helpers
    Ps(PsArgs),
    /// Handle helpers
    #[command(subcommand)]
    Helper(HelperCommand),
    /// Handle jobs: work that the server begins by itself
    Job(JobArgs),
    /// Write the protocol as JSON Schema and TypeScript
    ///
    /// Files go to DIR/json and DIR/typescript, named as Codex names them. What an earlier run left there is replaced;
    /// a file that a person made is not, and nothing is written then.
    Schema(SchemaArgs),
    /// Show that nothing leaks: save threads, switch between them, kill the server, look who survived
    ///
    /// Everything happens in a temporary home with a server of its own. The last line is the verdict; the exit code is 0
    /// when everything was as promised.
    Demo(DemoArgs),
    /// The demo's own MCP server
    #[command(hide = true)]
    DemoHelper,
    /// The parent of the demo's server
    #[command(hide = true)]
    DemoKeeper,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen, HOST:PORT [default: server.listen of the config, or 127.0.0.1:7717]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) auth: AuthArgs,
    #[command(flatten)]
    pub(crate) over: OverrideArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AppServerArgs {
    /// Where to listen: stdio://, unix://, unix://PATH or ws://HOST:PORT
    ///
    /// Over ws:// on the loopback interface any user of this machine may connect, as existing clients bring no token, unless
    /// a flag below or auth_token_file or auth = "jwt" under [server] says what clients present.
    #[arg(long, value_name = "URL", default_value = "stdio://")]
    pub(crate) listen: String,
    /// The same as --listen stdio://
    #[arg(long, conflicts_with = "listen")]
    pub(crate) stdio: bool,
    #[command(flatten)]
    pub(crate) auth: AuthArgs,
    #[command(flatten)]
    pub(crate) over: OverrideArgs,
}

/// What clients over TCP present. The peer's names of these flags are theirs too, as existing launchers use them.
#[derive(Debug, Args)]
pub(crate) struct AuthArgs {
    /// Clients over TCP present the token in FILE, which must be its owner's alone
    #[arg(long, alias = "ws-token-file", value_name = "FILE", conflicts_with = "auth_jwt_secret_file")]
    auth_token_file: Option<PathBuf>,
    /// Clients over TCP present the token whose SHA-256 this is, in 64 hexadecimal digits: the token itself may be elsewhere
    #[arg(
        long,
        alias = "ws-token-sha256",
        value_name = "HEX",
        conflicts_with_all = ["auth_token_file", "auth_jwt_secret_file"]
    )]
    auth_token_sha256: Option<String>,
    /// Clients over TCP present a JWT (HS256, with exp), signed with the secret in FILE of at least 32 bytes
    #[arg(long, alias = "ws-shared-secret-file", value_name = "FILE")]
    auth_jwt_secret_file: Option<PathBuf>,
    /// Whose JWTs are taken
    #[arg(long, alias = "ws-issuer", value_name = "NAME")]
    auth_jwt_issuer: Option<String>,
    /// For whom JWTs must be
    #[arg(long, alias = "ws-audience", value_name = "NAME")]
    auth_jwt_audience: Option<String>,
    #[arg(long, hide = true, value_name = "MODE")]
    ws_auth: Option<WsAuth>,
    #[arg(long, hide = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=3600))]
    ws_max_clock_skew_seconds: Option<u64>,
}

/// The peer's word for which of the files is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WsAuth {
    CapabilityToken,
    SignedBearerToken,
}

impl AuthArgs {
    /// What was given.
    ///
    /// # Errors
    /// A mode without its file: the one who wrote it believes that clients are held to something. A hash that is none.
    pub(crate) fn options(&self) -> Result<AuthOptions, String> {
        let has_token = self.auth_token_file.is_some() || self.auth_token_sha256.is_some();
        let has_secret = self.auth_jwt_secret_file.is_some();
        match self.ws_auth {
            Some(WsAuth::CapabilityToken) if !has_token => {
                return Err("--ws-auth capability-token: name the token's file by --ws-token-file, or give its hash by --ws-token-sha256".into());
            }
            Some(WsAuth::SignedBearerToken) if !has_secret => {
                return Err(
                    "--ws-auth signed-bearer-token: name the secret's file by --ws-shared-secret-file".into(),
                );
            }
            _ => {}
        }
        let hash = self.auth_token_sha256.as_deref().map(str::parse::<TokenHash>).transpose();
        Ok(AuthOptions {
            token: self.auth_token_file.clone(),
            token_hash: hash.map_err(|why| format!("--auth-token-sha256: {why}"))?,
            jwt_secret: self.auth_jwt_secret_file.clone(),
            issuer: self.auth_jwt_issuer.clone(),
            audience: self.auth_jwt_audience.clone(),
            skew: self.ws_max_clock_skew_seconds.map(Duration::from_secs),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Print JSON, one object for each server
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HelperCommand {
    /// End an MCP server's helpers and start them again, also where it crashed
    ///
    /// Calls in flight may finish first. Earlier failures are forgotten. Returns when the old helpers are proven gone.
    Restart(RestartArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// The server's name in the configuration
    pub(crate) server: String,
    /// In this thread only
    #[arg(long, value_name = "ID")]
    pub(crate) thread: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Where to write; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Which MCP server to use; auto takes the first of the others that works
    #[arg(long, value_enum, default_value_t = DemoHelper::Auto)]
    pub(crate) helper: DemoHelper,
    /// How many threads to save and to switch between
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) threads: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoHelper {
    /// Npx, then python, then built-in
    Auto,
    /// @modelcontextprotocol/server-everything by npx
    Npx,
    /// mcp-server-time, installed by pip in a temporary venv
    Python,
    /// A small one that is part of this program
    BuiltIn,
}
