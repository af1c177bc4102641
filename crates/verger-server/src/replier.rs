//! The duty to answer one request, exactly once.

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use verger_wire::{RequestId, RpcError};

use crate::outbox::Outbox;

/// Requests of one connection that may be under way at once. This bounds every queue that requests travel through:
/// the house's and each thread's inbox hold at most this many per connection.
const IN_FLIGHT: usize = 128;

/// Counts a connection's requests under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(watch::Sender<usize>);

/// One of a connection's requests under way: from its arrival until its answer is being written.
#[derive(Debug)]
pub(crate) struct Slot {
    of: InFlight,
    /// The right to a large answer, given back with the slot.
    large: Option<OwnedSemaphorePermit>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.of.0.send_modify(|count| *count -= 1);
    }
}

/// Answers one request. Dropped unanswered, it answers that the server failed to: no client waits for ever.
#[derive(Debug)]
pub(crate) struct Replier {
    outbox: Outbox,
    id: RequestId,
    /// Taken by the answer.
    slot: Option<Slot>,
}

impl InFlight {
    /// Takes on a request, or answers that there are too many.
    pub(crate) fn take(&self, outbox: &Outbox, id: RequestId) -> Option<Replier> {
        let take = |count: &mut usize| {
            let has_room = *count < IN_FLIGHT;
            *count += usize::from(has_room);
            has_room
        };
        if !self.0.send_if_modified(take) {
            outbox.reply(verger_wire::error(Some(&id), &RpcError::overloaded()), None);
            return None;
        }
        Some(Replier { outbox: outbox.clone(), id, slot: Some(Slot { of: self.clone(), large: None }) })
    }

    /// Resolves when every request has been answered.
    pub(crate) async fn all_answered(&self) {
        // The sender is `self`, so that there is no error.
        self.0.subscribe().wait_for(|count| *count == 0).await.ok();
    }
}

impl Replier {
    /// The connection's outbox.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Waits until the answer may be large, and holds on to that until it is being written.
    pub(crate) async fn may_be_large(&mut self) {
        let large = self.outbox.large().await;
        if let Some(slot) = &mut self.slot {
            slot.large = large;
        }
    }

    /// Answers with success.
    pub(crate) fn ok(mut self, result: &impl Serialize) {
        let slot = self.slot.take();
        self.outbox.reply(verger_wire::reply(&self.id, result), slot);
    }

    /// Answers with an error.
    pub(crate) fn refuse(mut self, error: &RpcError) {
        let slot = self.slot.take();
        self.outbox.reply(verger_wire::error(Some(&self.id), error), slot);
    }

    /// Answers with either.
    pub(crate) fn with(self, result: Result<impl Serialize, RpcError>) {
        match result {
            Ok(result) => self.ok(&result),
            Err(error) => self.refuse(&error),
        }
    }
}

impl Drop for Replier {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let error = RpcError::internal(
                "the request was given up: its thread was closed or the server is stopping",
            );
            self.outbox.reply(verger_wire::error(Some(&self.id), &error), Some(slot));
        }
    }
}
