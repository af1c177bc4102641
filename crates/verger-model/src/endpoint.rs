//! One provider's address, headers and key, and the request that is made of them.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Body, Method, Request, Response, Url};
use tokio::time::timeout;

use crate::clients::Clients;
use crate::error::ModelError;
use crate::provider::ProviderConfig;
use crate::retry;
use crate::said::Said;
use crate::sse::{SseEvents, causes};

/// As much of a refusal is read; the rest would not be shown.
const MAX_REFUSAL: usize = 64 << 10;

/// A request to one provider that can be sent again. It has no `Debug`, as it holds the key.
pub(crate) struct Endpoint {
    pub(crate) provider: ProviderConfig,
    key: Option<String>,
    request: Request,
}

// === impl Endpoint ===

impl Endpoint {
    /// # Errors
    /// A key that is not set; an address, header or parameter that cannot be sent.
    pub(crate) fn new(provider: &ProviderConfig, path: &str, body: Vec<u8>) -> Result<Self, ModelError> {
        let setting = |setting: String, cause: String| ModelError::Setting {
            provider: provider.id.clone(),
            setting,
            cause,
        };
        let address = format!("{}/{path}", provider.base_url.trim_end_matches('/'));
        let bad_address =
            |cause: String| setting("base_url".into(), format!("{:?}: {cause}", provider.base_url));
        let mut url = Url::parse(&address).map_err(|error| bad_address(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad_address("must begin with http:// or https://".into()));
        }
        if !provider.query_params.is_empty() {
            url.query_pairs_mut().extend_pairs(&provider.query_params);
        }

        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let key = key(provider)?;
        if let Some(key) = &key {
            let variable = provider.env_key.as_deref().unwrap_or_default();
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
                setting("env_key".into(), format!("what {variable} holds cannot be sent in a header"))
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, value) in &provider.http_headers {
            let bad = || setting(format!("http_headers.{name}"), "cannot be sent as a header".into());
            let mut value = HeaderValue::try_from(value).map_err(|_| bad())?;
            let name = HeaderName::try_from(name).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }

        let mut request = Request::new(Method::POST, url);
        *request.headers_mut() = headers;
        *request.body_mut() = Some(Body::from(body));
        Ok(Self { provider: provider.clone(), key, request })
    }

    /// Sends the request and waits for the head of its answer.
    ///
    /// # Errors
    /// No connection, silence, or an answer that is no stream of events.
    pub(crate) async fn post(&self, clients: &Clients) -> Result<SseEvents, ModelError> {
        let id = || self.provider.id.clone();
        let idle = self.provider.stream_idle_timeout;
        let url = self.request.url();
        let client = clients.for_url(url).map_err(|cause| ModelError::Roots { provider: id(), cause })?;
        let request = self.request.try_clone().expect("a body that is all in memory can be sent again");
        let answer = timeout(idle, client.execute(request)).await;
        let response =
            answer.map_err(|_| ModelError::Silent { provider: id(), limit: idle })?.map_err(|error| {
                let port = url.port_or_known_default().unwrap_or_default();
                let address = format!("{}:{port}", url.host_str().unwrap_or_default());
                let connected = !error.is_connect();
                ModelError::Unreachable { provider: id(), address, connected, cause: causes(&error) }
            })?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // Servers that forget to name the type are believed.
        if kind.starts_with("application/json") || kind.starts_with("text/html") {
            let cause = format!("the answer is {kind}, not text/event-stream");
            return Err(ModelError::Unreadable { provider: id(), cause });
        }
        Ok(SseEvents::new(response, idle))
    }

    /// A provider's words without our key, which some servers repeat.
    pub(crate) fn clean(&self, text: String) -> String {
        match self.key.as_deref() {
            Some(key) if text.contains(key) => text.replace(key, "[key]"),
            _ => text,
        }
    }

    async fn refusal(&self, mut response: Response) -> ModelError {
        let retry_after = retry::asked(response.headers());
        let target =
            response.headers().get(LOCATION).and_then(|target| target.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        // A refusal that breaks off is still a refusal: what came of it is shown.
        while body.len() < MAX_REFUSAL
            && let Ok(Ok(Some(chunk))) = timeout(self.provider.stream_idle_timeout, response.chunk()).await
        {
            body.extend_from_slice(&chunk);
        }
        let said = Said::read(&String::from_utf8_lossy(&body));
        let message = match target {
            Some(target) if response.status().is_redirection() => {
                format!("redirects to {target}: set `base_url` to where the API is")
            }
            _ => said.message,
        };
        ModelError::Status {
            provider: self.provider.id.clone(),
            status: response.status().as_u16(),
            code: said.code,
            message: self.clean(message),
            retry_after,
        }
    }
}

/// The provider's key, where it has one.
fn key(provider: &ProviderConfig) -> Result<Option<String>, ModelError> {
    let Some(var) = &provider.env_key else { return Ok(None) };
    match std::env::var(var).map(|key| key.trim().to_owned()) {
        Ok(key) if !key.is_empty() => Ok(Some(key)),
        _ => Err(ModelError::MissingKey { provider: provider.id.clone(), var: var.clone() }),
    }
}
