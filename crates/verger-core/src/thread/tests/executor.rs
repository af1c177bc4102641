//! An executor on paper: keeps what it is told to keep, and what clients are told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;
use verger_wire::types::{
    McpServerElicitationAction, ThreadItem, ThreadStatus, ThreadTokenUsage, TurnStatus, UserInput,
};
use verger_wire::{
    McpServerElicitationRequest, McpServerElicitationRequestResponse, Notification, ServerRequest,
};

use super::behind::Behind;
use super::client::Client;
use crate::ids::{QuestionId, Seq, ThreadId, Ticket, TurnId};
use crate::thread::{
    Answer, Ask, Conversation, Effect, Event, Live, NOT_SENT, OUTCOME_UNKNOWN, Outcome, Place, Record, Reply,
    Says, Stream, Thread, Told, request_id, turns,
};

/// A log of more records than this is not read whole after every event.
const LONG: usize = 300;
/// But after one in so many.
const FULL_EVERY: u64 = 250;

/// A thread with everything around it.
#[derive(Debug)]
pub(super) struct Executor {
    pub(super) machine: Thread,
    pub(super) log: Vec<Record>,
    pub(super) stream: Stream,
    /// A client that follows the thread from its beginning.
    pub(super) first: Client,
    /// Clients that hear of what happens later than it does.
    pub(super) behind: Vec<Behind>,
    /// Those that will: after how many notifications, and whether they leave.
    pub(super) falling: Vec<(u8, bool)>,
    /// The log is kept in memory only, and does not keep what is forgotten.
    pub(super) in_memory: bool,
    /// How many records are of a sort that clients are told of, since the stream began.
    visible: usize,
    /// One line for each effect, in order.
    pub(super) transcript: Vec<String>,
    /// The model call under way.
    pub(super) call: Option<u64>,
    /// Tool calls under way.
    pub(super) tools: Vec<String>,
    /// Of these, the ones whose task waits for an approval, by the question.
    pub(super) unapproved: BTreeMap<QuestionId, String>,
    /// Of these, the ones that nobody has approved since it was asked.
    unsent: BTreeSet<String>,
    /// Whoever asked a question and has not heard how it ended.
    pub(super) askers: BTreeSet<QuestionId>,
    /// What a client that follows the thread from its beginning is asked and has not been told to forget.
    pub(super) asked: BTreeMap<QuestionId, ServerRequest>,
    status: ThreadStatus,
    waits: bool,
    last_question: i64,
    /// Requests without an answer.
    pub(super) open: Vec<Ticket>,
    pub(super) idle_seen: u64,
    pub(super) begins: u64,
    /// Appends that succeed before the disk is full; `None` is a disk without end.
    pub(super) room: Option<u32>,
    /// An append has failed: from then on the log knows less than clients were told of failures.
    pub(super) failed: bool,
    at: i64,
    last_ticket: u64,
    /// The first turn that is being forgotten.
    reverting: Option<(String, Seq)>,
    /// What the numbers of this owner's turns begin after.
    earlier: u64,
    /// Where the newest turn begins in the log, if nothing was forgotten since: all before it was held to what was told.
    newest: Option<usize>,
    checks: u64,
}

impl Executor {
    pub(super) fn new() -> Self {
        Self {
            machine: Thread::new(ThreadId(Uuid::from_u128(1))),
            log: Vec::new(),
            stream: Stream::new(ThreadId(Uuid::from_u128(1)), Seq(0)),
            first: Client::default(),
            behind: Vec::new(),
            falling: Vec::new(),
            in_memory: false,
            visible: 0,
            transcript: Vec::new(),
            call: None,
            tools: Vec::new(),
            unapproved: BTreeMap::new(),
            unsent: BTreeSet::new(),
            askers: BTreeSet::new(),
            asked: BTreeMap::new(),
            status: ThreadStatus::Idle,
            waits: false,
            last_question: 0,
            open: Vec::new(),
            idle_seen: 0,
            begins: 0,
            room: None,
            failed: false,
            at: 1_700_000_000_000,
            last_ticket: 0,
            reverting: None,
            earlier: 0,
            newest: None,
            checks: 0,
        }
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.open.push(Ticket(self.last_ticket));
        Ticket(self.last_ticket)
    }

    pub(super) fn begin(&mut self, text: &str) {
        self.request(text, None);
    }

