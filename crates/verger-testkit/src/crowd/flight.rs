//! Text in flight: an item that is not complete, as far as one client was told.

use std::collections::BTreeMap;

use serde_json::Value;

/// A part of an item's text: the answer itself, or a paragraph of a thought, in brief or in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// `text` of an answer.
    Text,
    /// `summary[n]` of a thought.
    Summary(usize),
    /// `content[n]` of a thought.
    Content(usize),
}

/// An item that has begun.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) turn: String,
    pub(super) generation: u64,
    /// That it began is kept, as of tool calls.
    durable: bool,
    /// It came in a snapshot, which does not say whether it was complete by then.
    perhaps: Option<String>,
    texts: BTreeMap<Part, String>,
}

// === impl Part ===

impl Part {
    /// The part that a delta of this method is of; nothing where it is no delta.
    pub(super) fn of(method: &str, params: &Value) -> Option<Self> {
        let index =
            |name: &str| params[name].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(0);
        Some(match method {
            "item/agentMessage/delta" => Self::Text,
            "item/reasoning/summaryTextDelta" => Self::Summary(index("summaryIndex")),
            "item/reasoning/textDelta" => Self::Content(index("contentIndex")),
            _ => return None,
        })
    }

    /// What a whole item says in this part.
    pub(super) fn within(self, item: &Value) -> Option<&str> {
        match self {
            Self::Text => item["text"].as_str(),
            Self::Summary(index) => item["summary"].get(index)?.as_str(),
            Self::Content(index) => item["content"].get(index)?.as_str(),
        }
    }
}

// === impl Flight ===

impl Flight {
    pub(super) fn new(turn: &str, generation: u64) -> Self {
        Self { turn: turn.to_owned(), generation, durable: false, perhaps: None, texts: BTreeMap::new() }
    }

    /// The same, of which it is kept that it began.
    pub(super) fn kept(self) -> Self {
        Self { durable: true, ..self }
    }

    /// As a snapshot shows it.
    pub(super) fn from_snapshot(turn: &str, generation: u64, item: &Value) -> Self {
        let mut flight = Self { perhaps: Some(item.to_string()), ..Self::new(turn, generation) };
        if let Some(text) = item["text"].as_str() {
            flight.texts.insert(Part::Text, text.to_owned());
        }
        let parts =
            |name: &str| item[name].as_array().into_iter().flatten().filter_map(Value::as_str).enumerate();
        flight.texts.extend(parts("summary").map(|(index, text)| (Part::Summary(index), text.to_owned())));
        if item["type"] == "reasoning" {
            flight
                .texts
                .extend(parts("content").map(|(index, text)| (Part::Content(index), text.to_owned())));
        }
        flight
    }

    /// As a snapshot showed it, where nothing was heard of it since: it may be complete.
    pub(super) fn perhaps(&self) -> Option<&String> {
        self.perhaps.as_ref()
    }

    /// Whether it goes on under a newer generation: what is only in flight never was then.
    pub(super) fn outlives_generations(&self) -> bool {
        self.durable || self.perhaps.is_some()
    }

    /// A piece from byte `off` on, or simply the next one. Of what is known already it must say the same.
    pub(super) fn grow(&mut self, part: Part, off: Option<usize>, piece: &str) -> Result<(), String> {
        // From here on it is known to have been in flight.
        self.perhaps = None;
        let text = self.texts.entry(part).or_default();
        let off = off.unwrap_or(text.len());
        let Some(known) = text.get(off..) else {
            return Err(format!("a gap in {part:?}: byte {off} comes after byte {}", text.len()));
        };
        let same = known.len().min(piece.len());
        if known.as_bytes()[..same] != piece.as_bytes()[..same] {
            return Err(format!("{part:?} from byte {off} on is told otherwise than before"));
        }
        if let Some(new) = piece.get(same..) {
            text.push_str(new);
        }
        Ok(())
    }

    /// What of it is not how the whole item begins.
    pub(super) fn against(&self, item: &Value) -> Option<String> {
        self.texts.iter().find_map(|(part, text)| {
            let whole = part.within(item).unwrap_or_default();
            (!whole.starts_with(text.as_str()))
                .then(|| format!("{part:?} is {whole:.200?} in the end, and began as {text:.200?}"))
        })
    }

    /// What two clients heard differently: one may be behind, in a text and in nothing else.
    pub(super) fn beside(&self, other: &Self) -> Option<String> {
        self.texts.iter().find_map(|(part, ours)| {
            let theirs = other.texts.get(part)?;
            (!ours.starts_with(theirs.as_str()) && !theirs.starts_with(ours.as_str()))
                .then(|| format!("{part:?} is {ours:.200?} here and {theirs:.200?} there"))
        })
    }
}
