//! A client of the wire protocol: asks, listens, and keeps every message it has seen, in order.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::link::{Goodbye, Link, Receiver, Sender};
use crate::wire_log::WireLog;

/// How long an answer or a notification is waited for before the test fails.
const LIMIT: Duration = Duration::from_secs(15);

/// One connection. Dropping it cuts the connection without a goodbye, as a crashed client does.
#[derive(Debug)]
pub struct Client {
    name: String,
    sender: tokio::sync::Mutex<Sender>,
    seen: Arc<Seen>,
    last_id: AtomicI64,
    /// The reading task; aborted when this is dropped.
    reader: JoinSet<()>,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoResult {
    /// The server answered with an error.
    #[error("{message} ({code}) {data}")]
    Refused {
        /// JSON-RPC's.
        code: i64,
        /// For people.
        message: String,
        /// For programs; null where there is none.
        data: Value,
    },
    /// The connection ended first.
    #[error("the connection ended")]
    Closed,
    /// There was no connection to begin with.
    #[error("{address}: {cause}")]
    Unreachable {
        /// Where.
        address: String,
        /// The socket's reason.
        cause: String,
    },
    /// Nothing came in time.
    #[error("no {what} in {limit:?}")]
    Late {
        /// A method, or an event.
        what: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// An answer came, and is not what everything after it builds on.
    #[error("{what} was unexpected: {got}")]
    Unexpected {
        /// Of what.
        what: &'static str,
        /// What came instead.
        got: String,
    },
    /// An answer without the id that it is all about.
    #[error("the answer to {method} names no id")]
    NoId {
        /// What was asked.
        method: &'static str,
    },
}

// === impl NoResult ===

impl NoResult {
    /// Of the `error` member of an answer.
    pub(crate) fn refused(error: &Value) -> Self {
        Self::Refused {
            code: error["code"].as_i64().unwrap_or_default(),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
            data: error["data"].clone(),
        }
    }
}

/// Everything that has come so far. The channel carries the number of messages and whether the connection has ended;
/// it closes with the client.
#[derive(Debug)]
struct Seen {
    messages: Mutex<Vec<Value>>,
    log: WireLog,
    progress: watch::Sender<(usize, bool)>,
    /// Whether the client reads at all.
    reads: watch::Sender<bool>,
    goodbye: Mutex<Option<Goodbye>>,
}

// === impl Client ===

impl Client {
    /// Connects and introduces itself as `name`.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub async fn open(url: &str, name: &str) -> Self {
        Self::open_with(url, name, json!({ "experimentalApi": true })).await
    }

    /// The same with other capabilities.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub async fn open_with(url: &str, name: &str, capabilities: Value) -> Self {
        let client = Self::over(Link::open(url).await.unwrap_or_else(|error| panic!("{error}")), name);
        client.initialize(capabilities).await;
        client
    }

    /// Connects and says nothing yet. `headers` go with the upgrade.
    ///
    /// # Errors
    ///
    /// The socket's, or the server's refusal of the upgrade.
    pub async fn connect(url: &str, name: &str, headers: &[(&str, &str)]) -> Result<Self, Box<SocketError>> {
        Ok(Self::over(Link::websocket(url, headers).await?, name))
    }

    /// A client that says nothing yet, over what is connected already.
    #[must_use]
    pub fn over(link: Link, name: &str) -> Self {
        let (messages, log) = (Mutex::default(), WireLog::open(name));
        let (progress, reads) = (watch::Sender::new((0, false)), watch::Sender::new(true));
        let seen = Arc::new(Seen { messages, log, progress, reads, goodbye: Mutex::default() });
        let mut reader = JoinSet::new();
        reader.spawn(read(link.receiver, Arc::clone(&seen)));
        let sender = tokio::sync::Mutex::new(link.sender);
        Self { name: name.to_owned(), sender, seen, last_id: AtomicI64::new(0), reader }
    }

    /// Introduces itself.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub async fn initialize(&self, capabilities: Value) {
        let info = json!({ "name": self.name, "title": self.name, "version": "0" });
        self.call("initialize", json!({ "clientInfo": info, "capabilities": capabilities })).await;
        self.send(&json!({ "method": "initialized" })).await.expect("the server has just answered");
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// The server's refusal, or that the connection ended first.
    ///
    /// # Panics
    ///
    /// Without an answer in 15 s.
    pub async fn ask(&self, method: &str, params: Value) -> Result<Value, NoResult> {
        let from = self.mark();
        let id = self.begin(method, params).await?;
        self.answer(from, id, method).await
    }

