//! The streaming Responses API: `POST {base_url}/responses`.

use std::sync::Arc;

use futures_util::Stream;

use crate::answer;
use crate::clients::Clients;
use crate::error::ModelError;
use crate::event::ModelEvent;
use crate::provider::ProviderConfig;
use crate::request::ModelRequest;

mod body;
mod decode;

/// See [`Models::stream`](crate::Models::stream).
pub(crate) fn stream(
    clients: Arc<Clients>,
    provider: &ProviderConfig,
    request: &ModelRequest,
) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static + use<> {
    answer::stream::<decode::Events>(clients, provider, "responses", body::encode(request))
}
