//! What the model thinks, as far as it tells: an item that grows part by part, and what its provider sealed of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use verger_wire::types::{ReasoningItem, ThreadItem};
use verger_wire::{
    Notification, ReasoningSummaryPartAddedNotification, ReasoningSummaryTextDeltaNotification,
    ReasoningTextDeltaNotification,
};

use super::turn::Complete;
use super::{Record, Thread};

/// Which part of a thought grows, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThoughtPart {
    /// In short.
    Summary(usize),
    /// In full.
    Content(usize),
}

/// A whole thought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thought {
    /// In short, part by part.
    pub summary: Vec<String>,
    /// In full, part by part.
    pub content: Vec<String>,
    /// What the provider reads again.
    pub seal: Option<Seal>,
}

/// A thought that only its provider can read. It is given back with the conversation, and shown to nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The provider's name in the configuration: no other can read it.
    pub provider: String,
    /// The provider's id for the thought.
    pub id: String,
    /// The thought.
    pub content: String,
}

impl Thread {
    pub(super) fn thought_delta(&mut self, at: i64, output: Arc<str>, part: ThoughtPart, delta: String) {
        let Some(index) = self.thought_started(at, output) else { return };
        let Some(active) = &mut self.turn else { return };
        let turn_id = active.id().to_owned();
        let Some(ThreadItem::Reasoning(item)) = active.item_mut(index) else { return };
        let (thread_id, item_id) = (self.id.clone(), item.id.clone());
        let (parts, wanted) = match part {
            ThoughtPart::Summary(wanted) => (&mut item.summary, wanted),
            ThoughtPart::Content(wanted) => (&mut item.content, wanted),
        };
        // A part that the provider skipped would be an empty one for good.
        let at = wanted.min(parts.len());
        let is_new = at == parts.len();
        if is_new {
            parts.push(String::new());
        }
        parts[at].push_str(&delta);
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        match part {
            ThoughtPart::Content(_) => {
                self.notify(Notification::ReasoningTextDelta(ReasoningTextDeltaNotification {
                    thread_id,
                    turn_id,
                    item_id,
                    delta,
                    content_index: at,
                }));
            }
            ThoughtPart::Summary(_) => {
                if is_new {
                    let added = ReasoningSummaryPartAddedNotification {
                        thread_id: thread_id.clone(),
                        turn_id: turn_id.clone(),
                        item_id: item_id.clone(),
                        summary_index: at,
                    };
                    self.notify(Notification::ReasoningSummaryPartAdded(added));
                }
                self.notify(Notification::ReasoningSummaryTextDelta(ReasoningSummaryTextDeltaNotification {
                    thread_id,
                    turn_id,
                    item_id,
                    delta,
                    summary_index: at,
                }));
            }
        }
    }

    /// The thought is whole: it takes the place of all that was told of it.
    pub(super) fn thought_done(&mut self, at: i64, output: &Arc<str>, thought: Thought) {
        let Some(active) = &mut self.turn else { return };
        let Thought { summary, content, seal } = thought;
        let whole = |id| ThreadItem::Reasoning(ReasoningItem { id, summary, content });
        let turn = active.id().to_owned();
        let under_way = active.thought(output);
        let index = match under_way {
            Some(index) => {
                active.close(index);
                if let Some(item) = active.item_mut(index) {
                    *item = whole(item.id().to_owned());
                }
                index
            }
            None => {
                let id = active.next_id();
                active.add(whole(id))
            }
        };
        let Some(complete) = active.take(index) else { return };
        let mut records = vec![active.completed_record(&complete, at)];
        let Complete { item, .. } = complete;
        let sealed = |seal| Record::ThoughtSealed { turn: turn.clone(), item: item.id().to_owned(), seal };
        records.extend(seal.map(sealed));
        self.append(records);
        if under_way.is_none() {
            self.tell_started(at, item.clone());
        }
        self.tell_completed(at, &turn, item);
    }

    /// Where the thought stands in its turn; it starts if it has not yet.
    fn thought_started(&mut self, at: i64, output: Arc<str>) -> Option<usize> {
        let active = self.turn.as_mut()?;
        if let Some(index) = active.thought(&output) {
            return Some(index);
        }
        let item = ThreadItem::Reasoning(ReasoningItem { id: active.next_id(), ..ReasoningItem::default() });
        let index = active.open(output, item.clone());
        self.tell_started(at, item);
        Some(index)
    }
}
