//! The active turn: which items it has, which of them are open, and when it is over.

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

/// The turn that is under way.
#[derive(Debug)]
pub(super) struct ActiveTurn {
    /// As a snapshot shows it.
    pub(super) turn: Turn,
    /// What item ids of this turn begin with.
    prefix: String,
    /// The model call under way.
    pub(super) call: Option<u64>,
    /// What that call is for, if it is a summary.
    pub(super) summing: Option<Summing>,
    /// Messages and thoughts under way: the model's name, and where in `turn.items`.
    open_texts: Vec<(Arc<str>, usize)>,
    /// Tool calls under way.
    open_tools: Vec<OpenTool>,
    /// Tool calls that the model asks for, until its answer is complete.
    wanted: Vec<Wanted>,
    /// The model has not heard everything: a tool's result, or more from the user.
    unheard: bool,
}

/// A tool call under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenTool {
    /// Where in `turn.items`.
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
            turn: new_turn(id.to_string(), at),
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

    /// The turn without its items, as replies and `turn/started` show it.
    pub(super) fn bare(&self) -> Turn {
        let Turn { id, root_turn_id, status, error, started_at, completed_at, duration_ms, .. } = &self.turn;
        Turn {
            id: id.clone(),
            root_turn_id: root_turn_id.clone(),
            items: Vec::new(),
            items_view: TurnItemsView::NotLoaded,
            status: *status,
            error: error.clone(),
            started_at: *started_at,
            completed_at: *completed_at,
            duration_ms: *duration_ms,
        }
    }

    /// The turn as `turn/completed` shows it.
    pub(super) fn summary(&self) -> Turn {
        let is_message = |item: &&ThreadItem| matches!(item, ThreadItem::AgentMessage(_));
        outcome(self.bare(), self.turn.items.iter().rfind(is_message))
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
        format!("{}-{}", self.prefix, self.turn.items.len() + 1)
    }

    /// What the user says, if that is anything.
    pub(super) fn user_message(
        &mut self,
        content: Vec<UserInput>,
        client_id: Option<String>,
    ) -> Option<ThreadItem> {
        if content.is_empty() {
            return None;
        }
        let item = ThreadItem::UserMessage(UserMessageItem { id: self.next_id(), client_id, content });
        self.turn.items.push(item.clone());
        Some(item)
    }

    fn tool_call(&mut self, at: i64, wanted: &Wanted) -> ThreadItem {
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
        self.open_tools.push(OpenTool { index: self.turn.items.len(), since: at, is_asked: false });
        self.turn.items.push(item.clone());
        self.unheard = true;
        item
    }

    fn open_items(&self) -> impl Iterator<Item = (usize, &ThreadItem)> {
        self.open_tools.iter().map(|open| (open.index, &self.turn.items[open.index]))
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
        Record::TurnStarted { turn: self.turn.id.clone(), at }
    }

    pub(super) fn completed_record(&self, item: &ThreadItem, at: i64) -> Record {
        let (turn, index) = (self.turn.id.clone(), self.index(item));
        Record::ItemCompleted { turn, index, item: item.clone(), at }
    }

    fn index(&self, item: &ThreadItem) -> usize {
        let index = self.turn.items.iter().rposition(|i| i.id() == item.id());
        index.expect("an item is kept only after it was put into its turn")
    }

    /// Closes what is open and returns it: messages with the text they have, tool calls as cut off.
    pub(super) fn close_items(&mut self) -> Vec<ThreadItem> {
        let mut items = self.cut_answer();
        let summing = self.summing.take();
        items.extend(summing.map(|summing| self.turn.items[summing.index].clone()));
        for open in self.open_tools.drain(..) {
            cut_off(&mut self.turn.items[open.index], open.is_asked);
            items.push(self.turn.items[open.index].clone());
        }
        items
    }

    /// Ends the model's answer where it is. Returns what it was saying and thinking, as far as it came; tools that it asked
    /// for are not called.
    pub(super) fn cut_answer(&mut self) -> Vec<ThreadItem> {
        self.call = None;
        self.wanted.clear();
        let open = std::mem::take(&mut self.open_texts);
        open.iter().map(|&(_, index)| self.turn.items[index].clone()).collect()
    }

    pub(super) fn end(&mut self, status: TurnStatus, error: Option<TurnError>, at: i64) -> Record {
        complete(&mut self.turn, status, error.clone(), at);
        Record::TurnCompleted { turn: self.turn.id.clone(), status, error, at }
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
        named.map(|&(_, index)| index).find(|&index| fits(&self.turn.items[index]))
    }

    /// Adds a message or a thought that begins; where it stands.
    pub(super) fn open(&mut self, output: Arc<str>, item: ThreadItem) -> usize {
        let index = self.turn.items.len();
        self.open_texts.push((output, index));
        self.turn.items.push(item);
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
                let item = active.turn.items[index].clone();
                self.complete_item(at, item);
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
                let open = std::mem::take(&mut active.open_texts);
                let items: Vec<_> = open.iter().map(|&(_, index)| active.turn.items[index].clone()).collect();
                for item in items {
                    self.complete_item(at, item);
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
        let (thread_id, turn_id) = (self.id.clone(), active.turn.id.clone());
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
        let items: Vec<_> = wanted.iter().map(|wanted| active.tool_call(at, wanted)).collect();
        let started = |item: &ThreadItem| {
            let (turn, index) = (active.turn.id.clone(), active.index(item));
            Record::ItemStarted { turn, index, item: item.clone(), at }
        };
        let records = items.iter().map(started).collect();
        self.append(records);
        for (started, wanted) in items.into_iter().zip(wanted) {
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
        let turn_id = active.turn.id.clone();
        let Some(ThreadItem::AgentMessage(message)) = active.turn.items.get_mut(index) else { return };
        message.text.push_str(&delta);
        let item_id = message.id.clone();
        let thread_id = self.id.clone();
        self.notify(Notification::AgentMessageDelta(DeltaNotification {
            thread_id,
            turn_id,
            item_id,
            delta,
        }));
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
        let items = &mut active.turn.items;
        let open = active.open_tools.iter().position(|open| items[open.index].id() == id);
        let Some(OpenTool { index, since, .. }) = open.map(|open| active.open_tools.remove(open)) else {
            return false;
        };
        end(&mut items[index], (at - since).max(0));
        let item = items[index].clone();
        self.withdraw_item(id);
        self.complete_item(at, item);
        true
    }

    /// Keeps and tells an item that was told as started.
    fn complete_item(&mut self, at: i64, item: ThreadItem) {
        let Some(active) = &self.turn else { return };
        let turn_id = active.turn.id.clone();
        let records = vec![active.completed_record(&item, at)];
        self.append(records);
        self.tell_completed(at, &turn_id, item);
    }

    /// Tells an item that starts and completes at once.
    pub(super) fn tell_item(&mut self, at: i64, item: ThreadItem) {
        let Some(turn_id) = self.turn.as_ref().map(|active| active.turn.id.clone()) else { return };
        self.tell_started(at, item.clone());
        self.tell_completed(at, &turn_id, item);
    }

    pub(super) fn tell_started(&mut self, at: i64, item: ThreadItem) {
        let Some(turn_id) = self.turn.as_ref().map(|active| active.turn.id.clone()) else { return };
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
