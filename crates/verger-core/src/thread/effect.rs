//! What the executor must do: the outputs of [`Thread`](super::Thread).

use serde_json::Value;
use verger_wire::types::{ThreadStatus, Turn};
use verger_wire::{Notification, RpcError, ServerRequest};

use super::Record;
use super::questions::Outcome;
use crate::ids::{QuestionId, Ticket};

/// One output. Effects are carried out in the order in which they are polled, each before the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make the records durable. What follows is carried out only after that (K7); where it fails, tell the machine
    /// by `AppendFailed` before anything else is polled.
    Append(Vec<Record>),
    /// Tell the thread's subscribers.
    Notify(Notification),
    /// Tell every connection.
    Announce(Notification),
    /// Tell every connection what the thread is doing.
    Status(ThreadStatus),
    /// Answer a request with success.
    Reply {
        /// The request.
        ticket: Ticket,
        /// With what.
        reply: Reply,
    },
    /// Answer a request with this turn as it is now: it took the same request before, and is not active any more.
    Recall {
        /// The request.
        ticket: Ticket,
        /// The turn's id.
        turn: String,
    },
    /// Answer a request with an error.
    Refuse {
        /// The request.
        ticket: Ticket,
        /// Which.
        error: RpcError,
    },
    /// Call the model with the conversation so far.
    CallModel {
        /// The number of the call.
        call: u64,
    },
    /// Call the model to sum up the conversation so far.
    SumUp {
        /// The number of the call.
        call: u64,
        /// How many records at the log's end it is not to cover.
        behind: u32,
    },
    /// Close the model's stream.
    CancelModel,
    /// Call a tool.
    CallTool {
        /// The item's id.
        item: String,
        /// Which MCP server.
        server: String,
        /// Which of its tools.
        tool: String,
        /// With what.
        arguments: Value,
    },
    /// Have a client run a tool of its own: ask by `Asked`.
    CallClientTool {
        /// The item's id.
        item: String,
    },
    /// Ask every subscriber, and everyone who subscribes until it is settled.
    Ask {
        /// Under which id.
        question: QuestionId,
        /// What.
        request: Box<ServerRequest>,
    },
    /// The question has ended: tell whoever asked. The subscribers are told by a notification.
    Settle {
        /// Which question.
        question: QuestionId,
        /// How.
        outcome: Outcome,
    },
    /// Tell the machine between threads whether the active turn waits for a client's answer.
    Waits {
        /// Whether it does.
        waits: bool,
    },
    /// Give up the tool calls that still run.
    CancelTools,
    /// Tell the machine between threads that no turn is active.
    Idle {
        /// How many `Begin` had come by then.
        seen: u64,
    },
}

/// A request's success.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `turn/start`.
    Turn(Box<Turn>),
    /// `turn/interrupt`: the turn has ended.
    Interrupted,
    /// `thread/revert`: with the thread as it is now.
    Reverted,
    /// What has nothing to say but that it is done.
    Done,
}
