//! One who is to be told what it has missed of a thread: a cursor that the log's records and the turn under way move on.

use verger_wire::types::{ThreadItem, Turn, TurnItemsView, TurnStatus};
use verger_wire::{
    DeltaNotification, ErrorNotification, ItemCompletedNotification, ItemStartedNotification, Notification,
    ReasoningSummaryPartAddedNotification, ReasoningSummaryTextDeltaNotification,
    ReasoningTextDeltaNotification, ThreadTokenUsageUpdatedNotification, TurnNotification,
};

use super::known::{Known, KnownItem, KnownTurn, Sizes, without_texts};
use super::record::{complete, cut_off, new_turn};
use super::stream::{Place, Told};
use super::{Record, UnderWay};
use crate::ids::{Seq, ThreadId};

/// A cursor in a thread's stream.
///
/// Feed it the records after it in the log's order with [`Self::record`], and at the log's head call [`Self::catch_up`]: what
/// they return is what a prompt client was told meanwhile.
#[derive(Clone, Debug)]
pub struct Follower {
    thread: String,
    seq: Seq,
    known: Known,
    /// It has heard all that was in flight at its cursor, and knows nothing of replay: it must hear each start once, and
    /// texts that continue. Another ignores what it has, and is spared the texts of what is complete.
    is_exact: bool,
}

impl Follower {
    /// One who comes back and names the last durable event that it saw. Feed it the records from the start of the turn that
    /// the cursor is in: those up to the cursor tell nothing.
    pub fn since(thread: ThreadId, seq: Seq) -> Self {
        Self { thread: thread.to_string(), seq, known: Known::default(), is_exact: false }
    }

    /// One who has heard everything so far.
    pub(super) fn exact(thread: String, seq: Seq, known: Known) -> Self {
        Self { thread, seq, known, is_exact: true }
    }

    /// The last record that it need not be told of.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Nothing up to `seq` is left to be told: what lies between counts no more.
    pub fn pass(&mut self, seq: Seq) {
        self.seq = self.seq.max(seq);
    }

    /// Takes the next record that counts; what it tells.
    pub fn record(&mut self, seq: Seq, record: &Record) -> Vec<Told> {
        let mut told = Vec::new();
        self.take(seq, record, &mut told);
        if seq <= self.seq {
            return Vec::new();
        }
        self.seq = seq;
        told
    }

    fn take(&mut self, seq: Seq, record: &Record, told: &mut Vec<Told>) {
        let durable = Some(Place::Durable(seq));
        match record {
            Record::TurnStarted { turn, at } => {
                self.tear(told);
                let turn = Turn { items_view: TurnItemsView::NotLoaded, ..new_turn(turn.clone(), *at) };
                self.known.turn = Some(KnownTurn::new(turn.clone()));
                let started = TurnNotification { thread_id: self.thread.clone(), turn };
                told.push(Told { notification: Notification::TurnStarted(started), place: durable });
            }
            Record::ItemStarted { turn, index, item, at } => {
                self.known.started(item, Some(*index));
                told.push(Told { notification: self.started(turn, item.clone(), *at), place: durable });
            }
            Record::CallAsked { index, .. } => self.known.asked(*index, true),
            Record::CallApproved { index, .. } => self.known.asked(*index, false),
            Record::ItemCompleted { turn, index, item, at } => {
                let known = self.known.completed(item, *index);
                if known.is_none() {
                    told.push(self.begun(turn, item, *at));
                }
                if self.is_exact {
                    self.rest(turn, item, &known.map(|known| known.sizes).unwrap_or_default(), told);
                }
                told.push(Told { notification: self.completed(turn, item.clone(), *at), place: durable });
            }
            Record::TurnCompleted { turn, status, error, at } => {
                let Some(mut known) = self.known.turn.take() else { return };
                complete(&mut known.turn, *status, error.clone(), *at);
                if let Some(error) = error.clone().filter(|_| !known.has_failed) {
                    let (thread_id, turn_id) = (self.thread.clone(), turn.clone());
                    let error = ErrorNotification { error, will_retry: false, thread_id, turn_id };
                    told.push(Told { notification: Notification::Error(error), place: None });
                }
                told.push(Told { notification: self.ended(known.summary()), place: durable });
            }
            Record::TokensSpent(spent) => {
                let (thread_id, turn_id) = (self.thread.clone(), spent.turn.clone());
                let token_usage = spent.usage.clone();
                let updated = ThreadTokenUsageUpdatedNotification { thread_id, turn_id, token_usage };
                let notification = Notification::ThreadTokenUsageUpdated(updated);
                told.push(Told { notification, place: durable });
            }
            // A revert happens between turns; clients are told of it by themselves.
            Record::Reverted { .. } => self.known.turn = None,
            Record::Compacted { .. }
            | Record::Injected { .. }
            | Record::RequestTaken { .. }
            | Record::ThoughtSealed { .. } => {}
        }
    }

