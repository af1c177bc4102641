//! `[model_providers.NAME]`: where models are.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use verger_model::ProviderConfig;

/// One provider as written.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Provider {
    name: Option<String>,
    base_url: Option<String>,
    #[serde(default)]
    wire_api: Wire,
    env_key: Option<String>,
    #[serde(default)]
    http_headers: BTreeMap<String, String>,
    #[serde(default)]
    query_params: BTreeMap<String, String>,
    request_max_retries: Option<u32>,
    stream_max_retries: Option<u32>,
    stream_idle_timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wire {
    #[default]
    Responses,
    Offline,
}

impl Provider {
    /// As the model crate takes it; the reason names key and remedy.
    pub(super) fn resolve(self, id: &str) -> Result<ProviderConfig, String> {
        let mut config = match (self.wire_api, self.base_url) {
            (Wire::Offline, _) => ProviderConfig { id: id.to_owned(), ..ProviderConfig::offline() },
            (Wire::Responses, Some(url)) => ProviderConfig::responses(id, url),
            (Wire::Responses, None) => {
                return Err(
                    "no base_url; write base_url = \"https://HOST/v1\", or wire_api = \"offline\"".into()
                );
            }
        };
        config.name = self.name.unwrap_or_else(|| id.to_owned());
        config.env_key = self.env_key;
        config.http_headers = self.http_headers;
        config.query_params = self.query_params;
        config.request_max_retries = self.request_max_retries.unwrap_or(config.request_max_retries);
        config.stream_max_retries = self.stream_max_retries.unwrap_or(config.stream_max_retries);
        if let Some(timeout) = self.stream_idle_timeout_ms {
            config.stream_idle_timeout = Duration::from_millis(timeout);
        }
        Ok(config)
    }
}
