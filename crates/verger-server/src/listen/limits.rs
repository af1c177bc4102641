//! How many clients there may be, and how long each may take to become one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places beyond the limit for whoever connects to a Unix socket: a full server must be looked at to know why.
const RESERVED: usize = 8;

/// The limits of one server, over all that it listens on.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    seats: Arc<Semaphore>,
    reserved: Arc<Semaphore>,
    max_connections: usize,
    /// From the connection to the end of its upgrade; of JSON lines, to the first byte.
    pub(super) handshake: Duration,
}

/// A client's place among those that there may be; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    #[expect(dead_code, reason = "held for its drop")]
    permit: OwnedSemaphorePermit,
    full: Option<String>,
}

impl Seat {
    /// Of a reserved place, what to tell its client, which may do little there.
    pub(crate) fn full(&self) -> Option<&str> {
        self.full.as_deref()
    }
}

impl Limits {
    pub(crate) fn new(max_connections: usize, handshake: Duration) -> Self {
        let max_connections = max_connections.min(Semaphore::MAX_PERMITS);
        let (seats, reserved) = (Semaphore::new(max_connections), Semaphore::new(RESERVED));
        Self { seats: Arc::new(seats), reserved: Arc::new(reserved), max_connections, handshake }
    }

    /// A place for one more client, or what to tell it.
    pub(super) fn seat(&self) -> Result<Seat, String> {
        Arc::clone(&self.seats).try_acquire_owned().map(|permit| Seat { permit, full: None }).map_err(|_| {
            format!(
                "{} clients are connected, as many as there may be; raise max_connections under [server], or try again later",
                self.max_connections
            )
        })
    }

    /// The same on a Unix socket: a reserved place where there is no other.
    pub(super) fn owners_seat(&self) -> Result<Seat, String> {
        self.seat().or_else(|full| match Arc::clone(&self.reserved).try_acquire_owned() {
            Ok(permit) => Ok(Seat { permit, full: Some(full) }),
            Err(_) => Err(full),
        })
    }
}
