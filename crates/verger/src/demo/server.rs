//! One life of the demo's server, from its start to the kernel's word that nothing of it is left.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;
use verger_reaper::{Custody, Reaper, Spec};

use super::kernel::{Process, pin, within};
use crate::client::Client;
use crate::serve::Failure;

/// How long a server may take to start, and its remains to be gone.
const LIMIT: Duration = Duration::from_secs(20);

/// A server that serves.
#[derive(Debug)]
pub(super) struct Server {
    /// Its process.
    pub(super) pid: u32,
    process: Process,
    url: String,
    token: String,
    /// How helpers are contained, as it said.
    pub(super) containment: String,
    /// Read when something is waited for. In between the pipe holds 64 kB, and a server that logs errors only says less.
    lines: Lines<BufReader<pipe::Receiver>>,
    /// When this is dropped, the demo's shim ends keeper, server and all.
    _keeper: Custody,
}

/// How a server ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// `exit 0`, `signal 9`
    pub(super) how: String,
    /// Processes that it had left and that have ended without it; the kernel had made them the keeper's children.
    pub(super) orphans: usize,
    /// What it said about processes of the run before it, if there were any.
    pub(super) swept: Option<String>,
}

impl Server {
    /// Starts `verger serve` on the home in `folder` and waits until clients can connect.
    pub(super) async fn start(reaper: &Reaper, folder: &Path) -> Result<Self, Failure> {
        let home = folder.join("home");
        let mut spec = Spec::new("the demo's server", std::env::current_exe()?);
        spec.args = vec!["demo-keeper".into()];
        let own = ["VERGER_HOME", "VERGER_LOG"];
        spec.env = std::env::vars_os().filter(|(name, _)| !own.iter().any(|own| name == own)).collect();
        spec.env.push(("VERGER_HOME".into(), home.clone().into()));
        spec.env.push(("VERGER_LOG".into(), "error".into()));
        spec.cwd = Some(folder.to_owned());
        // Nothing is said to the keeper, and it has no complaints of its own: the other two pipes may close.
        let helper = reaper.spawn(spec).await?;
        let mut lines = BufReader::new(helper.stdout).lines();
        let first = within("the demo's server", LIMIT, lines.next_line()).await??.unwrap_or_default();
        let pid = first.strip_prefix("started ").and_then(|pid| pid.parse().ok());
        let pid: u32 = pid.ok_or_else(|| format!("the demo's server did not start: {first}"))?;
        let address = awaited(&mut lines, " serves ws://").await?;
        let containment = awaited(&mut lines, "containment: ").await?;
        let process = pin(pid, helper.custody.pid()).ok_or("the demo's server ended at once")?;
        let token = std::fs::read_to_string(home.join("token"))?.trim().to_owned();
        let url = format!("ws://{address}");
        Ok(Self { pid, process, url, token, containment, lines, _keeper: helper.custody })
    }

    /// A connection of its own.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        Ok(within("connecting", LIMIT, Client::connect(&self.url, Some(&self.token))).await??)
    }

    /// Sends the signal, and waits until the kernel says that the server and all that it had left are gone.
    pub(super) async fn end(mut self, signal: Signal) -> Result<Ended, Failure> {
        pidfd_send_signal(self.process.pidfd(), signal)?;
        let mut ended = Ended { how: "unseen".to_owned(), orphans: 0, swept: None };
        loop {
            let line = within("the end of the demo's server", LIMIT, self.lines.next_line()).await??;
            match line.as_deref() {
                Some("empty") => return Ok(ended),
                None => return Err("the keeper of the demo's server ended before it".into()),
                Some(line) => {
                    if let Some(how) = line.strip_prefix("ended ") {
                        ended.how = how.to_owned();
                    }
                    if let Some((_, swept)) = line.split_once("swept: ") {
                        ended.swept = Some(swept.trim().to_owned());
                    }
                    ended.orphans += usize::from(line.starts_with("orphan "));
                }
            }
        }
    }
}

/// Reads on until a line has the mark; returns what follows it.
async fn awaited(lines: &mut Lines<BufReader<pipe::Receiver>>, mark: &str) -> Result<String, Failure> {
    let mut said = Vec::new();
    loop {
        let line = within("the demo's server", LIMIT, lines.next_line()).await??;
        match line.filter(|line| line != "empty") {
            None => return Err(format!("the demo's server did not serve: {}", said.join(" / ")).into()),
            Some(line) => match line.split_once(mark) {
                Some((_, rest)) => return Ok(rest.trim().to_owned()),
                None => said.push(line),
            },
        }
    }
}
