//! One client of the crowd: connections come and go, its views stay.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::position::Cursor;
use super::view::View;
use crate::client::NoResult;
use crate::link::{Goodbye, Link, Receiver, Sender};

/// How long an answer or an event is waited for.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// How much the kernel takes for a member that does not read: little, so that the server notices soon. Less than a segment of
/// the loopback, 64 KiB, would be slow also for who reads: window and segment fit each other only after a timer.
const NARROW: u32 = 128 * 1024;

/// A client that may be connected.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    is_scribe: bool,
    heard: Arc<Heard>,
    line: Option<Line>,
    last_id: i64,
    /// Which server process it was connected to last, counted by whoever runs them.
    life: u64,
    /// It has stalled on this connection.
    stalled: bool,
}

#[derive(Debug)]
struct Line {
    sender: Sender,
    /// The reading task; aborted with this.
    reader: JoinSet<()>,
}

#[derive(Debug)]
struct Heard {
    state: Mutex<State>,
    /// Counts what was heard. Closes with the member.
    landmarks: watch::Sender<u64>,
    /// Whether the member reads at all.
    reads: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    views: BTreeMap<String, View>,
    waiting: HashMap<i64, (oneshot::Sender<Result<Value, NoResult>>, Entry)>,
    goodbye: Option<Goodbye>,
    faults: Vec<String>,
    /// How many answers promised a replay, and how many were snapshots.
    answers: (u64, u64),
}

/// What an answer changes, in order with the events around it.
#[derive(Debug)]
pub(super) enum Entry {
    Nothing,
    /// The client follows the thread of the answer from here on.
    Follows(Option<Cursor>),
    /// It does not any more.
    Leaves(String),
    /// A turn of this thread was accepted.
    Turn(String),
}

// === impl Member ===

impl Member {
    /// Not connected yet. A scribe keeps every durable event.
    #[must_use]
    pub(super) fn new(name: &str, is_scribe: bool) -> Self {
        let (landmarks, reads) = (watch::Sender::new(0), watch::Sender::new(true));
        let heard = Arc::new(Heard { state: Mutex::default(), landmarks, reads });
        Self { name: name.to_owned(), is_scribe, heard, line: None, last_id: 0, life: 0, stalled: false }
    }

    /// Connects, and introduces itself as one that can replay. `life` counts the server's processes.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached, or refuses.
    pub(super) async fn come(&mut self, url: &str, life: u64) -> Result<(), NoResult> {
        self.leave().await;
        let link = if self.is_scribe { Link::open(url).await? } else { Link::narrow(url, NARROW).await? };
        {
            let mut state = self.heard.state();
            state.goodbye = None;
            if self.life != life {
                state.views.values_mut().for_each(View::of_another_server);
            }
        }
        (self.life, self.stalled) = (life, false);
        self.heard.reads.send_replace(true);
        let mut reader = JoinSet::new();
        reader.spawn(read(link.receiver, Arc::clone(&self.heard), self.is_scribe));
        self.line = Some(Line { sender: link.sender, reader });
        let info = json!({ "name": self.name, "title": self.name, "version": "0" });
        let capabilities = json!({ "experimentalApi": true, "extensions": { "verger/replay": {} } });
        self.ask("initialize", json!({ "clientInfo": info, "capabilities": capabilities }), Entry::Nothing)
            .await?;
        self.send(&json!({ "method": "initialized" })).await
    }

