//! An executor on paper: a thread with everything around it, and what people do with it. `effects` does what the machine
//! wants done, `account` holds all of it to the invariants.

mod account;
mod effects;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;
use verger_wire::types::{McpServerElicitationAction, ThreadStatus, ThreadTokenUsage, UserInput};
use verger_wire::{McpServerElicitationRequest, McpServerElicitationRequestResponse, ServerRequest};

use super::behind::Behind;
use super::client::Client;
use crate::ids::{QuestionId, Seq, ThreadId, Ticket, TurnId};
use crate::thread::{Answer, Ask, Conversation, Event, Live, Record, Says, Stream, Thread, turns};

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
}

fn place(records: usize) -> Seq {
    Seq(u32::try_from(records).expect("a test's log is short"))
}

fn form() -> McpServerElicitationRequest {
    let requested_schema = json!({ "type": "object", "properties": {} });
    McpServerElicitationRequest::Form { meta: None, message: "may I?".into(), requested_schema }
}

/// An answer to an approval or an elicitation.
pub(super) fn says(action: McpServerElicitationAction) -> Answer {
    Answer::Elicitation(McpServerElicitationRequestResponse { action, content: None, meta: None })
}
