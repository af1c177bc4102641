//! One thread as one client saw it: which turns and items began and ended, and whether each did so once.

use std::collections::BTreeSet;

use serde_json::Value;

/// What was seen of one thread.
#[derive(Debug, Default)]
pub struct Account {
    /// Notifications of any kind that named the thread.
    pub events: u64,
    /// Those of them that were deltas.
    pub deltas: u64,
    /// How often the thread was unloaded.
    pub closings: u64,
    turns: Vec<Turn>,
    /// Turns that the server has acknowledged to this client.
    acknowledged: BTreeSet<String>,
}

#[derive(Debug)]
struct Turn {
    id: String,
    /// Nothing while it runs.
    status: Option<String>,
    /// Seen from its first event on, so that nothing of it may be missing.
    whole: bool,
    /// Ids of the items that were seen to complete, in that order.
    completed: Vec<String>,
    open: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    id: String,
    text: String,
    /// It came in a snapshot, which does not say whether it was complete by then.
    from_snapshot: bool,
}

// === impl Account ===

impl Account {
    /// How the turn ended; nothing while it runs or is unknown.
    #[must_use]
    pub fn ended(&self, turn: &str) -> Option<&str> {
        self.turns.iter().rev().find(|known| known.id == turn)?.status.as_deref()
    }

    /// Turns seen, and how many of them have ended.
    #[must_use]
    pub fn turns(&self) -> (usize, usize) {
        (self.turns.len(), self.turns.iter().filter(|turn| turn.status.is_some()).count())
    }

    /// Whether a turn was seen, or acknowledged.
    #[must_use]
    pub fn has_turns(&self) -> bool {
        !self.turns.is_empty() || !self.acknowledged.is_empty()
    }

    /// Ids of the turns that were seen from their first event on.
    pub fn seen(&self) -> impl Iterator<Item = &str> {
        self.turns.iter().filter(|turn| turn.whole).map(|turn| turn.id.as_str())
    }

    /// Items that were seen to complete.
    #[must_use]
    pub fn items(&self) -> usize {
        self.turns.iter().map(|turn| turn.completed.len()).sum()
    }

    /// Compares with what the server kept, the `turns` of `thread/read` with `includeTurns`. What is said here and
    /// not there was lost, or said twice.
    #[must_use]
    pub fn against(&self, kept: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        let kept: Vec<&Value> = kept.as_array().into_iter().flatten().collect();
        let times = |id: &str| kept.iter().filter(|turn| turn["id"] == id).count();
        for id in &self.acknowledged {
            if times(id) != 1 {
                faults.push(format!("acknowledged turn {id} is kept {} times", times(id)));
            }
        }
        for turn in self.turns.iter().filter(|turn| turn.status.is_some()) {
            match kept.iter().find(|kept| kept["id"] == turn.id.as_str()) {
                Some(kept) => turn.against(kept, &mut faults),
                None => faults.push(format!("turn {} has ended and is not kept", turn.id)),
            }
        }
        faults
    }

    pub(super) fn acknowledge(&mut self, turn: &str) {
        self.acknowledged.insert(turn.to_owned());
    }

    pub(super) fn note(&mut self, method: &str, params: &Value, faults: &mut Vec<String>) {
        self.events += 1;
        match method {
            "turn/started" => self.begin(id(&params["turn"]), faults),
            "turn/completed" => self.end(&params["turn"], faults),
            "item/started" | "item/completed" | "item/agentMessage/delta" => {
                let turn = params["turnId"].as_str().unwrap_or_default();
                let running = self.turns.iter_mut().rev().find(|known| known.id == turn);
                let Some(running) = running.filter(|turn| turn.status.is_none()) else {
                    return faults.push(format!("{method} outside of a running turn, {turn}"));
                };
                match method {
                    "item/started" => running.item_started(&params["item"], faults),
                    "item/completed" => running.item_completed(&params["item"], faults),
                    _ => {
                        self.deltas += 1;
                        running.delta(params, faults);
                    }
                }
            }
            "thread/closed" => self.closings += 1,
            other if other.ends_with("elta") => self.deltas += 1,
            _ => {}
        }
    }

