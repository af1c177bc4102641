//! What a follower of a thread knows of the turn under way.

use verger_wire::types::{AgentMessageItem, ReasoningItem, ThreadItem, Turn, TurnItemsView, TurnStatus};

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) turn: Option<KnownTurn>,
}

/// A turn that was told as started and not as ended.
#[derive(Clone, Debug)]
pub(super) struct KnownTurn {
    /// As it was told.
    pub(super) turn: Turn,
    /// Items that were told as started and not as completed.
    pub(super) items: Vec<KnownItem>,
    /// The last message of the model's that was told as completed, and its place.
    last_message: Option<(usize, ThreadItem)>,
    /// Why it fails has been told.
    pub(super) has_failed: bool,
}

/// An item that was told as started and not as completed.
#[derive(Clone, Debug)]
pub(super) struct KnownItem {
    /// As it was told, but for its texts.
    pub(super) item: ThreadItem,
    /// How much of its texts was told.
    pub(super) sizes: Sizes,
    /// Its place in the turn, where the log says so.
    index: Option<usize>,
    /// It waits for an approval.
    pub(super) is_asked: bool,
}

/// Bytes of an item's texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) text: usize,
    summary: Vec<usize>,
    content: Vec<usize>,
}

impl Known {
    /// An item was told as started. One that is known already goes on as it is told now.
    pub(super) fn started(&mut self, item: &ThreadItem, index: Option<usize>) {
        let Some(turn) = &mut self.turn else { return };
        let sizes = Sizes::of(item);
        let item = without_texts(item);
        match turn.items.iter_mut().find(|known| known.item.id() == item.id()) {
            Some(known) => known.sizes = sizes,
            None => turn.items.push(KnownItem { item, sizes, index, is_asked: false }),
        }
    }

    /// An item was told as completed. As it was known before, if it was.
    pub(super) fn completed(&mut self, item: &ThreadItem, index: usize) -> Option<KnownItem> {
        let turn = self.turn.as_mut()?;
        let is_newer = turn.last_message.as_ref().is_none_or(|(last, _)| *last < index);
        if matches!(item, ThreadItem::AgentMessage(_)) && is_newer {
            turn.last_message = Some((index, item.clone()));
        }
        let known = turn.items.iter().position(|known| known.item.id() == item.id())?;
        Some(turn.items.remove(known))
    }

    /// Whether the tool call at this place waits for an approval.
    pub(super) fn asked(&mut self, index: usize, is_asked: bool) {
        let items = self.turn.iter_mut().flat_map(|turn| &mut turn.items);
        items.filter(|known| known.index == Some(index)).for_each(|known| known.is_asked = is_asked);
    }

    pub(super) fn item(&self, id: &str) -> Option<&KnownItem> {
        self.turn.as_ref()?.items.iter().find(|known| known.item.id() == id)
    }

    pub(super) fn sizes_mut(&mut self, id: &str) -> Option<&mut Sizes> {
        let mut items = self.turn.as_mut()?.items.iter_mut();
        items.find(|known| known.item.id() == id).map(|known| &mut known.sizes)
    }
}

impl KnownTurn {
    pub(super) fn new(turn: Turn) -> Self {
        Self { turn, items: Vec::new(), last_message: None, has_failed: false }
    }

    /// The turn as `turn/completed` shows it.
    pub(super) fn summary(self) -> Turn {
        match self.last_message {
            Some((_, last)) if self.turn.status == TurnStatus::Completed => {
                Turn { items: vec![last], items_view: TurnItemsView::Summary, ..self.turn }
            }
            _ => self.turn,
        }
    }
}

impl Sizes {
    fn of(item: &ThreadItem) -> Self {
        let lengths = |texts: &[String]| texts.iter().map(String::len).collect();
        match item {
            ThreadItem::AgentMessage(message) => Self { text: message.text.len(), ..Self::default() },
            ThreadItem::Reasoning(thought) => {
                Self { summary: lengths(&thought.summary), content: lengths(&thought.content), text: 0 }
            }
            _ => Self::default(),
        }
    }

    /// Of a part of a summary; nothing where it was not told of.
    pub(super) fn summary(&self, part: usize) -> Option<usize> {
        self.summary.get(part).copied()
    }

    pub(super) fn content(&self, part: usize) -> usize {
        self.content.get(part).copied().unwrap_or_default()
    }

    pub(super) fn summary_mut(&mut self, part: usize) -> &mut usize {
        part_mut(&mut self.summary, part)
    }

    pub(super) fn content_mut(&mut self, part: usize) -> &mut usize {
        part_mut(&mut self.content, part)
    }
}

fn part_mut(parts: &mut Vec<usize>, part: usize) -> &mut usize {
    if parts.len() <= part {
        parts.resize(part + 1, 0);
    }
    &mut parts[part]
}

/// An item as it is told when it begins.
pub(super) fn without_texts(item: &ThreadItem) -> ThreadItem {
    match item {
        ThreadItem::AgentMessage(AgentMessageItem { id, .. }) => {
            ThreadItem::AgentMessage(AgentMessageItem { id: id.clone(), ..AgentMessageItem::default() })
        }
        ThreadItem::Reasoning(ReasoningItem { id, .. }) => {
            ThreadItem::Reasoning(ReasoningItem { id: id.clone(), ..ReasoningItem::default() })
        }
        item => item.clone(),
    }
}
