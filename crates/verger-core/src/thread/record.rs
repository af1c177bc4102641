//! What is kept of a thread: one durable record per change.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use verger_wire::types::{
    McpToolCallError, McpToolCallStatus, ThreadItem, Turn, TurnError, TurnItemsView, TurnStatus,
};

use super::client_tools::output;
use super::{Seal, Spent};
use crate::ids::Seq;

/// One durable change of a thread. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Record {
    /// A turn began.
    TurnStarted {
        /// Its id.
        turn: String,
        /// When.
        at: i64,
    },
    /// An item began whose effect outside cannot be taken back (a tool call): kept before the effect may happen, so
    /// that a crash leaves "outcome unknown" instead of nothing.
    ItemStarted {
        /// The turn's id.
        turn: String,
        /// The item's place in the turn, from 0: items are told in the order of their beginning, and kept in the order
        /// of their end.
        index: usize,
        /// As it was then.
        item: ThreadItem,
        /// When.
        at: i64,
    },
    /// Before a tool call is sent, a client is asked whether it may be: until then it has had no effect.
    CallAsked {
        /// The turn's id.
        turn: String,
        /// The item's place in the turn, from 0.
        index: usize,
        /// When.
        at: i64,
    },
    /// The client said yes: from here on the call may have had its effect.
    CallApproved {
        /// The turn's id.
        turn: String,
        /// The item's place in the turn, from 0.
        index: usize,
        /// When.
        at: i64,
    },
    /// An item is complete and changes no more.
    ItemCompleted {
        /// The turn's id.
        turn: String,
        /// The item's place in the turn, from 0.
        index: usize,
        /// As it is.
        item: ThreadItem,
        /// When.
        at: i64,
    },
    /// A turn ended.
    TurnCompleted {
        /// Its id.
        turn: String,
        /// How: never `inProgress`.
        status: TurnStatus,
        /// Why, where it failed.
        error: Option<TurnError>,
        /// When.
        at: i64,
    },
    /// Turns are forgotten, and everything else that came with and after them.
    Reverted {
        /// The first of them.
        turn: String,
        /// The last record that still counts.
        upto: Seq,
        /// When.
        at: i64,
    },
    /// The conversation was summed up: from here on the model is told the summary in its place. Clients see all of it as
    /// before.
    Compacted {
        /// The turn in which that happened.
        turn: String,
        /// How many of the records right before this one the summary does not cover.
        behind: u32,
        /// In the model's words.
        summary: String,
        /// When.
        at: i64,
    },
    /// A client put something into the model's history. It is no item.
    Injected {
        /// The turn that ran then.
        turn: Option<String>,
        /// How many items that turn had.
        index: usize,
        /// Items of the Responses API.
        items: Vec<Value>,
        /// When.
        at: i64,
    },
    /// An answer of the model cost something.
    TokensSpent(Spent),
    /// The model's provider sealed a thought of it.
    ThoughtSealed {
        /// The turn's id.
        turn: String,
        /// The item's id: what of the thought may be shown.
        item: String,
        /// All of it.
        seal: Seal,
    },
    /// A turn took a request that its client may make again.
    RequestTaken {
        /// The turn's id.
        turn: String,
        /// The client's own id for the request.
        request: String,
        /// The thread's id: a fork begins with records of another thread, whose requests it has not taken.
        thread: String,
    },
}

/// What a tool call is told that never had an answer.
pub const OUTCOME_UNKNOWN: &str =
    "the call was cut off before its result came: outcome unknown, not sent again";

/// What a tool call is told that nobody had approved yet when its turn ended.
pub const NOT_SENT: &str = "cancelled before anyone approved it: the call was not sent";

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("record of kind {kind} is not readable: {cause}")]
pub struct RecordError {
    kind: u8,
    cause: serde_json::Error,
}

impl Record {
    /// The kind of [`Self::TurnStarted`]: each turn has one, and its records lie between it and the next.
    pub const TURN_STARTED: u8 = 1;
    /// The kind of [`Self::TokensSpent`]: the last one says what there is to say.
    pub const TOKENS_SPENT: u8 = 20;
    /// The kind of [`Self::RequestTaken`].
    pub const REQUEST_TAKEN: u8 = 21;

