//! List cursors: a place in one sort order, opaque to clients.

use rusqlite::types::Value;
use uuid::Uuid;
use verger_core::ids::ThreadId;

use crate::error::StoreError;
use crate::list::SortKey;
use crate::thread::ThreadRow;

/// A place between rows: a list goes on strictly after it, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    sort: SortKey,
    at: i64,
    id: Uuid,
}

impl Cursor {
    /// Right at `row`.
    pub(crate) fn at(sort: SortKey, row: &ThreadRow) -> Self {
        Self { sort, at: sort.of(row), id: row.id.0 }
    }

    /// On the far side of all rows that share `row`'s second: a client that turns round there sees the second again,
    /// with whatever moved into it meanwhile.
    pub(crate) fn around(sort: SortKey, row: &ThreadRow, list_descends: bool) -> Self {
        let id = if list_descends { Uuid::nil() } else { Uuid::max() };
        Self::at(sort, &ThreadRow { id: ThreadId(id), ..row.clone() })
    }

    pub(crate) fn parse(text: &str, sort: SortKey) -> Result<Self, StoreError> {
        let parsed = || {
            let (tag, rest) = text.split_once('.')?;
            let (at, id) = rest.split_once('.')?;
            (tag == sort.tag()).then_some(Self { sort, at: at.parse().ok()?, id: id.parse().ok()? })
        };
        parsed().ok_or_else(|| StoreError::BadCursor { cursor: text.chars().take(80).collect() })
    }

    pub(crate) fn encode(&self) -> String {
        format!("{}.{}.{}", self.sort.tag(), self.at, self.id.simple())
    }

    /// The two values a keyset condition compares with.
    pub(crate) fn values(&self) -> [Value; 2] {
        [Value::Integer(self.at), Value::Blob(self.id.as_bytes().to_vec())]
    }
}
