//! From the first client to the last: connections come and go until the house has ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::DaemonError;
use crate::connection;
use crate::dispatch::{ANSWERS, Dispatch};
use crate::house::{HouseHandle, ToHouse};
use crate::jobs::{JobsHandle, ToJobs};
use crate::listen::{self, Arrival, Listeners, Stopping};
use crate::shared::Shared;

/// How long clients may take to read the last of what they were sent.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the server's end may hang on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// One of any number.
    Guest,
    /// The one on stdio, for whom alone the server runs.
    Owner,
}

/// What serving takes.
pub(super) struct Serving<'a> {
    /// Whether there is a client on stdio.
    pub(super) stdio: bool,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) house: &'a HouseHandle,
    pub(super) jobs: &'a JobsHandle,
    pub(super) signals: Signals,
}

impl Serving<'_> {
    /// Runs until `house_task` has ended; returns how many helpers it could not prove gone.
    pub(super) async fn run(
        mut self,
        listeners: Listeners,
        house_task: &mut JoinSet<usize>,
    ) -> Result<usize, DaemonError> {
        let stopping = Stopping::default();
        let (arrivals, mut arriving) = listen::arrivals();
        let mut listening = JoinSet::new();
        listening.spawn(listen::serve(listeners, arrivals, stopping.clone()));
        let mut connections = JoinSet::new();
        if self.stdio {
            let (dispatch, shutdown) = (self.dispatch(), stopping.shutdown.clone());
            let stdout = tokio::io::BufWriter::new(tokio::io::stdout());
            connections.spawn(async move {
                connection::serve_lines(tokio::io::stdin(), stdout, dispatch, shutdown, None).await;
                Client::Owner
            });
        }
        let stuck = loop {
            tokio::select! {
                Some(arrival) = arriving.recv() => {
                    let (mut dispatch, shutdown) = (self.dispatch(), stopping.shutdown.clone());
                    let patience = self.shared.config().server.initialize_timeout();
                    connections.spawn(async move {
                        match arrival {
                            Arrival::WebSocket(socket, progress, _seat) => {
                                connection::serve_websocket(*socket, progress, dispatch, shutdown, patience).await;
                            }
                            Arrival::Lines(stream, seat) => {
                                dispatch.full = seat.full().map(str::to_owned);
                                let (from, to) = stream.into_split();
                                connection::serve_lines(from, to, dispatch, shutdown, Some(patience)).await;
                            }
                        }
                        Client::Guest
                    });
                }
                Some(ended) = connections.join_next() => match ended {
                    Ok(Client::Guest) => {}
                    // Nobody else can come to this server for long, and nobody else was meant to.
                    Ok(Client::Owner) => self.stop(&stopping),
                    Err(error) => tracing::error!(%error, "a connection did not end well"),
                },
                () = self.signals.next() => self.stop(&stopping),
                Some(ended) = house_task.join_next() => break ended?,
                Some(ended) = listening.join_next() => {
                    let cause = ended?.err().unwrap_or_else(|| std::io::Error::other("it ended by itself"));
                    tracing::error!(%cause, "the listener failed; shutting down");
                    self.stop(&stopping);
                }
            }
        };
        stopping.shutdown.cancel();
        let farewell = async { while connections.join_next().await.is_some() {} };
        if timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!(connections = connections.len(), "clients did not read to the end and are left");
        }
        connections.shutdown().await;
        listening.shutdown().await;
        Ok(stuck)
    }

    fn stop(&self, stopping: &Stopping) {
        stopping.draining.cancel();
        self.jobs.send(ToJobs::Shutdown);
        self.house.send(ToHouse::Shutdown);
    }

    fn dispatch(&self) -> Dispatch {
        Dispatch {
            shared: Arc::clone(self.shared),
            house: self.house.clone(),
            jobs: self.jobs.clone(),
            connection: self.shared.next_connection(),
            folder: None,
            full: None,
            experimental: false,
            answers: Arc::new(Semaphore::new(ANSWERS)),
        }
    }
}

/// SIGTERM and SIGINT, which mean the same.
pub(super) struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn install() -> Result<Self, DaemonError> {
        let listen =
            |kind| signal(kind).map_err(|cause| DaemonError::Kernel { doing: "listen for signals", cause });
        Ok(Self { term: listen(SignalKind::terminate())?, int: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
