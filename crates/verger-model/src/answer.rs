//! One answer, on any wire, over as many attempts as it takes.
//!
//! The rule for attempts: a failure that may pass is tried again while nothing of the answer has been yielded. One
//! that comes before the stream counts against `request_max_retries`, one within it against `stream_max_retries`. Where no
//! connection was made nothing was sent, so that a model server which is just starting is waited for a few seconds
//! whatever `request_max_retries` says. The
//! wait is the provider's `Retry-After` if it gave one, else doubling with jitter; a `Retry-After` of more than a
//! minute is an error at once, which says it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use futures_util::{Stream, stream};
use tokio::time::sleep;

use crate::clients::Clients;
use crate::decoder::{Decoder, Fault};
use crate::endpoint::Endpoint;
use crate::error::ModelError;
use crate::event::ModelEvent;
use crate::frame::Event;
use crate::provider::ProviderConfig;
use crate::retry;
use crate::sse::{SseError, SseEvents};

/// Posts `body` to the provider's `path` and reads the answer with `D`. See [`Models::stream`](crate::Models::stream).
pub(crate) fn stream<D: Decoder>(
    clients: Arc<Clients>,
    provider: &ProviderConfig,
    path: &str,
    body: serde_json::Result<Vec<u8>>,
) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static + use<D> {
    match Answer::<D>::new(clients, provider, path, body) {
        Ok(answer) => Either::Left(stream::unfold(Box::new(answer), |mut answer| async move {
            let item = answer.next().await?;
            Some((item, answer))
        })),
        Err(error) => Either::Right(stream::iter([Err(error)])),
    }
}

/// An answer that is being asked for.
struct Answer<D> {
    clients: Arc<Clients>,
    endpoint: Endpoint,
    state: State,
    decoder: D,
    /// What one event of the provider's meant and is not yet yielded: a handful.
    ready: VecDeque<ModelEvent>,
    /// Whether anything of the answer was yielded, after which no attempt may follow.
    spoken: bool,
    failed_connects: u32,
    failed_requests: u32,
    failed_streams: u32,
}

enum State {
    /// To be asked for, after a wait.
    Asking(Duration),
    Reading(SseEvents),
    /// Failed; `true` within the stream. What is ready is yielded first.
    Failing(ModelError, bool),
    Over,
}

// === impl Answer ===

impl<D: Decoder> Answer<D> {
    fn new(
        clients: Arc<Clients>,
        provider: &ProviderConfig,
        path: &str,
        body: serde_json::Result<Vec<u8>>,
    ) -> Result<Self, ModelError> {
        let body = body.map_err(|error| ModelError::Setting {
            provider: provider.id.clone(),
            setting: "request".into(),
            cause: error.to_string(),
        })?;
        Ok(Self {
            clients,
            endpoint: Endpoint::new(provider, path, body)?,
            state: State::Asking(Duration::ZERO),
            decoder: D::default(),
            ready: VecDeque::new(),
            spoken: false,
            failed_connects: 0,
            failed_requests: 0,
            failed_streams: 0,
        })
    }

    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.spoken = true;
                return Some(Ok(event));
            }
            match std::mem::replace(&mut self.state, State::Over) {
                State::Asking(wait) => {
                    // Even a sleep of nothing lasts until the timer's next millisecond.
                    if !wait.is_zero() {
                        sleep(wait).await;
                    }
                    self.decoder = D::default();
                    self.state = match self.endpoint.post(&self.clients).await {
                        Ok(events) => State::Reading(events),
                        Err(error) => State::Failing(error, false),
                    };
                }
                State::Reading(events) => self.state = self.read(events).await,
                State::Failing(error, streamed) => return Some(self.fail(error, streamed)),
                State::Over => return None,
            }
        }
    }

    /// Reads until an event meant something.
    async fn read(&mut self, mut events: SseEvents) -> State {
        while self.ready.is_empty() {
            let decoder = &self.decoder;
            let read = match events.next(|head| decoder.knows_rest(head)).await {
                Ok(Some(Event::Head(head))) => {
                    self.decoder.read_head(&head, &mut self.ready);
                    Ok(())
                }
                // A frame to keep the connection awake.
                Ok(Some(Event::Whole(data))) if data.trim().is_empty() => Ok(()),
                Ok(Some(Event::Whole(data))) => {
                    self.decoder.read(&data, &mut self.ready).map_err(|fault| self.failed(fault))
                }
                Ok(None) => self.ended(None),
                Err(error) => self.ended(Some(error)),
            };
            if let Err(error) = read {
                return State::Failing(error, true);
            }
        }
        if self.ready.back() == Some(&ModelEvent::Completed) { State::Over } else { State::Reading(events) }
    }

    /// No more will come of this stream.
    fn ended(&mut self, error: Option<SseError>) -> Result<(), ModelError> {
        if self.decoder.end(&mut self.ready).map_err(|fault| self.failed(fault))? {
            return Ok(());
        }
        let provider = self.endpoint.provider.id.clone();
        Err(match error {
            None => ModelError::BrokenOff { provider, cause: format!("it ended without {}", D::END) },
            Some(SseError::BrokenOff(cause)) => ModelError::BrokenOff { provider, cause },
            Some(SseError::Silent(limit)) => ModelError::Silent { provider, limit },
            Some(SseError::Unreadable(cause)) => {
                ModelError::Unreadable { provider, cause: cause.to_string() }
            }
        })
    }

    fn failed(&self, fault: Fault) -> ModelError {
        let provider = self.endpoint.provider.id.clone();
        let clean = |text| self.endpoint.clean(text);
        match fault {
            Fault::Failed(said) => {
                ModelError::Failed { provider, code: said.code, message: clean(said.message) }
            }
            Fault::Incomplete(reason) => ModelError::Incomplete { provider, reason: clean(reason) },
            Fault::BrokenOff(cause) => ModelError::BrokenOff { provider, cause },
            Fault::Unreadable(cause) => ModelError::Unreadable { provider, cause: clean(cause) },
        }
    }

    /// The error, or the announcement of the next attempt.
    fn fail(&mut self, error: ModelError, streamed: bool) -> Result<ModelEvent, ModelError> {
        let nothing_sent = matches!(error, ModelError::Unreachable { connected: false, .. });
        let (failed, allowed) = if nothing_sent {
            (&mut self.failed_connects, retry::CONNECTS.max(self.endpoint.provider.request_max_retries))
        } else if streamed {
            (&mut self.failed_streams, self.endpoint.provider.stream_max_retries)
        } else {
            (&mut self.failed_requests, self.endpoint.provider.request_max_retries)
        };
        let asked = error.retry_after();
        let too_long = asked.is_some_and(|wait| wait > retry::LONGEST_ASKED);
        if self.spoken || !error.is_retryable() || *failed >= allowed || too_long {
            return Err(error);
        }
        *failed += 1;
        let left = allowed - *failed;
        let attempt = self.failed_connects + self.failed_requests + self.failed_streams;
        let delay = asked.unwrap_or_else(|| retry::backoff(attempt));
        tracing::debug!(provider = self.endpoint.provider.id, attempt, ?delay, %error, "asking again");
        self.state = State::Asking(delay);
        let (message, status) = (error.to_string(), error.status());
        Ok(ModelEvent::Retrying { message, status, attempt, of: attempt + left, delay })
    }
}
