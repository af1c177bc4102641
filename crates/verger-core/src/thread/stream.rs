//! A thread's stream: where in it each notification stands that its followers are told. What a record keeps has the record's
//! number, what is in flight has its item and how far that had come.

use std::collections::VecDeque;

use verger_wire::types::ThreadItem;
use verger_wire::{ErrorNotification, ItemStartedNotification, Notification};

use super::follower::Follower;
use super::heard::{Heard, Lengths, Open};
use super::{Record, Spent};
use crate::ids::{Seq, ThreadId};

/// Where a notification stands in its thread's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// It tells what this record keeps. No other notification does.
    Durable(Seq),
    /// It tells what nothing keeps until its item is complete.
    InFlight {
        /// The item's id.
        item: String,
        /// How many bytes of the text that it continues were told before; of a thought, of that part.
        off: usize,
    },
}

/// A notification with its place. One without belongs to no stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What is told.
    pub notification: Notification,
    /// Where it stands.
    pub place: Option<Place>,
}

/// What those who follow a thread have been told. [`Self::appended`] and [`Self::tell`] are called in the order of the
/// machine's effects, whether or not anybody listens.
#[derive(Debug)]
pub struct Stream {
    thread: String,
    head: Seq,
    /// The active turn, as far as it was told.
    turn: Option<Heard>,
    /// Records that will be told next, oldest first.
    due: VecDeque<Due>,
}

/// A record that has yet to be told.
#[derive(Debug)]
struct Due {
    seq: Seq,
    event: Event,
}

#[derive(Debug)]
enum Event {
    TurnStarted(String),
    ItemStarted(usize, String),
    ItemCompleted(usize, String),
    TurnCompleted(String),
    Spent,
}

impl Stream {
    /// That of a thread whose log goes up to `head`: nobody is told what is in there.
    pub fn new(thread: ThreadId, head: Seq) -> Self {
        Self { thread: thread.to_string(), head, turn: None, due: VecDeque::new() }
    }

    /// These records are durable now, the first of them under this number. What is to be told of them is told next.
    pub fn appended(&mut self, first: Seq, records: &[Record]) {
        for (seq, record) in (first.0..).map(Seq).zip(records) {
            self.head = seq;
            self.due.extend(Event::of(record).map(|event| Due { seq, event }));
            if let (Record::CallAsked { .. } | Record::CallApproved { .. }, Some(heard)) =
                (record, &mut self.turn)
            {
                heard.note(record);
            }
        }
    }

    /// The log ends here again: one in memory does not keep what a revert forgets, and gives its numbers to what comes. Every
    /// follower needs to be told by [`Follower::forget`].
    pub fn forget(&mut self, head: Seq) {
        self.head = head;
        self.turn = None;
        self.due.clear();
    }

    /// Everyone is told this now. Its place; nothing where it belongs to no stream.
    pub fn tell(&mut self, notification: &Notification) -> Option<Place> {
        match notification {
            Notification::TurnStarted(n) => {
                let due = self.due(|event| matches!(event, Event::TurnStarted(id) if *id == n.turn.id))?;
                let at = n.turn.started_at.unwrap_or_default().saturating_mul(1000);
                self.turn = Some(Heard::new(n.turn.clone(), at));
                Some(Place::Durable(due.seq))
            }
            Notification::ItemStarted(n) => self.tell_started(n),
            Notification::AgentMessageDelta(n) => {
                let told = &mut self.grows(&n.turn_id, &n.item_id)?.message;
                Some(grow(told, &n.item_id, &n.delta))
            }
            Notification::ReasoningSummaryPartAdded(n) => {
                let parts = &mut self.grows(&n.turn_id, &n.item_id)?.summary;
                let told = part(parts, n.summary_index)?;
                Some(grow(told, &n.item_id, ""))
            }
            Notification::ReasoningSummaryTextDelta(n) => {
                let parts = &mut self.grows(&n.turn_id, &n.item_id)?.summary;
                let told = part(parts, n.summary_index)?;
                Some(grow(told, &n.item_id, &n.delta))
            }
            Notification::ReasoningTextDelta(n) => {
                let parts = &mut self.grows(&n.turn_id, &n.item_id)?.content;
                let told = part(parts, n.content_index)?;
                Some(grow(told, &n.item_id, &n.delta))
            }
            Notification::ItemCompleted(n) => {
                let fits = |event: &Event| matches!(event, Event::ItemCompleted(_, id) if id == n.item.id());
                let due = self.due(fits)?;
                if let (Event::ItemCompleted(index, _), Some(heard)) = (due.event, self.heard(&n.turn_id)) {
                    heard.complete(index, &n.item, n.completed_at_ms);
                }
                Some(Place::Durable(due.seq))
            }
            Notification::TurnCompleted(n) => {
                // What could not be kept has ended all the same.
                self.turn.take_if(|heard| heard.turn.id == n.turn.id);
                let due = self.due(|event| matches!(event, Event::TurnCompleted(id) if *id == n.turn.id))?;
                Some(Place::Durable(due.seq))
            }
            Notification::ThreadTokenUsageUpdated(_) => {
                let due = self.due(|event| matches!(event, Event::Spent))?;
                Some(Place::Durable(due.seq))
            }
            Notification::Error(ErrorNotification { will_retry: false, turn_id, error, .. }) => {
                self.heard(turn_id)?.error = Some(error.clone());
                None
            }
            _ => None,
        }
    }

