//! Chaos by hand: a crowd, helpers that fail and a server that is killed every minute. `cargo xtask soak chaos` builds
//! everything and runs this. It ends when its time is up, or at Ctrl-C, after a last comparison.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use verger_testkit::crowd::Chaos;

const USAGE: &str = "usage: chaos --server PATH [--minutes N, default 60] [--seed N]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("chaos: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let chaos = asked(std::env::args().skip(1))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    eprintln!("chaos: seed {}", chaos.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures =
        runtime.block_on(chaos.run(|| stop.load(Ordering::Relaxed), |what| eprintln!("chaos: {what}")))?;
    // Whoever started this may be gone after Ctrl-C.
    writeln!(std::io::stdout(), "SOAK {figures}").ok();
    Ok(())
}

fn asked(mut words: impl Iterator<Item = String>) -> Result<Chaos, Box<dyn std::error::Error>> {
    let (mut server, mut minutes, mut seed) = (None, 60, fastrand::u64(1..1_000_000));
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} needs a value\n{USAGE}"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word} needs a whole number\n{USAGE}"));
        match word.as_str() {
            // Absolute, because servers run in folders of their own.
            "--server" => server = Some(std::path::absolute(PathBuf::from(&value))?),
            "--minutes" => minutes = number()?,
            "--seed" => seed = number()?,
            other => return Err(format!("'{other}': not understood\n{USAGE}").into()),
        }
    }
    let server = server.ok_or(format!("no --server\n{USAGE}"))?;
    let helper = std::env::current_exe()?.with_file_name("bad-helper");
    Ok(Chaos { server, helper, time: Duration::from_secs(60 * minutes), seed })
}
