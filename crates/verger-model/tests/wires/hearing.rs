//! Asks a model and collects everything that comes.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test that asked")]

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use verger_model::{InputItem, ModelError, ModelEvent, ModelRequest, Models, ProviderConfig, WireApi};
use verger_testkit::fake_model::FakeModel;

/// Longer than anything here takes, so that a failure is not a hang.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What goes over the network. Every story is told on both.
pub(crate) const WIRES: [WireApi; 2] = [WireApi::Responses, WireApi::Chat];

pub(crate) fn provider(wire: WireApi, fake: &FakeModel) -> ProviderConfig {
    let base = ProviderConfig::responses("fake", fake.base_url());
    ProviderConfig { wire_api: wire, request_max_retries: 0, stream_max_retries: 0, ..base }
}

pub(crate) fn asking(text: &str) -> ModelRequest {
    ModelRequest { model: "m".into(), input: vec![InputItem::user(text)], ..ModelRequest::default() }
}

/// Everything that came, and how it ended.
pub(crate) struct Heard {
    pub(crate) events: Vec<ModelEvent>,
    pub(crate) error: Option<ModelError>,
}

impl Heard {
    pub(crate) fn text(&self) -> String {
        let delta = |event: &ModelEvent| match event {
            ModelEvent::TextDelta { delta, .. } => Some(delta.clone()),
            _ => None,
        };
        self.events.iter().filter_map(delta).collect()
    }

    pub(crate) fn retries(&self) -> Vec<(u32, Duration)> {
        let retry = |event: &ModelEvent| match event {
            ModelEvent::Retrying { attempt, delay, .. } => Some((*attempt, *delay)),
            _ => None,
        };
        self.events.iter().filter_map(retry).collect()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.error.is_none() && self.events.last() == Some(&ModelEvent::Completed)
    }

    #[track_caller]
    pub(crate) fn error(self) -> ModelError {
        let events = self.events;
        self.error.unwrap_or_else(|| panic!("no error after {events:?}"))
    }
}

pub(crate) async fn hear(models: &Models, provider: &ProviderConfig, request: ModelRequest) -> Heard {
    let mut stream = Box::pin(models.stream(provider, request));
    let mut heard = Heard { events: Vec::new(), error: None };
    while let Some(item) = timeout(LIMIT, stream.next()).await.expect("the stream hangs") {
        assert!(heard.error.is_none(), "{item:?} after the error");
        match item {
            Ok(event) => heard.events.push(event),
            Err(error) => heard.error = Some(error),
        }
    }
    heard
}

/// What is heard from a server that answers every request with these bytes, and then closes.
pub(crate) async fn told(wire: WireApi, answer: &str) -> Heard {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = ProviderConfig {
        // Set by cargo for every test.
        env_key: Some("CARGO_PKG_NAME".into()),
        stream_max_retries: 0,
        wire_api: wire,
        ..ProviderConfig::responses("p", format!("http://{}", listener.local_addr().unwrap()))
    };
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert_ne!(socket.read(&mut [0; 4096]).await.unwrap(), 0);
        socket.write_all(answer.as_bytes()).await.unwrap();
    };
    let models = Models::new();
    tokio::join!(hear(&models, &provider, asking("hello")), serve).0
}
