//! What one client knows of one thread, built from answers and notifications in their order, as docs/protocol.md tells clients to.
//! What cannot be is listed in words.

mod beside;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::chronicle::{Chronicle, digest};
use super::flight::{Flight, Part};
use super::position::{Cursor, Position};
use super::questions::Questions;
use super::trace::{Trace, words};
use super::turns::{Change, Turns};

/// Notifications that every client hears, whatever it follows, or that belong to no thread's stream.
const FOR_EVERYONE: [&str; 11] = [
    "thread/started",
    "thread/status/changed",
    "thread/closed",
    "thread/archived",
    "thread/unarchived",
    "thread/deleted",
    "thread/reverted",
    "thread/name/updated",
    "mcpServer/startupStatus/updated",
    "warning",
    "deprecationNotice",
];

/// One thread as one client knows it.
#[derive(Debug, Default)]
pub(super) struct View {
    following: bool,
    /// The server says where its notifications stand.
    positions: bool,
    cursor: Option<Cursor>,
    /// The last number of this subscription, which began with an answer.
    heard: u64,
    generation: u64,
    turns: Turns,
    flights: BTreeMap<String, Flight>,
    /// What was told by number, after `base`: a digest of it.
    told: BTreeMap<u64, u64>,
    base: u64,
    /// The thread was reverted since: what is known here is not what is kept.
    stale: bool,
    questions: Questions,
    /// Turns that the server has acknowledged to this client.
    pub(super) acknowledged: BTreeSet<String>,
    /// Only a scribe has one.
    chronicle: Option<Chronicle>,
    /// How often the thread was unloaded.
    closings: u64,
    trace: Trace,
}

// === impl View ===

impl View {
    /// The view of a scribe, which forgets nothing.
    #[must_use]
    pub(super) fn of_scribe() -> Self {
        Self { chronicle: Some(Chronicle::default()), ..Self::default() }
    }

    /// Where to resume from; nothing where the server gave no place.
    #[must_use]
    pub(super) fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// Whether the client follows the thread at this moment.
    #[must_use]
    pub(super) fn is_following(&self) -> bool {
        self.following
    }

    /// Whether what is known was overtaken by a revert.
    #[must_use]
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// The turns, as far as they are told.
    #[must_use]
    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The server's questions.
    #[must_use]
    pub(super) fn questions(&self) -> &Questions {
        &self.questions
    }

    /// How often it was told that the thread was unloaded.
    #[must_use]
    pub(super) fn closings(&self) -> u64 {
        self.closings
    }

    /// Takes what was found to be wrong so far.
    pub(super) fn faults(&mut self) -> Vec<String> {
        self.trace.faults()
    }

    /// The last events, oldest first; up to the first fault, where there is one.
    pub(super) fn last(&self) -> impl Iterator<Item = &str> {
        self.trace.last()
    }

    /// What was told so far was compared with a scribe's chronicle, and need not be kept any more.
    pub(super) fn settle(&mut self) {
        if let Some(cursor) = &self.cursor {
            self.base = cursor.seq;
            self.told.clear();
        }
    }

    /// An answer to thread/start, thread/resume or thread/fork. `since` is what was asked for.
    pub(super) fn answered(&mut self, result: &Value, since: Option<&Cursor>) {
        let replay = &result["replay"];
        self.trace.remember(format!("the answer; since {:?}, replay {replay}", since.map(|since| since.seq)));
        self.following = true;
        self.questions.begin();
        self.positions = replay.is_object();
        let (turns, recovered) = (&result["thread"]["turns"], replay["recovered"] == true);
        if !self.positions {
            return self.snapshot(turns, 0, None);
        }
        let number = |name: &str| replay[name].as_u64();
        let (Some(head), Some(to), Some(from), Some(generation)) =
            (number("headSeq"), number("to"), number("from"), number("gen"))
        else {
            return self.trace.fault(format!("the answer's replay is not complete: {replay}"));
        };
        self.newer(generation);
        if !recovered {
            if (from, to) != (head + 1, head) {
                self.trace.fault(format!("a snapshot that is not at the head: {replay}"));
            }
            let cursor = Cursor { epoch: replay["logEpoch"].clone(), seq: head };
            return self.snapshot(turns, head, Some(cursor));
        }
        let Some(since) = since else {
            return self.trace.fault("recovered, though it asked for no replay".into());
        };
        if replay["logEpoch"] != since.epoch
            || to > head
            || turns.as_array().is_some_and(|turns| !turns.is_empty())
        {
            self.trace.fault(format!("recovered, with turns or otherwise than asked for: {replay}"));
        }
        // Over a revert it may not be: then the turns will not be those of the scribe.
        self.stale = false;
        self.heard = since.seq;
    }

