//! A small client of a running server: request and answer, notifications passed over.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Why a request had no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{url}: {cause}")]
    Socket { url: String, cause: Box<tokio_tungstenite::tungstenite::Error> },
    #[error("{url}: the server closed the connection")]
    Closed { url: String },
    #[error("{method}: {message}")]
    Refused { method: String, message: String },
    #[error("{url}: the server's answer is not readable: {cause}")]
    Unreadable { url: String, cause: serde_json::Error },
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    url: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_id: i64,
}

impl Client {
    /// Connects and introduces itself.
    pub(crate) async fn connect(url: &str, token: Option<&str>) -> Result<Self, ClientError> {
        let failed = |cause| ClientError::Socket { url: url.to_owned(), cause: Box::new(cause) };
        let mut request = url.into_client_request().map_err(failed)?;
        if let Some(token) = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok()) {
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        let (socket, _) = connect_async(request).await.map_err(failed)?;
        let mut client = Self { url: url.to_owned(), socket, last_id: 0 };
        let info = json!({"name": "verger", "title": "verger", "version": env!("CARGO_PKG_VERSION")});
        client.call("initialize", json!({"clientInfo": info})).await?;
        Ok(client)
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, ClientError> {
        self.last_id += 1;
        let request = json!({"id": self.last_id, "method": method, "params": params});
        let failed = |url: &str, cause| ClientError::Socket { url: url.to_owned(), cause: Box::new(cause) };
        self.socket.send(Message::text(request.to_string())).await.map_err(|e| failed(&self.url, e))?;
        loop {
            let message = self.next().await?;
            if message["id"] != json!(self.last_id) {
                continue;
            }
            if let Some(error) = message.get("error") {
                let message = error["message"].as_str().unwrap_or("refused without a reason").to_owned();
                return Err(ClientError::Refused { method: method.to_owned(), message });
            }
            return Ok(message["result"].clone());
        }
    }

    /// The next message of any kind.
    pub(crate) async fn next(&mut self) -> Result<Value, ClientError> {
        loop {
            let closed = || ClientError::Closed { url: self.url.clone() };
            let message = self.socket.next().await.ok_or_else(closed)?;
            let message = message
                .map_err(|cause| ClientError::Socket { url: self.url.clone(), cause: Box::new(cause) })?;
            if let Message::Text(text) = message {
                return serde_json::from_str(&text)
                    .map_err(|cause| ClientError::Unreadable { url: self.url.clone(), cause });
            }
        }
    }

    /// Says goodbye and leaves.
    pub(crate) async fn close(mut self) {
        // A server that is gone needs no goodbye.
        self.socket.close(None).await.ok();
    }
}
