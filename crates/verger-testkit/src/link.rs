//! What carries a client's messages: the one place that knows about transports.

use std::net::SocketAddr;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async_with_config};

use crate::client::NoResult;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection that has said nothing yet.
#[derive(Debug)]
pub struct Link {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

/// The way to the server.
pub(crate) enum Sender {
    WebSocket(SplitSink<Socket, Message>),
    Lines(Box<dyn AsyncWrite + Send + Unpin>),
}

/// The way back.
pub(crate) enum Receiver {
    WebSocket(SplitStream<Socket>),
    Lines(Lines<Box<dyn AsyncBufRead + Send + Unpin>>),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goodbye {
    /// The close code of a WebSocket, where the server gave one.
    pub code: Option<u16>,
}

// === impl Link ===

impl Link {
    /// A WebSocket, `ws://HOST:PORT`, or JSON lines, `unix://PATH`.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or the upgrade is refused.
    pub async fn open(url: &str) -> Result<Self, NoResult> {
        let unreachable = |cause: String| NoResult::Unreachable { address: url.to_owned(), cause };
        match url.strip_prefix("unix://") {
            None => Self::websocket(url, &[]).await.map_err(|error| unreachable(error.to_string())),
            Some(path) => {
                let stream =
                    UnixStream::connect(path).await.map_err(|error| unreachable(error.to_string()))?;
                let (reader, writer) = stream.into_split();
                Ok(Self::lines(reader, writer))
            }
        }
    }

    /// A WebSocket; `headers` go with the upgrade.
    ///
    /// # Errors
    ///
    /// The socket's, or the server's refusal of the upgrade.
    ///
    /// # Panics
    ///
    /// When a header's name or value is none.
    pub async fn websocket(url: &str, headers: &[(&str, &str)]) -> Result<Self, Box<SocketError>> {
        let mut request = url.into_client_request()?;
        for (key, value) in headers {
            let key = HeaderName::from_bytes(key.as_bytes()).expect("a test writes valid header names");
            let value = HeaderValue::from_str(value).expect("a test writes valid header values");
            request.headers_mut().insert(key, value);
        }
        // Requests are small and each waits for its answer: they must not wait for each other's acknowledgements.
        let (socket, _) = connect_async_with_config(request, None, true).await?;
        Ok(Self::upgraded(socket))
    }

    /// A WebSocket, `ws://IPV4:PORT`, for which the kernel keeps about `bytes` that were not read yet.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or the upgrade is refused.
    pub async fn narrow(url: &str, bytes: u32) -> Result<Self, NoResult> {
        let unreachable = |cause: String| NoResult::Unreachable { address: url.to_owned(), cause };
        let address = url.strip_prefix("ws://").unwrap_or(url).trim_end_matches('/');
        let address: SocketAddr = address.parse().map_err(|_| unreachable("no address and port".into()))?;
        let connect = async || {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(bytes)?;
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = connect().await.map_err(|error: std::io::Error| unreachable(error.to_string()))?;
        let upgraded = client_async(url, MaybeTlsStream::Plain(stream)).await;
        upgraded.map(|(socket, _)| Self::upgraded(socket)).map_err(|error| unreachable(error.to_string()))
    }

    fn upgraded(socket: Socket) -> Self {
        let (sink, stream) = socket.split();
        Self { sender: Sender::WebSocket(sink), receiver: Receiver::WebSocket(stream) }
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
    pub(crate) async fn send(&mut self, message: &Value) -> Result<(), NoResult> {
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

    /// Sends a frame as it is; a line has no kinds of frames.
    pub(crate) async fn send_raw(&mut self, frame: Message) -> Result<(), NoResult> {
        match self {
            Self::WebSocket(sink) => sink.send(frame).await.map_err(|_| NoResult::Closed),
            Self::Lines(writer) => {
                let mut line = frame.into_data().to_vec();
                line.push(b'\n');
                writer.write_all(&line).await.map_err(|_| NoResult::Closed)?;
                writer.flush().await.map_err(|_| NoResult::Closed)
            }
        }
    }

    /// Says goodbye, as far as the transport has a word for it.
    pub(crate) async fn close(&mut self) -> Result<(), NoResult> {
        match self {
            Self::WebSocket(sink) => sink.send(Message::Close(None)).await.map_err(|_| NoResult::Closed),
            Self::Lines(writer) => {
                let shut = writer.shutdown().await;
                // A pipe closes with its descriptor only.
                *writer = Box::new(tokio::io::sink());
                shut.map_err(|_| NoResult::Closed)
            }
        }
    }
}

// === impl Receiver ===

impl Receiver {
    /// The next message, or the text of a frame that is none; the server's goodbye once the connection has ended.
    pub(crate) async fn next(&mut self) -> Result<Result<Value, String>, Goodbye> {
        let text = match self {
            Self::WebSocket(stream) => loop {
                match stream.next().await {
                    Some(Ok(Message::Text(text))) => break text.as_str().to_owned(),
                    Some(Ok(Message::Binary(bytes))) => {
                        return Ok(Err(format!("{} binary bytes", bytes.len())));
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Err(Goodbye { code: frame.map(|frame| frame.code.into()) });
                    }
                    Some(Ok(_)) => {}
                    // An error is how a killed server ends a connection.
                    Some(Err(_)) | None => return Err(Goodbye::default()),
                }
            },
            Self::Lines(lines) => match lines.next_line().await {
                Ok(Some(line)) => line,
                Ok(None) | Err(_) => return Err(Goodbye::default()),
            },
        };
        Ok(serde_json::from_str(&text).map_err(|_| text))
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
