//! One who follows a thread and is behind: a cursor in its stream. It is caught up from the log, and then from what the active
//! turn has in flight.

use verger_wire::types::{ThreadItem, Turn, TurnItemsView};
use verger_wire::{ErrorNotification, Notification, ThreadTokenUsageUpdatedNotification, TurnNotification};

use super::heard::{Heard, Lengths, Open, at_first};
use super::record::new_turn;
use super::stream::{Place, Stream, Told};
use super::telling::Telling;
use super::{Record, Spent, UnderWay};
use crate::ids::{Seq, ThreadId};

/// A cursor in a thread's stream. Those who lag go on from what they know ([`Stream::follower`]); of those who come back
/// ([`Self::since`]) only the last durable event is known that they saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Follower {
    thread: String,
    seq: Seq,
    /// What it knows of the turn that is under way at its cursor.
    turn: Option<Heard>,
    /// It ignores what it has: an item's text needs to be told only once, with its end.
    comes_back: bool,
}

impl Follower {
    /// One who comes back, and saw the record `seq` as its last. It needs the records that count from the beginning of the turn
    /// in which that is.
    pub fn since(thread: ThreadId, seq: Seq) -> Self {
        Self { thread: thread.to_string(), seq, turn: None, comes_back: true }
    }

    pub(super) fn lagging(thread: String, seq: Seq, turn: Option<Heard>) -> Self {
        Self { thread, seq, turn, comes_back: false }
    }

    /// The last record that it needs not be told of.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Nothing up to this record is left to be told: what lies between was forgotten.
    pub fn pass(&mut self, seq: Seq) {
        self.seq = self.seq.max(seq);
    }

    /// Takes the next record that counts, in the log's order; what it is told of it. Those up to the cursor tell nothing: they
    /// say what one who comes back knows of its turn.
    pub fn record(&mut self, seq: Seq, record: &Record) -> Vec<Told> {
        let told = if seq > self.seq {
            self.seq = seq;
            self.tell(seq, record)
        } else if self.comes_back {
            Vec::new()
        } else {
            return Vec::new();
        };
        self.note(record);
        told
    }

    /// At the log's end, between two events of the machine: tells what the active turn has in flight, or the end of a turn
    /// that is under way for this one only, since a crash cut it off. From here on it has heard everything.
    pub fn catch_up(&mut self, active: Option<&UnderWay>, stream: &Stream) -> Vec<Told> {
        let told = match (&self.turn, active, stream.turn()) {
            (Some(known), Some(active), Some(told))
                if known.turn.id == active.turn.id && told.turn.id == active.turn.id =>
            {
                self.tell_in_flight(known, active, told)
            }
            _ => self.tell_cut_off(),
        };
        *self = stream.follower();
        told
    }

    /// A log in memory has forgotten everything behind this record, and gives the numbers to others; what it is told of that.
    pub fn forget(&mut self, upto: Seq) -> Vec<Told> {
        if self.seq <= upto {
            return Vec::new();
        }
        let told = self.tell_cut_off();
        (self.seq, self.turn) = (upto, None);
        told
    }

    fn note(&mut self, record: &Record) {
        match record {
            Record::TurnStarted { turn, at } => self.turn = Some(Heard::new(bare(turn, *at), *at)),
            Record::Reverted { .. } => self.turn = None,
            Record::TurnCompleted { turn, .. } => {
                self.turn.take_if(|heard| heard.turn.id == *turn);
            }
            record => {
                let of_turn = |heard: &&mut Heard| record.turn() == Some(heard.turn.id.as_str());
                if let Some(heard) = self.turn.as_mut().filter(of_turn) {
                    heard.note(record);
                }
            }
        }
    }

