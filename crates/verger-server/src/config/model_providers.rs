//! `[model_providers.NAME]`: where models are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use verger_model::{ProviderConfig, WireApi};

/// An endpoint that models are asked at. The whole table of a Codex configuration can be pasted here.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Provider {
    /// For people. Without it, the table's own name.
    #[schemars(example = &"Local models", extend("x-codex" = true))]
    name: Option<String>,
    /// Where its API begins. Every provider but an `offline` one needs it.
    #[schemars(example = &"http://127.0.0.1:11434/v1", extend("x-codex" = true, "x-address" = true))]
    base_url: Option<String>,
    /// What it speaks: `responses`, the streaming Responses API; `chat`, streaming Chat Completions, as Ollama, vLLM,
    /// llama.cpp's server and most gateways do; or `offline`, which is no network at all: it repeats what it is told, and
    /// `/call SERVER TOOL {json}` calls that tool.
    #[schemars(example = &"chat", extend("x-codex" = true))]
    wire_api: Wire,
    /// The environment variable that holds its key, sent as a bearer token. Without it and `key_file`, no key is sent.
    #[schemars(example = &"OPENAI_API_KEY", extend("x-codex" = true))]
    env_key: Option<String>,
    /// The file that holds its key and nothing else, in place of `env_key`. It is read at each request, so that a new key
    /// needs no restart, and refused where other users can read it.
    #[schemars(example = &"~/.config/verger/openai.key")]
    key_file: Option<String>,
    /// The key itself, where there is neither `env_key` nor `key_file`. Better kept out of files.
    #[schemars(extend("x-codex" = true, "x-secret" = true))]
    experimental_bearer_token: Option<String>,
    /// Headers to send with every request.
    #[schemars(example = example_headers(), extend("x-codex" = true, "x-secret" = true))]
    http_headers: BTreeMap<String, String>,
    /// Headers to send with every request, each with the environment variable that holds its value. One whose variable is
    /// not set, or empty, is not sent. The variables are read when the configuration is.
    #[schemars(example = example_env_headers(), extend("x-codex" = true))]
    pub(super) env_http_headers: BTreeMap<String, String>,
    /// What to append to every address as `?name=value`.
    #[schemars(example = example_query(), extend("x-codex" = true, "x-secret" = true))]
    query_params: BTreeMap<String, String>,
    /// Its models, as `model/list` offers them to clients. Without it, the one that `model` names, if this is the provider
    /// that `model_provider` names.
    #[schemars(example = ["gpt-oss:20b", "gpt-oss:120b"])]
    pub(super) models: Vec<String>,
    /// How often a request is made again that was not answered with a stream.
    #[schemars(example = 0, extend("x-codex" = true, "default" = like_no_other().request_max_retries))]
    request_max_retries: Option<u32>,
    /// How often a request is made again whose stream broke off before it had said anything.
    #[schemars(example = 0, extend("x-codex" = true, "default" = like_no_other().stream_max_retries))]
    stream_max_retries: Option<u32>,
    /// How long it may stay silent, before its first byte and between any two.
    #[schemars(example = 60_000, extend("x-codex" = true, "x-unit" = "milliseconds", "default" = like_no_other().stream_idle_timeout.as_secs() * 1000))]
    stream_idle_timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Wire {
    #[default]
    Responses,
    Chat,
    Offline,
}

/// The defaults of the model crate.
fn like_no_other() -> ProviderConfig {
    ProviderConfig::responses("", "")
}

fn example_headers() -> serde_json::Value {
    serde_json::json!({ "X-Team": "docs" })
}

fn example_env_headers() -> serde_json::Value {
    serde_json::json!({ "X-Api-Key": "GATEWAY_KEY" })
}

fn example_query() -> serde_json::Value {
    serde_json::json!({ "api-version": "2026-05-01" })
}

impl Provider {
    /// As the model crate takes it; the reason names key and remedy. `var` reads the environment.
    pub(super) fn resolve(
        &self,
        id: &str,
        var: impl Fn(&str) -> Option<String>,
    ) -> Result<ProviderConfig, String> {
        let url = match (self.wire_api, &self.base_url) {
            (Wire::Offline, url) => url.as_deref().unwrap_or_default(),
            (Wire::Responses | Wire::Chat, Some(url)) => url,
            (Wire::Responses | Wire::Chat, None) => {
                return Err(
                    "no base_url; write base_url = \"https://HOST/v1\", or wire_api = \"offline\"".into()
                );
            }
        };
        let mut config = ProviderConfig::responses(id, url);
        config.wire_api = match self.wire_api {
            Wire::Responses => WireApi::Responses,
            Wire::Chat => WireApi::Chat,
            Wire::Offline => WireApi::Offline,
        };
        config.name = self.name.clone().unwrap_or_else(|| id.to_owned());
        config.env_key.clone_from(&self.env_key);
        config.key_file = self.key_file.as_deref().map(|path| place_of_key(path, &var)).transpose()?;
        if let (Some(variable), Some(file)) = (&self.env_key, &self.key_file) {
            return Err(format!(
                "the key is to come from env_key ({variable}) and from key_file ({file}); remove one of them"
            ));
        }
        config.http_headers.clone_from(&self.http_headers);
        for (header, name) in &self.env_http_headers {
            if let Some(value) = var(name).filter(|value| !value.trim().is_empty()) {
                config.http_headers.insert(header.clone(), value);
            }
        }
        if let (None, None, Some(token)) = (&self.env_key, &self.key_file, &self.experimental_bearer_token) {
            config.http_headers.insert("Authorization".to_owned(), format!("Bearer {token}"));
        }
        config.query_params.clone_from(&self.query_params);
        config.request_max_retries = self.request_max_retries.unwrap_or(config.request_max_retries);
        config.stream_max_retries = self.stream_max_retries.unwrap_or(config.stream_max_retries);
        if let Some(timeout) = self.stream_idle_timeout_ms {
            config.stream_idle_timeout = Duration::from_millis(timeout);
        }
        Ok(config)
    }
}

/// `~` is the home, as in a shell. Where a server is started must not decide which file it reads.
fn place_of_key(path: &str, var: impl Fn(&str) -> Option<String>) -> Result<PathBuf, String> {
    let place = match path.strip_prefix("~/") {
        Some(below) => PathBuf::from(var("HOME").unwrap_or_default()).join(below),
        None => PathBuf::from(path),
    };
    if place.is_absolute() {
        return Ok(place);
    }
    Err(format!(
        "key_file {path:?} is not absolute; write the whole path, or begin it with ~/ (and set HOME)"
    ))
}
