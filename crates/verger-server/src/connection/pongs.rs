//! Answers to a client's pings that it has not taken: the library makes one for each ping that is read, and keeps them all.

use tokio::sync::watch;

/// So many may wait before the client is not heard until it takes some.
const WAITING: usize = 64;

/// Shared by the half that reads pings and the half that writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Pongs(watch::Sender<usize>);

impl Pongs {
    /// A ping was read, and its answer waits.
    pub(super) fn owe(&self) {
        self.0.send_modify(|waiting| *waiting += 1);
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        *self.0.borrow()
    }

    /// The kernel has taken so many.
    pub(super) fn taken(&self, pongs: usize) {
        self.0.send_if_modified(|waiting| {
            *waiting = waiting.saturating_sub(pongs);
            pongs > 0
        });
    }

    /// Resolves when there is room for one more.
    pub(super) async fn room(&self) {
        // The sender is `self`, so that there is no error.
        self.0.subscribe().wait_for(|waiting| *waiting < WAITING).await.ok();
    }

    /// Resolves when any waits.
    pub(super) async fn some(&self) {
        self.0.subscribe().wait_for(|waiting| *waiting > 0).await.ok();
    }
}
