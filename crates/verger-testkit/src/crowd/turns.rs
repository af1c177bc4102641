//! The turns of a thread, as durable events or a snapshot tell them.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a durable event changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Begun { turn: String },
    Ended { turn: String, status: String },
    Item { turn: String, item: String, whole: String },
}

/// Turns in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Turns(Vec<Turn>);

/// One turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Turn {
    pub(super) id: String,
    /// Nothing while it runs.
    pub(super) status: Option<String>,
    /// Complete items, as JSON, by their ids.
    pub(super) items: BTreeMap<String, String>,
    /// Texts that a snapshot of a running turn showed and nothing was heard of since: complete, or never were.
    pub(super) perhaps: BTreeMap<String, String>,
}

// === impl Change ===

impl Change {
    /// What a notification changes, if it does.
    pub(super) fn of(method: &str, params: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(match method {
            "turn/started" => Self::Begun { turn: text(&params["turn"]["id"]) },
            "turn/completed" => {
                Self::Ended { turn: text(&params["turn"]["id"]), status: text(&params["turn"]["status"]) }
            }
            "item/completed" => Self::Item {
                turn: text(&params["turnId"]),
                item: text(&params["item"]["id"]),
                whole: params["item"].to_string(),
            },
            _ => return None,
        })
    }
}

// === impl Turns ===

impl Turns {
    /// Of what `thread/read` or a snapshot shows. Texts of a running turn may be in flight.
    #[must_use]
    pub(super) fn of_snapshot(turns: &Value) -> Self {
        let turns = turns.as_array().into_iter().flatten();
        Self(turns.map(Turn::of_snapshot).collect())
    }

    /// How many.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Ids, in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|turn| turn.id.as_str())
    }

    /// The one that runs, with what was kept of it so far.
    #[must_use]
    pub(super) fn running(&self) -> Option<(&str, impl Iterator<Item = &str>)> {
        let turn = self.0.iter().rev().find(|turn| turn.status.is_none())?;
        Some((&turn.id, turn.items.values().map(String::as_str)))
    }

    /// The item as it stays, once it is complete.
    pub(super) fn item(&self, turn: &str, item: &str) -> Option<&str> {
        self.get(turn)?.items.get(item).map(String::as_str)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Turn> {
        self.0.iter().rev().find(|turn| turn.id == id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Turn> {
        self.0.iter_mut().rev().find(|turn| turn.id == id)
    }

    /// Does what a durable event says, however often.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Begun { turn } => {
                if self.get(turn).is_none() {
                    self.0.push(Turn { id: turn.clone(), ..Turn::default() });
                }
            }
            Change::Ended { turn, status } => {
                if let Some(turn) = self.get_mut(turn) {
                    turn.status = Some(status.clone());
                }
            }
            Change::Item { turn, item, whole } => {
                if let Some(turn) = self.get_mut(turn) {
                    turn.perhaps.remove(item);
                    turn.items.insert(item.clone(), whole.clone());
                }
            }
        }
    }

    /// The first difference from what others know of the same moment, in words. A turn that one of both saw cut off by a crash
    /// may still run for the other, where `torn` allows it.
    #[must_use]
    pub(super) fn against(&self, other: &Self, torn: bool) -> Option<String> {
        let (ours, theirs): (Vec<&str>, Vec<&str>) = (self.ids().collect(), other.ids().collect());
        if ours != theirs {
            let from = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
            return Some(format!(
                "from turn {from} on, {:?} here and {:?} there",
                &ours[from..ours.len().min(from + 4)],
                &theirs[from..theirs.len().min(from + 4)]
            ));
        }
        self.0.iter().zip(&other.0).find_map(|(ours, theirs)| ours.against(theirs, torn))
    }
}

// === impl Turn ===

impl Turn {
    /// Whether it was told of this item, complete or, once the turn has ended, perhaps so.
    pub(super) fn knows(&self, item: &str) -> bool {
        self.items.contains_key(item) || (self.status.is_some() && self.perhaps.contains_key(item))
    }

    fn of_snapshot(turn: &Value) -> Self {
        let status = turn["status"].as_str().filter(|status| *status != "inProgress").map(str::to_owned);
        let mut of =
            Self { id: turn["id"].as_str().unwrap_or_default().to_owned(), status, ..Self::default() };
        for item in turn["items"].as_array().into_iter().flatten() {
            let id = item["id"].as_str().unwrap_or_default().to_owned();
            let grows = matches!(item["type"].as_str(), Some("agentMessage" | "reasoning"));
            let open = item["status"] == "inProgress";
            if of.status.is_some() || !(grows || open) {
                of.items.insert(id, item.to_string());
            } else if grows {
                of.perhaps.insert(id, item.to_string());
            }
        }
        of
    }

    fn against(&self, other: &Self, torn: bool) -> Option<String> {
        let id = &self.id;
        let may_differ = torn && self.status.is_none() != other.status.is_none();
        if self.status != other.status && !may_differ {
            return Some(format!("turn {id} is {:?} here and {:?} there", self.status, other.status));
        }
        let ids = self.items.keys().chain(other.items.keys());
        ids.filter(|_| !may_differ).find_map(|item| {
            let find = |turn: &Self| turn.items.get(item).or(turn.perhaps.get(item)).cloned();
            let (ours, theirs) = (find(self), find(other));
            (ours != theirs).then(|| {
                let show =
                    |item: Option<String>| item.map_or("nothing".into(), |item| format!("{item:.400}"));
                format!("item {item} of turn {id} is {} here and {} there", show(ours), show(theirs))
            })
        })
    }
}
