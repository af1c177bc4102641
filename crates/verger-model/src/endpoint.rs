//! One provider's address and headers, and the request that is made of them and of its key.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Body, Method, Request, Response, Url};
use tokio::time::timeout;

use crate::clients::Clients;
use crate::error::ModelError;
use crate::key;
use crate::provider::ProviderConfig;
use crate::retry;
use crate::said::Said;
use crate::secrets::Secrets;
use crate::sse::{SseEvents, causes};

/// As much of a refusal is read; the rest would not be shown.
const MAX_REFUSAL: usize = 64 << 10;

/// A request to one provider that can be sent again. It has no `Debug`, as it holds secrets.
pub(crate) struct Endpoint {
    pub(crate) provider: ProviderConfig,
    secrets: Secrets,
    request: Request,
}

// === impl Endpoint ===

impl Endpoint {
    /// # Errors
    /// An address, header or parameter that cannot be sent.
    pub(crate) fn new(provider: &ProviderConfig, path: &str, body: Vec<u8>) -> Result<Self, ModelError> {
        let setting = |name: &str, cause: &str| setting(provider, name, cause);
        let address = format!("{}/{path}", provider.base_url.trim_end_matches('/'));
        let bad_address = |cause: &str| setting("base_url", &format!("{:?}: {cause}", provider.base_url));
        let mut url = Url::parse(&address).map_err(|error| bad_address(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad_address("must begin with http:// or https://"));
        }
        if !provider.query_params.is_empty() {
            url.query_pairs_mut().extend_pairs(&provider.query_params);
        }

        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let mut secrets = Secrets::default();
        for (name, value) in &provider.http_headers {
            let place = format!("http_headers.{name}");
            secrets.setting(&place, value);
            let bad = || setting(&place, "cannot be sent as a header");
            let mut value = HeaderValue::try_from(value).map_err(|_| bad())?;
            let name = HeaderName::try_from(name).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        for (name, value) in &provider.query_params {
            secrets.setting(&format!("query_params.{name}"), value);
        }

        let mut request = Request::new(Method::POST, url);
        *request.headers_mut() = headers;
        *request.body_mut() = Some(Body::from(body));
        Ok(Self { provider: provider.clone(), secrets, request })
    }

    /// Sends the request with the key of this moment, and waits for the head of its answer.
    ///
    /// # Errors
    /// No key, no connection, silence, or an answer that is no stream of events.
    pub(crate) async fn post(&mut self, clients: &Clients) -> Result<SseEvents, ModelError> {
        let request = self.request().await?;
        let id = || self.provider.id.clone();
        let idle = self.provider.stream_idle_timeout;
        let url = self.request.url();
        let client = clients.for_url(url).map_err(|cause| ModelError::Roots { provider: id(), cause })?;
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

    /// A provider's words without what we sent it in confidence.
    pub(crate) fn clean(&self, text: String) -> String {
        self.secrets.clean(text)
    }

    async fn request(&mut self) -> Result<Request, ModelError> {
        let mut request = self.request.try_clone().expect("a body that is all in memory can be sent again");
        if let Some(key) = key::read(&self.provider).await? {
            self.secrets.key(&key);
            let name = if self.provider.env_key.is_some() { "env_key" } else { "key_file" };
            let bad =
                |_| setting(&self.provider, name, "what it names holds what cannot be sent in a header");
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(bad)?;
            value.set_sensitive(true);
            // Headers of the configuration win.
            request.headers_mut().entry(AUTHORIZATION).or_insert(value);
        }
        Ok(request)
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

fn setting(provider: &ProviderConfig, name: &str, cause: &str) -> ModelError {
    ModelError::Setting { provider: provider.id.clone(), setting: name.to_owned(), cause: cause.to_owned() }
}