    /// Drops the connection without a goodbye.
    pub(super) async fn leave(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.reader.shutdown().await;
        }
        let mut state = self.heard.state();
        state.waiting.clear();
        state.views.values_mut().for_each(View::disconnected);
    }

    /// Whether it is connected, as far as it has noticed.
    #[must_use]
    pub(super) fn is_connected(&self) -> bool {
        self.line.is_some() && self.heard.state().goodbye.is_none()
    }

    /// Whether its connection has ended without its will, which it has not noticed yet.
    pub(super) fn is_lost(&self) -> bool {
        self.line.is_some() && self.heard.state().goodbye.is_some()
    }

    /// How the server ended the connection, if it did.
    #[must_use]
    pub(super) fn goodbye(&self) -> Option<Goodbye> {
        self.heard.state().goodbye
    }

    /// Takes nothing more from the socket.
    pub(super) fn stall(&mut self) {
        self.stalled = true;
        self.heard.reads.send_replace(false);
    }

    /// Takes what has come meanwhile, and goes on.
    pub(super) fn read_on(&self) {
        self.heard.reads.send_replace(true);
    }

    /// Whether it has stalled on this connection: it may be cut, and not even be told so if it left no room for that.
    pub(super) fn has_stalled(&self) -> bool {
        self.stalled
    }

    /// Whether it does not read.
    #[must_use]
    pub(super) fn is_stalled(&self) -> bool {
        !*self.heard.reads.borrow()
    }

    /// Looks at what it knows of `thread`.
    pub(super) fn view<T>(&self, thread: &str, look: impl FnOnce(&View) -> T) -> Option<T> {
        self.heard.state().views.get(thread).map(look)
    }

    /// The same, to change it.
    pub(super) fn view_mut<T>(&self, thread: &str, change: impl FnOnce(&mut View) -> T) -> Option<T> {
        self.heard.state().views.get_mut(thread).map(change)
    }

    /// Where it can resume `thread` from; nowhere once it heard of a revert, of which only a snapshot says more.
    pub(super) fn place(&self, thread: &str) -> Option<Cursor> {
        self.view(thread, |view| view.cursor().filter(|_| !view.is_stale()).cloned())?
    }

    /// Forgets all about a thread.
    pub(super) fn forget(&self, thread: &str) {
        self.heard.state().views.remove(thread);
    }

    /// Whether it follows `thread` at this moment.
    #[must_use]
    pub(super) fn follows(&self, thread: &str) -> bool {
        self.view(thread, View::is_following).unwrap_or(false)
    }

    /// What cannot be, with the last events of the thread that it is about.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut state = self.heard.state();
        let mut faults = std::mem::take(&mut state.faults);
        for (thread, view) in &mut state.views {
            let found = view.faults();
            if !found.is_empty() {
                let last: Vec<&str> = view.last().collect();
                faults.push(format!("{thread}: {}\n    {}", found.join("\n  "), last.join("\n    ")));
            }
        }
        faults.into_iter().map(|fault| format!("{}: {fault}", self.name)).collect()
    }

    /// How many of its resumes were answered with a replay, and how many with a snapshot.
    #[must_use]
    pub(super) fn answers(&self) -> (u64, u64) {
        self.heard.state().answers
    }

    /// Waits until `look` finds what it looks for in the view of `thread`; asked now and after everything heard.
    ///
    /// # Errors
    ///
    /// When the connection ends first, or `limit` passes.
    pub(super) async fn until<T>(
        &self,
        what: &'static str,
        thread: &str,
        limit: Duration,
        mut look: impl FnMut(&View) -> Option<T>,
    ) -> Result<T, NoResult> {
        let mut landmarks = self.heard.landmarks.subscribe();
        let search = async {
            loop {
                {
                    let state = self.heard.state();
                    if let Some(found) = state.views.get(thread).and_then(&mut look) {
                        return Ok(found);
                    }
                    if state.goodbye.is_some() {
                        return Err(NoResult::Closed);
                    }
                }
                landmarks.changed().await.map_err(|_| NoResult::Closed)?;
            }
        };
        timeout(limit, search).await.unwrap_or(Err(NoResult::Late { what, limit }))
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// The server's refusal, the end of the connection, or no answer in 30 s.
    pub(super) async fn ask(
        &mut self,
        method: &'static str,
        params: Value,
        entry: Entry,
    ) -> Result<Value, NoResult> {
        self.last_id += 1;
        let (id, (tell, told)) = (self.last_id, oneshot::channel());
        {
            let mut state = self.heard.state();
            if state.goodbye.is_some() {
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

    pub(super) async fn send(&mut self, message: &Value) -> Result<(), NoResult> {
        let line = self.line.as_mut().ok_or(NoResult::Closed)?;
        // A peer that takes nothing would otherwise be waited for without end.
        let sent = timeout(LIMIT, line.sender.send(message)).await;
        sent.unwrap_or(Err(NoResult::Late { what: "room to send", limit: LIMIT }))
    }
}

async fn read(mut receiver: Receiver, heard: Arc<Heard>, scribe: bool) {
    let mut reads = heard.reads.subscribe();
    let goodbye = loop {
        // The sender lives in `heard`.
        let Ok(_) = reads.wait_for(|reads| *reads).await else { return };
        match receiver.next().await {
            Ok(Ok(message)) => heard.state().hear(message, scribe),
            Ok(Err(text)) => {
                heard.state().faults.push(format!("a message that is not readable: {text:.200}"))
            }
            Err(goodbye) => break goodbye,
        }
        heard.landmarks.send_modify(|count| *count += 1);
    };
    {
        let mut state = heard.state();
        state.goodbye = Some(goodbye);
        state.waiting.clear();
        state.views.values_mut().for_each(View::disconnected);
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
    fn hear(&mut self, mut message: Value, scribe: bool) {
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        if method.is_empty() {
            return self.reply(&mut message, scribe);
        }
        let params = &message["params"];
        let Some(thread) = params["threadId"].as_str() else { return };
        let id = message.get("id").and_then(Value::as_u64);
        match self.views.get_mut(thread) {
            Some(view) => match id {
                Some(id) => view.asked(id, &method, params),
                None => view.note(&method, params),
            },
            // Of a thread that it never knew it may hear what everyone does.
            None => {
                let mut view = View::default();
                match id {
                    Some(id) => view.asked(id, &method, params),
                    None => view.note(&method, params),
                }
                self.faults.extend(view.faults().into_iter().map(|fault| format!("{thread}: {fault}")));
            }
        }
    }

    fn reply(&mut self, reply: &mut Value, scribe: bool) {
        let Some((asker, entry)) = reply["id"].as_i64().and_then(|id| self.waiting.remove(&id)) else {
            return self
                .faults
                .push(format!("an answer that nobody asked for, or a second one: {reply:.300}"));
        };
        let answer = match reply.get("error") {
            Some(error) => Err(NoResult::refused(error)),
            None => Ok(reply["result"].take()),
        };
        if let Ok(result) = &answer {
            let thread = result["thread"]["id"].as_str().unwrap_or_default();
            match entry {
                Entry::Nothing => {}
                Entry::Follows(since) => {
                    let recovered = result["replay"]["recovered"] == true;
                    *(if recovered { &mut self.answers.0 } else { &mut self.answers.1 }) += 1;
                    let new = || if scribe { View::of_scribe() } else { View::default() };
                    self.views.entry(thread.to_owned()).or_insert_with(new).answered(result, since.as_ref());
                }
                Entry::Leaves(thread) => {
                    if let Some(view) = self.views.get_mut(&thread) {
                        view.unsubscribed();
                    }
                }
                Entry::Turn(thread) => {
                    if let (Some(view), Some(turn)) =
                        (self.views.get_mut(&thread), result["turn"]["id"].as_str())
                    {
                        view.acknowledged.insert(turn.to_owned());
                    }
                }
            }
        }
        // An asker that has stopped waiting needs no answer.
        asker.send(answer).ok();
    }
}
