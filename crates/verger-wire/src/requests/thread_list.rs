//! Threads, turns and items page by page. Cursors are opaque to clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::types::{Thread, ThreadItem, Turn, TurnItemsView};

/// `thread/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(optional_fields = nullable)]
pub struct ThreadListParams {
    /// Where to go on.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
    /// By what; creation when absent.
    pub sort_key: Option<ThreadSortKey>,
    /// Newest first when absent.
    pub sort_direction: Option<SortDirection>,
    /// Archived ones instead of the others.
    pub archived: Option<bool>,
    /// Only from these working directories.
    pub cwd: Option<ThreadListCwdFilter>,
    /// Only where the preview or name has it.
    pub search_term: Option<String>,
    /// Only from these kinds of client.
    pub source_kinds: Option<Vec<ThreadSourceKind>>,
    /// Only with these providers.
    pub model_providers: Option<Vec<String>>,
    /// Only from these clients.
    pub originators: Option<Vec<String>>,
    /// Not these.
    pub excluded_thread_ids: Option<Vec<String>>,
    /// Only from this folder.
    pub section_id: Option<String>,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "snake_case")]
pub enum ThreadSortKey {
    /// When it began.
    #[default]
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// When its user last spoke.
    RecencyAt,
    /// As the user arranged them.
    SectionPosition,
}

/// Which way a list runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum SortDirection {
    /// Oldest first.
    Asc,
    /// Newest first.
    #[default]
    Desc,
}

/// One working directory or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(untagged)]
pub enum ThreadListCwdFilter {
    /// This one.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum ThreadSourceKind {
    /// A terminal.
    Cli,
    /// An editor.
    #[serde(rename = "vscode")]
    VsCode,
    /// A script.
    Exec,
    /// The app-server itself.
    AppServer,
    /// A helper agent, any kind.
    SubAgent,
    /// A reviewing one.
    SubAgentReview,
    /// A summarizing one.
    SubAgentCompact,
    /// One that a thread began.
    SubAgentThreadSpawn,
    /// Another.
    SubAgentOther,
    /// Not known.
    Unknown,
}

/// Answer to `thread/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadListResponse {
    /// This page, without turns.
    pub data: Vec<Thread>,
    /// The next page; `null` at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
    /// From here the other way.
    #[serde(default)]
    pub backwards_cursor: Option<String>,
}

/// Which page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(default)]
#[ts(optional_fields = nullable)]
pub struct PageParams {
    /// Where to go on.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// `thread/loaded/list`.
pub type ThreadLoadedListParams = PageParams;

/// Answer to `thread/loaded/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadLoadedListResponse {
    /// This page: ids.
    pub data: Vec<String>,
    /// The next page; `null` at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// `thread/turns/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct ThreadTurnsListParams {
    /// Of which thread.
    pub thread_id: String,
    /// Where to go on.
    #[serde(default)]
    pub cursor: Option<String>,
    /// At most so many.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Newest first when absent.
    #[serde(default)]
    pub sort_direction: Option<SortDirection>,
    /// How much of each; a summary when absent.
    #[serde(default)]
    pub items_view: Option<TurnItemsView>,
}

/// Answer to `thread/turns/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadTurnsListResponse {
    /// This page.
    pub data: Vec<Turn>,
    /// The next page; `null` at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
    /// From here the other way.
    #[serde(default)]
    pub backwards_cursor: Option<String>,
}

/// `thread/items/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct ThreadItemsListParams {
    /// Of which thread.
    pub thread_id: String,
    /// Of this turn only.
    #[serde(default)]
    pub turn_id: Option<String>,
    /// Where to go on.
    #[serde(default)]
    pub cursor: Option<ItemsCursor>,
    /// At most so many.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Oldest first when absent.
    #[serde(default)]
    pub sort_direction: Option<SortDirection>,
}

/// Where a list of items goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(untagged)]
pub enum ItemsCursor {
    /// As an earlier page gave it.
    Page(String),
    /// Beside an item of the turn that is asked for, without it.
    Item(ItemAnchor),
}

/// An item as a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ItemAnchor {
    /// By its id.
    Item {
        /// The id.
        item_id: String,
    },
}

/// Answer to `thread/items/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadItemsListResponse {
    /// This page.
    pub data: Vec<ThreadItemEntry>,
    /// The next page; `null` at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
    /// From here the other way.
    #[serde(default)]
    pub backwards_cursor: Option<String>,
}

/// An item and where it belongs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct ThreadItemEntry {
    /// Its turn.
    pub turn_id: String,
    /// The item.
    pub item: ThreadItem,
    /// Unix milliseconds.
    #[serde(default)]
    pub started_at_ms: Option<i64>,
    /// Unix milliseconds.
    #[serde(default)]
    pub completed_at_ms: Option<i64>,
}
