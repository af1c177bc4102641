//! As much of HTTP/1.1 as a model endpoint needs: requests with a length, whole answers and chunked ones.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::Request;

/// A test's request is never this large.
const MAX_BODY: usize = 64 << 20;

/// One client.
pub(super) struct Connection {
    pub(super) input: BufReader<OwnedReadHalf>,
    pub(super) output: Output,
}

/// The answers' direction.
pub(super) struct Output(OwnedWriteHalf);

// === impl Connection ===

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        let (input, output) = stream.into_split();
        Self { input: BufReader::new(input), output: Output(output) }
    }

    /// The next request; `None` when the client has closed.
    pub(super) async fn request(&mut self) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if self.input.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            line.clear();
            self.input.read_line(&mut line).await?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, value)| value.parse::<usize>().ok()).unwrap_or(0);
        let mut body = vec![0; length.min(MAX_BODY)];
        self.input.read_exact(&mut body).await?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Some(Request { at: Instant::now(), path, headers, body }))
    }
}

/// Waits until the client has closed its side, which no client does that still wants an answer.
pub(super) async fn closed(input: &mut BufReader<OwnedReadHalf>) {
    let stream = input.get_mut();
    if matches!(stream.peek(&mut [0]).await, Ok(1..)) {
        // The next request, early: the client is there.
        std::future::pending::<()>().await;
    }
}

// === impl Output ===

impl Output {
    /// A whole answer at once.
    pub(super) async fn whole(
        &mut self,
        status: u16,
        retry_after: Option<&str>,
        body: &Value,
    ) -> io::Result<bool> {
        let body = body.to_string();
        let retry = retry_after.map(|after| format!("retry-after: {after}\r\n")).unwrap_or_default();
        let head = format!("HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\n{retry}");
        self.write(&format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await?;
        Ok(true)
    }

    /// A page for people, with every sign of success.
    pub(super) async fn page(&mut self, text: &str) -> io::Result<bool> {
        let length = text.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\r\n");
        self.write(&format!("{head}{text}")).await?;
        Ok(true)
    }

    /// The head of a stream of events.
    pub(super) async fn begin(&mut self) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        self.write(head).await
    }

    /// A piece of the stream, sent at once as providers do.
    pub(super) async fn chunk(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("{:x}\r\n{text}\r\n", text.len())).await
    }

    /// The stream's proper end.
    pub(super) async fn end(&mut self) -> io::Result<bool> {
        self.write("0\r\n\r\n").await?;
        Ok(true)
    }

    async fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes()).await
    }
}
