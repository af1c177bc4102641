//! How many clients there may be, and how long each may take to become one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limits of one server, over all that it listens on.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    seats: Arc<Semaphore>,
    max_connections: usize,
    /// From the connection to the end of its upgrade; of JSON lines, to the first byte.
    pub(super) handshake: Duration,
}

/// A client's place among those that there may be; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Limits {
    pub(crate) fn new(max_connections: usize, handshake: Duration) -> Self {
        let max_connections = max_connections.min(Semaphore::MAX_PERMITS);
        Self { seats: Arc::new(Semaphore::new(max_connections)), max_connections, handshake }
    }

    /// A place for one more client, or what to tell it.
    pub(super) fn seat(&self) -> Result<Seat, String> {
        Arc::clone(&self.seats).try_acquire_owned().map(Seat).map_err(|_| {
            format!(
                "{} clients are connected, as many as there may be; raise max_connections under [server], or try again later",
                self.max_connections
            )
        })
    }
}
