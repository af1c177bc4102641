//! What the model says becomes items, tool calls, and the end of its turn.

use std::sync::Arc;

use verger_wire::types::{
    AgentMessageItem, McpToolCallError, McpToolCallStatus, ThreadItem, TurnError, TurnStatus,
};
use verger_wire::{
    DeltaNotification, ErrorNotification, ItemCompletedNotification, ItemStartedNotification, Notification,
};

use super::turn::{Complete, OpenTool, Wanted};
use super::{Effect, Record, Says, Thread, ToolOutcome};

/// A message that has grown to so many bytes is complete, and what the model says further is another one: what is in flight
/// is held in memory, and no model's answer has a bound of its own.
const LONG_TEXT: usize = 128 << 10;

impl Thread {
    pub(super) fn model(&mut self, at: i64, call: u64, says: Says) {
        let Some(active) = self.turn.as_mut().filter(|active| active.call == Some(call)) else { return };
        if active.summing.is_some() {
            return self.summary_says(at, says);
        }
        match says {
            Says::TextStarted { output } => {
                self.text_started(at, output);
            }
            Says::TextDelta { output, delta } => self.text_delta(at, output, delta),
            Says::TextDone { output } => {
                let Some(index) = active.text(&output) else { return };
                active.close(index);
                self.complete_item(at, index);
            }
            Says::ThoughtDelta { output, part, delta } => self.thought_delta(at, output, part, delta),
            Says::ThoughtDone { output, thought } => self.thought_done(at, &output, thought),
            Says::ToolCall { server, tool, arguments, read_only } => {
                active.wanted.push(Wanted::Helper { server, tool, arguments, read_only });
            }
            Says::ClientToolCall { namespace, tool, arguments } => {
                active.wanted.push(Wanted::Client { namespace, tool, arguments });
            }
            Says::Retrying { error } => self.tell_retry(error),
            Says::Spent { used, window } => {
                self.holds(Some(used.total_tokens));
                self.spend(used, window);
            }
            Says::Completed => {
                active.call = None;
                // What the model never closed is complete with its call.
                for complete in active.close_texts() {
                    self.tell_complete(at, complete);
                }
                self.call_tools(at);
                self.go_on(at);
            }
            Says::Failed { error } => {
                active.call = None;
                self.end_turn(at, TurnStatus::Failed, Some(error), None);
            }
        }
    }

    /// Tells that a call of the model failed and is tried again.
    pub(super) fn tell_retry(&mut self, error: TurnError) {
        let Some(active) = &self.turn else { return };
        let (thread_id, turn_id) = (self.id.clone(), active.id().to_owned());
        self.notify(Notification::Error(ErrorNotification { error, will_retry: true, thread_id, turn_id }));
    }

    /// Starts the tool calls that the model asked for. Not before its answer is complete: one that breaks off half-way
    /// must not have had effects.
    fn call_tools(&mut self, at: i64) {
        let Some(active) = &mut self.turn else { return };
        let wanted = std::mem::take(&mut active.wanted);
        if wanted.is_empty() {
            return;
        }
        let places: Vec<_> = wanted.iter().map(|wanted| active.tool_call(at, wanted)).collect();
        let calls = places.into_iter().filter_map(|index| Some((index, active.item(index)?.clone())));
        let calls: Vec<(usize, ThreadItem)> = calls.collect();
        let turn = active.id();
        let started = |(index, item): &(usize, ThreadItem)| {
            let (turn, index, item) = (turn.to_owned(), *index, item.clone());
            Record::ItemStarted { turn, index, item, at }
        };
        let records = calls.iter().map(started).collect();
        self.append(records);
        for ((_, started), wanted) in calls.into_iter().zip(wanted) {
            let item = started.id().to_owned();
            self.tell_started(at, started);
            self.push(match wanted {
                Wanted::Helper { server, tool, arguments, .. } => {
                    Effect::CallTool { item, server, tool, arguments }
                }
                Wanted::Client { .. } => Effect::CallClientTool { item },
            });
        }
    }

    /// Asks the model again if it has not heard everything, and ends the turn if it has.
    pub(super) fn go_on(&mut self, at: i64) {
        let Some(active) = &self.turn else { return };
        match () {
            () if active.is_calling() || active.has_open_tools() => {}
            () if active.unheard => {
                self.settle();
                if self.is_full() {
                    return self.sum_up(at, self.appended);
                }
                self.call_model();
            }
            () => self.end_turn(at, TurnStatus::Completed, None, None),
        }
    }