    /// Sends a request; its id, for [`Client::answer`].
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub async fn begin(&self, method: &str, params: Value) -> Result<i64, NoResult> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        self.send(&json!({ "id": id, "method": method, "params": params })).await?;
        Ok(id)
    }

    /// Waits for the answer to request `id` among the messages from `from` on.
    ///
    /// # Errors
    ///
    /// The server's refusal, or that the connection ended first.
    ///
    /// # Panics
    ///
    /// Without an answer in 15 s.
    pub async fn answer(&self, from: usize, id: i64, what: &str) -> Result<Value, NoResult> {
        let fits = |message: &Value| message.get("method").is_none() && message["id"] == id;
        let message = self.find(from, what, fits).await.ok_or(NoResult::Closed)?;
        match message.get("error") {
            None => Ok(message["result"].clone()),
            Some(error) => Err(NoResult::refused(error)),
        }
    }

    /// Asks for something that must succeed.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn call(&self, method: &str, params: Value) -> Value {
        let shown = params.to_string();
        let result = self.ask(method, params).await;
        result.unwrap_or_else(|error| panic!("{}: {method} {shown}: {error}", self.name))
    }

    /// Asks for something that must be refused; code and message.
    ///
    /// # Panics
    ///
    /// When it succeeds, or the connection ends.
    pub async fn refused(&self, method: &str, params: Value) -> (i64, String) {
        let shown = params.to_string();
        match self.ask(method, params).await {
            Err(NoResult::Refused { code, message, .. }) => (code, message),
            other => panic!("{}: {method} {shown} was to be refused, not {other:?}", self.name),
        }
    }

    /// Sends any message.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub async fn send(&self, message: &Value) -> Result<(), NoResult> {
        self.send_raw(Message::text(message.to_string())).await
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub async fn send_raw(&self, message: Message) -> Result<(), NoResult> {
        let mut sender = self.sender.lock().await;
        if let Message::Text(text) = &message {
            self.seen.log.sent(text);
        }
        sender.send_raw(message).await
    }

    /// How many messages have come so far: a place to listen from.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.seen.progress.borrow().0
    }

    /// Every message from `from` on.
    #[must_use]
    pub fn since(&self, from: usize) -> Vec<Value> {
        self.seen.messages.lock().unwrap_or_else(PoisonError::into_inner)[from..].to_vec()
    }

    /// Parameters of the notifications of `method` from `from` on.
    #[must_use]
    pub fn notes(&self, from: usize, method: &str) -> Vec<Value> {
        let all = self.since(from).into_iter();
        all.filter(|m| m["method"] == method && m.get("id").is_none()).map(|m| m["params"].clone()).collect()
    }

    /// Waits for a notification from `from` on; its parameters.
    ///
    /// # Panics
    ///
    /// When none fits in 15 s, or the connection ends.
    pub async fn note(&self, from: usize, method: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let wanted = |m: &Value| m["method"] == method && m.get("id").is_none() && fits(&m["params"]);
        match self.find(from, method, wanted).await {
            Some(message) => message["params"].clone(),
            None => panic!("{}: the connection ended before {method}", self.name),
        }
    }

    /// Waits for a question of the server's from `from` on; the whole message.
    ///
    /// # Panics
    ///
    /// When none comes in 15 s, or the connection ends.
    pub async fn question(&self, from: usize, method: &str) -> Value {
        let wanted = |m: &Value| m["method"] == method && m.get("id").is_some();
        match self.find(from, method, wanted).await {
            Some(message) => message,
            None => panic!("{}: the connection ended before {method}", self.name),
        }
    }

    /// Answers a question of the server's.
    ///
    /// # Panics
    ///
    /// When the connection has ended.
    pub async fn reply(&self, question: &Value, result: Value) {
        let sent = self.send(&json!({ "id": question["id"], "result": result })).await;
        sent.unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Takes nothing more from the socket, but for a message on its way: the client stalls.
    pub fn stop_reading(&self) {
        self.seen.reads.send_replace(false);
    }

    /// Takes what has come meanwhile, and goes on.
    pub fn read_on(&self) {
        self.seen.reads.send_replace(true);
    }

    /// Waits until the server has ended the connection; how it did.
    ///
    /// # Panics
    ///
    /// When it has not in 15 s.
    pub async fn closed(&self) -> Goodbye {
        let mut progress = self.seen.progress.subscribe();
        let ended = tokio::time::timeout(LIMIT, progress.wait_for(|(_, ended)| *ended)).await;
        ended.expect("the connection is still open").expect("the sender lives in self.seen");
        let goodbye = self.seen.goodbye.lock().unwrap_or_else(PoisonError::into_inner);
        goodbye.expect("it is noted before the end is")
    }

    /// Waits for the first message from `from` on that fits; nothing when the connection ends first.
    ///
    /// # Panics
    ///
    /// After 15 s, with the messages seen instead.
    pub async fn find(&self, from: usize, what: &str, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let mut progress = self.seen.progress.subscribe();
        let mut next = from;
        let search = async {
            loop {
                let (count, ended) = *progress.borrow_and_update();
                let found = self.since(next).into_iter().find(|message| fits(message));
                next = count;
                if found.is_some() || ended {
                    return found;
                }
                progress.changed().await.expect("the sender lives in self.seen");
            }
        };
        match tokio::time::timeout(LIMIT, search).await {
            Ok(found) => found,
            Err(_) => {
                let seen: Vec<_> = self.since(from).iter().map(|m| format!("\n  {m:.300}")).collect();
                panic!("{}: no {what} in {LIMIT:?}; seen instead:{}", self.name, seen.concat())
            }
        }
    }

    /// Says goodbye, and waits for the server's.
    pub async fn close(mut self) {
        // A server that has gone needs no goodbye.
        if self.sender.lock().await.close().await.is_ok() {
            self.reader.join_next().await;
        }
    }
}

async fn read(mut receiver: Receiver, seen: Arc<Seen>) {
    let goodbye = loop {
        seen.reads.subscribe().wait_for(|reads| *reads).await.expect("the sender lives in seen");
        let message = match receiver.next().await {
            Ok(message) => message,
            Err(goodbye) => break goodbye,
        };
        let value = message.unwrap_or_else(|text| panic!("the server sent what is no JSON: {text:.300}"));
        seen.log.heard(&value);
        let mut messages = seen.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(value);
        let count = messages.len();
        drop(messages);
        seen.progress.send_modify(|progress| progress.0 = count);
    };
    *seen.goodbye.lock().unwrap_or_else(PoisonError::into_inner) = Some(goodbye);
    seen.progress.send_modify(|progress| progress.1 = true);
}
