//! What the machine wants done, done on paper: what is to be kept is kept, and who is to be told is told.

use verger_wire::Notification;
use verger_wire::types::{McpServerElicitationAction, ThreadStatus, TurnStatus};

use super::{Executor, place, says};
use crate::ids::Ticket;
use crate::thread::{Ask, Effect, Event, Outcome, Place, Record, Reply, Told, request_id, turns};

impl Executor {
    pub(super) fn obey(&mut self, effect: Effect) {
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