    fn tell_started(&mut self, n: &ItemStartedNotification) -> Option<Place> {
        let (id, at) = (n.item.id(), n.started_at_ms);
        if let ThreadItem::McpToolCall(_) | ThreadItem::DynamicToolCall(_) = n.item {
            let due = self.due(|event| matches!(event, Event::ItemStarted(_, of) if of == id))?;
            if let (Event::ItemStarted(index, _), Some(heard)) = (due.event, self.heard(&n.turn_id)) {
                heard.begin(index, Open::Tool(n.item.clone().into()), at);
            }
            return Some(Place::Durable(due.seq));
        }
        let heard = self.heard(&n.turn_id)?;
        let item = Open::Grows { id: id.to_owned(), at, told: Lengths::of(&n.item) };
        heard.begin(heard.items, item, at);
        Some(Place::InFlight { item: id.to_owned(), off: 0 })
    }

    /// One who has heard everything up to now, and lags from here on.
    pub fn follower(&self) -> Follower {
        let seq = self.due.front().map_or(self.head, |due| Seq(due.seq.0.saturating_sub(1)));
        Follower::lagging(self.thread.clone(), seq, self.turn.clone())
    }

    /// The active turn, as far as it was told.
    pub(super) fn turn(&self) -> Option<&Heard> {
        self.turn.as_ref()
    }

    /// Takes the record that is told, and those before it: nobody was told of them.
    fn due(&mut self, is_told: impl Fn(&Event) -> bool) -> Option<Due> {
        let found = self.due.iter().position(|due| is_told(&due.event))?;
        self.due.drain(..found);
        self.due.pop_front()
    }

    fn heard(&mut self, turn: &str) -> Option<&mut Heard> {
        self.turn.as_mut().filter(|heard| heard.turn.id == turn)
    }

    fn grows(&mut self, turn: &str, item: &str) -> Option<&mut Lengths> {
        self.heard(turn)?.grows(item)
    }
}

impl Event {
    /// What clients are told of a record, if that is anything.
    fn of(record: &Record) -> Option<Self> {
        match record {
            Record::TurnStarted { turn, .. } => Some(Self::TurnStarted(turn.clone())),
            Record::ItemStarted { index, item, .. } => Some(Self::ItemStarted(*index, item.id().to_owned())),
            Record::ItemCompleted { index, item, .. } => {
                Some(Self::ItemCompleted(*index, item.id().to_owned()))
            }
            Record::TurnCompleted { turn, .. } => Some(Self::TurnCompleted(turn.clone())),
            Record::TokensSpent(Spent { .. }) => Some(Self::Spent),
            Record::CallAsked { .. }
            | Record::CallApproved { .. }
            | Record::Reverted { .. }
            | Record::Compacted { .. }
            | Record::Injected { .. }
            | Record::ThoughtSealed { .. }
            | Record::RequestTaken { .. } => None,
        }
    }
}

fn grow(told: &mut usize, item: &str, delta: &str) -> Place {
    let off = *told;
    *told += delta.len();
    Place::InFlight { item: item.to_owned(), off }
}

/// The part with this number; the next one is new.
fn part(parts: &mut Vec<usize>, number: i64) -> Option<&mut usize> {
    let number = usize::try_from(number).ok()?;
    if number == parts.len() {
        parts.push(0);
    }
    parts.get_mut(number)
}
