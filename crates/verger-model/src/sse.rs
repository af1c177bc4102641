//! The events of a streamed HTTP answer, with a limit on silence.
//!
//! Silence is counted between bytes, not events: providers send comments while they think.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use crate::frame::{Event, FrameError, Framer};

/// How a stream of events ends, other than well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SseError {
    #[error("no byte for {0:?}")]
    Silent(Duration),
    #[error("{0}")]
    BrokenOff(String),
    #[error(transparent)]
    Unreadable(#[from] FrameError),
}

/// Events of one answer. Dropping it closes the connection, unless the answer has ended.
#[derive(Debug)]
pub(crate) struct SseEvents {
    response: Response,
    framer: Framer,
    idle: Duration,
}

// === impl SseEvents ===

impl SseEvents {
    pub(crate) fn new(response: Response, idle: Duration) -> Self {
        Self { response, framer: Framer::default(), idle }
    }

    /// The next event; `None` when the provider closed the stream. For `may_cut` see [`Framer::find`].
    pub(crate) async fn next(
        &mut self,
        may_cut: impl Fn(&str) -> bool,
    ) -> Result<Option<Event<'_>>, SseError> {
        let found = loop {
            if let Some(found) = self.framer.find(&may_cut)? {
                break found;
            }
            let chunk = timeout(self.idle, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| SseError::Silent(self.idle))?;
            match chunk.map_err(|error| SseError::BrokenOff(causes(&error)))? {
                Some(chunk) => self.framer.push(&chunk),
                None => return Ok(None),
            }
        };
        Ok(Some(self.framer.event(found)?))
    }
}

/// An error's causes without the error itself, which for HTTP says only that something failed, and where: an address
/// may hold a key.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    if texts.is_empty() { "the connection was closed".to_owned() } else { texts.join(": ") }
}