    fn tell(&self, seq: Seq, record: &Record) -> Vec<Told> {
        let place = Some(Place::Durable(seq));
        let thread_id = self.thread.clone();
        match record {
            Record::TurnStarted { turn, at } => {
                let mut told = self.tell_cut_off();
                let notification =
                    Notification::TurnStarted(TurnNotification { thread_id, turn: bare(turn, *at) });
                told.push(Told { notification, place });
                told
            }
            // One that has not ended for this one will never do so otherwise.
            Record::Reverted { .. } => self.tell_cut_off(),
            Record::TokensSpent(Spent { turn, usage }) => {
                let updated = ThreadTokenUsageUpdatedNotification {
                    thread_id,
                    turn_id: turn.clone(),
                    token_usage: usage.clone(),
                };
                vec![Told { notification: Notification::ThreadTokenUsageUpdated(updated), place }]
            }
            record => {
                let of_turn = |heard: &&Heard| record.turn() == Some(heard.turn.id.as_str());
                self.turn
                    .as_ref()
                    .filter(of_turn)
                    .map_or_else(Vec::new, |heard| self.tell_of_turn(heard, seq, record))
            }
        }
    }

    fn tell_of_turn(&self, heard: &Heard, seq: Seq, record: &Record) -> Vec<Told> {
        let mut telling = Telling::new(&self.thread, &heard.turn.id);
        let place = Some(Place::Durable(seq));
        match record {
            Record::ItemStarted { item, at, .. } => telling.started(item.clone(), *at, place),
            Record::ItemCompleted { index, item, at, .. } => {
                match heard.open.get(index) {
                    Some(Open::Tool(_)) => {}
                    Some(Open::Grows { told, .. }) => telling.rest(item, told),
                    None => self.tell_begun(&mut telling, item, *at),
                }
                telling.completed(item.clone(), *at, place);
            }
            Record::TurnCompleted { status, error, at, .. } => {
                let (thread_id, turn_id) = (self.thread.clone(), heard.turn.id.clone());
                if let Some(error) = error.clone().filter(|_| heard.error.is_none()) {
                    let error =
                        ErrorNotification { error, will_retry: false, thread_id: thread_id.clone(), turn_id };
                    telling.tell(Notification::Error(error), None);
                }
                let turn = heard.ended(*status, error.clone(), *at);
                telling.tell(Notification::TurnCompleted(TurnNotification { thread_id, turn }), place);
            }
            _ => {}
        }
        telling.told
    }

    /// The beginning of an item that nothing keeps until it is complete, and, to one who would miss it, its text so far.
    fn tell_begun(&self, telling: &mut Telling<'_>, item: &ThreadItem, at: i64) {
        let place = Place::InFlight { item: item.id().to_owned(), off: 0 };
        telling.started(at_first(item), at, Some(place));
        if !self.comes_back {
            telling.rest(item, &Lengths::default());
        }
    }

    fn tell_in_flight(&self, known: &Heard, active: &UnderWay, told: &Heard) -> Vec<Told> {
        let mut telling = Telling::new(&self.thread, &active.turn.id);
        for (index, open) in &told.open {
            let (Open::Grows { id, at, .. }, Some(item)) = (open, active.items.get(index)) else { continue };
            if let Some(Open::Grows { told, .. }) = known.open.get(index) {
                telling.rest(item, told);
                continue;
            }
            let place = Place::InFlight { item: id.clone(), off: 0 };
            telling.started(at_first(item), *at, Some(place));
            telling.rest(item, &Lengths::default());
        }
        telling.told
    }

    fn tell_cut_off(&self) -> Vec<Told> {
        let Some(heard) = &self.turn else { return Vec::new() };
        let (calls, turn) = heard.cut_off();
        let mut telling = Telling::new(&self.thread, &heard.turn.id);
        for call in calls {
            telling.completed(call, heard.at, None);
        }
        let thread_id = self.thread.clone();
        telling.tell(Notification::TurnCompleted(TurnNotification { thread_id, turn }), None);
        telling.told
    }
}

/// A turn as it is told when it begins.
fn bare(id: &str, at: i64) -> Turn {
    Turn { items_view: TurnItemsView::NotLoaded, ..new_turn(id.to_owned(), at) }
}
