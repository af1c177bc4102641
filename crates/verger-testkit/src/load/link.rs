//! What carries a load client's messages: the one place that knows about transports.

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::client::NoResult;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection that has said nothing yet.
#[derive(Debug)]
pub struct Link {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
}

/// The way to the server.
pub(super) enum Sender {
    WebSocket(SplitSink<Socket, Message>),
    Lines(Box<dyn AsyncWrite + Send + Unpin>),
}

/// The way back.
pub(super) enum Receiver {
    WebSocket(SplitStream<Socket>),
    Lines(Lines<Box<dyn AsyncBufRead + Send + Unpin>>),
}

// === impl Link ===

impl Link {
    /// A WebSocket, `ws://HOST:PORT`.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or the upgrade is refused.
    pub async fn websocket(url: &str) -> Result<Self, NoResult> {
        let unreachable = |cause| NoResult::Unreachable { address: url.to_owned(), cause };
        // Requests are small and each waits for its answer: they must not wait for each other's acknowledgements.
        let connected = connect_async_with_config(url, None, true).await;
        let (socket, _) = connected.map_err(|error| unreachable(error.to_string()))?;
        let (sink, stream) = socket.split();
        Ok(Self { sender: Sender::WebSocket(sink), receiver: Receiver::WebSocket(stream) })
    }

    /// JSON lines over any pair of byte streams: a program's stdin and stdout, a socket, a pipe of a test.
    pub fn lines(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let reader: Box<dyn AsyncBufRead + Send + Unpin> = Box::new(BufReader::new(reader));
        Self { sender: Sender::Lines(Box::new(writer)), receiver: Receiver::Lines(reader.lines()) }
    }
}

// === impl Sender ===

impl Sender {
    /// Sends one message.
    pub(super) async fn send(&mut self, message: &Value) -> Result<(), NoResult> {
        let text = message.to_string();
        match self {
            Self::WebSocket(sink) => sink.send(Message::text(text)).await.map_err(|_| NoResult::Closed),
            Self::Lines(writer) => {
                let line = text + "\n";
                writer.write_all(line.as_bytes()).await.map_err(|_| NoResult::Closed)?;
                writer.flush().await.map_err(|_| NoResult::Closed)
            }
        }
    }

    /// Says goodbye, as far as the transport has a word for it.
    pub(super) async fn close(&mut self) -> Result<(), NoResult> {
        match self {
            Self::WebSocket(sink) => sink.send(Message::Close(None)).await.map_err(|_| NoResult::Closed),
            Self::Lines(writer) => writer.shutdown().await.map_err(|_| NoResult::Closed),
        }
    }
}

// === impl Receiver ===

impl Receiver {
    /// The next message, or the text of a frame that is none; nothing once the connection has ended.
    pub(super) async fn next(&mut self) -> Option<Result<Value, String>> {
        let text = match self {
            // An error is how a killed server ends a connection.
            Self::WebSocket(stream) => loop {
                match stream.next().await?.ok()? {
                    Message::Text(text) => break text.as_str().to_owned(),
                    Message::Binary(bytes) => return Some(Err(format!("{} binary bytes", bytes.len()))),
                    _ => {}
                }
            },
            Self::Lines(lines) => lines.next_line().await.ok()??,
        };
        Some(serde_json::from_str(&text).map_err(|_| text))
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Lines(_)) { "Lines" } else { "WebSocket" })
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Lines(_)) { "Lines" } else { "WebSocket" })
    }
}
