//! What a client knows of a thread, from nothing but what it is told.

use std::collections::{BTreeMap, BTreeSet};

use verger_wire::Notification;
use verger_wire::types::{ReasoningItem, ThreadItem, ThreadTokenUsage, Turn, TurnItemsView, TurnStatus};

use crate::ids::Seq;
use crate::thread::{Place, Told};

/// How a client came to know what it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// It heard everything when it happened.
    #[default]
    First,
    /// It lags now and then, and does not know.
    Lags,
    /// It comes back, and ignores what it has.
    ComesBack,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub(super) sort: Sort,
    /// What it knows of each turn.
    pub(super) turns: BTreeMap<String, Turn>,
    /// Items that it was told to be complete.
    completed: BTreeSet<String>,
    /// Turns that it was told why they fail.
    failing: BTreeSet<String>,
    /// Turns that it was told to forget.
    forgotten: BTreeSet<String>,
    /// What it was last told that the thread has spent.
    pub(super) spent: Option<ThreadTokenUsage>,
    /// The last durable event that it was told.
    pub(super) cursor: Seq,
    /// How many of them it was told.
    pub(super) durable: usize,
    /// What could not be kept was told of the end of a turn alone.
    pub(super) is_lenient: bool,
}

impl Client {
    /// One that comes, and is shown these turns: none of them is under way.
    pub(super) fn shown(turns: Vec<Turn>, spent: Option<ThreadTokenUsage>, cursor: Seq) -> Self {
        let completed = turns.iter().flat_map(|turn| &turn.items).map(|item| item.id().to_owned()).collect();
        let turns = turns.into_iter().map(|turn| (turn.id.clone(), turn)).collect();
        Self { turns, completed, spent, cursor, ..Self::default() }
    }

    /// One that knows as much, and lags from now on.
    pub(super) fn one_that_lags(&self) -> Self {
        Self { sort: Sort::Lags, ..self.clone() }
    }

    pub(super) fn hear(&mut self, Told { notification, place }: Told) {
        if let Some(Place::Durable(seq)) = place {
            assert!(seq > self.cursor, "{seq} is told after {}", self.cursor);
            (self.cursor, self.durable) = (seq, self.durable + 1);
        }
        let off = match &place {
            Some(Place::InFlight { off, .. }) => *off,
            _ => 0,
        };
        match notification {
            Notification::TurnStarted(n) => {
                assert!(n.turn.items.is_empty(), "what begins has no items");
                let is_known = self.turns.contains_key(&n.turn.id);
                assert!(!is_known || self.sort == Sort::ComesBack, "a turn starts twice");
                self.turns.entry(n.turn.id.clone()).or_insert(n.turn);
            }
            Notification::ItemStarted(n) => self.item_started(&n.turn_id, n.item),
            Notification::AgentMessageDelta(n) => {
                let sort = self.sort;
                if let Some(text) = self.message(&n.turn_id, &n.item_id) {
                    grow(sort, text, &n.delta, off);
                }
            }
            Notification::ReasoningSummaryPartAdded(n) => {
                let sort = self.sort;
                let Some(item) = self.thought(&n.turn_id, &n.item_id) else { return };
                let (part, parts) =
                    (usize::try_from(n.summary_index).expect("from 0 on"), item.summary.len());
                assert!(part == parts || part < parts && sort == Sort::ComesBack, "a part is left out");
                item.summary.resize(parts.max(part + 1), String::new());
            }
            Notification::ReasoningSummaryTextDelta(n) => {
                let sort = self.sort;
                let Some(item) = self.thought(&n.turn_id, &n.item_id) else { return };
                let part = usize::try_from(n.summary_index).ok().and_then(|part| item.summary.get_mut(part));
                grow(sort, part.expect("a delta of no part"), &n.delta, off);
            }
            Notification::ReasoningTextDelta(n) => {
                let sort = self.sort;
                let Some(item) = self.thought(&n.turn_id, &n.item_id) else { return };
                let part = usize::try_from(n.content_index).expect("from 0 on");
                assert!(part <= item.content.len(), "a part is left out");
                item.content.resize(item.content.len().max(part + 1), String::new());
                grow(sort, &mut item.content[part], &n.delta, off);
            }
            Notification::ItemCompleted(n) => self.item_completed(&n.turn_id, n.item),
            Notification::Error(n) if !n.will_retry => {
                let is_new = self.failing.insert(n.turn_id);
                assert!(is_new || self.sort == Sort::ComesBack, "a turn fails twice");
            }
            Notification::TurnCompleted(n) => self.turn_completed(n.turn, place.is_none()),
            Notification::ThreadTokenUsageUpdated(n) => {
                let is_known = self.turns.contains_key(&n.turn_id) || self.forgotten.contains(&n.turn_id);
                assert!(is_known, "tokens of a turn that never started");
                self.spent = Some(n.token_usage);
            }
            _ => {}
        }
    }

    /// It is told that this turn and all after it are forgotten.
    pub(super) fn forget(&mut self, from: &str) {
        let gone = self.turns.split_off(from);
        self.forgotten.extend(gone.into_keys());
    }

