//! What a load client can do with threads, in words.

use std::path::Path;

use serde_json::{Value, json};

use super::client::{Client, Entry};
use crate::client::NoResult;

impl Client {
    /// A new thread that works in `folder`; its id.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`]; and so for all of these.
    pub async fn start_thread(&self, folder: &Path) -> Result<String, NoResult> {
        let started = self.ask("thread/start", json!({ "cwd": folder })).await?;
        text("thread/start", &started["thread"]["id"])
    }

    /// Follows a saved or a running thread; the whole answer.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn resume(&self, thread: &str) -> Result<Value, NoResult> {
        let params = json!({ "threadId": thread });
        self.ask_for("thread/resume", params, Entry::Snapshot(thread.to_owned())).await
    }

    /// Stops following it.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn unsubscribe(&self, thread: &str) -> Result<(), NoResult> {
        self.ask("thread/unsubscribe", json!({ "threadId": thread })).await.map(drop)
    }

    /// The thread's turns as the server keeps them.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn kept_turns(&self, thread: &str) -> Result<Value, NoResult> {
        let params = json!({ "threadId": thread, "includeTurns": true });
        Ok(self.ask("thread/read", params).await?["thread"]["turns"].take())
    }

    /// Begins a turn, or joins the one that runs; its id.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn begin_turn(&self, thread: &str, says: &str) -> Result<String, NoResult> {
        let params = json!({ "threadId": thread, "input": input(says) });
        let begun = self.ask_for("turn/start", params, Entry::Turn(thread.to_owned())).await?;
        text("turn/start", &begun["turn"]["id"])
    }

    /// Adds to a running turn.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn steer(&self, thread: &str, turn: &str, says: &str) -> Result<(), NoResult> {
        let params = json!({ "threadId": thread, "input": input(says), "expectedTurnId": turn });
        self.ask("turn/steer", params).await.map(drop)
    }

    /// Ends a running turn early.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn interrupt(&self, thread: &str, turn: &str) -> Result<(), NoResult> {
        self.ask("turn/interrupt", json!({ "threadId": thread, "turnId": turn })).await.map(drop)
    }

    /// Waits until this client is told that the turn has ended; how.
    ///
    /// # Errors
    ///
    /// As [`Client::until`].
    pub async fn ended(&self, thread: &str, turn: &str) -> Result<String, NoResult> {
        self.until("turn/completed", |ledger| Some(ledger.account(thread)?.ended(turn)?.to_owned())).await
    }

    /// A turn from beginning to end; how it ended.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn turn(&self, thread: &str, says: &str) -> Result<String, NoResult> {
        let turn = self.begin_turn(thread, says).await?;
        self.ended(thread, &turn).await
    }

    /// Calls a helper's tool outside of any turn; the whole answer.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn call_tool(
        &self,
        thread: &str,
        server: &str,
        tool: &str,
        arguments: Value,
    ) -> Result<Value, NoResult> {
        let params = json!({ "threadId": thread, "server": server, "tool": tool, "arguments": arguments });
        self.ask("mcpServer/tool/call", params).await
    }
}

fn input(says: &str) -> Value {
    json!([{ "type": "text", "text": says, "text_elements": [] }])
}

fn text(method: &'static str, value: &Value) -> Result<String, NoResult> {
    value.as_str().map(str::to_owned).ok_or(NoResult::NoId { method })
}
