//! A WebSocket: one message per text or binary frame.

use std::io;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_util::bytes::Bytes;
use tungstenite::error::ProtocolError;
use verger_wire::{DecodeError, Incoming, decode, decode_bytes};

use super::pongs::Pongs;
use super::transport::{Receive, Transmit};
use crate::listen::Progress;
use crate::outbox::{Breach, Closed};

/// How long a client may take to make room for the close frame: as a rule, and when it is cut for being slow.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
const SLOW_CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// How long a client that was told why may take to hang up: as a rule, and when it is cut for being slow.
const LINGER_LIMIT: Duration = Duration::from_secs(2);
const SLOW_LINGER_LIMIT: Duration = Duration::from_secs(30);

/// Close codes: the server leaves; the client broke a rule of WebSockets (RFC 6455, 7.4.1); it did not keep up.
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;
const TOO_SLOW: u16 = 4408;

/// Both halves of a socket.
pub(crate) fn halves(socket: WebSocket, progress: Progress) -> (Incomings, Outgoings) {
    let (sink, stream) = socket.split();
    let pongs = Pongs::default();
    (Incomings { stream, breach: None, pongs: pongs.clone() }, Outgoings { sink, progress, pongs })
}

/// What comes in.
pub(crate) struct Incomings {
    stream: SplitStream<WebSocket>,
    /// The rule that the client broke, once it has.
    breach: Option<Breach>,
    pongs: Pongs,
}

/// What goes out.
pub(crate) struct Outgoings {
    sink: SplitSink<WebSocket, Message>,
    progress: Progress,
    pongs: Pongs,
}

impl Receive for Incomings {
    async fn receive(&mut self) -> Option<Result<Incoming, DecodeError>> {
        loop {
            self.pongs.room().await;
            match self.stream.next().await? {
                Ok(Message::Text(text)) => return Some(decode(&text)),
                Ok(Message::Binary(bytes)) => return Some(decode_bytes(&bytes)),
                // Answered by the library, which needs the other half to get rid of the answer.
                Ok(Message::Ping(_)) => self.pongs.owe(),
                Ok(Message::Pong(_)) => {}
                Ok(Message::Close(_)) => return None,
                Err(error) => {
                    tracing::debug!(%error, "a WebSocket broke");
                    self.breach = breach(error);
                    return None;
                }
            }
        }
    }

    fn ended(&self) -> Closed {
        self.breach.map_or(Closed::Done, Closed::Broke)
    }
}

/// Which rule the client broke; nothing where the connection just ended.
fn breach(error: axum::Error) -> Option<Breach> {
    match *error.into_inner().downcast::<tungstenite::Error>().ok()? {
        tungstenite::Error::Capacity(_) => Some(Breach::TooBig),
        tungstenite::Error::Utf8(_) => Some(Breach::NotUtf8),
        // So a client that crashed ends, which cannot be told anything.
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some(Breach::Protocol),
        _ => None,
    }
}

impl Transmit for Outgoings {
    fn progress(&self) -> Option<Progress> {
        Some(self.progress.clone())
    }

    async fn transmit(&mut self, text: Utf8Bytes) -> io::Result<()> {
        self.sink.feed(Message::Text(text)).await.map_err(io::Error::other)?;
        self.pong().await
    }

    async fn ping(&mut self) -> io::Result<()> {
        self.sink.feed(Message::Ping(Bytes::new())).await.map_err(io::Error::other)?;
        self.pong().await
    }

    async fn asked(&self) {
        self.pongs.some().await;
    }

    async fn pong(&mut self) -> io::Result<()> {
        // Those that come meanwhile may miss this flush.
        let pongs = self.pongs.waiting();
        self.sink.flush().await.map_err(io::Error::other)?;
        self.pongs.taken(pongs);
        Ok(())
    }

    async fn finish(mut self, why: Closed) {
        let (code, reason, limit) = match why {
            Closed::Done => (GOING_AWAY, "", CLOSE_LIMIT),
            Closed::Broke(Breach::Protocol) => (PROTOCOL_ERROR, "", CLOSE_LIMIT),
            Closed::Broke(Breach::NotUtf8) => (NOT_UTF8, "", CLOSE_LIMIT),
            Closed::Broke(Breach::TooBig) => (TOO_BIG, "a message has at most 16 MB", CLOSE_LIMIT),
            Closed::Uninitialized => (GOING_AWAY, "initialize_timeout", CLOSE_LIMIT),
            Closed::Silent => (GOING_AWAY, "ping_timeout", CLOSE_LIMIT),
            Closed::Slow => (TOO_SLOW, "slow_consumer", SLOW_CLOSE_LIMIT),
        };
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let goodbye = async {
            // Refused where the client said goodbye first: the library has the answer to that ready, and takes no other.
            match self.sink.send(Message::Close(Some(frame))).await {
                Err(_) => self.sink.flush().await,
                sent => sent,
            }
        };
        // A client that is gone, or makes no room in time, is left to the kernel: dropping the socket resets it.
        if let Ok(Ok(())) = timeout(limit, goodbye).await {
            let slow = why == Closed::Slow;
            self.progress.linger(if slow { SLOW_LINGER_LIMIT } else { LINGER_LIMIT }).await;
        }
    }
}
