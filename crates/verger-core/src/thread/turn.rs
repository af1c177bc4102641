//! The active turn: which items it has, which of them are open, and when it is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use verger_wire::types::{
    AgentMessageItem, DynamicToolCallItem, McpToolCallError, McpToolCallItem, McpToolCallStatus, ThreadItem,
    Turn, TurnError, TurnItemsView, TurnStatus, UserInput, UserMessageItem,
};
use verger_wire::{
    DeltaNotification, ErrorNotification, ItemCompletedNotification, ItemStartedNotification, Notification,
};

use super::compaction::Summing;
use super::record::{complete, cut_off, new_turn, outcome};
use super::{Effect, Record, Says, Thread, ToolOutcome};
use crate::ids::TurnId;

/// A message that has grown to so many bytes is complete, and what the model says further is another one: what is in flight
/// is held in memory, and no model's answer has a bound of its own.
const LONG_TEXT: usize = 128 << 10;

/// A turn that is under way, as far as no log tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct UnderWay {
    /// The turn, without its items.
    pub turn: Turn,
    /// Items that are open, by their place in the turn. Those that are complete are in the log alone: a long turn is not kept
    /// in memory.
    pub items: BTreeMap<usize, ThreadItem>,
}

/// The turn that is under way.
#[derive(Debug)]
pub(super) struct ActiveTurn {
    pub(super) under_way: UnderWay,
    /// How many items it has had.
    count: usize,
    /// The model's last message that is complete, and its place.
    last_message: Option<(usize, ThreadItem)>,
    /// What item ids of this turn begin with.
    prefix: String,
    /// The model call under way.
    pub(super) call: Option<u64>,
    /// What that call is for, if it is a summary.
    pub(super) summing: Option<Summing>,
    /// Messages and thoughts under way: the model's name, and the place in the turn.
    open_texts: Vec<(Arc<str>, usize)>,
    /// Tool calls under way.
    open_tools: Vec<OpenTool>,
    /// Tool calls that the model asks for, until its answer is complete.
    wanted: Vec<Wanted>,
    /// The model has not heard everything: a tool's result, or more from the user.
    unheard: bool,
}

/// An item that changes no more, and its place in the turn.
#[derive(Clone, Debug)]
pub(super) struct Complete {
    pub(super) index: usize,
    pub(super) item: ThreadItem,
}

/// A tool call under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenTool {
    /// Its place in the turn.
    index: usize,
    /// Since when, in Unix milliseconds.
    since: i64,
    /// Not sent: a client has yet to approve it.
    pub(super) is_asked: bool,
}

/// A tool call that the model asks for.
#[derive(Debug)]
enum Wanted {
    /// Of a helper's tool.
    Helper { server: String, tool: String, arguments: Value, read_only: Option<bool> },
    /// Of a client's.
    Client { namespace: Option<String>, tool: String, arguments: Value },
}

