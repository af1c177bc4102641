//! The active turn: which items it has, and which of them are open.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use verger_wire::types::{
    DynamicToolCallItem, McpToolCallItem, McpToolCallStatus, ThreadItem, Turn, TurnError, TurnItemsView,
    TurnStatus, UserInput, UserMessageItem,
};

use super::Record;
use super::compaction::Summing;
use super::record::{complete, cut_off, new_turn, outcome};
use crate::ids::TurnId;

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
    pub(super) open_texts: Vec<(Arc<str>, usize)>,
    /// Tool calls under way.
    pub(super) open_tools: Vec<OpenTool>,
    /// Tool calls that the model asks for, until its answer is complete.
    pub(super) wanted: Vec<Wanted>,
    /// The model has not heard everything: a tool's result, or more from the user.
    pub(super) unheard: bool,
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
    pub(super) index: usize,
    /// Since when, in Unix milliseconds.
    pub(super) since: i64,
    /// Not sent: a client has yet to approve it.
    pub(super) is_asked: bool,
}

/// A tool call that the model asks for.
#[derive(Debug)]
pub(super) enum Wanted {
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
    pub(super) fn tool_call(&mut self, at: i64, wanted: &Wanted) -> usize {
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
    pub(super) fn close_texts(&mut self) -> Vec<Complete> {
        let open = std::mem::take(&mut self.open_texts);
        open.into_iter().filter_map(|(_, index)| self.take(index)).collect()
    }

    pub(super) fn end(&mut self, status: TurnStatus, error: Option<TurnError>, at: i64) -> Record {
        complete(&mut self.under_way.turn, status, error.clone(), at);
        Record::TurnCompleted { turn: self.id().to_owned(), status, error, at }
    }

    pub(super) fn text(&self, output: &str) -> Option<usize> {
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
