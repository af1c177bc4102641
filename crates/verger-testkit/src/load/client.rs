//! A client made for many: it keeps no message, only what each thread's account needs and who waits for an answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ledger::Ledger;
use crate::client::NoResult;
use crate::link::{Link, Receiver, Sender};

/// How long an answer or an event is waited for.
const LIMIT: Duration = Duration::from_secs(30);

/// One connection. Dropping it cuts the connection without a goodbye, as a crashed client does.
#[derive(Debug)]
pub struct Client {
    sender: tokio::sync::Mutex<Sender>,
    heard: Arc<Heard>,
    last_id: AtomicI64,
    /// The reading task; aborted when this is dropped.
    reader: JoinSet<()>,
}

/// What an answer changes besides waking who asked. It is entered by the reader, in order with the events around it.
#[derive(Debug)]
pub(super) enum Entry {
    Nothing,
    /// The snapshot of this thread.
    Snapshot(String),
    /// A turn of this thread was accepted.
    Turn(String),
}

#[derive(Debug)]
struct Heard {
    state: Mutex<State>,
    /// Counts what someone may wait for: every event but deltas, and the end of the connection. Closes with the client.
    landmarks: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Who waits for the answer to which request. Emptied when the connection ends, which tells them so.
    waiting: HashMap<i64, (oneshot::Sender<Result<Value, NoResult>>, Entry)>,
    ledger: Ledger,
    ended: bool,
}

// === impl Client ===

impl Client {
    /// Connects over WebSocket and introduces itself as `name`.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached, or refuses.
    pub async fn open(url: &str, name: &str) -> Result<Self, NoResult> {
        Self::over(Link::open(url).await?, name).await
    }

    /// Introduces itself over a connection that is there.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn over(link: Link, name: &str) -> Result<Self, NoResult> {
        let heard = Arc::new(Heard { state: Mutex::default(), landmarks: watch::Sender::new(0) });
        let mut reader = JoinSet::new();
        reader.spawn(read(link.receiver, Arc::clone(&heard)));
        let sender = tokio::sync::Mutex::new(link.sender);
        let client = Self { sender, heard, last_id: AtomicI64::new(0), reader };
        let info = json!({ "name": name, "title": name, "version": "0" });
        let capabilities = json!({ "experimentalApi": true });
        client.ask("initialize", json!({ "clientInfo": info, "capabilities": capabilities })).await?;
        client.send(&json!({ "method": "initialized" })).await?;
        Ok(client)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// The server's refusal, the end of the connection, or no answer in 30 s.
    pub async fn ask(&self, method: &'static str, params: Value) -> Result<Value, NoResult> {
        self.ask_for(method, params, Entry::Nothing).await
    }

    /// The same, and has the reader enter the answer into the ledger.
    pub(super) async fn ask_for(
        &self,
        method: &'static str,
        params: Value,
        entry: Entry,
    ) -> Result<Value, NoResult> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.heard.state();
            if state.ended {
                return Err(NoResult::Closed);
            }
            state.waiting.insert(id, (tell, entry));
        }
        self.send(&json!({ "id": id, "method": method, "params": params })).await?;
        match timeout(LIMIT, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(NoResult::Closed),
            Err(_) => {
                self.heard.state().waiting.remove(&id);
                Err(NoResult::Late { what: method, limit: LIMIT })
            }
        }
    }

    /// Waits until `look` finds in the ledger what it looks for. It is asked now and after every event but deltas.
    ///
    /// # Errors
    ///
    /// When the connection ends first, or 30 s pass.
    pub async fn until<T>(
        &self,
        what: &'static str,
        mut look: impl FnMut(&Ledger) -> Option<T>,
    ) -> Result<T, NoResult> {
        let mut landmarks = self.heard.landmarks.subscribe();
        let search = async {
            loop {
                {
                    let state = self.heard.state();
                    if let Some(found) = look(&state.ledger) {
                        return Ok(found);
                    }
                    if state.ended {
                        return Err(NoResult::Closed);
                    }
                }
                landmarks.changed().await.map_err(|_| NoResult::Closed)?;
            }
        };
        timeout(LIMIT, search).await.unwrap_or(Err(NoResult::Late { what, limit: LIMIT }))
    }

    /// Looks at what this client has seen so far.
    pub fn ledger<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.heard.state().ledger)
    }

    /// Says goodbye, and waits for the server's: then everything that the server sent has been seen.
    ///
    /// # Errors
    ///
    /// When the server keeps the connection open for 30 s.
    pub async fn close(&mut self) -> Result<(), NoResult> {
        // A server that has gone needs no goodbye.
        if self.sender.lock().await.close().await.is_err() {
            return Ok(());
        }
        match timeout(LIMIT, self.reader.join_next()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(NoResult::Late { what: "the server's goodbye", limit: LIMIT }),
        }
    }

    /// Cuts the connection without a goodbye; what was seen.
    #[must_use]
    pub fn cut(self) -> Ledger {
        std::mem::take(&mut self.heard.state().ledger)
    }

    async fn send(&self, message: &Value) -> Result<(), NoResult> {
        self.sender.lock().await.send(message).await
    }
}

async fn read(mut receiver: Receiver, heard: Arc<Heard>) {
    while let Ok(message) = receiver.next().await {
        let landmark = match message {
            Ok(message) if message.get("method").is_some() => heard.state().ledger.note(&message),
            Ok(mut reply) => heard.state().reply(&mut reply),
            Err(text) => {
                heard.state().ledger.unreadable(&text);
                false
            }
        };
        if landmark {
            heard.landmarks.send_modify(|count| *count += 1);
        }
    }
    {
        let mut state = heard.state();
        state.ended = true;
        state.waiting.clear();
    }
    heard.landmarks.send_modify(|count| *count += 1);
}

// === impl Heard ===

impl Heard {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Hands an answer to who asked. Nobody waits for it as an event.
    fn reply(&mut self, reply: &mut Value) -> bool {
        let Some((asker, entry)) = reply["id"].as_i64().and_then(|id| self.waiting.remove(&id)) else {
            self.ledger.unreadable(&format!("an answer that nobody asked for, or a second one: {reply}"));
            return false;
        };
        let answer = match reply.get("error") {
            Some(error) => Err(NoResult::refused(error)),
            None => Ok(reply["result"].take()),
        };
        if let Ok(result) = &answer {
            match entry {
                Entry::Nothing => {}
                Entry::Snapshot(thread) => self.ledger.snapshot(&thread, &result["thread"]["turns"]),
                Entry::Turn(thread) => {
                    self.ledger.acknowledge(&thread, result["turn"]["id"].as_str().unwrap_or_default());
                }
            }
        }
        // An asker that has stopped waiting needs no answer.
        asker.send(answer).ok();
        false
    }
}
