//! What is kept of a thread: one durable record per change, and the turns that a log of them tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use verger_wire::types::{
    McpToolCallError, McpToolCallStatus, ThreadItem, Turn, TurnError, TurnItemsView, TurnStatus,
};

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
}

/// What a tool call is told that never had an answer.
pub const OUTCOME_UNKNOWN: &str =
    "the call was cut off before its result came: outcome unknown, not sent again";

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("record of kind {kind} is not readable: {cause}")]
pub struct RecordError {
    kind: u8,
    cause: serde_json::Error,
}

impl Record {
    /// The number under which the store keeps records of this kind.
    pub fn kind(&self) -> u8 {
        match self {
            Self::TurnStarted { .. } => 1,
            Self::ItemStarted { .. } => 2,
            Self::ItemCompleted { .. } => 3,
            Self::TurnCompleted { .. } => 4,
        }
    }

    /// JSON, as the store keeps it.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is plain data with string keys, which always encodes")
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(kind: u8, body: &[u8]) -> Result<Self, RecordError> {
        serde_json::from_slice(body).map_err(|cause| RecordError { kind, cause })
    }
}

/// The turns that a log tells. The turn `active` is still under way; any other without an end was cut off by a crash,
/// and is told as interrupted, its open tool calls as failed with [`OUTCOME_UNKNOWN`].
pub fn turns(records: impl IntoIterator<Item = Record>, active: Option<&str>) -> Vec<Turn> {
    let mut turns: Vec<(Turn, BTreeMap<usize, ThreadItem>)> = Vec::new();
    for record in records {
        match record {
            Record::TurnStarted { turn, at } => turns.push((new_turn(turn, at), BTreeMap::new())),
            Record::ItemStarted { turn, index, item, .. }
            | Record::ItemCompleted { turn, index, item, .. } => {
                if let Some((_, items)) = turns.iter_mut().rfind(|(t, _)| t.id == turn) {
                    items.insert(index, item);
                }
            }
            Record::TurnCompleted { turn, status, error, at } => {
                if let Some((turn, _)) = turns.iter_mut().rfind(|(t, _)| t.id == turn) {
                    complete(turn, status, error, at);
                }
            }
        }
    }
    let whole = |(mut turn, items): (Turn, BTreeMap<usize, ThreadItem>)| {
        turn.items = items.into_values().collect();
        if turn.status == TurnStatus::InProgress && active != Some(turn.id.as_str()) {
            turn.status = TurnStatus::Interrupted;
            turn.items.iter_mut().for_each(cut_off);
        }
        turn
    };
    turns.into_iter().map(whole).collect()
}

pub(super) fn new_turn(id: String, at: i64) -> Turn {
    Turn {
        id,
        root_turn_id: None,
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

/// Marks a tool call that never had an answer.
pub(super) fn cut_off(item: &mut ThreadItem) {
    if let ThreadItem::McpToolCall(call) = item
        && call.status == McpToolCallStatus::InProgress
    {
        call.status = McpToolCallStatus::Failed;
        call.error = Some(McpToolCallError { message: OUTCOME_UNKNOWN.into() });
    }
}