    /// The same, by a request that the client has an id of its own for.
    pub(super) fn request(&mut self, text: &str, request: Option<&str>) {
        let ticket = self.ticket();
        self.begins += 1;
        let turn = self.turn_id();
        let (input, request) = (vec![UserInput::text(text)], request.map(str::to_owned));
        self.handle(Event::Begin { ticket, turn, input, client_id: None, request });
    }

    fn turn_id(&self) -> TurnId {
        TurnId(Uuid::from_u128(0x1000 + u128::from(self.earlier + self.begins)))
    }

    /// The next owner of this log: of a fork that was made now, or of the thread itself after a crash. Its clients are told
    /// what the log tells.
    pub(super) fn successor(&self) -> Self {
        let mut next = Self::new();
        next.log.clone_from(&self.log);
        next.stream = Stream::new(self.id(), place(self.log.len()));
        next.first = Client::shown(turns(self.live(), None), self.kept_spent(), self.first.cursor);
        next.in_memory = self.in_memory;
        let spent = self.log.iter().rev().find_map(|record| match record {
            Record::TokensSpent(spent) => Some(spent.clone()),
            _ => None,
        });
        next.machine.has_spent(spent);
        next.machine.has_taken(self.taken());
        (next.at, next.earlier) = (self.at, self.earlier + self.begins);
        next.last_question = self.last_question;
        next
    }

    fn kept_spent(&self) -> Option<ThreadTokenUsage> {
        self.log.iter().rev().find_map(|record| match record {
            Record::TokensSpent(spent) => Some(spent.usage.clone()),
            _ => None,
        })
    }

    fn taken(&self) -> Vec<(String, String)> {
        let taken = self.live().into_iter().filter_map(|record| match record {
            Record::RequestTaken { turn, request, .. } => Some((request, turn)),
            _ => None,
        });
        taken.collect()
    }

    pub(super) fn interrupt(&mut self) {
        let ticket = self.ticket();
        self.handle(Event::Interrupt { ticket: Some(ticket), turn: None });
    }

    /// A client asks for a summary.
    pub(super) fn compact(&mut self) {
        let ticket = self.ticket();
        self.begins += 1;
        let turn = self.turn_id();
        self.handle(Event::Compact { ticket, turn });
    }

    /// A client wants turn number `n` and all after it forgotten.
    pub(super) fn revert(&mut self, n: usize) {
        let turn = self.first.turns.keys().nth(n).expect("there are so many").clone();
        let begins = |record: &Record| matches!(record, Record::TurnStarted { turn: id, .. } if *id == turn);
        let upto = self.log.iter().position(begins).expect("a turn that was told of is durable");
        let (ticket, upto) = (self.ticket(), place(upto));
        self.reverting = Some((turn.clone(), upto));
        self.handle(Event::Revert { ticket, turn, upto });
        self.reverting = None;
        self.machine.has_taken(self.taken());
    }

    /// A client puts a message into the model's history.
    pub(super) fn inject(&mut self, text: &str) {
        let ticket = self.ticket();
        self.handle(Event::Inject { ticket, items: vec![Value::from(text)] });
    }

    pub(super) fn id(&self) -> ThreadId {
        ThreadId(Uuid::from_u128(1))
    }

    /// Those records that count, as a store would find them.
    pub(super) fn live(&self) -> Vec<Record> {
        self.counted().into_iter().map(|(_, record)| record).collect()
    }

    /// The same, with their numbers.
    pub(super) fn counted(&self) -> Vec<(Seq, Record)> {
        let mut live = Live::default();
        for (seq, record) in (1..).map(Seq).zip(&self.log) {
            if let Record::Reverted { upto, .. } = record {
                live.forget(*upto, seq);
            }
        }
        let stretches = live.within(Seq(0), place(self.log.len()));
        let numbers = stretches.flat_map(|(from, to)| from.0 + 1..=to.0);
        numbers.map(|seq| (Seq(seq), self.log[seq as usize - 1].clone())).collect()
    }

    /// What the model would be told now: from the last summary on, as a store would read it.
    pub(super) fn conversation(&self) -> Conversation {
        let live = self.live();
        let summary = live.iter().rposition(|record| matches!(record, Record::Compacted { .. }));
        let from = summary.map_or(0, |summary| match &live[summary] {
            Record::Compacted { behind, .. } => summary - *behind as usize,
            _ => 0,
        });
        Conversation::of(live[from..].iter().cloned())
    }

    fn question(&mut self) -> QuestionId {
        self.last_question += 1;
        self.askers.insert(QuestionId(self.last_question));
        QuestionId(self.last_question)
    }

