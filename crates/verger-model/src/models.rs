//! The one door to every model.

use std::sync::Arc;

use futures_util::Stream;
use futures_util::future::Either;

use crate::chat;
use crate::clients::Clients;
use crate::error::ModelError;
use crate::event::ModelEvent;
use crate::offline;
use crate::provider::{ProviderConfig, WireApi};
use crate::request::ModelRequest;
use crate::responses;

/// Asks models. Cheap to make and to clone: nothing is read, resolved or connected before the first request. Clones
/// share connections.
#[derive(Debug, Clone, Default)]
pub struct Models {
    clients: Arc<Clients>,
}

// === impl Models ===

impl Models {
    /// No connections yet.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Asks `provider`, and yields its answer as it comes, in the order that [`ModelEvent`] describes. Nothing is sent
    /// before the first poll. The stream ends after [`ModelEvent::Completed`] or after its one error, and never
    /// buffers: it reads no faster than it is polled. Dropping it closes the connection, which is how a turn is
    /// interrupted.
    ///
    /// # Errors
    /// As the stream's last item. A failure that may pass ([`ModelError::is_retryable`]) is retried as the provider
    /// allows, but only as long as nothing of the answer was yielded: after that it is an error, so that no text comes
    /// twice. A key that is not set is an error before anything is sent.
    pub fn stream(
        &self,
        provider: &ProviderConfig,
        request: ModelRequest,
    ) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static + use<> {
        match provider.wire_api {
            WireApi::Offline => Either::Left(offline::stream(&request)),
            WireApi::Responses => {
                Either::Right(Either::Left(responses::stream(Arc::clone(&self.clients), provider, &request)))
            }
            WireApi::Chat => {
                Either::Right(Either::Right(chat::stream(Arc::clone(&self.clients), provider, &request)))
            }
        }
    }
}
