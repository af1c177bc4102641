//! A thread's stream: what its followers are told, each notification with its place.

use std::collections::VecDeque;

use verger_wire::Notification;
use verger_wire::types::ThreadItem;

use super::Record;
use super::follower::Follower;
use super::known::{Known, KnownTurn};
use crate::ids::{Seq, ThreadId};

/// Where a notification stands in its thread's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The last that tells this record.
    Durable(Seq),
    /// A piece of an item that no record tells yet.
    InFlight {
        /// The item's id.
        item: String,
        /// Bytes of its text, or of the part of a thought, before this piece.
        off: usize,
    },
}

/// A notification with its place. One without belongs to no stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The notification.
    pub notification: Notification,
    /// Its place.
    pub place: Option<Place>,
}

/// What those have been told who follow the thread and keep up.
#[derive(Debug)]
pub struct Stream {
    thread: String,
    /// The last record that they need not be told any more.
    seq: Seq,
    /// The last that is durable.
    last: Seq,
    /// Records that are durable and that they have yet to be told.
    untold: VecDeque<(Seq, Tells)>,
    known: Known,
}

/// What tells a record.
#[derive(Debug, PartialEq, Eq)]
enum Tells {
    TurnStarted,
    ItemStarted { id: String, index: usize },
    ItemCompleted { id: String, index: usize },
    TurnCompleted,
    TokensSpent,
}

impl Stream {
    /// That of a thread whose log ends at `head`, and whose turns have all ended.
    pub fn new(thread: ThreadId, head: Seq) -> Self {
        let (thread, untold) = (thread.to_string(), VecDeque::new());
        Self { thread, seq: head, last: head, untold, known: Known::default() }
    }

    /// Records are durable, the first of them under this number. What tells them comes next.
    pub fn appended(&mut self, first: Seq, records: &[Record]) {
        for (seq, record) in (first.0..).map(Seq).zip(records) {
            self.untold.extend(Tells::of(record).map(|tells| (seq, tells)));
            match record {
                Record::CallAsked { index, .. } => self.known.asked(*index, true),
                Record::CallApproved { index, .. } => self.known.asked(*index, false),
                _ => {}
            }
            self.last = seq;
        }
        self.moved(self.seq);
    }

    /// Notes what is being told; its place.
    pub fn tell(&mut self, notification: &Notification) -> Option<Place> {
        match notification {
            Notification::TurnStarted(started) => {
                self.known.turn = Some(KnownTurn::new(started.turn.clone()));
                self.durable(|tells| *tells == Tells::TurnStarted).map(|(place, _)| place)
            }
            Notification::TurnCompleted(_) => {
                self.known.turn = None;
                self.durable(|tells| *tells == Tells::TurnCompleted).map(|(place, _)| place)
            }
            Notification::ItemStarted(started) => {
                let is_it =
                    |tells: &Tells| matches!(tells, Tells::ItemStarted { id, .. } if id == started.item.id());
                let durable = self.durable(is_it);
                let index = durable.as_ref().and_then(|(_, tells)| tells.index());
                self.known.started(&started.item, index);
                let in_flight = || Place::InFlight { item: started.item.id().to_owned(), off: 0 };
                Some(durable.map_or_else(in_flight, |(place, _)| place))
            }
            Notification::ItemCompleted(completed) => {
                let is_it = |tells: &Tells| matches!(tells, Tells::ItemCompleted { id, .. } if id == completed.item.id());
                let durable = self.durable(is_it);
                let index = durable.as_ref().and_then(|(_, tells)| tells.index());
                self.known.completed(&completed.item, index.unwrap_or_default());
                durable.map(|(place, _)| place)
            }
            Notification::ThreadTokenUsageUpdated(_) => {
                self.durable(|tells| *tells == Tells::TokensSpent).map(|(place, _)| place)
            }
            Notification::AgentMessageDelta(delta) => {
                let sizes = self.known.sizes_mut(&delta.item_id)?;
                Some(grow(&mut sizes.text, &delta.item_id, &delta.delta))
            }
            Notification::ReasoningSummaryPartAdded(added) => {
                let part = usize::try_from(added.summary_index).ok()?;
                let sizes = self.known.sizes_mut(&added.item_id)?;
                Some(grow(sizes.summary_mut(part), &added.item_id, ""))
            }
            Notification::ReasoningSummaryTextDelta(delta) => {
                let part = usize::try_from(delta.summary_index).ok()?;
                let sizes = self.known.sizes_mut(&delta.item_id)?;
                Some(grow(sizes.summary_mut(part), &delta.item_id, &delta.delta))
            }
            Notification::ReasoningTextDelta(delta) => {
                let part = usize::try_from(delta.content_index).ok()?;
                let sizes = self.known.sizes_mut(&delta.item_id)?;
                Some(grow(sizes.content_mut(part), &delta.item_id, &delta.delta))
            }
            Notification::Error(error) => {
                if let Some(turn) = self.known.turn.as_mut().filter(|_| !error.will_retry) {
                    turn.has_failed = true;
                }
                None
            }
            _ => None,
        }
    }

    /// One who has heard everything up to now.
    pub fn follower(&self) -> Follower {
        Follower::exact(self.thread.clone(), self.seq, self.known.clone())
    }

    /// The place of what tells the first record that fits, and what told it.
    fn durable(&mut self, fits: impl Fn(&Tells) -> bool) -> Option<(Place, Tells)> {
        let at = self.untold.iter().position(|(_, tells)| fits(tells))?;
        let (seq, tells) = self.untold.remove(at)?;
        self.moved(seq);
        Some((Place::Durable(seq), tells))
    }

    /// Everything up to `seq` was told. Of records that nothing tells nobody has to hear.
    fn moved(&mut self, seq: Seq) {
        self.seq = if self.untold.is_empty() { self.last } else { seq };
    }
}

impl Tells {
    /// Nothing where clients are not told.
    fn of(record: &Record) -> Option<Self> {
        let id = |item: &ThreadItem| item.id().to_owned();
        Some(match record {
            Record::TurnStarted { .. } => Self::TurnStarted,
            Record::ItemStarted { index, item, .. } => Self::ItemStarted { id: id(item), index: *index },
            Record::ItemCompleted { index, item, .. } => Self::ItemCompleted { id: id(item), index: *index },
            Record::TurnCompleted { .. } => Self::TurnCompleted,
            Record::TokensSpent(_) => Self::TokensSpent,
            Record::CallAsked { .. }
            | Record::CallApproved { .. }
            | Record::Reverted { .. }
            | Record::Compacted { .. }
            | Record::Injected { .. }
            | Record::RequestTaken { .. }
            | Record::ThoughtSealed { .. } => return None,
        })
    }

    fn index(&self) -> Option<usize> {
        match self {
            Self::ItemStarted { index, .. } | Self::ItemCompleted { index, .. } => Some(*index),
            _ => None,
        }
    }
}

/// The place of a piece, and the text's size with it.
fn grow(size: &mut usize, item: &str, piece: &str) -> Place {
    let off = *size;
    *size += piece.len();
    Place::InFlight { item: item.to_owned(), off }
}
