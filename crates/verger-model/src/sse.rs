//! The events of a streamed HTTP answer, with a limit on silence and on the size of one event.
//!
//! Silence is counted between bytes, not events: providers send comments while they think.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use reqwest::Response;
use sse_stream::{Sse, SseByteStream};
use tokio::time::timeout;

/// The largest event: a closing event repeats the whole answer, and no answer is this long.
const MAX_EVENT: usize = 128 << 20;

/// How a stream of events ends, other than well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SseError {
    #[error("no byte for {0:?}")]
    Silent(Duration),
    #[error("{0}")]
    BrokenOff(String),
    #[error("{0}")]
    Unreadable(String),
}

/// Events of one answer. Dropping it closes the connection, unless the answer has ended.
pub(crate) struct SseEvents {
    events: Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>,
    /// Bytes that came since the last event; the byte stream adds, `next` clears.
    unread: Arc<AtomicUsize>,
}

// === impl SseEvents ===

impl SseEvents {
    pub(crate) fn new(response: Response, idle: Duration) -> Self {
        let unread = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&unread);
        let bytes = stream::try_unfold(response, move |mut response| {
            let counted = Arc::clone(&counted);
            async move {
                let chunk = timeout(idle, response.chunk()).await.map_err(|_| SseError::Silent(idle))?;
                let Some(chunk) = chunk.map_err(|error| SseError::BrokenOff(causes(&error)))? else {
                    return Ok(None);
                };
                if counted.fetch_add(chunk.len(), Ordering::Relaxed) > MAX_EVENT {
                    return Err(SseError::Unreadable(format!("an event of more than {MAX_EVENT} bytes")));
                }
                Ok(Some((chunk, response)))
            }
        });
        Self { events: Box::pin(SseByteStream::new(bytes)), unread }
    }

    /// The data of the next event; `None` when the provider closed the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, SseError> {
        while let Some(event) = self.events.next().await {
            self.unread.store(0, Ordering::Relaxed);
            match event {
                Ok(Sse { data: Some(data), .. }) => return Ok(Some(data)),
                Ok(_) => {}
                Err(sse_stream::Error::Body(ours)) => {
                    return Err(match ours.downcast::<SseError>() {
                        Ok(ours) => *ours,
                        Err(other) => SseError::BrokenOff(other.to_string()),
                    });
                }
                Err(error) => return Err(SseError::Unreadable(error.to_string())),
            }
        }
        Ok(None)
    }
}

/// An error's causes without the error itself, which for HTTP says only that something failed, and where: an address
/// may hold a key.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "the connection was closed".to_owned() } else { text }
}
