//! What can happen to one thread: the inputs of [`Thread`](super::Thread).

use std::sync::Arc;

use serde_json::Value;
use verger_wire::types::{McpToolCallResult, TokenUsageBreakdown, TurnError, UserInput};

use super::questions::{Answer, Ask};
use super::{Thought, ThoughtPart};
use crate::ids::{QuestionId, Seq, Ticket, TurnId};

/// One input.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// `turn/start`: begins a turn, or adds to the active one.
    Begin {
        /// The request to answer.
        ticket: Ticket,
        /// The id that the executor chose, should a turn begin.
        turn: TurnId,
        /// What the user says.
        input: Vec<UserInput>,
        /// The client's own name for the message.
        client_id: Option<String>,
        /// The client's own id for the request, by which it may make it twice.
        request: Option<String>,
    },
    /// A `turn/start` was refused before it became a `Begin`; it counts as one that has come.
    NotBegun,
    /// `turn/interrupt`, or the orphan rules.
    Interrupt {
        /// The request to answer, where a client asked.
        ticket: Option<Ticket>,
        /// Which turn; `None` means whichever is active.
        turn: Option<String>,
    },
    /// The model said something.
    Model {
        /// The number of the call that it answers.
        call: u64,
        /// What it said.
        says: Says,
    },
    /// A tool call ended.
    ToolDone {
        /// The item's id.
        item: String,
        /// What came of it; the error is for people and for the model.
        outcome: Result<ToolOutcome, String>,
    },
    /// `thread/compact/start`: begins a turn that sums the conversation up.
    Compact {
        /// The request to answer.
        ticket: Ticket,
        /// The id that the executor chose.
        turn: TurnId,
    },
    /// `thread/revert`: forgets a turn that has ended and everything after it.
    Revert {
        /// The request to answer.
        ticket: Ticket,
        /// The turn.
        turn: String,
        /// The last record before it that counts.
        upto: Seq,
    },
    /// `thread/inject_items`: puts items into the model's history.
    Inject {
        /// The request to answer.
        ticket: Ticket,
        /// Items of the Responses API, which the executor understands.
        items: Vec<Value>,
    },
    /// Someone needs an answer of a client's.
    Asked {
        /// The id that the executor chose.
        question: QuestionId,
        /// What is asked.
        ask: Ask,
    },
    /// A client answered.
    Answered {
        /// Which question.
        question: QuestionId,
        /// With what.
        answer: Answer,
    },
    /// Nobody needs the answer any more: whoever asked is gone.
    Withdrawn {
        /// Which question.
        question: QuestionId,
    },
    /// The store could not keep the records of the last `Append`. Effects behind it were not carried out.
    AppendFailed {
        /// For people: names the cause and the remedy.
        message: String,
    },
}

/// What a model says in the course of one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Says {
    /// A message begins.
    TextStarted {
        /// The model's name for it within the call.
        output: Arc<str>,
    },
    /// More of it.
    TextDelta {
        /// Of which message.
        output: Arc<str>,
        /// What follows.
        delta: String,
    },
    /// It is complete.
    TextDone {
        /// Which message.
        output: Arc<str>,
    },
    /// More of what it thinks.
    ThoughtDelta {
        /// Of which thought.
        output: Arc<str>,
        /// Which part of it.
        part: ThoughtPart,
        /// What follows.
        delta: String,
    },
    /// A thought is complete, whether or not it came in pieces.
    ThoughtDone {
        /// Which.
        output: Arc<str>,
        /// All of it.
        thought: Thought,
    },
    /// It wants a tool called.
    ToolCall {
        /// Which MCP server; empty where the model named none that is known.
        server: String,
        /// Which of its tools.
        tool: String,
        /// With what.
        arguments: Value,
        /// Whether the tool says of itself that it changes nothing.
        read_only: Option<bool>,
    },
    /// It wants a tool called that a client provides.
    ClientToolCall {
        /// The tool's family.
        namespace: Option<String>,
        /// The tool.
        tool: String,
        /// With what.
        arguments: Value,
    },
    /// The call failed and is tried again.
    Retrying {
        /// Why.
        error: TurnError,
    },
    /// What its answer cost.
    Spent {
        /// In tokens.
        used: TokenUsageBreakdown,
        /// How many tokens the model can hold, where that is known.
        window: Option<i64>,
    },
    /// The call is complete.
    Completed,
    /// The call failed for good.
    Failed {
        /// Why.
        error: TurnError,
    },
}

/// A tool's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolOutcome {
    /// What it returned.
    pub result: McpToolCallResult,
    /// The tool itself says that it failed.
    pub is_error: bool,
}
