//! One thread's facts: its active turn, the items in it, and what of it is durable.
//!
//! Effects are strictly ordered and [`Effect::Append`] is a barrier: what follows it happens only once it is durable. So
//! everything that a client was told is either durable or the text in flight of the active turn, and a snapshot taken
//! between two events (history up to the log's head, then [`Thread::active_turn`]) fits the events after it without a gap
//! (K5).

mod answering;
mod begin;
mod client_tools;
mod compaction;
mod conversation;
mod effect;
mod event;
mod follower;
mod heard;
mod history;
mod live;
mod questions;
mod record;
mod requests;
mod revert;
mod stream;
mod telling;
mod thought;
mod turn;
mod usage;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use verger_wire::types::{ThreadStatus, TurnError, TurnStatus};
use verger_wire::{ErrorNotification, Notification, RpcError, TurnNotification};

pub use conversation::{Conversation, Said};
pub use effect::{Effect, Reply};
pub use event::{Event, Says, ToolOutcome};
pub use follower::Follower;
pub use history::{ItemTimes, KeptTurn, in_view, kept_turns, turns};
pub use live::Live;
pub use questions::{Answer, Ask, Outcome, request_id};
pub use record::{NOT_SENT, OUTCOME_UNKNOWN, Record, RecordError};
pub use requests::REMEMBERED_REQUESTS;
pub use stream::{Place, Stream, Told};
pub use thought::{Seal, Thought, ThoughtPart};
pub use turn::UnderWay;
pub use usage::Spent;

use crate::ids::{QuestionId, ThreadId, Ticket};
use begin::Spoken;
use compaction::Room;
use questions::Question;
use requests::Requests;
use turn::ActiveTurn;
use usage::Spending;

/// The machine of one thread under one owner.
#[derive(Debug)]
pub struct Thread {
    id: String,
    turn: Option<ActiveTurn>,
    questions: BTreeMap<QuestionId, Question>,
    /// The last turn failed; told as the thread's status until the next begins.
    failed: bool,
    /// What the last event began, which may still prove not durable.
    tentative: Tentative,
    spending: Spending,
    requests: Requests,
    /// How many `Begin` have come.
    begins: u64,
    last_call: u64,
    room: Room,
    /// How many records were given to be appended.
    appended: u64,
    effects: VecDeque<Effect>,
}

/// What an event began. It holds once the event's effects are carried out, and is taken back if an append among them
/// fails.
#[derive(Debug, Default)]
struct Tentative {
    /// The request that waits for the append.
    ticket: Option<Ticket>,
    /// The client's own id for it.
    request: Option<String>,
    /// The active turn has just begun: no client has heard of it.
    begun: bool,
    /// The turn that has just ended.
    ended: Option<ActiveTurn>,
    /// A turn that had failed is being forgotten.
    forgives: bool,
}

impl Thread {
    /// A thread without an active turn.
    pub fn new(id: ThreadId) -> Self {
        Self {
            id: id.to_string(),
            turn: None,
            questions: BTreeMap::new(),
            failed: false,
            tentative: Tentative::default(),
            spending: Spending::default(),
            requests: Requests::default(),
            begins: 0,
            last_call: 0,
            room: Room::default(),
            appended: 0,
            effects: VecDeque::new(),
        }
    }

    /// The active turn, as far as no log tells it: its open items, text in flight included.
    pub fn active_turn(&self) -> Option<&UnderWay> {
        self.turn.as_ref().map(|active| &active.under_way)
    }

    /// What the thread is doing.
    pub fn status(&self) -> ThreadStatus {
        match self.turn {
            Some(_) => self.active_status(),
            None if self.failed => ThreadStatus::SystemError,
            None => ThreadStatus::Idle,
        }
    }

    /// Takes one input at `at` (Unix milliseconds). Poll the effects until there are none before the next.
    pub fn handle(&mut self, at: i64, event: Event) {
        if !matches!(event, Event::AppendFailed { .. }) {
            self.tentative = Tentative::default();
        }
        match event {
            Event::Begin { ticket, turn, input, client_id, request } => {
                self.begin(at, ticket, turn, Spoken { input, client_id, request });
            }
            Event::NotBegun => {
                self.begins += 1;
                self.not_begun();
            }
            Event::Interrupt { ticket, turn } => self.interrupt(at, ticket, turn.as_deref()),
            Event::Model { call, says } => self.model(at, call, says),
            Event::ToolDone { item, outcome } => self.tool_done(at, &item, outcome),
            Event::Compact { ticket, turn } => self.compact(at, ticket, turn),
            Event::Revert { ticket, turn, upto } => self.revert(at, ticket, turn, upto),
            Event::Inject { ticket, items } => self.inject(at, ticket, items),
            Event::Asked { question, ask } => self.ask(at, question, ask),
            Event::Answered { question, answer } => self.answered(at, question, answer),
            Event::Withdrawn { question } => self.withdraw(question),
            Event::AppendFailed { message } => self.append_failed(at, &message),
        }
    }

