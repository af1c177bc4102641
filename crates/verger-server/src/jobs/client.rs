//! A client of its own server, in the same process: how a job run asks for what it needs, and hears how it goes.
//!
//! It speaks the protocol like any other, so that whatever holds for clients holds for job runs: what they follow is loaded,
//! what they leave is unloaded, and nothing of theirs is handled by another way.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;
use verger_wire::{Incoming, RequestId, RpcError};

use crate::connection;
use crate::dispatch::Dispatch;

/// What may be on its way in either direction, in bytes.
const PIPE: usize = 64 << 10;

/// One connection.
pub(super) struct Client {
    to: WriteHalf<DuplexStream>,
    from: Lines<BufReader<ReadHalf<DuplexStream>>>,
    last_id: i64,
    /// What came while an answer was waited for.
    heard: VecDeque<Heard>,
}

/// What the server says of its own accord, or in answer to what nobody waits for any more.
#[derive(Debug)]
pub(super) enum Heard {
    /// Something has happened.
    Notification {
        /// What.
        method: String,
        /// As it was sent.
        params: Value,
    },
    /// Somebody is asked something.
    Question {
        /// Under which name.
        id: RequestId,
        /// What.
        method: String,
        /// As it was sent.
        params: Value,
    },
    /// The answer to a request that was sent by [`Client::send`].
    Answer {
        /// That request's name.
        id: i64,
        /// The answer.
        result: Result<Box<RawValue>, RpcError>,
    },
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server would not.
    #[error("{}", .0.message)]
    Refused(RpcError),
    /// The server is going, and this client with it.
    #[error("the server is stopping")]
    Stopping,
    /// The answer is none.
    #[error("the answer to {method} is not what it should be: {cause}")]
    Answer {
        /// What was asked.
        method: &'static str,
        /// What is wrong.
        cause: serde_json::Error,
    },
}

impl Client {
    /// A new connection, and what serves it until this client is dropped: both want to be polled.
    pub(super) fn connect(
        dispatch: Dispatch,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (from, to) = tokio::io::split(theirs);
        let serving = connection::serve_lines(from, to, dispatch, shutdown, None);
        let (from, to) = tokio::io::split(ours);
        let from = BufReader::new(from).lines();
        (Self { to, from, last_id: 0, heard: VecDeque::new() }, serving)
    }

    /// Introduces this client.
    pub(super) async fn initialize(&mut self) -> Result<(), Failure> {
        let client = json!({ "name": "verger-jobs", "title": null, "version": env!("CARGO_PKG_VERSION") });
        let capabilities = json!({ "experimentalApi": true });
        let params = json!({ "clientInfo": client, "capabilities": capabilities });
        self.request::<Value>("initialize", &params).await.map(drop)
    }

    /// Asks, and waits for the answer. What is heard meanwhile comes from [`Self::hear`] later.
    pub(super) async fn request<T: DeserializeOwned>(
        &mut self,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<T, Failure> {
        let asked = self.send(method, params).await?;
        loop {
            match self.read().await? {
                Heard::Answer { id, result } if id == asked => return read_answer(method, result),
                other => self.heard.push_back(other),
            }
        }
    }

    /// Asks; the answer is heard like everything else. Returns the request's name.
    pub(super) async fn send(&mut self, method: &str, params: &impl Serialize) -> Result<i64, Failure> {
        self.last_id += 1;
        self.write(&json!({ "id": self.last_id, "method": method, "params": params })).await?;
        Ok(self.last_id)
    }

    /// Answers a question: there is nobody who could.
    pub(super) async fn decline(&mut self, id: &RequestId, why: &str) -> Result<(), Failure> {
        self.write(&json!({ "id": id, "error": { "code": -32000, "message": why } })).await
    }

    /// What the server says next. Dropped half-way, nothing of it is lost.
    pub(super) async fn hear(&mut self) -> Result<Heard, Failure> {
        match self.heard.pop_front() {
            Some(heard) => Ok(heard),
            None => self.read().await,
        }
    }

    async fn write(&mut self, message: &Value) -> Result<(), Failure> {
        let line = format!("{message}\n");
        self.to.write_all(line.as_bytes()).await.map_err(|_| Failure::Stopping)
    }

    async fn read(&mut self) -> Result<Heard, Failure> {
        loop {
            // An error is the pipe's end, too: there is no other.
            let Ok(Some(line)) = self.from.next_line().await else { return Err(Failure::Stopping) };
            let params = |params: Option<Box<RawValue>>| {
                params.and_then(|params| serde_json::from_str(params.get()).ok()).unwrap_or_default()
            };
            return Ok(match verger_wire::decode(&line) {
                Ok(Incoming::Notification { method, params: p }) => {
                    Heard::Notification { method, params: params(p) }
                }
                Ok(Incoming::Request { id, method, params: p }) => {
                    Heard::Question { id, method, params: params(p) }
                }
                Ok(Incoming::Response { id: RequestId::Integer(id), result }) => {
                    Heard::Answer { id, result: Ok(result) }
                }
                Ok(Incoming::Error { id: RequestId::Integer(id), error }) => {
                    Heard::Answer { id, result: Err(error) }
                }
                other => {
                    tracing::error!(?other, "a job run heard what is no message of this server");
                    continue;
                }
            });
        }
    }
}

/// The answer to `method`.
pub(super) fn read_answer<T: DeserializeOwned>(
    method: &'static str,
    result: Result<Box<RawValue>, RpcError>,
) -> Result<T, Failure> {
    let result = result.map_err(Failure::Refused)?;
    serde_json::from_str(result.get()).map_err(|cause| Failure::Answer { method, cause })
}