    /// Asks whether a tool call under way may be sent.
    pub(super) fn ask_approval(&mut self, item: &str) -> QuestionId {
        let question = self.question();
        self.unapproved.insert(question, item.to_owned());
        self.unsent.insert(item.to_owned());
        let ask = Ask::Approval { item: item.to_owned(), request: form() };
        self.handle(Event::Asked { question, ask });
        question
    }

    /// A helper asks.
    pub(super) fn elicit(&mut self, server: &str) -> QuestionId {
        let question = self.question();
        let ask = Ask::Elicitation { server: server.to_owned(), request: form() };
        self.handle(Event::Asked { question, ask });
        question
    }

    pub(super) fn answer(&mut self, question: QuestionId, answer: Answer) {
        self.handle(Event::Answered { question, answer });
    }

    /// The model says something in answer to the call under way.
    pub(super) fn says(&mut self, says: Says) {
        if let Some(call) = self.call {
            self.handle(Event::Model { call, says });
        }
    }

    pub(super) fn handle(&mut self, event: Event) {
        self.at += 7;
        self.machine.handle(self.at, event);
        while let Some(effect) = self.machine.poll_effect() {
            self.obey(effect);
        }
        self.check();
    }

    fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Append(records) => {
                if self.room == Some(0) {
                    self.failed = true;
                    self.first.is_lenient = true;
                    self.behind.iter_mut().for_each(|behind| behind.client.is_lenient = true);
                    self.transcript.push("append failed".into());
                    self.machine.handle(self.at, Event::AppendFailed { message: "disk full".into() });
                    return;
                }
                self.room = self.room.map(|room| room - 1);
                let names = records.iter().map(|r| match r {
                    Record::TurnStarted { .. } => "turn+",
                    Record::ItemStarted { .. } => "item+",
                    Record::CallAsked { .. } => "asked",
                    Record::CallApproved { .. } => "approved",
                    Record::ItemCompleted { .. } => "item",
                    Record::TurnCompleted { .. } => "turn",
                    Record::Reverted { .. } => "reverted",
                    Record::Compacted { .. } => "compacted",
                    Record::Injected { .. } => "injected",
                    Record::TokensSpent(_) => "spent",
                    Record::RequestTaken { .. } => "request",
                    Record::ThoughtSealed { .. } => "seal",
                });
                self.transcript.push(format!("append {}", names.collect::<Vec<_>>().join(" ")));
                let before = self.log.len();
                for record in records {
                    match record {
                        Record::TurnStarted { .. } => self.newest = Some(self.log.len()),
                        Record::Reverted { .. } => self.newest = None,
                        _ => {}
                    }
                    self.visible += usize::from(is_told(&record));
                    self.log.push(record);
                }
                match self.log.last() {
                    Some(Record::Reverted { upto, .. }) if self.in_memory => {
                        let upto = *upto;
                        self.log.truncate(upto.0 as usize);
                        self.stream.forget(upto);
                        self.first.cursor = self.first.cursor.min(upto);
                    }
                    _ => self.stream.appended(place(before + 1), &self.log[before..]),
                }
            }
            Effect::Notify(notification) => self.told(notification),
            Effect::Status(status) => {
                let name = match status {
                    ThreadStatus::Active { .. } => "active",
                    ThreadStatus::Idle => "idle",
                    ThreadStatus::SystemError => "systemError",
                    ThreadStatus::NotLoaded => "notLoaded",
                };
                let waits = match &status {
                    ThreadStatus::Active { active_flags } if !active_flags.is_empty() => " waiting",
                    _ => "",
                };
                self.transcript.push(format!("status {name}{waits}"));
                self.status = status;
            }
            Effect::Reply { ticket, reply } => {
                self.answered(ticket);
                self.transcript.push(match reply {
                    Reply::Turn(turn) => format!("reply turn {:?}", turn.status),
                    Reply::Interrupted => "reply interrupted".into(),
                    Reply::Reverted => "reply reverted".into(),
                    Reply::Done => "reply".into(),
                });
            }
            Effect::Recall { ticket, turn } => {
                self.answered(ticket);
                let turns = turns(self.log.clone(), None);
                let kept =
                    turns.iter().find(|kept| kept.id == turn).expect("a request of a turn that never was");
                assert_ne!(kept.status, TurnStatus::InProgress, "an active turn needs no recalling");
                self.transcript.push(format!("recall turn {:?}", kept.status));
            }
            Effect::Refuse { ticket, error } => {
                self.answered(ticket);
                self.transcript.push(format!("refuse {}", error.message));
            }
            Effect::CallModel { call } => {
                self.call = Some(call);
                self.transcript.push("call model".into());
            }
            Effect::SumUp { call, behind } => {
                self.call = Some(call);
                assert!(behind as usize <= self.log.len(), "not more than there is");
                self.transcript.push(match behind {
                    0 => "sum up".into(),
                    behind => format!("sum up but {behind}"),
                });
            }
            Effect::Announce(notification) => self.told(notification),
            Effect::CancelModel => self.call = None,
            Effect::CallTool { item, tool, .. } => {
                assert!(
                    self.log
                        .iter()
                        .any(|r| matches!(r, Record::ItemStarted { item: i, .. } if i.id() == item)),
                    "a tool is called before its call is durable"
                );
                self.tools.push(item);
                self.transcript.push(format!("call tool {tool}"));
            }
            Effect::CancelTools => {
                self.tools.clear();
                let gone = std::mem::take(&mut self.unapproved);
                self.askers.retain(|question| !gone.contains_key(question));
            }
            Effect::CallClientTool { item } => {
                let is_kept = |r: &Record| matches!(r, Record::ItemStarted { item: i, .. } if i.id() == item);
                assert!(self.log.iter().any(is_kept), "a client's tool is called before its call is durable");
                let question = self.question();
                self.machine.handle(self.at, Event::Asked { question, ask: Ask::ClientTool { item } });
            }
            Effect::Ask { question, request } => {
                self.transcript.push(format!("ask {}", request.method()));
                assert!(self.asked.insert(question, *request).is_none(), "K8: a question is asked twice");
            }
            Effect::Settle { question, outcome } => {
                let item = self.unapproved.remove(&question);
                // Whoever waited in a tool call that was cancelled is gone.
                let is_known = self.askers.remove(&question);
                assert!(is_known || item.is_none(), "K8: a question ends twice");
                if let (Some(item), Outcome::Answered(answer)) = (&item, &outcome)
                    && *answer == says(McpServerElicitationAction::Accept)
                {
                    self.unsent.remove(item);
                }
                self.transcript.push(match outcome {
                    Outcome::Answered(_) => "settle answered".into(),
                    Outcome::Withdrawn => "settle withdrawn".into(),
                });
            }
            Effect::Waits { waits } => self.waits = waits,
            Effect::Idle { seen } => {
                assert!(self.machine.active_turn().is_none(), "idle with an active turn");
                self.idle_seen = seen;
            }
        }
    }

    fn answered(&mut self, ticket: Ticket) {
        let open = self.open.iter().position(|open| *open == ticket);
        self.open.remove(open.expect("K8: each request is answered once"));
    }

    fn told(&mut self, notification: Notification) {
        self.transcript.push(notification.method().to_owned());
        match &notification {
            Notification::ServerRequestResolved(n) => {
                let asked = self.asked.keys().copied().find(|id| request_id(*id) == n.request_id);
                // An ask whose append failed is forgotten before anyone heard of it.
                assert!(asked.is_some() || self.failed, "K8: a question is resolved that nobody was asked");
                asked.and_then(|id| self.asked.remove(&id));
            }
            Notification::ThreadReverted(_) => {
                let (from, upto) = self.reverting.clone().expect("a revert was asked for");
                self.first.forget(&from);
                self.forget_behind(upto, &from);
                return;
            }
            _ => {}
        }
        let place = self.stream.tell(&notification);
        if let Some(Place::Durable(seq)) = place {
            let record = &self.log[seq.0 as usize - 1];
            assert!(tells(&notification, record), "{notification:?} does not tell {record:?}");
        }
        let told = Told { notification, place };
        self.hear_behind(&told);
        self.first.hear(told);
        self.fall();
    }

    /// K5, K7: the log and the active turn tell a newcomer exactly what the first client was told.
    fn check(&mut self) {
        self.checks += 1;
        assert_eq!(self.open, [], "a request is left without an answer");
        // K5, K8: a newcomer is asked what the first client still is, and whoever asked hears of every end.
        let asked: BTreeMap<_, _> =
            self.machine.questions().map(|(id, request)| (id, request.clone())).collect();
        assert_eq!(asked, self.asked, "a newcomer and the first client are asked different things");
        assert_eq!(self.askers, asked.into_keys().collect(), "K8: whoever asked waits for an answer in vain");
        assert_eq!(self.waits, self.asked.values().any(is_of_turn), "whether the turn waits");
        assert_eq!(self.status, self.machine.status(), "the status that was told");
        assert_eq!(self.stream.follower().seq(), place(self.log.len()), "a record is not told");
        assert_eq!(self.first.durable, self.visible, "each record that clients are told of is told once");
        if self.failed {
            return;
        }
        // A long log is held to all that was told now and then, and its newest turn each time: what is behind it does not
        // change unless it is forgotten.
        let newest = self.newest.filter(|_| self.log.len() > LONG && !self.checks.is_multiple_of(FULL_EVERY));
        let active = self.machine.active_turn();
        let mut snapshot = turns(self.log[newest.unwrap_or(0)..].to_vec(), active);
        if let (Some(active), Some(last)) = (active, snapshot.last()) {
            assert_eq!(last.id, active.turn.id);
        }
        let first = snapshot.first().map(|turn| turn.id.clone()).filter(|_| newest.is_some());
        let mut told: Vec<_> = match first {
            Some(first) => self.first.turns.range(first..).map(|(_, turn)| turn.clone()).collect(),
            None => self.first.turns.values().cloned().collect(),
        };
        for turn in snapshot.iter_mut().chain(&mut told) {
            turn.items_view = verger_wire::types::TurnItemsView::Full;
        }
        assert_eq!(snapshot, told, "a newcomer and the first client know different things");
        self.check_crash(newest.unwrap_or(0));
        if newest.is_some() {
            return;
        }
        let live = self.live();
        assert_eq!(
            turns(live.clone(), None),
            turns(self.log.clone(), None),
            "what is passed by is what is forgotten"
        );
        assert_eq!(Conversation::of(live), self.conversation(), "nothing before a summary needs to be read");
        // A log in memory does not keep what was spent on what is forgotten.
        let counts = !self.in_memory || self.first.spent.is_none();
        assert!(
            !counts || self.kept_spent() == self.first.spent,
            "the log and the first client count otherwise"
        );
    }

    /// What a crash at this moment leaves says of each open call whether it may have been sent.
    fn check_crash(&self, from: usize) {
        let left = turns(self.log[from..].to_vec(), None);
        let items = left.last().map(|turn| turn.items.as_slice()).unwrap_or_default();
        for item in &self.tools {
            let Some(ThreadItem::McpToolCall(call)) = items.iter().find(|i| i.id() == item) else { continue };
            let told = call.error.as_ref().map(|error| error.message.as_str());
            let is_unsent = self.unsent.contains(item);
            assert_eq!(told, Some(if is_unsent { NOT_SENT } else { OUTCOME_UNKNOWN }), "after a crash");
        }
    }
}