    fn turn(&mut self, id: &str) -> Option<&mut Turn> {
        let is_known = self.turns.contains_key(id) || self.forgotten.contains(id);
        assert!(is_known, "something of a turn that never started");
        self.turns.get_mut(id)
    }

    fn item_started(&mut self, turn: &str, item: ThreadItem) {
        let sort = self.sort;
        let Some(turn) = self.turn(turn) else { return };
        if turn.items.iter().any(|known| known.id() == item.id()) {
            assert_eq!(sort, Sort::ComesBack, "an item starts twice");
            return;
        }
        // Who is caught up may hear first of one that began later: its end is what the log keeps.
        let place = turn.items.partition_point(|known| number(known) < number(&item));
        assert!(place == turn.items.len() || sort != Sort::First, "an item begins before one that is known");
        turn.items.insert(place, item);
    }

    fn message(&mut self, turn: &str, item: &str) -> Option<&mut String> {
        let turn = self.turn(turn)?;
        match turn.items.iter_mut().find(|known| known.id() == item) {
            Some(ThreadItem::AgentMessage(message)) => Some(&mut message.text),
            other => panic!("a delta of no message: {other:?}"),
        }
    }

    fn thought(&mut self, turn: &str, item: &str) -> Option<&mut ReasoningItem> {
        let turn = self.turn(turn)?;
        match turn.items.iter_mut().find(|known| known.id() == item) {
            Some(ThreadItem::Reasoning(thought)) => Some(thought),
            other => panic!("a delta of no thought: {other:?}"),
        }
    }

    fn item_completed(&mut self, turn: &str, item: ThreadItem) {
        let (sort, is_lenient) = (self.sort, self.is_lenient);
        let is_new = self.completed.insert(item.id().to_owned());
        let Some(turn) = self.turn(turn) else { return };
        assert!(is_new || sort == Sort::ComesBack, "an item completes twice");
        let known = turn.items.iter_mut().find(|known| known.id() == item.id());
        let known = known.expect("an item completes that never started");
        if let (ThreadItem::AgentMessage(told), ThreadItem::AgentMessage(whole)) = (&*known, &item) {
            let is_whole = told.text == whole.text;
            let is_part = whole.text.starts_with(&told.text) && sort == Sort::ComesBack;
            assert!(is_whole || is_part || is_lenient, "the deltas are not the message: {told:?} {whole:?}");
        }
        *known = item;
    }

    /// What nobody knows the end of leaves behind what is not complete.
    fn turn_completed(&mut self, ended: Turn, is_cut_off: bool) {
        let (sort, is_lenient) = (self.sort, self.is_lenient);
        let (completed, failing) = (self.completed.clone(), self.failing.contains(&ended.id));
        let Some(turn) = self.turn(&ended.id) else { return };
        assert!(turn.status == TurnStatus::InProgress || sort == Sort::ComesBack, "a turn ends twice");
        let fails = ended.status == TurnStatus::Failed;
        assert!(failing == fails || is_lenient, "a turn fails without a word, or does not");
        let is_open = |item: &ThreadItem| !completed.contains(item.id());
        let is_part = sort == Sort::ComesBack || is_cut_off && sort == Sort::Lags;
        if is_part {
            let was_kept = |item: &ThreadItem| {
                matches!(item, ThreadItem::McpToolCall(_) | ThreadItem::DynamicToolCall(_))
            };
            turn.items.retain(|item| was_kept(item) || !is_open(item));
        }
        let open = turn.items.iter().find(|item| is_open(item));
        assert!(open.is_none() || is_lenient, "{open:?} never completes");
        if !is_lenient {
            let is_message = |item: &&ThreadItem| matches!(item, ThreadItem::AgentMessage(_));
            let last = turn.items.iter().rfind(is_message).filter(|_| ended.status == TurnStatus::Completed);
            assert_eq!(ended.items.first(), last, "what came out of the turn");
        }
        turn.status = ended.status;
        turn.error = ended.error;
        turn.started_at = ended.started_at;
        turn.completed_at = ended.completed_at;
        turn.duration_ms = ended.duration_ms;
    }

    /// What it knows.
    pub(super) fn known(&self) -> Vec<Turn> {
        let whole = |turn: &Turn| Turn { items_view: TurnItemsView::Full, ..turn.clone() };
        self.turns.values().map(whole).collect()
    }
}

/// Takes of a delta what is beyond what is known.
fn grow(sort: Sort, text: &mut String, delta: &str, off: usize) {
    if sort == Sort::ComesBack {
        assert!(off <= text.len(), "a piece is left out");
        let known = text.len() - off;
        text.push_str(delta.get(known..).unwrap_or_default());
    } else {
        assert_eq!(off, text.len(), "a piece is left out, or comes twice");
        text.push_str(delta);
    }
}

fn number(item: &ThreadItem) -> usize {
    let number = item.id().rsplit('-').next().and_then(|number| number.parse().ok());
    number.expect("an item's id ends with its number")
}
