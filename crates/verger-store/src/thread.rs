//! A thread's row: what a list shows of it and what a resume needs before it reads the log.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;
use verger_core::ids::{Seq, ThreadId};

/// One stored thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadRow {
    /// The thread.
    pub id: ThreadId,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds, moved by appends that say so.
    pub updated_at: i64,
    /// Unix seconds of the last user message, moved by appends that say so.
    pub recency_at: i64,
    /// Hidden from the normal list, and not to be claimed.
    pub archived: bool,
    /// The title a user gave.
    pub name: Option<String>,
    /// Working directory.
    pub cwd: String,
    /// The model of the last turn.
    pub model: Option<String>,
    /// The key of the provider in the config.
    pub model_provider: String,
    /// First words of the first message.
    pub preview: String,
    /// The last record's number.
    pub head: Seq,
    /// The thread's other settings (approval policy, sandbox, instructions), JSON, opaque here.
    pub settings: String,
    /// The thread this one began as a copy of.
    pub forked_from: Option<ThreadId>,
    /// JSON, opaque here.
    pub git_info: Option<String>,
}

/// A thread about to be materialized by its first append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewThread {
    /// Unix seconds; also the first `updated_at` and `recency_at`.
    pub created_at: i64,
    /// The title, if it has one already.
    pub name: Option<String>,
    /// Working directory.
    pub cwd: String,
    /// The model.
    pub model: Option<String>,
    /// The key of the provider in the config.
    pub model_provider: String,
    /// First words of the first message.
    pub preview: String,
    /// JSON, opaque here.
    pub settings: String,
    /// The thread this one began as a copy of.
    pub forked_from: Option<ThreadId>,
    /// JSON, opaque here.
    pub git_info: Option<String>,
}

/// What an append changes in the row besides the log: `None` leaves a column as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadPatch {
    /// Unix seconds.
    pub updated_at: Option<i64>,
    /// Unix seconds.
    pub recency_at: Option<i64>,
    /// Working directory.
    pub cwd: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The key of the provider in the config.
    pub model_provider: Option<String>,
    /// First words of the first message.
    pub preview: Option<String>,
    /// JSON, opaque here.
    pub settings: Option<String>,
}

/// The columns that [`from_row`] expects, of a `thread` named `t`.
pub(crate) const COLUMNS: &str =
    "t.id, t.created_at, t.updated_at, t.archived, t.name, t.cwd, t.model, t.model_provider,
    t.preview, t.settings, t.forked_from, t.git_info, t.recency_at,
    coalesce((SELECT key & 0xffffffff FROM event
              WHERE key > t.thread_no << 32 AND key <= (t.thread_no << 32 | 0xffffffff)
              ORDER BY key DESC LIMIT 1), t.base_seq)";

pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<ThreadRow> {
    let forked_from: Option<[u8; 16]> = row.get(10)?;
    Ok(ThreadRow {
        id: ThreadId(Uuid::from_bytes(row.get(0)?)),
        created_at: row.get(1)?,
        updated_at: row.get(2)?,
        archived: row.get(3)?,
        name: row.get(4)?,
        cwd: row.get(5)?,
        model: row.get(6)?,
        model_provider: row.get(7)?,
        preview: row.get(8)?,
        settings: row.get(9)?,
        forked_from: forked_from.map(|id| ThreadId(Uuid::from_bytes(id))),
        git_info: row.get(11)?,
        recency_at: row.get(12)?,
        head: Seq(row.get(13)?),
    })
}

/// Where a fork's records before its own are: in another thread's log, up to and with `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) thread_no: u32,
    pub(crate) upto: Seq,
}

/// The number under which the store knows the thread. Numbers are never reused.
pub(crate) fn number(conn: &Connection, thread: ThreadId) -> rusqlite::Result<Option<u32>> {
    conn.prepare_cached("SELECT thread_no FROM thread WHERE id = ?1")?
        .query_row([thread.0.as_bytes()], |row| row.get(0))
        .optional()
}

pub(crate) fn get(conn: &Connection, thread: ThreadId) -> rusqlite::Result<Option<ThreadRow>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM thread t WHERE t.id = ?1"))?
        .query_row([thread.0.as_bytes()], from_row)
        .optional()
}

/// Inserts the row and returns its number. A fork's records begin after those it shares with its base.
pub(crate) fn insert(
    tx: &Connection,
    thread: ThreadId,
    new: &NewThread,
    base: Option<Base>,
) -> rusqlite::Result<u32> {
    tx.prepare_cached(
        "INSERT INTO thread (id, created_at, updated_at, recency_at, archived, name, cwd, model, model_provider, preview,
                             forked_from, git_info, settings, base_no, base_seq)
         VALUES (?1, ?2, ?2, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) RETURNING thread_no",
    )?
    .query_row(
        params![
            thread.0.as_bytes(),
            new.created_at,
            new.name,
            new.cwd,
            new.model,
            new.model_provider,
            new.preview,
            new.forked_from.as_ref().map(|id| id.0.as_bytes()),
            new.git_info,
            new.settings,
            base.map(|base| base.thread_no),
            base.map_or(0, |base| base.upto.0),
        ],
        |row| row.get(0),
    )
}

/// Applies a patch. Most appends move `updated_at` alone, and several within one second: those that change nothing
/// must not cost a page of the row or of the index.
pub(crate) fn patch(tx: &Connection, thread_no: u32, patch: &ThreadPatch) -> rusqlite::Result<()> {
    let ThreadPatch { updated_at, recency_at, cwd, model, model_provider, preview, settings } = patch;
    if let Some(updated_at) = updated_at {
        tx.prepare_cached("UPDATE thread SET updated_at = ?2 WHERE thread_no = ?1 AND updated_at <> ?2")?
            .execute(params![thread_no, updated_at])?;
    }
    if let Some(recency_at) = recency_at {
        tx.prepare_cached("UPDATE thread SET recency_at = ?2 WHERE thread_no = ?1 AND recency_at <> ?2")?
            .execute(params![thread_no, recency_at])?;
    }
    let columns = [cwd, model, model_provider, preview, settings];
    if columns.iter().any(|column| column.is_some()) {
        tx.prepare_cached(
            "UPDATE thread SET cwd = coalesce(?2, cwd), model = coalesce(?3, model),
                    model_provider = coalesce(?4, model_provider), preview = coalesce(?5, preview),
                    settings = coalesce(?6, settings)
             WHERE thread_no = ?1",
        )?
        .execute(params![thread_no, cwd, model, model_provider, preview, settings])?;
    }
    Ok(())
}
