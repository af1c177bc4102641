//! Who to ask, and how patiently.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One model provider. `Debug` shows the names of headers and query parameters, never their values, as those may be
/// keys.
#[derive(Clone)]
pub struct ProviderConfig {
    /// Its key in the configuration; errors name it.
    pub id: String,
    /// For people.
    pub name: String,
    /// Where its API begins, as in `https://api.openai.com/v1`. Not used by [`WireApi::Offline`].
    pub base_url: String,
    /// What it speaks.
    pub wire_api: WireApi,
    /// The environment variable that holds the key, sent as a bearer token. `None`: no key is sent.
    pub env_key: Option<String>,
    /// The file that holds the key, where there is no `env_key`. Only its owner may be able to read it.
    pub key_file: Option<PathBuf>,
    /// Sent with every request; they win over our own.
    pub http_headers: BTreeMap<String, String>,
    /// Appended to every address.
    pub query_params: BTreeMap<String, String>,
    /// How often a request that was not answered with a stream is made again.
    pub request_max_retries: u32,
    /// How often a request is made again whose stream broke off before it had said anything.
    pub stream_max_retries: u32,
    /// How long a provider may stay silent, before its first byte and between any two.
    pub stream_idle_timeout: Duration,
}

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WireApi {
    /// `POST {base_url}/responses`, streamed.
    Responses,
    /// `POST {base_url}/chat/completions`, streamed: Ollama, vLLM, llama.cpp's server, most gateways.
    Chat,
    /// No network at all: it repeats what it is told, and `/call SERVER TOOL {json}` as the last line calls that tool.
    Offline,
}

// === impl ProviderConfig ===

impl ProviderConfig {
    /// A provider of the Responses API without a key, with 4 retries of requests, 5 of streams, 5 minutes of silence.
    pub fn responses(id: impl Into<String>, base_url: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            name: id.clone(),
            id,
            base_url: base_url.into(),
            wire_api: WireApi::Responses,
            env_key: None,
            key_file: None,
            http_headers: BTreeMap::new(),
            query_params: BTreeMap::new(),
            request_max_retries: 4,
            stream_max_retries: 5,
            stream_idle_timeout: Duration::from_secs(300),
        }
    }

    /// The same for Chat Completions.
    pub fn chat(id: impl Into<String>, base_url: impl Into<String>) -> Self {
        Self { wire_api: WireApi::Chat, ..Self::responses(id, base_url) }
    }

    /// The provider that needs no network and no key.
    pub fn offline() -> Self {
        Self { wire_api: WireApi::Offline, ..Self::responses("offline", "") }
    }
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("base_url", &self.base_url)
            .field("wire_api", &self.wire_api)
            .field("env_key", &self.env_key)
            .field("key_file", &self.key_file)
            .field("http_headers", &self.http_headers.keys())
            .field("query_params", &self.query_params.keys())
            .field("request_max_retries", &self.request_max_retries)
            .field("stream_max_retries", &self.stream_max_retries)
            .field("stream_idle_timeout", &self.stream_idle_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let mut provider = ProviderConfig::responses("x", "http://127.0.0.1:1/v1");
        provider.http_headers.insert("api-key".into(), "hunter2".into());
        provider.query_params.insert("key".into(), "hunter3".into());
        let text = format!("{provider:?}");
        assert!(text.contains("api-key") && !text.contains("hunter"), "{text}");
    }
}