/// Whether clients are told of such a record.
fn is_told(record: &Record) -> bool {
    matches!(
        record,
        Record::TurnStarted { .. }
            | Record::ItemStarted { .. }
            | Record::ItemCompleted { .. }
            | Record::TurnCompleted { .. }
            | Record::TokensSpent(_)
    )
}

fn tells(notification: &Notification, record: &Record) -> bool {
    match (notification, record) {
        (Notification::TurnStarted(n), Record::TurnStarted { turn, .. }) => n.turn.id == *turn,
        (Notification::ItemStarted(n), Record::ItemStarted { item, .. }) => n.item == *item,
        (Notification::ItemCompleted(n), Record::ItemCompleted { item, .. }) => n.item == *item,
        (Notification::TurnCompleted(n), Record::TurnCompleted { turn, .. }) => n.turn.id == *turn,
        (Notification::ThreadTokenUsageUpdated(n), Record::TokensSpent(spent)) => {
            n.token_usage == spent.usage
        }
        _ => false,
    }
}

fn place(records: usize) -> Seq {
    Seq(u32::try_from(records).expect("a test's log is short"))
}

fn is_of_turn(request: &ServerRequest) -> bool {
    match request {
        ServerRequest::McpServerElicitation(params) => params.turn_id.is_some(),
        ServerRequest::DynamicToolCall(_) => true,
    }
}

fn form() -> McpServerElicitationRequest {
    let requested_schema = json!({ "type": "object", "properties": {} });
    McpServerElicitationRequest::Form { meta: None, message: "may I?".into(), requested_schema }
}

/// An answer to an approval or an elicitation.
pub(super) fn says(action: McpServerElicitationAction) -> Answer {
    Answer::Elicitation(McpServerElicitationRequestResponse { action, content: None, meta: None })
}
