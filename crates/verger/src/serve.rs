//! `verger serve` and `verger app-server`.

use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use verger_server::config::{Config, Overrides};
use verger_server::{AuthOptions, Home, Listen, Options, Presented, Serving, address};

use crate::cli::{AppServerArgs, ServeArgs};
use crate::relay::relay;

pub(crate) type Failure = Box<dyn std::error::Error>;

pub(crate) fn serve(args: &ServeArgs, config: &[String]) -> Result<(), Failure> {
    let overrides = Arc::new(Overrides::new(std::env::vars_os(), config)?);
    let address = args.listen.as_deref().map(address).transpose()?;
    run(
        Options { home: home()?, overrides, listen: Listen::Daemon { address }, auth: args.auth.options()? },
        |serving| {
            eprintln!("verger {} serves {}", env!("CARGO_PKG_VERSION"), place(serving));
            if let Some(socket) = socket(serving) {
                eprintln!("  socket:      {socket} (no token: it is open to this user only)");
            }
            tell(serving);
        },
    )
}

pub(crate) fn app_server(args: &AppServerArgs, config: &[String]) -> Result<(), Failure> {
    let (home, listen) = (home()?, Listen::parse(&args.listen)?);
    let auth = args.auth.options()?;
    if auth != AuthOptions::default() && !matches!(listen, Listen::WebSocket(_)) {
        let why =
            "tokens and JWTs are for clients over TCP: of stdio and Unix sockets their owner alone knows";
        return Err(format!("--listen {}: {why}; leave the --auth-... flags out", args.listen).into());
    }
    let overrides = Arc::new(Overrides::new(std::env::vars_os(), config)?);
    if listen != Listen::Stdio {
        return run(Options { home, overrides, listen, auth }, |serving| {
            eprintln!("verger {} app-server listens on {}", env!("CARGO_PKG_VERSION"), place(serving));
            tell(serving);
        });
    }
    // One configuration decides whether to relay; a server of its own reads it again, and tells what is wrong with it.
    if let Ok(config) = Config::read(&home.config_file(), &overrides)
        && relay(&home, &config)?
    {
        return Ok(());
    }
    // Its client reads stdout and may show stderr to a person: there is nothing to say while all is well.
    run(Options { home, overrides, listen, auth }, |_| {})
}

/// Where clients connect: over TCP, else over the Unix socket.
fn place(serving: &Serving) -> String {
    let tcp = serving.address.map(|address| format!("ws://{address}"));
    tcp.or_else(|| socket(serving)).unwrap_or_default()
}

fn socket(serving: &Serving) -> Option<String> {
    serving.socket.as_ref().map(|path| format!("unix://{}", path.display()))
}

/// The home that the environment names.
pub(crate) fn home() -> Result<Home, Failure> {
    Ok(Home::from_env(|name| std::env::var_os(name))?)
}

fn tell(serving: &Serving) {
    if serving.address.is_some() {
        eprintln!("  token:       {}", token(&serving.presented));
    }
    eprintln!("  containment: {}", serving.containment);
    if serving.swept > 0 {
        eprintln!("  swept:       {} process(es) that a dead run had left", serving.swept);
    }
}

/// What clients over TCP present.
fn token(presented: &Presented) -> String {
    match presented {
        Presented::TokenIn(file) => format!("Authorization: Bearer $(cat {})", file.display()),
        Presented::TokenOfHash => "Authorization: Bearer TOKEN, by its SHA-256".to_owned(),
        Presented::Jwt => "Authorization: Bearer JWT".to_owned(),
        Presented::Nothing => "none: whoever reaches the port may do everything".to_owned(),
    }
}

fn run(options: Options, serving: impl FnOnce(&Serving)) -> Result<(), Failure> {
    let filter = EnvFilter::try_from_env("VERGER_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    // Colours are for people; a client that started this server keeps what it says as text.
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    log.with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(verger_server::run(options, serving));
    // Every task has been awaited. A look at a dead mount may still hang in the kernel, and must not hold the exit.
    runtime.shutdown_background();
    Ok(ended?)
}