impl ActiveTurn {
    pub(super) fn new(id: TurnId, at: i64) -> Self {
        Self {
            under_way: UnderWay { turn: new_turn(id.to_string(), at), items: BTreeMap::new() },
            count: 0,
            last_message: None,
            // The random end of the id: unique within the thread, and short enough to repeat in every delta.
            prefix: format!("{:012x}", id.0.as_u128() & 0xffff_ffff_ffff),
            call: None,
            summing: None,
            open_texts: Vec::new(),
            open_tools: Vec::new(),
            wanted: Vec::new(),
            unheard: false,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.under_way.turn.id
    }

    /// The turn without its items, as replies and `turn/started` show it.
    pub(super) fn bare(&self) -> Turn {
        Turn { items_view: TurnItemsView::NotLoaded, ..self.under_way.turn.clone() }
    }

    /// The turn as `turn/completed` shows it.
    pub(super) fn summary(&self) -> Turn {
        outcome(self.bare(), self.last_message.as_ref().map(|(_, last)| last))
    }

    pub(super) fn heard_more(&mut self) {
        self.unheard = true;
    }

    pub(super) fn called(&mut self, call: u64) {
        self.call = Some(call);
        self.unheard = false;
    }

    /// A call for a summary: the model does not hear what is said meanwhile, nor what it has not heard yet.
    pub(super) fn sums(&mut self, call: u64, summing: Summing) {
        self.call = Some(call);
        self.summing = Some(summing);
    }

    pub(super) fn is_unheard(&self) -> bool {
        self.unheard
    }

    pub(super) fn is_calling(&self) -> bool {
        self.call.is_some()
    }

    pub(super) fn has_open_tools(&self) -> bool {
        !self.open_tools.is_empty()
    }

    pub(super) fn next_id(&self) -> String {
        format!("{}-{}", self.prefix, self.count + 1)
    }

    /// How many items it has had: the place of the next.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Adds an item that is open; its place.
    pub(super) fn add(&mut self, item: ThreadItem) -> usize {
        let index = self.count;
        self.under_way.items.insert(index, item);
        self.count += 1;
        index
    }

    /// An item that is open.
    pub(super) fn item(&self, index: usize) -> Option<&ThreadItem> {
        self.under_way.items.get(&index)
    }

    pub(super) fn item_mut(&mut self, index: usize) -> Option<&mut ThreadItem> {
        self.under_way.items.get_mut(&index)
    }

    /// Takes out an item that is complete. The log has it from now on.
    pub(super) fn take(&mut self, index: usize) -> Option<Complete> {
        let item = self.under_way.items.remove(&index)?;
        let is_newer = self.last_message.as_ref().is_none_or(|(last, _)| *last < index);
        if matches!(item, ThreadItem::AgentMessage(_)) && is_newer {
            self.last_message = Some((index, item.clone()));
        }
        Some(Complete { index, item })
    }

    /// What the user says, if that is anything.
    pub(super) fn user_message(
        &mut self,
        content: Vec<UserInput>,
        client_id: Option<String>,
    ) -> Option<Complete> {
        if content.is_empty() {
            return None;
        }
        let (id, index) = (self.next_id(), self.count);
        self.count += 1;
        let item = ThreadItem::UserMessage(UserMessageItem { id, client_id, content });
        Some(Complete { index, item })
    }

    /// Adds a tool call; its place.
    fn tool_call(&mut self, at: i64, wanted: &Wanted) -> usize {
        let (id, status) = (self.next_id(), McpToolCallStatus::InProgress);
        let item = match wanted {
            Wanted::Helper { server, tool, arguments, read_only } => {
                ThreadItem::McpToolCall(McpToolCallItem {
                    id,
                    server: server.clone(),
                    tool: tool.clone(),
                    status,
                    arguments: arguments.clone(),
                    app_context: None,
                    mcp_app_ui: None,
                    plugin_id: None,
                    read_only_hint: *read_only,
                    result: None,
                    error: None,
                    duration_ms: None,
                })
            }
            Wanted::Client { namespace, tool, arguments } => {
                ThreadItem::DynamicToolCall(DynamicToolCallItem {
                    id,
                    namespace: namespace.clone(),
                    tool: tool.clone(),
                    arguments: arguments.clone(),
                    status,
                    content_items: None,
                    success: None,
                    duration_ms: None,
                })
            }
        };
        let index = self.add(item);
        self.open_tools.push(OpenTool { index, since: at, is_asked: false });
        self.unheard = true;
        index
    }

    fn open_items(&self) -> impl Iterator<Item = (usize, &ThreadItem)> {
        self.open_tools.iter().filter_map(|open| Some((open.index, self.item(open.index)?)))
    }

    /// The call of a helper's tool that this item is, if it is under way, and its place.
    pub(super) fn open_call(&self, item: &str) -> Option<(usize, &McpToolCallItem)> {
        self.open_items().find_map(|(index, open)| match open {
            ThreadItem::McpToolCall(call) if call.id == item => Some((index, call)),
            _ => None,
        })
    }

    /// The call of a client's tool that this item is, if it is under way.
    pub(super) fn open_client_call(&self, item: &str) -> Option<&DynamicToolCallItem> {
        self.open_items().find_map(|(_, open)| match open {
            ThreadItem::DynamicToolCall(call) if call.id == item => Some(call),
            _ => None,
        })
    }

    /// Whether a tool of this server is being called.
    pub(super) fn is_calling_server(&self, server: &str) -> bool {
        self.open_items()
            .any(|(_, open)| matches!(open, ThreadItem::McpToolCall(call) if call.server == server))
    }

    pub(super) fn open_tool_mut(&mut self, index: usize) -> Option<&mut OpenTool> {
        self.open_tools.iter_mut().find(|open| open.index == index)
    }

    pub(super) fn started_record(&self, at: i64) -> Record {
        Record::TurnStarted { turn: self.id().to_owned(), at }
    }

    pub(super) fn completed_record(&self, Complete { index, item }: &Complete, at: i64) -> Record {
        Record::ItemCompleted { turn: self.id().to_owned(), index: *index, item: item.clone(), at }
    }

    /// Closes what is open and returns it: messages with the text they have, tool calls as cut off.
    pub(super) fn close_items(&mut self) -> Vec<Complete> {
        let mut items = self.cut_answer();
        let summing = self.summing.take();
        items.extend(summing.and_then(|summing| self.take(summing.index)));
        for open in std::mem::take(&mut self.open_tools) {
            let Some(mut complete) = self.take(open.index) else { continue };
            cut_off(&mut complete.item, open.is_asked);
            items.push(complete);
        }
        items
    }

    /// Ends the model's answer where it is. Returns what it was saying and thinking, as far as it came; tools that it asked
    /// for are not called.
    pub(super) fn cut_answer(&mut self) -> Vec<Complete> {
        self.call = None;
        self.wanted.clear();
        self.close_texts()
    }

    /// Closes every message and thought that is open.
    fn close_texts(&mut self) -> Vec<Complete> {
        let open = std::mem::take(&mut self.open_texts);
        open.into_iter().filter_map(|(_, index)| self.take(index)).collect()
    }

    pub(super) fn end(&mut self, status: TurnStatus, error: Option<TurnError>, at: i64) -> Record {
        complete(&mut self.under_way.turn, status, error.clone(), at);
        Record::TurnCompleted { turn: self.id().to_owned(), status, error, at }
    }

    fn text(&self, output: &str) -> Option<usize> {
        self.under_way(output, |item| matches!(item, ThreadItem::AgentMessage(_)))
    }

    pub(super) fn thought(&self, output: &str) -> Option<usize> {
        self.under_way(output, |item| matches!(item, ThreadItem::Reasoning(_)))
    }

    /// A message and a thought may have the same name.
    fn under_way(&self, output: &str, fits: impl Fn(&ThreadItem) -> bool) -> Option<usize> {
        let named = self.open_texts.iter().filter(|(name, _)| &**name == output);
        named.map(|&(_, index)| index).find(|&index| self.item(index).is_some_and(&fits))
    }

    /// Adds a message or a thought that begins; where it stands.
    pub(super) fn open(&mut self, output: Arc<str>, item: ThreadItem) -> usize {
        let index = self.add(item);
        self.open_texts.push((output, index));
        index
    }

    pub(super) fn close(&mut self, index: usize) {
        self.open_texts.retain(|(_, open)| *open != index);
    }
}

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