    /// At the head of the log: what is in flight of the turn under way, or the end of a turn that a crash cut off.
    pub fn catch_up(&mut self, active: Option<&UnderWay>) -> Vec<Told> {
        let mut told = Vec::new();
        let is_active = |turn: &KnownTurn| active.is_some_and(|active| active.turn.id == turn.turn.id);
        if !self.known.turn.as_ref().is_some_and(is_active) {
            self.tear(&mut told);
            self.is_exact = true;
            return told;
        }
        let Some(UnderWay { turn, items }) = active else { return told };
        for (&index, item) in items {
            let known = self.known.item(item.id()).map(|known| known.sizes.clone());
            // When it began is not known any more; neither is it of use to anyone.
            let at = turn.started_at.unwrap_or_default() * 1000;
            if known.is_none() {
                told.push(self.begun(&turn.id, item, at));
            }
            self.rest(&turn.id, item, &known.unwrap_or_default(), &mut told);
            self.known.started(item, Some(index));
        }
        self.is_exact = true;
        told
    }

    /// Ends a turn of which nothing more comes: its open tool calls, and then it itself. That is in no log.
    fn tear(&mut self, told: &mut Vec<Told>) {
        let Some(KnownTurn { mut turn, items, .. }) = self.known.turn.take() else { return };
        for KnownItem { mut item, is_asked, .. } in items {
            if !matches!(item, ThreadItem::McpToolCall(_) | ThreadItem::DynamicToolCall(_)) {
                continue;
            }
            cut_off(&mut item, is_asked);
            let at = turn.started_at.unwrap_or_default() * 1000;
            told.push(Told { notification: self.completed(&turn.id, item, at), place: None });
        }
        turn.status = TurnStatus::Interrupted;
        told.push(Told { notification: self.ended(turn), place: None });
    }

    /// An item's start, as it is told while nothing of it is durable.
    fn begun(&self, turn: &str, item: &ThreadItem, at: i64) -> Told {
        let place = Some(Place::InFlight { item: item.id().to_owned(), off: 0 });
        Told { notification: self.started(turn, without_texts(item), at), place }
    }

    /// What of an item's texts lies beyond what is known, each in one piece.
    fn rest(&self, turn: &str, item: &ThreadItem, known: &Sizes, told: &mut Vec<Told>) {
        let (thread_id, turn_id) = (self.thread.clone(), turn.to_owned());
        let item_id = item.id().to_owned();
        // A text that is another now than the one that grew goes on nowhere.
        let beyond =
            |text: &str, off: usize| text.get(off..).filter(|rest| !rest.is_empty()).map(str::to_owned);
        let mut tell = |notification, off| {
            told.push(Told { notification, place: Some(Place::InFlight { item: item_id.clone(), off }) });
        };
        match item {
            ThreadItem::AgentMessage(message) => {
                let Some(delta) = beyond(&message.text, known.text) else { return };
                let delta = DeltaNotification { thread_id, turn_id, item_id: item_id.clone(), delta };
                tell(Notification::AgentMessageDelta(delta), known.text);
            }
            ThreadItem::Reasoning(thought) => {
                for (place, part) in thought.summary.iter().enumerate() {
                    let (off, summary_index) = (known.summary(place), index(place));
                    let (thread_id, turn_id, item_id) = (thread_id.clone(), turn_id.clone(), item_id.clone());
                    if off.is_none() {
                        let (thread_id, turn_id, item_id) =
                            (thread_id.clone(), turn_id.clone(), item_id.clone());
                        let added = ReasoningSummaryPartAddedNotification {
                            thread_id,
                            turn_id,
                            item_id,
                            summary_index,
                        };
                        tell(Notification::ReasoningSummaryPartAdded(added), 0);
                    }
                    let off = off.unwrap_or(0);
                    let Some(delta) = beyond(part, off) else { continue };
                    let delta = ReasoningSummaryTextDeltaNotification {
                        thread_id,
                        turn_id,
                        item_id,
                        delta,
                        summary_index,
                    };
                    tell(Notification::ReasoningSummaryTextDelta(delta), off);
                }
                for (place, part) in thought.content.iter().enumerate() {
                    let off = known.content(place);
                    let Some(delta) = beyond(part, off) else { continue };
                    let (thread_id, turn_id, item_id) = (thread_id.clone(), turn_id.clone(), item_id.clone());
                    let content_index = index(place);
                    let delta =
                        ReasoningTextDeltaNotification { thread_id, turn_id, item_id, delta, content_index };
                    tell(Notification::ReasoningTextDelta(delta), off);
                }
            }
            _ => {}
        }
    }

    fn started(&self, turn: &str, item: ThreadItem, at: i64) -> Notification {
        let (thread_id, turn_id) = (self.thread.clone(), turn.to_owned());
        Notification::ItemStarted(ItemStartedNotification { item, thread_id, turn_id, started_at_ms: at })
    }

    fn completed(&self, turn: &str, item: ThreadItem, at: i64) -> Notification {
        let (thread_id, turn_id) = (self.thread.clone(), turn.to_owned());
        Notification::ItemCompleted(ItemCompletedNotification {
            item,
            thread_id,
            turn_id,
            content_token_count: None,
            completed_at_ms: at,
        })
    }

    fn ended(&self, turn: Turn) -> Notification {
        Notification::TurnCompleted(TurnNotification { thread_id: self.thread.clone(), turn })
    }
}

fn index(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}