    fn text_started(&mut self, at: i64, output: Arc<str>) -> Option<usize> {
        let active = self.turn.as_mut()?;
        if let Some(index) = active.text(&output) {
            return Some(index);
        }
        let id = active.next_id();
        let item = ThreadItem::AgentMessage(AgentMessageItem { id, ..AgentMessageItem::default() });
        let index = active.open(output, item.clone());
        self.tell_started(at, item);
        Some(index)
    }

    fn text_delta(&mut self, at: i64, output: Arc<str>, delta: String) {
        let Some(index) = self.text_started(at, output) else { return };
        let Some(active) = &mut self.turn else { return };
        let turn_id = active.id().to_owned();
        let Some(ThreadItem::AgentMessage(message)) = active.item_mut(index) else { return };
        message.text.push_str(&delta);
        let (item_id, is_long) = (message.id.clone(), message.text.len() >= LONG_TEXT);
        let thread_id = self.id.clone();
        self.notify(Notification::AgentMessageDelta(DeltaNotification {
            thread_id,
            turn_id,
            item_id,
            delta,
        }));
        if is_long && let Some(active) = &mut self.turn {
            active.close(index);
            self.complete_item(at, index);
        }
    }

    pub(super) fn tool_done(&mut self, at: i64, id: &str, outcome: Result<ToolOutcome, String>) {
        let done = self.close_tool(at, id, |item, duration| {
            let ThreadItem::McpToolCall(call) = item else { return };
            call.duration_ms = Some(duration);
            match outcome {
                Ok(ToolOutcome { result, is_error }) => {
                    call.result = Some(result);
                    call.status =
                        if is_error { McpToolCallStatus::Failed } else { McpToolCallStatus::Completed };
                }
                Err(message) => {
                    call.error = Some(McpToolCallError { message });
                    call.status = McpToolCallStatus::Failed;
                }
            }
        });
        if done {
            self.go_on(at);
        }
    }

    /// Completes the tool call that this item is, if it is under way: `end` writes what came of it, and is told how long it
    /// took in milliseconds. Whether it was.
    pub(super) fn close_tool(&mut self, at: i64, id: &str, end: impl FnOnce(&mut ThreadItem, i64)) -> bool {
        let Some(active) = &mut self.turn else { return false };
        let is_it = |open: &OpenTool| active.item(open.index).is_some_and(|item| item.id() == id);
        let open = active.open_tools.iter().position(is_it);
        let Some(OpenTool { index, since, .. }) = open.map(|open| active.open_tools.remove(open)) else {
            return false;
        };
        if let Some(item) = active.item_mut(index) {
            end(item, (at - since).max(0));
        }
        self.withdraw_item(id);
        self.complete_item(at, index);
        true
    }

    /// Keeps and tells an item that was told as started.
    fn complete_item(&mut self, at: i64, index: usize) {
        let complete = self.turn.as_mut().and_then(|active| active.take(index));
        complete.into_iter().for_each(|complete| self.tell_complete(at, complete));
    }

    fn tell_complete(&mut self, at: i64, complete: Complete) {
        let Some(active) = &self.turn else { return };
        let turn_id = active.id().to_owned();
        let records = vec![active.completed_record(&complete, at)];
        self.append(records);
        self.tell_completed(at, &turn_id, complete.item);
    }

    /// Tells an item that starts and completes at once.
    pub(super) fn tell_item(&mut self, at: i64, item: ThreadItem) {
        let Some(turn_id) = self.turn.as_ref().map(|active| active.id().to_owned()) else { return };
        self.tell_started(at, item.clone());
        self.tell_completed(at, &turn_id, item);
    }

    pub(super) fn tell_started(&mut self, at: i64, item: ThreadItem) {
        let Some(turn_id) = self.turn.as_ref().map(|active| active.id().to_owned()) else { return };
        let thread_id = self.id.clone();
        let started = ItemStartedNotification { item, thread_id, turn_id, started_at_ms: at };
        self.notify(Notification::ItemStarted(started));
    }

    pub(super) fn tell_completed(&mut self, at: i64, turn_id: &str, item: ThreadItem) {
        let (thread_id, turn_id) = (self.id.clone(), turn_id.to_owned());
        self.notify(Notification::ItemCompleted(ItemCompletedNotification {
            item,
            thread_id,
            turn_id,
            content_token_count: None,
            completed_at_ms: at,
        }));
    }
}