    /// The next thing to do; `None` when all is done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn push(&mut self, effect: Effect) {
        if let Effect::Append(records) = &effect {
            self.appended += records.len() as u64;
        }
        self.effects.push_back(effect);
    }

    fn notify(&mut self, notification: Notification) {
        self.push(Effect::Notify(notification));
    }

    fn call_model(&mut self) {
        self.last_call += 1;
        let call = self.last_call;
        if let Some(active) = &mut self.turn {
            active.called(call);
            self.push(Effect::CallModel { call });
        }
    }

    fn interrupt(&mut self, at: i64, ticket: Option<Ticket>, turn: Option<&str>) {
        let refusal = match (&self.turn, turn) {
            (None, _) => Some(RpcError::nothing_to_interrupt()),
            (Some(active), Some(turn)) if active.id() != turn => {
                Some(RpcError::interrupt_mismatch(turn, active.id()))
            }
            _ => None,
        };
        match (refusal, ticket) {
            (None, ticket) => self.end_turn(at, TurnStatus::Interrupted, None, ticket),
            (Some(error), Some(ticket)) => self.push(Effect::Refuse { ticket, error }),
            // The orphan rules asked for the end of a turn that has ended by itself.
            (Some(_), None) => {}
        }
    }

    /// Ends the active turn: open items first, then the turn, all in one append.
    fn end_turn(&mut self, at: i64, status: TurnStatus, error: Option<TurnError>, ticket: Option<Ticket>) {
        // Before the append: whoever asked hears of the end even if it cannot be kept.
        self.withdraw_turn();
        let Some(mut active) = self.turn.take() else { return };
        self.tentative.ticket = ticket;
        if active.is_calling() {
            self.push(Effect::CancelModel);
        }
        if active.has_open_tools() {
            self.push(Effect::CancelTools);
        }
        let items = active.close_items();
        let mut records: Vec<_> = items.iter().map(|item| active.completed_record(item, at)).collect();
        records.push(active.end(status, error.clone(), at));
        self.append(records);
        for complete in items {
            self.tell_completed(at, active.id(), complete.item);
        }
        self.tell_end(&active, error, ticket);
        self.tentative.ended = Some(active);
    }

    /// Tells everyone that the turn is over. The thread's status comes before the turn's completion, so that a client
    /// that waits for the completion finds the thread as it will stay.
    fn tell_end(&mut self, active: &ActiveTurn, error: Option<TurnError>, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            self.push(Effect::Reply { ticket, reply: Reply::Interrupted });
        }
        self.failed = error.is_some();
        self.push(Effect::Status(self.status()));
        let thread_id = self.id.clone();
        if let Some(error) = error {
            let (thread_id, turn_id) = (thread_id.clone(), active.id().to_owned());
            self.notify(Notification::Error(ErrorNotification {
                error,
                will_retry: false,
                thread_id,
                turn_id,
            }));
        }
        let turn = active.summary();
        self.notify(Notification::TurnCompleted(TurnNotification { thread_id, turn }));
        self.push(Effect::Idle { seen: self.begins });
    }

    /// Drops what was queued behind an append that failed, but for the end of questions: whoever asked hears of it, and that
    /// no answer counts.
    fn drop_effects(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Settle { question, .. } => {
                    self.push(Effect::Settle { question, outcome: Outcome::Withdrawn });
                }
                Effect::Waits { .. } | Effect::Notify(Notification::ServerRequestResolved(_)) => {
                    self.push(effect)
                }
                _ => {}
            }
        }
    }

    /// Nothing that was queued behind the append happened. The turn ends as failed, which is told but cannot be kept:
    /// after a restart it shows as interrupted.
    fn append_failed(&mut self, at: i64, message: &str) {
        self.drop_effects();
        let Tentative { ticket, request, begun, ended, forgives } = std::mem::take(&mut self.tentative);
        self.failed |= forgives;
        if let Some(request) = request {
            self.requests.take_back(&request);
        }
        let Some(mut active) = self.turn.take().or(ended) else {
            if let Some(ticket) = ticket {
                let error = RpcError::internal(format!("nothing was changed: {message}"));
                self.push(Effect::Refuse { ticket, error });
            }
            return;
        };
        let message = format!("the turn could not be saved: {message}");
        if let Some(ticket) = ticket {
            self.push(Effect::Refuse { ticket, error: RpcError::internal(message.clone()) });
        }
        if begun {
            return self.push(Effect::Idle { seen: self.begins });
        }
        // Whether they still run is not known any more: the event that failed may have asked for their end.
        self.push(Effect::CancelModel);
        self.push(Effect::CancelTools);
        self.withdraw_turn();
        active.close_items();
        let error =
            TurnError { message, codex_error_info: None, additional_details: None, misalignment: None };
        active.end(TurnStatus::Failed, Some(error.clone()), at);
        self.tell_end(&active, Some(error), None);
    }
}
