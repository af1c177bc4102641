//! What a model has to know of a thread: what was said since the conversation was last summed up, and that summary.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use verger_wire::types::ThreadItem;

use super::record::cut_off;
use super::{Record, Seal};

/// A conversation, for a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// What came before, in the model's own words.
    pub summary: Option<String>,
    /// What came after, oldest first.
    pub said: Vec<Said>,
    /// Thoughts as their provider sealed them, by their items' ids.
    pub sealed: HashMap<String, Seal>,
}

/// One thing that was said or done.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are items")]
pub enum Said {
    /// An item of a turn.
    Item(ThreadItem),
    /// An item of the Responses API that a client put into the history as it is.
    Injected(Value),
}

/// Something said, and where: the number of the record that told it first.
struct Place {
    record: u64,
    /// The turn, and the place in it: of an item its own, of what was injected that of the next item.
    at: Option<(String, usize)>,
    said: Said,
}

/// Places as they fill.
#[derive(Default)]
struct Filling {
    places: Vec<Place>,
    /// Items that began and have not ended: few at any time.
    open: Vec<Open>,
}

/// An item that has not ended.
struct Open {
    of: (String, usize),
    /// A client is asked whether it may be.
    is_asked: bool,
}

impl Conversation {
    /// What those of a log's records that count say, from the beginning or from anywhere before the last summary. Calls
    /// that never had an answer are told as cut off.
    pub fn of(records: impl IntoIterator<Item = Record>) -> Self {
        let (mut summary, mut sealed) = (None, HashMap::new());
        let mut filling = Filling::default();
        for (number, record) in (0..).zip(records) {
            match record {
                Record::ItemStarted { turn, index, item, .. } => {
                    filling.open.push(Open { of: (turn.clone(), index), is_asked: false });
                    filling.insert(number, (turn, index), item);
                }
                Record::ItemCompleted { turn, index, item, .. } => {
                    filling.complete(number, (turn, index), item)
                }
                Record::CallAsked { turn, index, .. } => filling.ask(&(turn, index), true),
                Record::CallApproved { turn, index, .. } => filling.ask(&(turn, index), false),
                Record::Injected { turn, index, items, .. } => {
                    let at = turn.map(|turn| (turn, index));
                    let place = |item| Place { record: number, at: at.clone(), said: Said::Injected(item) };
                    filling.places.extend(items.into_iter().map(place));
                }
                Record::Compacted { summary: words, behind, .. } => {
                    summary = Some(words);
                    let first = number.saturating_sub(u64::from(behind));
                    filling.places.retain(|place| place.record >= first);
                }
                Record::ThoughtSealed { item, seal, .. } => drop(sealed.insert(item, seal)),
                // Which records count is for `Live` to say.
                Record::Reverted { .. }
                | Record::TurnStarted { .. }
                | Record::TurnCompleted { .. }
                | Record::TokensSpent(_)
                | Record::RequestTaken { .. } => {}
            }
        }
        let said = filling.said();
        let thoughts: HashSet<&str> = said.iter().filter_map(Said::thought).collect();
        sealed.retain(|item: &String, _| thoughts.contains(item.as_str()));
        Self { summary, said, sealed }
    }
}

impl Filling {
    fn ask(&mut self, of: &(String, usize), is_asked: bool) {
        if let Some(open) = self.open.iter_mut().find(|open| open.of == *of) {
            open.is_asked = is_asked;
        }
    }

    /// All of it, oldest first.
    fn said(self) -> Vec<Said> {
        let Self { places, open } = self;
        let whole = |Place { at, said, .. }| match said {
            Said::Item(mut item) => {
                let open = open.iter().find(|open| Some(&open.of) == at.as_ref());
                cut_off(&mut item, open.is_some_and(|open| open.is_asked));
                Said::Item(item)
            }
            injected @ Said::Injected(_) => injected,
        };
        places.into_iter().map(whole).collect()
    }

    fn complete(&mut self, number: u64, of: (String, usize), item: ThreadItem) {
        match self.open.iter().position(|open| open.of == of) {
            None => self.insert(number, of, item),
            Some(open) => {
                self.open.swap_remove(open);
                let is_it = |place: &&mut Place| {
                    matches!(place.said, Said::Item(_)) && place.at.as_ref() == Some(&of)
                };
                let place = self.places.iter_mut().rfind(is_it);
                // None where it began before a summary that it is part of.
                if let Some(place) = place {
                    place.said = Said::Item(item);
                }
            }
        }
    }

    /// Items are kept in the order of their ends, and told in that of their beginnings.
    fn insert(&mut self, record: u64, of: (String, usize), item: ThreadItem) {
        let begins_later =
            |place: &&Place| place.at.as_ref().is_some_and(|(turn, index)| *turn == of.0 && *index > of.1);
        let at = self.places.len() - self.places.iter().rev().take_while(begins_later).count();
        self.places.insert(at, Place { record, at: Some(of), said: Said::Item(item) });
    }
}

impl Said {
    /// The id of the item, where it is a thought.
    fn thought(&self) -> Option<&str> {
        match self {
            Self::Item(item @ ThreadItem::Reasoning(_)) => Some(item.id()),
            Self::Item(_) | Self::Injected(_) => None,
        }
    }
}
