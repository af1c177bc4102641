//! `verger serve` and `verger app-server`.

use tracing_subscriber::EnvFilter;
use verger_server::config::Auth;
use verger_server::{Home, Options, Serving, loopback};

use crate::cli::{AppServerArgs, ServeArgs};

pub(crate) type Failure = Box<dyn std::error::Error>;

pub(crate) fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let home = home()?;
    let listen = args.listen.as_deref().map(loopback).transpose()?;
    run(Options { home, listen, auth: None }, |serving| {
        eprintln!("verger {} serves ws://{}", env!("CARGO_PKG_VERSION"), serving.address);
        match &serving.token_file {
            Some(file) => eprintln!("  token:       Authorization: Bearer $(cat {})", file.display()),
            None => {
                eprintln!("  token:       none (auth = \"none\"): whoever reaches the port may do everything")
            }
        }
        tell(serving);
    })
}

pub(crate) fn app_server(args: &AppServerArgs) -> Result<(), Failure> {
    let Some(address) = args.listen.strip_prefix("ws://") else {
        return Err(format!("--listen {}: not supported yet; write ws://127.0.0.1:PORT", args.listen).into());
    };
    let listen = Some(loopback(address.trim_end_matches('/'))?);
    run(Options { home: home()?, listen, auth: Some(Auth::None) }, |serving| {
        eprintln!("verger {} app-server listens on ws://{}", env!("CARGO_PKG_VERSION"), serving.address);
        tell(serving);
    })
}

/// The home that the environment names.
pub(crate) fn home() -> Result<Home, Failure> {
    Ok(Home::from_env(|name| std::env::var_os(name))?)
}

fn tell(serving: &Serving) {
    eprintln!("  containment: {}", serving.containment);
    if serving.swept > 0 {
        eprintln!("  swept:       {} process(es) that a dead run had left", serving.swept);
    }
}

fn run(options: Options, serving: impl FnOnce(&Serving)) -> Result<(), Failure> {
    let filter = EnvFilter::try_from_env("VERGER_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(verger_server::run(options, serving));
    // Every task has been awaited. A look at a dead mount may still hang in the kernel, and must not hold the exit.
    runtime.shutdown_background();
    Ok(ended?)
}