    /// The kind of [`Self::Reverted`]. It and those after it are landmarks of the store.
    pub const REVERTED: u8 = 16;
    /// The kind of [`Self::Compacted`].
    pub const COMPACTED: u8 = 17;
    /// The kind of [`Self::Injected`].
    pub const INJECTED: u8 = 18;

    /// The number under which the store keeps records of this kind.
    pub fn kind(&self) -> u8 {
        match self {
            Self::TurnStarted { .. } => Self::TURN_STARTED,
            Self::ItemStarted { .. } => 2,
            Self::ItemCompleted { .. } => 3,
            Self::TurnCompleted { .. } => 4,
            Self::Reverted { .. } => Self::REVERTED,
            Self::Compacted { .. } => Self::COMPACTED,
            Self::Injected { .. } => Self::INJECTED,
            Self::CallAsked { .. } => 5,
            Self::CallApproved { .. } => 6,
            Self::TokensSpent(_) => Self::TOKENS_SPENT,
            Self::RequestTaken { .. } => Self::REQUEST_TAKEN,
            Self::ThoughtSealed { .. } => 22,
        }
    }

    /// The turn's id, where the record is about one.
    pub fn turn(&self) -> Option<&str> {
        match self {
            Self::TurnStarted { turn, .. }
            | Self::ItemStarted { turn, .. }
            | Self::CallAsked { turn, .. }
            | Self::CallApproved { turn, .. }
            | Self::ItemCompleted { turn, .. }
            | Self::TurnCompleted { turn, .. }
            | Self::Reverted { turn, .. }
            | Self::Compacted { turn, .. }
            | Self::TokensSpent(Spent { turn, .. })
            | Self::RequestTaken { turn, .. }
            | Self::ThoughtSealed { turn, .. } => Some(turn),
            Self::Injected { turn, .. } => turn.as_deref(),
        }
    }

    /// JSON, as the store keeps it.
    pub fn encode(&self) -> Vec<u8> {
        let mut body =
            serde_json::to_vec(self).expect("a record is plain data with string keys, which always encodes");
        // It waits for its commit beside others, and a buffer that doubles is up to half empty.
        body.shrink_to_fit();
        body
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(kind: u8, body: &[u8]) -> Result<Self, RecordError> {
        serde_json::from_slice(body).map_err(|cause| RecordError { kind, cause })
    }
}

pub(super) fn new_turn(id: String, at: i64) -> Turn {
    Turn {
        // No turn of ours was caused by another one.
        root_turn_id: Some(id.clone()),
        id,
        items: Vec::new(),
        items_view: TurnItemsView::Full,
        status: TurnStatus::InProgress,
        error: None,
        started_at: Some(at.div_euclid(1000)),
        completed_at: None,
        duration_ms: None,
    }
}

pub(super) fn complete(turn: &mut Turn, status: TurnStatus, error: Option<TurnError>, at: i64) {
    turn.status = status;
    turn.error = error;
    turn.completed_at = Some(at.div_euclid(1000));
    // Seconds are all that the turn keeps of its start; the log knows better, but no client needs it.
    turn.duration_ms = turn.started_at.map(|started| (at - started * 1000).max(0));
}

/// A turn without its items as `turn/completed` shows it: with what came out of it. All else has been told item by item.
pub(super) fn outcome(turn: Turn, last_message: Option<&ThreadItem>) -> Turn {
    match last_message.filter(|_| turn.status == TurnStatus::Completed) {
        Some(last) => Turn { items: vec![last.clone()], items_view: TurnItemsView::Summary, ..turn },
        None => turn,
    }
}

/// Marks a tool call that never had an answer; `is_asked` says that it was not sent either.
pub(super) fn cut_off(item: &mut ThreadItem, is_asked: bool) {
    match item {
        ThreadItem::McpToolCall(call) if call.status == McpToolCallStatus::InProgress => {
            call.status = McpToolCallStatus::Failed;
            let message = if is_asked { NOT_SENT } else { OUTCOME_UNKNOWN };
            call.error = Some(McpToolCallError { message: message.into() });
        }
        ThreadItem::DynamicToolCall(call) if call.status == McpToolCallStatus::InProgress => {
            call.status = McpToolCallStatus::Failed;
            (call.content_items, call.success) = (Some(output(OUTCOME_UNKNOWN)), Some(false));
        }
        _ => {}
    }
}
