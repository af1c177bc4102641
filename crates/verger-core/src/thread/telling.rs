//! What one is told of a turn's items who was not there: each as it was told when it happened, but for texts, which come in
//! one piece.

use verger_wire::types::{ReasoningItem, ThreadItem};
use verger_wire::{
    DeltaNotification, ItemCompletedNotification, ItemStartedNotification, Notification,
    ReasoningSummaryPartAddedNotification, ReasoningSummaryTextDeltaNotification,
    ReasoningTextDeltaNotification,
};

use super::heard::Lengths;
use super::stream::{Place, Told};

/// What is told of one turn, in its order.
pub(super) struct Telling<'a> {
    thread: &'a str,
    turn: &'a str,
    pub(super) told: Vec<Told>,
}

impl<'a> Telling<'a> {
    pub(super) fn new(thread: &'a str, turn: &'a str) -> Self {
        Self { thread, turn, told: Vec::new() }
    }

    pub(super) fn tell(&mut self, notification: Notification, place: Option<Place>) {
        self.told.push(Told { notification, place });
    }

    pub(super) fn started(&mut self, item: ThreadItem, at: i64, place: Option<Place>) {
        let (thread_id, turn_id) = (self.thread.to_owned(), self.turn.to_owned());
        let started = ItemStartedNotification { item, thread_id, turn_id, started_at_ms: at };
        self.tell(Notification::ItemStarted(started), place);
    }

    pub(super) fn completed(&mut self, item: ThreadItem, at: i64, place: Option<Place>) {
        let (thread_id, turn_id) = (self.thread.to_owned(), self.turn.to_owned());
        let completed = ItemCompletedNotification {
            item,
            thread_id,
            turn_id,
            content_token_count: None,
            completed_at_ms: at,
        };
        self.tell(Notification::ItemCompleted(completed), place);
    }

    /// What of the item's texts is not known yet. A text that is shorter now has been replaced: there is nothing to add.
    pub(super) fn rest(&mut self, item: &ThreadItem, known: &Lengths) {
        match item {
            ThreadItem::AgentMessage(message) => {
                self.piece(
                    &message.id,
                    &message.text,
                    known.message,
                    |thread_id, turn_id, item_id, delta| {
                        Notification::AgentMessageDelta(DeltaNotification {
                            thread_id,
                            turn_id,
                            item_id,
                            delta,
                        })
                    },
                );
            }
            ThreadItem::Reasoning(thought) => {
                self.rest_of_summary(thought, &known.summary);
                self.rest_of_content(thought, &known.content);
            }
            _ => {}
        }
    }

    fn rest_of_summary(&mut self, thought: &ReasoningItem, known: &[usize]) {
        for (part, (summary_index, text)) in (0..).zip(&thought.summary).enumerate() {
            let known = known.get(part).copied();
            if known.is_none() {
                let added = ReasoningSummaryPartAddedNotification {
                    thread_id: self.thread.to_owned(),
                    turn_id: self.turn.to_owned(),
                    item_id: thought.id.clone(),
                    summary_index,
                };
                let place = Place::InFlight { item: thought.id.clone(), off: 0 };
                self.tell(Notification::ReasoningSummaryPartAdded(added), Some(place));
            }
            let known = known.unwrap_or_default();
            self.piece(&thought.id, text, known, |thread_id, turn_id, item_id, delta| {
                Notification::ReasoningSummaryTextDelta(ReasoningSummaryTextDeltaNotification {
                    thread_id,
                    turn_id,
                    item_id,
                    delta,
                    summary_index,
                })
            });
        }
    }

    fn rest_of_content(&mut self, thought: &ReasoningItem, known: &[usize]) {
        for (part, (content_index, text)) in (0..).zip(&thought.content).enumerate() {
            let known = known.get(part).copied().unwrap_or_default();
            self.piece(&thought.id, text, known, |thread_id, turn_id, item_id, delta| {
                Notification::ReasoningTextDelta(ReasoningTextDeltaNotification {
                    thread_id,
                    turn_id,
                    item_id,
                    delta,
                    content_index,
                })
            });
        }
    }

    /// What of a text comes after its first `known` bytes, if there is any.
    fn piece(
        &mut self,
        item: &str,
        text: &str,
        known: usize,
        delta: impl FnOnce(String, String, String, String) -> Notification,
    ) {
        let Some(rest) = text.get(known..).filter(|rest| !rest.is_empty()) else { return };
        let (thread, turn) = (self.thread.to_owned(), self.turn.to_owned());
        let place = Place::InFlight { item: item.to_owned(), off: known };
        self.tell(delta(thread, turn, item.to_owned(), rest.to_owned()), Some(place));
    }
}