    pub(super) fn snapshot(&mut self, turns: &Value, faults: &mut Vec<String>) {
        let snapshot: Vec<&Value> = turns.as_array().into_iter().flatten().collect();
        for turn in self.turns.iter().filter(|turn| turn.status.is_some()) {
            if !snapshot.iter().any(|kept| kept["id"] == turn.id.as_str()) {
                faults.push(format!("turn {} has ended and is not in the snapshot", turn.id));
            }
        }
        // What ran when this client last looked has gone on without it: the snapshot says how far.
        self.turns.retain(|turn| turn.status.is_some());
        for running in snapshot.iter().filter(|turn| turn["status"] == "inProgress") {
            let items = running["items"].as_array().into_iter().flatten();
            let open = items.map(|item| Item { from_snapshot: true, ..Item::new(item) }).collect();
            self.turns.push(Turn { open, whole: false, ..Turn::new(id(running)) });
        }
    }

    fn begin(&mut self, turn: &str, faults: &mut Vec<String>) {
        if self.turns.iter().any(|known| known.id == turn) {
            faults.push(format!("turn {turn} started twice"));
        } else {
            self.turns.push(Turn::new(turn));
        }
    }

    fn end(&mut self, ended: &Value, faults: &mut Vec<String>) {
        let (turn, status) = (id(ended), ended["status"].as_str().unwrap_or_default());
        match self.turns.iter_mut().rev().find(|known| known.id == turn) {
            Some(Turn { status: Some(before), .. }) => {
                faults.push(format!("turn {turn} ended twice: {before}, {status}"));
            }
            Some(running) => running.end(status, faults),
            None => faults.push(format!("turn {turn} ended and was never said to begin")),
        }
    }
}

// === impl Turn ===

impl Turn {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), status: None, whole: true, completed: Vec::new(), open: Vec::new() }
    }

    fn item_started(&mut self, item: &Value, faults: &mut Vec<String>) {
        if self.open.iter().any(|open| open.id == id(item)) {
            faults.push(format!("item {} of turn {} started twice", id(item), self.id));
        } else {
            self.open.push(Item::new(item));
        }
    }

    fn item_completed(&mut self, item: &Value, faults: &mut Vec<String>) {
        let Some(at) = self.open.iter().position(|open| open.id == id(item)) else {
            return faults.push(format!("item {} of turn {} completed and was not open", id(item), self.id));
        };
        let open = self.open.remove(at);
        if let Some(text) = item["text"].as_str().filter(|text| *text != open.text) {
            let (all, seen) = (text.len(), open.text.len());
            faults.push(format!("item {} of turn {}: {seen} of {all} bytes streamed", open.id, self.id));
        }
        self.completed.push(open.id);
    }

    fn delta(&mut self, params: &Value, faults: &mut Vec<String>) {
        let item = params["itemId"].as_str().unwrap_or_default();
        match self.open.iter_mut().find(|open| open.id == item) {
            Some(open) => open.text.push_str(params["delta"].as_str().unwrap_or_default()),
            None => faults.push(format!("text for item {item} of turn {}, which is not open", self.id)),
        }
    }

    fn end(&mut self, status: &str, faults: &mut Vec<String>) {
        // An interrupted or failed turn may leave an item in mid-air; a completed one may not.
        for item in self.open.iter().filter(|item| status == "completed" && !item.from_snapshot) {
            faults.push(format!("item {} of turn {} never completed", item.id, self.id));
        }
        self.open = Vec::new();
        self.status = Some(status.to_owned());
    }

    fn against(&self, kept: &Value, faults: &mut Vec<String>) {
        let (seen, says) = (self.status.as_deref().unwrap_or_default(), &kept["status"]);
        if says != seen {
            faults.push(format!("turn {} ended as {seen} and is kept as {says}", self.id));
        }
        let mut missing: Vec<&str> = kept["items"].as_array().into_iter().flatten().map(id).collect();
        for item in &self.completed {
            match missing.iter().position(|kept| kept == item) {
                Some(at) => drop(missing.remove(at)),
                None => faults.push(format!("item {item} of turn {} completed and is not kept", self.id)),
            }
        }
        // What an interrupt cut off is kept, and need not have been seen to complete.
        if self.whole && seen == "completed" && !missing.is_empty() {
            faults.push(format!("items {missing:?} of turn {} are kept and were never seen", self.id));
        }
    }
}

// === impl Item ===

impl Item {
    fn new(item: &Value) -> Self {
        let text = item["text"].as_str().unwrap_or_default().to_owned();
        Self { id: id(item).to_owned(), text, from_snapshot: false }
    }
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap_or_default()
}
