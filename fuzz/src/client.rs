//! A client that keeps account: what it is owed, and whether it gets that and no more.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use verger_wire::types::ThreadStatus;
use verger_wire::{Incoming, Notification, RequestId, ServerRequest, decode_bytes};

use crate::names::Names;

/// How long anything may take, on a machine however busy: many times what it does.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub struct Client {
    reading: Lines<BufReader<OwnedReadHalf>>,
    writing: OwnedWriteHalf,
    account: Account,
}

/// What has been said on a connection, both ways.
#[derive(Debug, Default)]
struct Account {
    /// Answers that are due, by id; `None` is the id of what could not be read.
    owed: HashMap<Option<RequestId>, usize>,
    /// A line that has no end yet.
    open: Vec<u8>,
    has_spoken: bool,
    has_heard: bool,
    /// Threads that were said to be loaded no more.
    unloaded: HashSet<String>,
    /// How many were said to be archived or deleted.
    ended: usize,
    /// The last answer.
    answer: Value,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When the daemon does not take it.
    pub async fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).await.expect("the daemon takes connections");
        let (reading, writing) = stream.into_split();
        let reading = BufReader::new(reading).lines();
        Self { reading, writing, account: Account::default() }
    }

    /// Writes `bytes`, and hears what comes meanwhile.
    ///
    /// # Panics
    /// When the daemon hangs up or says what it should not.
    pub async fn write(&mut self, bytes: &[u8], names: &mut Names) {
        if !self.account.say(bytes) {
            return;
        }
        let writing = self.writing.write_all(bytes);
        tokio::pin!(writing);
        loop {
            tokio::select! {
                written = &mut writing => return written.expect("the daemon reads on"),
                line = self.reading.next_line() => self.account.hear(line, names),
            }
        }
    }

    /// Waits until nothing is owed any more.
    ///
    /// # Panics
    /// When that takes too long, or something else is wrong.
    pub async fn wait(&mut self, names: &mut Names) {
        while !self.account.owed.is_empty() {
            let heard = timeout(PATIENCE, self.reading.next_line()).await;
            let line = heard.unwrap_or_else(|_| panic!("unanswered: {:?}", self.account.owed));
            self.account.hear(line, names);
        }
    }

    /// Writes no more, and reads to the end. The daemon need not answer, but what it answers must be owed.
    ///
    /// # Panics
    /// When the end does not come.
    pub async fn leave(mut self, names: &mut Names) {
        self.account.end();
        self.writing.shutdown().await.expect("the daemon is there");
        loop {
            let heard = timeout(PATIENCE, self.reading.next_line()).await;
            match heard.expect("the daemon closes a connection that its client has left") {
                Ok(None) => return,
                line => self.account.hear(line, names),
            }
        }
    }

    /// Is gone from one moment to the next, whatever the daemon was about to say or read.
    ///
    /// # Panics
    /// When the daemon does not know of it before.
    pub async fn vanish(mut self, names: &mut Names) {
        // One that the daemon has not met yet could still come when all should have gone.
        if !self.account.has_heard {
            self.write(b"\n{}\n", names).await;
            assert!(self.hears(|account| account.has_heard).await, "the daemon does not greet");
        }
    }

    /// Asks, and waits for the answer: a result or an error.
    ///
    /// # Panics
    /// When there is none.
    pub async fn ask(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let mut line = json!({ "id": method, "method": method, "params": params }).to_string();
        line.push('\n');
        let names = &mut Names::default();
        self.write(line.as_bytes(), names).await;
        self.wait(names).await;
        match self.account.answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(self.account.answer["result"].take()),
        }
    }

    /// Waits until `thread` was said to be loaded no more; whether it was, before patience ended.
    ///
    /// # Panics
    /// When something else is wrong.
    pub async fn hears_of_unloading(&mut self, thread: &str) -> bool {
        self.hears(|account| account.unloaded.contains(thread)).await
    }

    /// Threads that were said to be archived or deleted, so far.
    pub fn ended(&self) -> usize {
        self.account.ended
    }

    /// Waits until more than `before` threads were said to be archived or deleted; whether there were, before patience
    /// ended.
    ///
    /// # Panics
    /// When something else is wrong.
    pub async fn hears_of_ending(&mut self, before: usize) -> bool {
        self.hears(|account| account.ended > before).await
    }

    async fn hears(&mut self, enough: impl Fn(&Account) -> bool) -> bool {
        while !enough(&self.account) {
            match timeout(PATIENCE, self.reading.next_line()).await {
                Ok(line) => self.account.hear(line, &mut Names::default()),
                Err(_) => return false,
            }
        }
        true
    }
}

// === impl Account ===

impl Account {
    /// Notes what is written; whether it may be.
    fn say(&mut self, bytes: &[u8]) -> bool {
        // A connection that begins with a capital speaks HTTP, and is not ours to judge.
        if !self.has_spoken && bytes.first().is_some_and(u8::is_ascii_uppercase) {
            return false;
        }
        self.has_spoken = true;
        self.open.extend(bytes);
        while let Some(end) = self.open.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.open.drain(..=end).collect();
            self.owe(&line[..end]);
        }
        true
    }

    /// The end of what is written ends its last line too.
    fn end(&mut self) {
        let line = std::mem::take(&mut self.open);
        self.owe(&line);
    }

    fn owe(&mut self, line: &[u8]) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let id = match decode_bytes(line) {
            Ok(Incoming::Request { id, .. }) => Some(id),
            Ok(_) => return,
            Err(error) => error.id,
        };
        *self.owed.entry(id).or_default() += 1;
    }

    fn hear(&mut self, line: std::io::Result<Option<String>>, names: &mut Names) {
        let line = line.expect("the daemon speaks UTF-8").expect("the daemon stays as long as its client");
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        names.hear(&message);
        self.has_heard = true;
        if message.get("method").is_some() {
            match message.get("id") {
                None => self.event(&line),
                Some(_) => drop(
                    serde_json::from_str::<ServerRequest>(&line).unwrap_or_else(|e| panic!("{e}: {line}")),
                ),
            }
            return;
        }
        assert_ne!(message.get("result").is_some(), message.get("error").is_some(), "{line}");
        let id = serde_json::from_value(message["id"].clone());
        let id: Option<RequestId> = id.unwrap_or_else(|error| panic!("{error}: {line}"));
        let Some(owed) = self.owed.get_mut(&id) else { panic!("an answer to nothing: {line}") };
        *owed -= 1;
        if *owed == 0 {
            self.owed.remove(&id);
        }
        self.answer = message;
    }

    fn event(&mut self, line: &str) {
        let event: Notification =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        match event {
            Notification::ThreadStatusChanged(changed) if changed.status == ThreadStatus::NotLoaded => {
                self.unloaded.insert(changed.thread_id);
            }
            Notification::ThreadArchived(_) | Notification::ThreadDeleted(_) => self.ended += 1,
            _ => {}
        }
    }
}