    /// The answer to thread/unsubscribe.
    pub(super) fn unsubscribed(&mut self) {
        self.trace.remember("unsubscribed".into());
        self.following = false;
    }

    /// The connection has ended.
    pub(super) fn disconnected(&mut self) {
        if self.following {
            self.trace.remember("disconnected".into());
        }
        self.following = false;
    }

    /// The server is another process than before: it counts its questions anew.
    pub(super) fn of_another_server(&mut self) {
        self.questions.forget();
    }

    /// A question of the server's.
    pub(super) fn asked(&mut self, id: u64, method: &str, params: &Value) {
        self.trace.remember(format!("question {id}: {method}"));
        if !self.following {
            let fault = format!("question {id} of a thread that it does not follow");
            return self.trace.fault(fault);
        }
        if let Some(fault) = self.questions.asked(id, params) {
            self.trace.fault(fault);
        }
    }

    /// A notification.
    pub(super) fn note(&mut self, method: &str, params: &Value) {
        self.trace.remember(words(method, params));
        match method {
            "thread/reverted" => {
                self.stale = true;
                if let Some(chronicle) = &mut self.chronicle {
                    chronicle.reverted();
                }
            }
            "thread/closed" => self.closings += 1,
            _ => {}
        }
        if FOR_EVERYONE.contains(&method) {
            return;
        }
        if !self.following {
            let fault = format!("{method} of a thread that it does not follow");
            return self.trace.fault(fault);
        }
        let position = match Position::of(params) {
            Ok(position) => position,
            Err(fault) => return self.trace.fault(format!("{method}: {fault}")),
        };
        let mut off = None;
        match &position {
            Some(Position::Durable { cursor, generation }) => {
                self.newer(*generation);
                if !self.accept(cursor, method, params) {
                    return;
                }
            }
            Some(Position::InFlight { off: at, generation }) => {
                self.newer(*generation);
                off = Some(*at);
            }
            None => {}
        }
        let placed = position.is_some();
        let fault = match method {
            "turn/started" => self.begun(params),
            "turn/completed" => self.ended(params, placed),
            "item/started" => self.item_started(params, off.is_none()),
            "item/completed" => self.item_completed(params, placed),
            "serverRequest/resolved" => {
                params["requestId"].as_u64().and_then(|id| self.questions.resolved(id))
            }
            _ => Part::of(method, params).and_then(|part| self.delta(part, off, params)),
        };
        if let Some(fault) = fault {
            self.trace.fault(format!("{method}: {fault}"));
        }
    }

    fn snapshot(&mut self, turns: &Value, base: u64, cursor: Option<Cursor>) {
        self.flights.clear();
        self.turns = Turns::of_snapshot(turns);
        for turn in turns.as_array().into_iter().flatten().filter(|turn| turn["status"] == "inProgress") {
            let id = turn["id"].as_str().unwrap_or_default();
            for item in turn["items"].as_array().into_iter().flatten() {
                let item_id = item["id"].as_str().unwrap_or_default();
                if self.turns.item(id, item_id).is_none() {
                    let flight = Flight::from_snapshot(id, self.generation, item);
                    self.flights.insert(item_id.to_owned(), flight);
                }
            }
        }
        self.told.clear();
        (self.base, self.heard, self.cursor, self.stale) = (base, base, cursor, false);
        if let Some(chronicle) = &mut self.chronicle {
            chronicle.snapshot(base, &self.turns);
        }
    }

