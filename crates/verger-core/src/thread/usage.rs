//! Tokens: what each answer of the model cost, and what the thread has spent since it began.

use serde::{Deserialize, Serialize};
use verger_wire::types::{ThreadTokenUsage, TokenUsageBreakdown};
use verger_wire::{Notification, ThreadTokenUsageUpdatedNotification};

use super::{Effect, Record, Thread};

/// What a thread has spent, as of one turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The turn that spent last.
    pub turn: String,
    /// All of it, and the last of it.
    pub usage: ThreadTokenUsage,
}

/// What one thread's machine knows of it.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// Tokens are spent whether or not that can be kept: this is never taken back.
    now: Option<Spent>,
    /// The last answer's cost is neither kept nor told.
    due: bool,
}

impl Thread {
    /// Goes on from what the log says was spent.
    pub fn has_spent(&mut self, spent: Option<Spent>) {
        self.spending.now = spent;
    }

    /// What the thread has spent; nothing before a model said what its answer cost.
    pub fn spent(&self) -> Option<&Spent> {
        self.spending.now.as_ref()
    }

    /// What a client is told of it.
    pub fn spent_notification(&self) -> Option<Notification> {
        let Spent { turn, usage } = self.spending.now.clone()?;
        let thread_id = self.id.clone();
        let updated = ThreadTokenUsageUpdatedNotification { thread_id, turn_id: turn, token_usage: usage };
        Some(Notification::ThreadTokenUsageUpdated(updated))
    }

    /// Counts an answer's cost. It is kept with whatever is kept next, so that it costs no commit of its own.
    pub(super) fn spend(&mut self, used: TokenUsageBreakdown, window: Option<i64>) {
        let Some(active) = &self.turn else { return };
        let before = self.spending.now.take().map(|spent| spent.usage.total).unwrap_or_default();
        let usage = ThreadTokenUsage { total: sum(before, used), last: used, model_context_window: window };
        self.spending = Spending { now: Some(Spent { turn: active.id().to_owned(), usage }), due: true };
    }

    /// Makes records durable, and with them the last answer's cost, which is told right after.
    pub(super) fn append(&mut self, mut records: Vec<Record>) {
        let due = std::mem::take(&mut self.spending.due);
        let spent = self.spending.now.clone().filter(|_| due);
        let told = spent.and_then(|spent| {
            records.insert(0, Record::TokensSpent(spent));
            self.spent_notification()
        });
        self.push(Effect::Append(records));
        if let Some(told) = told {
            self.notify(told);
        }
    }

    /// Keeps and tells the last answer's cost, where nothing else is to be kept.
    pub(super) fn settle(&mut self) {
        if self.spending.due {
            self.append(Vec::new());
        }
    }
}

fn sum(one: TokenUsageBreakdown, other: TokenUsageBreakdown) -> TokenUsageBreakdown {
    TokenUsageBreakdown {
        total_tokens: one.total_tokens.saturating_add(other.total_tokens),
        input_tokens: one.input_tokens.saturating_add(other.input_tokens),
        cached_input_tokens: one.cached_input_tokens.saturating_add(other.cached_input_tokens),
        cache_write_input_tokens: one.cache_write_input_tokens.saturating_add(other.cache_write_input_tokens),
        output_tokens: one.output_tokens.saturating_add(other.output_tokens),
        reasoning_output_tokens: one.reasoning_output_tokens.saturating_add(other.reasoning_output_tokens),
    }
}
