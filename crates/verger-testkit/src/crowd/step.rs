//! What one member can do, and what came of it.

use serde_json::{Value, json};

use super::member::{Entry, Member};
use super::position::Cursor;
use crate::client::NoResult;

/// One step of one member.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Follows a thread: from a place in its log on, or from a snapshot.
    Resume { thread: String, since: Option<Cursor> },
    /// Begins a turn, or joins the one that runs.
    Say { thread: String, text: String },
    /// Adds to the running turn.
    Steer { thread: String, turn: String, text: String },
    /// Ends the running turn.
    Interrupt { thread: String, turn: String },
    /// Stops following.
    Unsubscribe { thread: String },
    /// Answers a question of the server's: the whole message but its id.
    Answer { question: u64, says: Value },
    /// Drops the connection.
    Leave,
    /// Connects again, and follows these.
    Come { threads: Vec<(String, Option<Cursor>)> },
    /// Stops reading.
    Stall,
    /// Reads on.
    ReadOn,
    /// Looks at a thread.
    Read { thread: String },
    /// Calls a tool outside of any turn.
    Call { thread: String, tool: &'static str, text: String },
    /// Has a thread forget this turn and what came after it.
    Revert { thread: String, before: String },
}

impl Step {
    /// Its kind, for counting.
    #[must_use]
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Resume { since: None, .. } => "resume",
            Self::Resume { since: Some(_), .. } => "resume since",
            Self::Say { .. } => "turn",
            Self::Steer { .. } => "steer",
            Self::Interrupt { .. } => "interrupt",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Answer { .. } => "answer",
            Self::Leave => "drop",
            Self::Come { .. } => "reconnect",
            Self::Stall => "stall",
            Self::ReadOn => "read on",
            Self::Read { .. } => "read",
            Self::Call { .. } => "call",
            Self::Revert { .. } => "revert",
        }
    }
}

/// Where the server is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) url: String,
    /// Counts its processes.
    pub(super) life: u64,
}

impl Member {
    /// Does it, and waits for the answer.
    ///
    /// # Errors
    ///
    /// The server's refusal, the end of the connection, or no answer in time.
    pub(super) async fn perform(&mut self, step: Step, place: &Place) -> Result<(), NoResult> {
        match step {
            Step::Resume { thread, since } => self.follow(&thread, since).await,
            Step::Say { thread, text } => {
                let params = json!({ "threadId": thread, "input": input(&text) });
                self.ask("turn/start", params, Entry::Turn(thread)).await.map(drop)
            }
            Step::Steer { thread, turn, text } => {
                let params = json!({ "threadId": thread, "input": input(&text), "expectedTurnId": turn });
                self.ask("turn/steer", params, Entry::Nothing).await.map(drop)
            }
            Step::Interrupt { thread, turn } => {
                let params = json!({ "threadId": thread, "turnId": turn });
                self.ask("turn/interrupt", params, Entry::Nothing).await.map(drop)
            }
            Step::Unsubscribe { thread } => self.unfollow(&thread).await,
            Step::Answer { question, says } => self.reply(question, says).await,
            Step::Leave => {
                self.leave().await;
                Ok(())
            }
            Step::Come { threads } => {
                self.come(&place.url, place.life).await?;
                for (thread, since) in threads {
                    self.follow(&thread, since).await?;
                }
                Ok(())
            }
            Step::Stall => {
                self.stall();
                Ok(())
            }
            Step::ReadOn => {
                self.read_on();
                Ok(())
            }
            Step::Read { thread } => self.kept(&thread).await.map(drop),
            Step::Call { thread, tool, text } => {
                let arguments = json!({ "text": text });
                let params =
                    json!({ "threadId": thread, "server": "helper", "tool": tool, "arguments": arguments });
                self.ask("mcpServer/tool/call", params, Entry::Nothing).await.map(drop)
            }
            Step::Revert { thread, before } => {
                let params = json!({ "threadId": thread, "beforeTurnId": before });
                self.ask("thread/revert", params, Entry::Nothing).await.map(drop)
            }
        }
    }

    /// A new thread, which it follows from its birth.
    pub(super) async fn begin(
        &mut self,
        folder: &std::path::Path,
        approvals: &str,
    ) -> Result<String, NoResult> {
        let params = json!({ "cwd": folder, "approvalPolicy": approvals });
        let started = self.ask("thread/start", params, Entry::Follows(None)).await?;
        id_of("thread/start", &started)
    }

    /// A fork of all of `thread`, which it follows from its birth.
    pub(super) async fn fork(&mut self, thread: &str) -> Result<String, NoResult> {
        let forked = self.ask("thread/fork", json!({ "threadId": thread }), Entry::Follows(None)).await?;
        id_of("thread/fork", &forked)
    }

    pub(super) async fn follow(&mut self, thread: &str, since: Option<Cursor>) -> Result<(), NoResult> {
        let mut params = json!({ "threadId": thread });
        if let Some(cursor) = &since {
            params["since"] = cursor.since();
        }
        self.ask("thread/resume", params, Entry::Follows(since)).await.map(drop)
    }

    pub(super) async fn unfollow(&mut self, thread: &str) -> Result<(), NoResult> {
        let entry = Entry::Leaves(thread.to_owned());
        self.ask("thread/unsubscribe", json!({ "threadId": thread }), entry).await.map(drop)
    }

    pub(super) async fn reply(&mut self, question: u64, mut says: Value) -> Result<(), NoResult> {
        says["id"] = question.into();
        self.send(&says).await
    }

    /// The turns as the server keeps them.
    pub(super) async fn kept(&mut self, thread: &str) -> Result<Value, NoResult> {
        let params = json!({ "threadId": thread, "includeTurns": true });
        Ok(self.ask("thread/read", params, Entry::Nothing).await?["thread"]["turns"].take())
    }
}

fn id_of(method: &'static str, answer: &Value) -> Result<String, NoResult> {
    answer["thread"]["id"].as_str().map(str::to_owned).ok_or(NoResult::NoId { method })
}

fn input(says: &str) -> Value {
    json!([{ "type": "text", "text": says, "text_elements": [] }])
}
