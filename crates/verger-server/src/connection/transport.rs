//! What a transport has to do for a connection: bring frames, take frames.

use axum::extract::ws::Utf8Bytes;
use verger_wire::{DecodeError, Incoming};

use crate::listen::Progress;
use crate::outbox::Closed;

/// The half that brings what the client says.
pub(crate) trait Receive: Send {
    /// The next message; `None` when there will be none. May be given up at any await.
    fn receive(&mut self) -> impl Future<Output = Option<Result<Incoming, DecodeError>>> + Send;

    /// Why there will be none.
    fn ended(&self) -> Closed {
        Closed::Done
    }
}

/// The half that takes what the client is told.
pub(crate) trait Transmit: Send {
    /// What has come and gone in bytes, by which a client is cut that takes nothing or says nothing; `None` where the
    /// transport waits for its client.
    fn progress(&self) -> Option<Progress>;

    /// Writes one message; returns when the kernel has all of it. An error means that the client is gone.
    fn transmit(&mut self, text: Utf8Bytes) -> impl Future<Output = std::io::Result<()>> + Send;

    /// Asks for a sign of life, where the transport has words for it.
    fn ping(&mut self) -> impl Future<Output = std::io::Result<()>> + Send;

    /// Resolves when the client has asked for signs of life, which [`Self::pong`] gives.
    fn asked(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Gives the client the signs of life that it asked for; returns when the kernel has them.
    fn pong(&mut self) -> impl Future<Output = std::io::Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Says why nothing more comes, where the transport has words for it, and closes.
    fn finish(self, why: Closed) -> impl Future<Output = ()> + Send;
}
