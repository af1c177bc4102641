//! Streaming Chat Completions, as OpenAI, Ollama, vLLM, llama.cpp's server and most gateways speak it:
//! `POST {base_url}/chat/completions`.

use std::sync::Arc;

use futures_util::Stream;

use crate::answer;
use crate::clients::Clients;
use crate::error::ModelError;
use crate::event::ModelEvent;
use crate::provider::ProviderConfig;
use crate::request::ModelRequest;

mod body;
mod calls;
mod decode;
mod messages;

/// See [`Models::stream`](crate::Models::stream).
pub(crate) fn stream(
    clients: Arc<Clients>,
    provider: &ProviderConfig,
    request: &ModelRequest,
) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static + use<> {
    answer::stream::<decode::Chunks>(clients, provider, "chat/completions", body::encode(request))
}
