//! Listing threads by keyset: a page costs the same wherever it is in the list.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use verger_core::ids::ThreadId;

use crate::cursor::Cursor;
use crate::error::StoreError;
use crate::thread::{COLUMNS, ThreadRow, from_row};

/// No page is longer.
pub const MAX_PAGE: usize = 100;

/// What a list is sorted by; threads of one second are sorted by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortKey {
    /// When the thread was created.
    #[default]
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// When its user last spoke.
    RecencyAt,
}

impl SortKey {
    fn column(self) -> &'static str {
        match self {
            Self::CreatedAt => "t.created_at",
            Self::UpdatedAt => "t.updated_at",
            Self::RecencyAt => "t.recency_at",
        }
    }

    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::CreatedAt => "c",
            Self::UpdatedAt => "u",
            Self::RecencyAt => "r",
        }
    }

    pub(crate) fn of(self, row: &ThreadRow) -> i64 {
        match self {
            Self::CreatedAt => row.created_at,
            Self::UpdatedAt => row.updated_at,
            Self::RecencyAt => row.recency_at,
        }
    }
}

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Ascending,
    /// Newest first.
    #[default]
    Descending,
}

/// What to list. Empty filters let everything through.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Archived threads instead of the others.
    pub archived: bool,
    /// Threads of these working directories.
    pub cwds: Vec<String>,
    /// Threads with this text in preview or name; ASCII letters match in either case.
    pub search: Option<String>,
    /// Threads of these model providers.
    pub model_providers: Vec<String>,
    /// Threads other than these.
    pub excluded: Vec<ThreadId>,
    /// The order.
    pub sort: SortKey,
    /// Its direction.
    pub direction: Direction,
    /// `next` of the page before, with the same query, or `back` of any page, with the direction turned round.
    pub cursor: Option<String>,
    /// Rows wanted, 1 to [`MAX_PAGE`]; other values are moved into that range.
    pub limit: usize,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// In the order that was asked for.
    pub rows: Vec<ThreadRow>,
    /// Where the list goes on, if it does.
    pub next: Option<String>,
    /// Where to turn round, if the page has rows: begins with the first row's second, so that what moved into that
    /// second meanwhile is not missed.
    pub back: Option<String>,
}

/// A query under construction: conditions and the values of their placeholders, in order.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    fn and_any_of(&mut self, column: &str, texts: &[String]) {
        if !texts.is_empty() {
            let marks = vec!["?"; texts.len()].join(", ");
            self.and(&format!("{column} IN ({marks})"), texts.iter().cloned().map(Value::Text));
        }
    }
}

pub(crate) fn list(conn: &Connection, query: &ListQuery) -> rusqlite::Result<Result<ListPage, StoreError>> {
    let cursor = match query.cursor.as_deref().map(|text| Cursor::parse(text, query.sort)).transpose() {
        Ok(cursor) => cursor,
        Err(error) => return Ok(Err(error)),
    };
    let limit = query.limit.clamp(1, MAX_PAGE);
    let column = query.sort.column();
    let (beyond, order) = match query.direction {
        Direction::Ascending => (">", "ASC"),
        Direction::Descending => ("<", "DESC"),
    };
    let mut filter = Conditions { sql: "t.archived = ?".to_owned(), values: vec![query.archived.into()] };
    if let Some(cursor) = cursor {
        filter.and(&format!("({column}, t.id) {beyond} (?, ?)"), cursor.values());
    }
    filter.and_any_of("t.cwd", &query.cwds);
    filter.and_any_of("t.model_provider", &query.model_providers);
    if !query.excluded.is_empty() {
        let marks = vec!["?"; query.excluded.len()].join(", ");
        let ids = query.excluded.iter().map(|id| Value::Blob(id.0.as_bytes().to_vec()));
        filter.and(&format!("t.id NOT IN ({marks})"), ids);
    }
    if let Some(text) = query.search.as_deref().filter(|text| !text.is_empty()) {
        let pattern = Value::Text(format!("%{}%", escape_like(text)));
        filter.and(r"(t.preview LIKE ? ESCAPE '\' OR t.name LIKE ? ESCAPE '\')", [pattern.clone(), pattern]);
    }
    // One row more than wanted tells whether the list goes on.
    let sql = format!(
        "SELECT {COLUMNS} FROM thread t WHERE {} ORDER BY {column} {order}, t.id {order} LIMIT {}",
        filter.sql,
        limit + 1
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement
        .query_map(params_from_iter(filter.values), from_row)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| Cursor::at(query.sort, last).encode());
    let descends = query.direction == Direction::Descending;
    let back = rows.first().map(|first| Cursor::around(query.sort, first, descends).encode());
    Ok(Ok(ListPage { rows, next, back }))
}

fn escape_like(text: &str) -> String {
    text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}
