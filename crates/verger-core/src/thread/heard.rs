//! What has been told of the turn that is under way: which items it has, and how much of those that still grow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use verger_wire::types::{AgentMessageItem, ReasoningItem, ThreadItem, Turn, TurnError, TurnStatus};

use super::Record;
use super::record::{complete, cut_off, outcome};

/// A turn that was told to have begun, and not to have ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    /// Without its items.
    pub(super) turn: Turn,
    /// How many items it has.
    pub(super) items: usize,
    /// Those of them that were told to have begun and not to be complete, by their place.
    pub(super) open: BTreeMap<usize, Open>,
    /// Places of calls that wait for an approval.
    asked: BTreeSet<usize>,
    /// The last of its messages that are complete, and its place.
    message: Option<(usize, Arc<ThreadItem>)>,
    /// Why it fails, if that was told.
    pub(super) error: Option<TurnError>,
    /// The last time that was told of it.
    pub(super) at: i64,
}

/// An item that is not complete.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Open {
    /// Its beginning is kept nowhere.
    Grows {
        /// Its id.
        id: String,
        /// When it began.
        at: i64,
        /// How much of it was told.
        told: Lengths,
    },
    /// A tool call, as it began.
    Tool(Arc<ThreadItem>),
}

/// How many bytes there are of each text of an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lengths {
    pub(super) message: usize,
    pub(super) summary: Vec<usize>,
    pub(super) content: Vec<usize>,
}

impl Heard {
    pub(super) fn new(turn: Turn, at: i64) -> Self {
        Self { turn, items: 0, open: BTreeMap::new(), asked: BTreeSet::new(), message: None, error: None, at }
    }

    /// Takes a record of this turn; those of its beginning and its end are not for here.
    pub(super) fn note(&mut self, record: &Record) {
        match record {
            Record::ItemStarted { index, item, at, .. } => {
                self.begin(*index, Open::Tool(Arc::new(item.clone())), *at);
            }
            Record::ItemCompleted { index, item, at, .. } => self.complete(*index, item, *at),
            Record::CallAsked { index, at, .. } => {
                self.asked.insert(*index);
                self.at = *at;
            }
            Record::CallApproved { index, at, .. } => {
                self.asked.remove(index);
                self.at = *at;
            }
            _ => {}
        }
    }

    /// An item begins.
    pub(super) fn begin(&mut self, index: usize, item: Open, at: i64) {
        self.items = self.items.max(index + 1);
        self.open.insert(index, item);
        self.at = at;
    }

    /// An item is complete.
    pub(super) fn complete(&mut self, index: usize, item: &ThreadItem, at: i64) {
        self.items = self.items.max(index + 1);
        self.open.remove(&index);
        self.at = at;
        if matches!(item, ThreadItem::AgentMessage(_))
            && self.message.as_ref().is_none_or(|(i, _)| *i < index)
        {
            self.message = Some((index, Arc::new(item.clone())));
        }
    }

    /// The texts of an item that grows.
    pub(super) fn grows(&mut self, item: &str) -> Option<&mut Lengths> {
        self.open.values_mut().find_map(|open| match open {
            Open::Grows { id, told, .. } if id == item => Some(told),
            _ => None,
        })
    }

    /// The turn as it is told to have ended.
    pub(super) fn ended(&self, status: TurnStatus, error: Option<TurnError>, at: i64) -> Turn {
        let mut turn = self.turn.clone();
        complete(&mut turn, status, error, at);
        outcome(turn, self.message.as_ref().map(|(_, message)| &**message))
    }

    /// The turn as it is told when nobody knows how it ended, and before it the tool calls that it leaves.
    pub(super) fn cut_off(&self) -> (Vec<ThreadItem>, Turn) {
        let calls = self.open.iter().filter_map(|(index, open)| match open {
            Open::Tool(call) => {
                let mut call = ThreadItem::clone(call);
                cut_off(&mut call, self.asked.contains(index));
                Some(call)
            }
            _ => None,
        });
        let status = if self.error.is_some() { TurnStatus::Failed } else { TurnStatus::Interrupted };
        (calls.collect(), Turn { status, error: self.error.clone(), ..self.turn.clone() })
    }
}

impl Lengths {
    pub(super) fn of(item: &ThreadItem) -> Self {
        let lengths = |texts: &[String]| texts.iter().map(String::len).collect();
        match item {
            ThreadItem::AgentMessage(item) => Self { message: item.text.len(), ..Self::default() },
            ThreadItem::Reasoning(item) => {
                Self { message: 0, summary: lengths(&item.summary), content: lengths(&item.content) }
            }
            _ => Self::default(),
        }
    }
}

/// The item as it was told when it began.
pub(super) fn at_first(item: &ThreadItem) -> ThreadItem {
    match item {
        ThreadItem::AgentMessage(item) => {
            ThreadItem::AgentMessage(AgentMessageItem { id: item.id.clone(), ..AgentMessageItem::default() })
        }
        ThreadItem::Reasoning(item) => {
            ThreadItem::Reasoning(ReasoningItem { id: item.id.clone(), ..ReasoningItem::default() })
        }
        item => item.clone(),
    }
}
