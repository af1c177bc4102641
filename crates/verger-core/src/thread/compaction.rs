//! Compaction: the model sums the conversation up, and is told the summary in its place from then on. It is a turn of its
//! own when a client asks for it, and part of a turn when the conversation has outgrown the model.

use verger_wire::types::{ContextCompactionItem, ThreadItem, TurnError, TurnStatus};
use verger_wire::{Notification, RpcError, TurnNotification};

use super::turn::ActiveTurn;
use super::{Effect, Record, Reply, Says, Thread};
use crate::ids::{Ticket, TurnId};

/// What a thread's machine knows of how full its model is.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Past so many tokens the conversation is summed up before the model is asked again.
    limit: Option<i64>,
    /// How many tokens the model held after its last answer; nothing where none came since the last summary.
    held: Option<i64>,
}

/// A summary under way.
#[derive(Debug)]
pub(super) struct Summing {
    /// Where in the turn's items it is told.
    pub(super) index: usize,
    /// How many records had been appended when what it covers ended.
    covers: u64,
    /// As far as it has come.
    text: String,
    /// The output of the model that the text's end belongs to.
    output: Option<std::sync::Arc<str>>,
}

impl Thread {
    /// Sets past how many tokens the conversation is summed up without being asked; `None` means never.
    pub fn sum_up_past(&mut self, limit: Option<i64>) {
        self.room.limit = limit;
    }

    /// Says how many tokens the model held after its last answer since the last summary.
    pub fn holds(&mut self, tokens: Option<i64>) {
        self.room.held = tokens;
    }

    pub(super) fn is_full(&self) -> bool {
        matches!((self.room.held, self.room.limit), (Some(held), Some(limit)) if held >= limit)
    }

    /// `thread/compact/start`: a turn that does nothing else.
    pub(super) fn compact(&mut self, at: i64, ticket: Ticket, id: TurnId) {
        self.begins += 1;
        if let Some(active) = &self.turn {
            let error = RpcError::compact_during_turn(&self.id, active.id());
            return self.push(Effect::Refuse { ticket, error });
        }
        let active = ActiveTurn::new(id, at);
        let started = active.bare();
        let records = vec![active.started_record(at)];
        self.tentative.ticket = Some(ticket);
        self.tentative.begun = true;
        self.turn = Some(active);
        self.push(Effect::Append(records));
        self.push(Effect::Reply { ticket, reply: Reply::Done });
        self.push(Effect::Status(self.active_status()));
        let thread_id = self.id.clone();
        self.notify(Notification::TurnStarted(TurnNotification { thread_id, turn: started }));
        self.sum_up(at, self.appended);
    }

    /// Asks the model to sum up what had been said when so many records had been appended.
    pub(super) fn sum_up(&mut self, at: i64, covers: u64) {
        self.last_call += 1;
        let call = self.last_call;
        let Some(active) = &mut self.turn else { return };
        let item = ThreadItem::ContextCompaction(ContextCompactionItem { id: active.next_id() });
        let index = active.add(item.clone());
        active.sums(call, Summing { index, covers, text: String::new(), output: None });
        let behind = self.behind(covers);
        self.tell_started(at, item);
        self.push(Effect::SumUp { call, behind });
    }

    /// How many records came since so many had been appended.
    fn behind(&self, covers: u64) -> u32 {
        u32::try_from(self.appended - covers).unwrap_or(u32::MAX)
    }

    /// Takes the model's words as those of a summary. Nothing of them is an item, and no tool is called.
    pub(super) fn summary_says(&mut self, at: i64, says: Says) {
        let Some(active) = &mut self.turn else { return };
        let Some(summing) = &mut active.summing else { return };
        match says {
            Says::TextDelta { output, delta } => {
                if summing.output.as_ref().is_some_and(|last| *last != output) {
                    summing.text.push_str("\n\n");
                }
                summing.output = Some(output);
                summing.text.push_str(&delta);
            }
            Says::Retrying { error } => self.tell_retry(error),
            Says::Completed if summing.text.trim().is_empty() => {
                active.call = None;
                let message = "the model's summary is empty".to_owned();
                let error = TurnError {
                    message,
                    codex_error_info: None,
                    additional_details: None,
                    misalignment: None,
                };
                self.not_summed_up(at, error);
            }
            Says::Completed => {
                active.call = None;
                self.summed_up(at);
            }
            Says::Failed { error } => {
                active.call = None;
                self.not_summed_up(at, error);
            }
            Says::Spent { used, window } => self.spend(used, window),
            // Nothing of it is told, and no tool was offered.
            _ => {}
        }
    }

    /// The conversation stays as it was.
    fn not_summed_up(&mut self, at: i64, error: TurnError) {
        let message = format!("the conversation could not be summed up: {}", error.message);
        self.end_turn(at, TurnStatus::Failed, Some(TurnError { message, ..error }), None);
    }

    /// Keeps the summary together with everything that says that it was made, so that a crash leaves all of it or nothing.
    fn summed_up(&mut self, at: i64) {
        // What it cost is kept by itself: `behind` counts the records before the summary's own.
        self.settle();
        let Some(mut active) = self.turn.take() else { return };
        let Some(Summing { index, covers, text, .. }) = active.summing.take() else { return };
        let turn = active.id().to_owned();
        let Some(complete) = active.take(index) else { return };
        let (behind, summary) = (self.behind(covers), text);
        let mut records = vec![
            Record::Compacted { turn: turn.clone(), behind, summary, at },
            active.completed_record(&complete, at),
        ];
        self.room.held = None;
        let goes_on = active.is_unheard();
        if !goes_on {
            records.push(active.end(TurnStatus::Completed, None, at));
        }
        self.push(Effect::Append(records));
        self.tell_completed(at, &turn, complete.item);
        if goes_on {
            self.turn = Some(active);
            return self.go_on(at);
        }
        self.tell_end(&active, None, None);
        self.tentative.ended = Some(active);
    }
}
