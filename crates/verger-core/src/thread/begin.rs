//! How a turn begins, and how more input joins the one that is under way.

use verger_wire::types::UserInput;
use verger_wire::{Notification, TurnNotification};

use super::turn::ActiveTurn;
use super::{Effect, Record, Reply, Thread};
use crate::ids::{Ticket, TurnId};

/// What the user says.
#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) input: Vec<UserInput>,
    /// The client's own name for the message.
    pub(super) client_id: Option<String>,
    /// The client's own id for its request.
    pub(super) request: Option<String>,
}

impl Thread {
    /// `turn/start`, `turn/steer`. One that came before starts nothing, and is answered with the turn that took it.
    pub(super) fn begin(&mut self, at: i64, ticket: Ticket, id: TurnId, spoken: Spoken) {
        self.begins += 1;
        if let Some(turn) = spoken.request.as_deref().and_then(|request| self.turn_of(request)) {
            let turn = turn.to_owned();
            return self.answer_again(ticket, turn);
        }
        self.tentative.ticket = Some(ticket);
        self.tentative.request.clone_from(&spoken.request);
        match self.turn.take() {
            Some(active) => self.join(at, ticket, active, spoken),
            None => self.start(at, ticket, id, spoken),
        }
    }

    fn answer_again(&mut self, ticket: Ticket, turn: String) {
        match &self.turn {
            Some(active) if active.id() == turn => {
                let reply = Reply::Turn(Box::new(active.bare()));
                self.push(Effect::Reply { ticket, reply });
            }
            _ => self.push(Effect::Recall { ticket, turn }),
        }
        self.not_begun();
    }

    /// A request that might have begun a turn began none.
    pub(super) fn not_begun(&mut self) {
        if self.turn.is_none() {
            self.push(Effect::Idle { seen: self.begins });
        }
    }

    fn start(&mut self, at: i64, ticket: Ticket, id: TurnId, spoken: Spoken) {
        let Spoken { input, client_id, request } = spoken;
        let before = self.appended;
        let mut active = ActiveTurn::new(id, at);
        let reply = Reply::Turn(Box::new(active.bare()));
        let started = active.bare();
        let item = active.user_message(input, client_id);
        let mut records = vec![active.started_record(at)];
        records.extend(item.iter().map(|item| active.completed_record(item, at)));
        records.extend(self.taken(request, &active));
        self.tentative.begun = true;
        self.turn = Some(active);
        self.append(records);
        self.push(Effect::Reply { ticket, reply });
        self.push(Effect::Status(self.active_status()));
        let thread_id = self.id.clone();
        self.notify(Notification::TurnStarted(TurnNotification { thread_id, turn: started }));
        item.into_iter().for_each(|complete| self.tell_item(at, complete.item));
        if !self.is_full() {
            return self.call_model();
        }
        // What the user says now is to be answered, not summed up.
        if let Some(active) = &mut self.turn {
            active.heard_more();
        }
        self.sum_up(at, before);
    }

    /// What the model was saying ends where it is: it is asked again at once, with all that it has not heard. What waits
    /// for a tool goes with the tool's result, and what comes while the model sums up is said after that.
    fn join(&mut self, at: i64, ticket: Ticket, mut active: ActiveTurn, spoken: Spoken) {
        let Spoken { input, client_id, request } = spoken;
        let reply = Reply::Turn(Box::new(active.bare()));
        let (mut cut, item) = (Vec::new(), active.user_message(input, client_id));
        if item.is_some() && active.summing.is_some() {
            active.heard_more();
        } else if item.is_some() {
            if active.is_calling() {
                self.push(Effect::CancelModel);
            }
            cut = active.cut_answer();
            active.heard_more();
        }
        let mut records: Vec<_> =
            cut.iter().chain(&item).map(|item| active.completed_record(item, at)).collect();
        records.extend(self.taken(request, &active));
        let turn_id = active.id().to_owned();
        self.turn = Some(active);
        if !records.is_empty() {
            self.append(records);
        }
        self.push(Effect::Reply { ticket, reply });
        for complete in cut {
            self.tell_completed(at, &turn_id, complete.item);
        }
        item.into_iter().for_each(|complete| self.tell_item(at, complete.item));
        self.go_on(at);
    }

    /// Remembers which turn takes the request.
    fn taken(&mut self, request: Option<String>, by: &ActiveTurn) -> Option<Record> {
        let (request, turn) = (request?, by.id().to_owned());
        self.requests.insert(request.clone(), turn.clone());
        Some(Record::RequestTaken { turn, request, thread: self.id.clone() })
    }
}
