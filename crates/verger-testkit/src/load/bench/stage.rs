//! One server on a home of its own, for the length of one step.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use super::{Bench, BenchError, Subject};
use crate::config_file::ServerEntry;
use crate::daemon::{Daemon, Launch};
use crate::home::Home;
use crate::load::client::Client;
use crate::load::latency::Latency;
use crate::load::timed::{Bounds, connect};
use crate::proc_fs;

/// A server that does not end by itself in this time after TERM is killed: its step is done.
const FAREWELL: Duration = Duration::from_secs(10);

/// A running server. The order of the fields is the order of their ends.
pub(super) struct Stage<'a> {
    daemon: Option<Daemon>,
    pub(super) home: Home,
    subject: &'a Subject,
}

impl<'a> Stage<'a> {
    /// A home with a configuration; nothing runs yet.
    pub(super) fn new(subject: &'a Subject, helper: Option<&ServerEntry>) -> Result<Self, BenchError> {
        let home = Home::new()?;
        home.write_config(&subject.flavor.config(&home, helper))?;
        Ok(Self { daemon: None, home, subject })
    }

    /// The same, and a server that runs.
    pub(super) fn running(subject: &'a Subject, helper: Option<&ServerEntry>) -> Result<Self, BenchError> {
        let mut stage = Self::new(subject, helper)?;
        stage.start()?;
        Ok(stage)
    }

    /// Starts the server; where it serves. Blocks until it says so.
    pub(super) fn start(&mut self) -> Result<String, BenchError> {
        let (subject, home) = (self.subject, &self.home);
        let launch = Launch::new(&subject.program, home, &["app-server", "--listen", "ws://127.0.0.1:0"]);
        let home_path = home.path().to_str().expect("temporary folders are UTF-8");
        let launch = launch.env(subject.flavor.home_variable(), home_path);
        let daemon = launch
            .start()
            .map_err(|refused| BenchError::Refused(format!("{}: {}", refused.status, refused.stderr)))?;
        let url = daemon.url();
        self.daemon = Some(daemon);
        Ok(url)
    }

    /// TERM, and its end. Blocks until then: clients leave before.
    pub(super) fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal(Signal::TERM);
            // Dropping one that stays kills it.
            if daemon.gone().wait(FAREWELL).is_ok() {
                daemon.wait(FAREWELL);
            }
        }
    }

    /// Where it serves.
    pub(super) fn url(&self) -> String {
        self.daemon().url()
    }

    /// Bytes resident at this moment.
    pub(super) fn rss_now(&self) -> Result<u64, BenchError> {
        Ok(self.daemon().rss()?)
    }

    pub(super) async fn client(&self) -> Result<Client, BenchError> {
        Ok(Client::open(&self.daemon().url(), "bench").await?)
    }

    pub(super) async fn clients(&self, count: usize) -> Result<Vec<Client>, BenchError> {
        Ok(connect(&self.daemon().url(), count).await?)
    }

    /// `count` new threads, with one turn each.
    pub(super) async fn saved(&self, client: &Client, count: usize) -> Result<Vec<String>, BenchError> {
        let mut threads = Vec::new();
        for _ in 0..count {
            let thread = client.start_thread(&self.home.work()).await?;
            turn(client, &thread).await?;
            threads.push(thread);
        }
        Ok(threads)
    }

    /// Runs `work`; its latencies, and the processor time that the server took meanwhile.
    pub(super) async fn timed(
        &self,
        work: impl Future<Output = Result<Latency, crate::NoResult>>,
    ) -> Result<(Latency, Duration), BenchError> {
        let before = proc_fs::cpu(self.daemon().pid())?;
        let latency = work.await?;
        Ok((latency, proc_fs::cpu(self.daemon().pid())?.saturating_sub(before)))
    }

    /// How often a thread of the server went to sleep in so long, after it had time to finish what it does unasked: so often it had
    /// been woken.
    pub(super) async fn wake_ups(&self, bench: &Bench, during: Duration) -> Result<u64, BenchError> {
        sleep(bench.sizes.settling).await;
        let before = proc_fs::sleeps(self.daemon().pid())?;
        sleep(during).await;
        Ok(proc_fs::sleeps(self.daemon().pid())?.saturating_sub(before))
    }

    /// Processor time of the server so far.
    pub(super) fn cpu(&self) -> Result<Duration, BenchError> {
        Ok(proc_fs::cpu(self.daemon().pid())?)
    }

    /// Puts another configuration in place: what it would have, and these tables and top-level keys.
    pub(super) fn configure(&self, keys: &[(&str, &str)], tables: &str) -> Result<(), BenchError> {
        let config = keys.iter().fold(self.home.config(), |config, (name, value)| config.key(name, value));
        Ok(self.home.write_config(&config.table(tables).text())?)
    }

    /// Bytes resident, after the server had time to finish what it does unasked. Nothing tells when that is, so it is the
    /// same pause for every server.
    pub(super) async fn rss(&self, bench: &Bench) -> Result<u64, BenchError> {
        sleep(bench.sizes.settling).await;
        Ok(self.daemon().rss()?)
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("steps start the server before they ask for anything of it")
    }
}

/// A turn that must go well.
pub(super) async fn turn(client: &Client, thread: &str) -> Result<(), crate::NoResult> {
    let status = client.turn(thread, "hi").await?;
    if status == "completed" {
        Ok(())
    } else {
        Err(crate::NoResult::Unexpected { what: "the turn", got: status })
    }
}

/// No bound but the count: the step as a whole has one of time.
pub(super) fn times(count: usize) -> Bounds {
    Bounds { count, time: Duration::MAX }
}