    /// Whether a durable event is new. It is known already where a replay began before what the client has.
    fn accept(&mut self, cursor: &Cursor, method: &str, params: &Value) -> bool {
        let seq = cursor.seq;
        if seq <= self.heard {
            self.trace.fault(format!("{method}: number {seq} was told after {}", self.heard));
            return false;
        }
        self.heard = seq;
        let digest = digest(method, params);
        match &mut self.cursor {
            Some(known) if known.epoch != cursor.epoch => {
                self.trace.fault(format!("{method}: number {seq} is of another log"));
            }
            Some(known) if seq <= known.seq => {
                let before = self.told.get(&seq).copied();
                if before.is_some_and(|before| before != digest) {
                    self.trace.fault(format!("{method}: number {seq} is told otherwise than before"));
                }
                if before.is_none() && seq > self.base {
                    self.trace.fault(format!("{method}: number {seq} was not told before"));
                }
                return false;
            }
            Some(known) => known.seq = seq,
            None => self.cursor = Some(cursor.clone()),
        }
        self.told.insert(seq, digest);
        if let Some(chronicle) = &mut self.chronicle {
            chronicle.note(seq, digest, Change::of(method, params));
        }
        true
    }

    /// What was in flight under an older generation never was.
    fn newer(&mut self, generation: u64) {
        if generation < self.generation {
            self.trace.fault(format!("generation {generation} after {}", self.generation));
        }
        if generation > self.generation {
            self.generation = generation;
            self.flights.retain(|_, flight| flight.outlives_generations());
        }
    }

    fn begun(&mut self, params: &Value) -> Option<String> {
        let id = params["turn"]["id"].as_str()?;
        if self.turns.get(id).is_some() {
            return Some(format!("turn {id} began twice"));
        }
        self.turns.apply(&Change::Begun { turn: id.to_owned() });
        None
    }

    fn ended(&mut self, params: &Value, placed: bool) -> Option<String> {
        let (id, status) = (params["turn"]["id"].as_str()?, params["turn"]["status"].as_str()?);
        let fault = match self.turns.get_mut(id) {
            None => Some(format!("turn {id} ended and was never said to begin")),
            // That a crash cut a turn off has no place of its own, and may be told at each resume.
            Some(turn) if turn.status.is_some() => {
                let torn = self.positions && !placed && turn.status.as_deref() == Some(status);
                (!torn).then(|| format!("turn {id} ended twice"))
            }
            Some(turn) => {
                turn.status = Some(status.to_owned());
                for (item, flight) in &self.flights {
                    if let Some(whole) = flight.perhaps().filter(|_| flight.turn == id) {
                        turn.perhaps.insert(item.clone(), whole.clone());
                    }
                }
                None
            }
        };
        self.flights.retain(|_, flight| flight.turn != id);
        fault
    }

    fn item_started(&mut self, params: &Value, durable: bool) -> Option<String> {
        let (turn, id) = (params["turnId"].as_str()?, params["item"]["id"].as_str()?);
        let known = self.turns.get(turn).is_some_and(|turn| turn.knows(id));
        match self.turns.get(turn) {
            None => return Some(format!("item {id} began in a turn that never did, {turn}")),
            Some(running) if running.status.is_some() && !known => {
                return Some(format!("item {id} began after the end of its turn {turn}"));
            }
            Some(_) => {}
        }
        // A replay says of each item that it began, also of those that the client knows.
        let again = known || self.flights.contains_key(id);
        if again {
            return (!self.positions).then(|| format!("item {id} began twice"));
        }
        let flight = Flight::new(turn, self.generation);
        self.flights.insert(id.to_owned(), if durable { flight.kept() } else { flight });
        None
    }

    fn item_completed(&mut self, params: &Value, placed: bool) -> Option<String> {
        let (turn, item) = (params["turnId"].as_str()?, &params["item"]);
        let id = item["id"].as_str()?;
        if self.turns.item(turn, id).is_some() {
            return (placed || !self.positions).then(|| format!("item {id} completed twice"));
        }
        let running = self.turns.get(turn).is_some_and(|turn| turn.status.is_none());
        let flight = self.flights.remove(id);
        if let Some(change) = Change::of("item/completed", params) {
            self.turns.apply(&change);
        }
        match flight {
            _ if !running => Some(format!("item {id} completed in a turn that does not run, {turn}")),
            None => Some(format!("item {id} completed and never began")),
            Some(flight) => flight.against(item).map(|fault| format!("item {id}: {fault}")),
        }
    }

    fn delta(&mut self, part: Part, off: Option<usize>, params: &Value) -> Option<String> {
        let (id, piece) = (params["itemId"].as_str()?, params["delta"].as_str()?);
        match self.flights.get_mut(id) {
            Some(flight) => flight.grow(part, off, piece).err().map(|fault| format!("item {id}: {fault}")),
            None => Some(format!("a piece of item {id}, which is not in flight")),
        }
    }
}
