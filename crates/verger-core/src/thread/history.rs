//! The turns that a log tells.

use std::collections::{BTreeMap, BTreeSet};

use verger_wire::types::{ThreadItem, Turn, TurnItemsView, TurnStatus};

use super::record::{complete, cut_off, new_turn};
use super::{Record, UnderWay};

/// A turn as a log tells it, with all of its items.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptTurn {
    /// The turn.
    pub turn: Turn,
    /// Beside each of its items, where it stands and when it began and ended.
    pub times: Vec<ItemTimes>,
}

/// An item's place, and when it began and ended, in Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemTimes {
    /// Its place in the turn, from 0. One that a crash took with it leaves a gap, so that no other changes place.
    pub index: usize,
    /// Kept of tool calls, and of what begins and ends at once.
    pub started: Option<i64>,
    /// Not there while the item is open.
    pub completed: Option<i64>,
}

/// A turn on its way from records to what they tell: its items by their place.
struct Growing {
    turn: Turn,
    items: BTreeMap<usize, (ThreadItem, ItemTimes)>,
    /// Places of calls that wait for an approval.
    asked: BTreeSet<usize>,
}

/// The turns that a log tells. The turn `active` is still under way, and what is open of it is told, too; any other without an end was cut off by a crash or a
/// fork, and is told as interrupted, its open tool calls as failed with [`OUTCOME_UNKNOWN`](super::OUTCOME_UNKNOWN), or with
/// [`NOT_SENT`](super::NOT_SENT) where they waited for an approval.
pub fn turns(records: impl IntoIterator<Item = Record>, active: Option<&UnderWay>) -> Vec<Turn> {
    kept_turns(records, active).into_iter().map(|kept| kept.turn).collect()
}

/// As [`turns`], with the items' times. Where `records` begins with a turn's first record, there is one for each record of
/// the kind [`Record::TURN_STARTED`], in their order.
pub fn kept_turns(records: impl IntoIterator<Item = Record>, active: Option<&UnderWay>) -> Vec<KeptTurn> {
    let mut growing: Vec<Growing> = Vec::new();
    for record in records {
        if let Record::TurnStarted { turn, at } = record {
            growing.push(Growing {
                turn: new_turn(turn, at),
                items: BTreeMap::new(),
                asked: BTreeSet::new(),
            });
            continue;
        }
        let known = |growing: &Growing| record.turn() == Some(growing.turn.id.as_str());
        let Some(place) = growing.iter().rposition(known) else { continue };
        let of = &mut growing[place];
        match record {
            Record::Reverted { .. } => growing.truncate(place),
            Record::TurnStarted { .. }
            | Record::Compacted { .. }
            | Record::Injected { .. }
            | Record::TokensSpent(_)
            | Record::RequestTaken { .. }
            | Record::ThoughtSealed { .. } => {}
            Record::ItemStarted { index, item, at, .. } => {
                of.items.insert(index, (item, ItemTimes { index, started: Some(at), completed: None }));
            }
            Record::CallAsked { index, .. } => {
                of.asked.insert(index);
            }
            Record::CallApproved { index, .. } => {
                of.asked.remove(&index);
            }
            Record::ItemCompleted { index, item, at, .. } => {
                // Text is kept when it is complete; when it began is not.
                let grows = matches!(item, ThreadItem::AgentMessage(_) | ThreadItem::Reasoning(_));
                let at_once = (!grows).then_some(at);
                let started = of.items.get(&index).map_or(at_once, |(_, times)| times.started);
                of.items.insert(index, (item, ItemTimes { index, started, completed: Some(at) }));
            }
            Record::TurnCompleted { status, error, at, .. } => complete(&mut of.turn, status, error, at),
        }
    }
    growing.into_iter().map(|growing| growing.whole(active)).collect()
}

/// As much of a turn as `view` says.
#[must_use]
pub fn in_view(mut turn: Turn, view: TurnItemsView) -> Turn {
    match view {
        TurnItemsView::Full => {}
        TurnItemsView::NotLoaded => turn.items.clear(),
        TurnItemsView::Summary => {
            let of_user = |item: &ThreadItem| matches!(item, ThreadItem::UserMessage(_));
            let of_model = |item: &ThreadItem| matches!(item, ThreadItem::AgentMessage(_));
            let (first, last) = (turn.items.iter().position(of_user), turn.items.iter().rposition(of_model));
            let mut place = 0;
            turn.items.retain(|_| {
                place += 1;
                first == Some(place - 1) || last == Some(place - 1)
            });
        }
    }
    turn.items_view = view;
    turn
}

impl Growing {
    fn whole(mut self, active: Option<&UnderWay>) -> KeptTurn {
        let active = active.filter(|active| active.turn.id == self.turn.id);
        for (&index, item) in active.iter().flat_map(|active| &active.items) {
            let in_flight = ItemTimes { index, started: None, completed: None };
            let times = self.items.get(&index).map_or(in_flight, |(_, times)| *times);
            self.items.insert(index, (item.clone(), times));
        }
        let mut turn = self.turn;
        let (items, times): (_, Vec<ItemTimes>) = self.items.into_values().unzip();
        turn.items = items;
        if turn.status == TurnStatus::InProgress && active.is_none() {
            turn.status = TurnStatus::Interrupted;
            for (item, times) in turn.items.iter_mut().zip(&times) {
                cut_off(item, self.asked.contains(&times.index));
            }
        }
        KeptTurn { turn, times }
    }
}

#[cfg(test)]
mod tests {
    use verger_wire::types::{AgentMessageItem, UserMessageItem};

    use super::*;

    fn user(id: &str) -> ThreadItem {
        ThreadItem::UserMessage(UserMessageItem { id: id.into(), client_id: None, content: Vec::new() })
    }

    fn agent(id: &str) -> ThreadItem {
        ThreadItem::AgentMessage(AgentMessageItem { id: id.into(), ..AgentMessageItem::default() })
    }

    fn of(turn: &str, index: usize, item: ThreadItem, at: i64) -> Record {
        Record::ItemCompleted { turn: turn.into(), index, item, at }
    }

    fn log() -> Vec<Record> {
        vec![
            Record::TurnStarted { turn: "t".into(), at: 1_000 },
            of("t", 0, user("a"), 1_001),
            of("t", 2, agent("c"), 1_003),
            of("t", 1, agent("b"), 1_004),
            of("t", 3, user("d"), 1_005),
            of("t", 4, agent("e"), 1_006),
        ]
    }

    #[test]
    fn a_view_shows_what_it_says() {
        let turn = turns(log(), None).remove(0);
        let shown = |view| {
            let turn = in_view(turn.clone(), view);
            assert_eq!(turn.items_view, view);
            turn.items.iter().map(|item| item.id().to_owned()).collect::<String>()
        };
        assert_eq!(shown(TurnItemsView::Full), "abcde");
        assert_eq!(shown(TurnItemsView::Summary), "ae");
        assert_eq!(shown(TurnItemsView::NotLoaded), "");
    }

    #[test]
    fn times_stand_beside_their_items() {
        let active = UnderWay { turn: new_turn("t".into(), 1_000), items: BTreeMap::new() };
        let kept = kept_turns(log(), Some(&active)).remove(0);
        assert_eq!(kept.turn.status, TurnStatus::InProgress);
        let times: Vec<_> = kept.times.iter().map(|times| (times.started, times.completed)).collect();
        let (of_user, of_model) = (|at| (Some(at), Some(at)), |at| (None, Some(at)));
        assert_eq!(
            times,
            [of_user(1_001), of_model(1_004), of_model(1_003), of_user(1_005), of_model(1_006)]
        );
    }
}
