//! `verger app-server` on stdio where the home has a daemon: the client's connection is handed on to it, byte by byte.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

use verger_reaper::live_runs;
use verger_server::config::Config;
use verger_server::{Home, RunFile, invocation};

use crate::lines::Lines;
use crate::serve::Failure;

/// Relays stdin and stdout to the home's daemon until either end closes. `false`, with nothing read or written, where
/// no daemon serves the home, or it would serve this client differently from a server of its own.
pub(crate) fn relay(home: &Home, config: &Config) -> Result<bool, Failure> {
    let Some(mut daemon) = connect(home) else { return Ok(false) };
    if let Err(error) = daemon.call("verger/relay", serde_json::to_value(invocation(config))?) {
        eprintln!("verger: {error}; this client gets a server of its own");
        return Ok(false);
    }
    let from_daemon = daemon.into_stream();
    let to_daemon = from_daemon.get_ref().try_clone()?;
    // Ends with the process at the latest: a client that says nothing must not keep it.
    thread::spawn(move || pass_on(io::stdin().lock(), to_daemon));
    hand_down(from_daemon, io::stdout().lock())?;
    Ok(true)
}

/// The home's daemon, if one serves.
fn connect(home: &Home) -> Option<Lines> {
    let runs = live_runs(&home.state).ok()?;
    let files = runs.iter().filter_map(|run| RunFile::read(&run.dir));
    let socket = files.into_iter().find(|file| file.is_daemon)?.socket?;
    Lines::connect(&socket).ok()
}

/// What the client says, until it has nothing more to say.
fn pass_on(mut from: impl Read, to: UnixStream) {
    // A daemon that is gone is seen by who reads from it.
    if io::copy(&mut from, &mut &to).is_ok() {
        to.shutdown(Shutdown::Write).ok();
    }
}

/// What the daemon says, each piece as soon as it is there.
fn hand_down(mut from: BufReader<UnixStream>, mut to: impl Write) -> io::Result<()> {
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len();
        match to.write_all(bytes).and_then(|()| to.flush()) {
            Ok(()) => from.consume(length),
            // The client is gone, and with this process its connection.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
