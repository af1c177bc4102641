//! The event table: one thread's records, dense and checksummed, under one integer key.

use rusqlite::{Connection, OptionalExtension, Row, params};
use verger_core::ids::{Generation, Seq, ThreadId};

use crate::error::StoreError;
use crate::lineage::{self, Segment};
use crate::list::Direction;

/// Records of kinds from this on are landmarks: few in a log, and found without a look at what lies between. The table's
/// index has the same number in it.
pub const LANDMARKS: u8 = 16;

/// One durable record to append. The store does not look inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The caller's tag.
    pub kind: u8,
    /// The caller's bytes.
    pub body: Vec<u8>,
}

/// One record as it was appended, its checksum verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place in the thread's log.
    pub seq: Seq,
    /// The owner that wrote it.
    pub generation: Generation,
    /// The caller's tag.
    pub kind: u8,
    /// The caller's bytes.
    pub body: Vec<u8>,
}

/// Which part of a log to read: records after `after`, up to and with `upto`, at most `limit` of them and at most
/// `max_bytes` of bodies, but always one if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) after: Seq,
    pub(crate) upto: Seq,
    pub(crate) limit: usize,
    pub(crate) max_bytes: usize,
}

/// `thread_no << 32 | seq`: a thread's records are neighbours, and the table needs no second index.
pub(crate) fn key(thread_no: u32, seq: Seq) -> i64 {
    i64::from(thread_no) << 32 | i64::from(seq.0)
}

fn seq_of(key: i64) -> Seq {
    Seq(u32::try_from(key & i64::from(u32::MAX)).expect("masked to 32 bits"))
}

fn checksum(seq: Seq, generation: Generation, kind: u8, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[kind]);
    crc.update(&generation.0.to_le_bytes());
    crc.update(&seq.0.to_le_bytes());
    crc.update(body);
    crc.finalize()
}

/// The last sequence number: of a thread without records of its own the one that it was forked at, `Seq(0)` if it was
/// not. Derived, not stored: an append then touches no row twice.
pub(crate) fn head(conn: &Connection, thread_no: u32) -> rusqlite::Result<Seq> {
    let last: Option<i64> = conn
        .prepare_cached("SELECT key FROM event WHERE key > ?1 AND key <= ?2 ORDER BY key DESC LIMIT 1")?
        .query_row([key(thread_no, Seq(0)), key(thread_no, Seq(u32::MAX))], |row| row.get(0))
        .optional()?;
    Ok(match last {
        Some(last) => seq_of(last),
        None => lineage::base(conn, thread_no)?.map_or(Seq(0), |base| base.upto),
    })
}

/// Writes `records` after `head`; the caller has checked that there are numbers left.
pub(crate) fn insert(
    tx: &Connection,
    thread_no: u32,
    head: Seq,
    generation: Generation,
    records: &[Record],
) -> rusqlite::Result<()> {
    let mut statement =
        tx.prepare_cached("INSERT INTO event (key, gen, kind, crc, body) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (seq, record) in (head.0 + 1..).map(Seq).zip(records) {
        let crc = checksum(seq, generation, record.kind, &record.body);
        let gen_ = generation.0.cast_signed();
        statement.execute(params![key(thread_no, seq), gen_, record.kind, crc, record.body])?;
    }
    Ok(())
}

/// Reads a span of the log that `segments` make up, and proves that it is dense and unchanged.
pub(crate) fn read(
    conn: &Connection,
    thread: ThreadId,
    segments: &[Segment],
    span: Span,
) -> rusqlite::Result<Result<Vec<StoredRecord>, StoreError>> {
    let damaged = |seq, what| Ok(Err(StoreError::Damaged { thread, seq, what }));
    let mut statement = conn.prepare_cached(
        "SELECT key, gen, kind, crc, body FROM event WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT ?3",
    )?;
    let mut records: Vec<StoredRecord> = Vec::new();
    let mut bytes = 0usize;
    let mut expected = span.after.0.saturating_add(1);
    for [from, to, thread_no] in within(segments, span.after, span.upto) {
        let limit = i64::try_from(span.limit - records.len()).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![key(thread_no, Seq(from)), key(thread_no, Seq(to)), limit])?;
        while let Some(row) = rows.next()? {
            let seq = seq_of(row.get(0)?);
            if seq.0 != expected {
                return damaged(Seq(expected), "it is missing");
            }
            bytes = bytes.saturating_add(row.get_ref(4)?.as_blob()?.len());
            if bytes > span.max_bytes && !records.is_empty() {
                return Ok(Ok(records));
            }
            match verified(row)? {
                Ok(record) => records.push(record),
                Err((seq, what)) => return damaged(seq, what),
            }
            expected = expected.saturating_add(1);
        }
    }
    Ok(Ok(records))
}

/// The records of one kind: at most `limit` of them after `after`, up to and with `upto`, beginning at the end that
/// `direction` names. No other body is looked at, and of landmarks no other record.
pub(crate) fn find(
    conn: &Connection,
    thread: ThreadId,
    segments: &[Segment],
    kind: u8,
    (after, upto): (Seq, Seq),
    direction: Direction,
    limit: usize,
) -> rusqlite::Result<Result<Vec<StoredRecord>, StoreError>> {
    let mut spans: Vec<_> = within(segments, after, upto).collect();
    if direction == Direction::Descending {
        spans.reverse();
    }
    let mut statement = conn.prepare_cached(&find_sql(kind, direction))?;
    let mut found = Vec::new();
    for [from, to, thread_no] in spans {
        let left = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
        let (from, to) = (key(thread_no, Seq(from)), key(thread_no, Seq(to)));
        let mut rows = statement.query(params![from, to, kind, left])?;
        while let Some(row) = rows.next()? {
            match verified(row)? {
                Ok(record) => found.push(record),
                Err((seq, what)) => return Ok(Err(StoreError::Damaged { thread, seq, what })),
            }
        }
    }
    Ok(Ok(found))
}

fn find_sql(kind: u8, direction: Direction) -> String {
    let by = match kind {
        LANDMARKS.. => "INDEXED BY event_landmark WHERE kind >= 16 AND",
        _ => "WHERE",
    };
    let order = match direction {
        Direction::Ascending => "ASC",
        Direction::Descending => "DESC",
    };
    format!(
        "SELECT key, gen, kind, crc, body FROM event
         {by} key > ?1 AND key <= ?2 AND kind = ?3 ORDER BY key {order} LIMIT ?4"
    )
}

/// A row of `key, gen, kind, crc, body` as the record that was written, or what is wrong with it.
fn verified(row: &Row<'_>) -> rusqlite::Result<Result<StoredRecord, (Seq, &'static str)>> {
    let seq = seq_of(row.get(0)?);
    let generation = Generation(row.get::<_, i64>(1)?.cast_unsigned());
    // Wider than they were written: a number that does not fit is damage, not a failure of SQLite.
    let (kind, crc): (i64, i64) = (row.get(2)?, row.get(3)?);
    let body = row.get_ref(4)?.as_blob()?;
    let Ok(kind) = u8::try_from(kind) else { return Ok(Err((seq, "its kind is not one"))) };
    if i64::from(checksum(seq, generation, kind, body)) != crc {
        return Ok(Err((seq, "its checksum does not match")));
    }
    Ok(Ok(StoredRecord { seq, generation, kind, body: body.to_vec() }))
}

/// The parts of the segments after `after`, up to and with `upto`: from, to, and whose they are.
fn within(segments: &[Segment], after: Seq, upto: Seq) -> impl Iterator<Item = [u32; 3]> + '_ {
    let part = move |s: &Segment| [s.after.max(after).0, s.upto.min(upto).0, s.thread_no];
    segments.iter().map(part).filter(|[from, to, _]| from < to)
}

/// Deletes at most `most` of a thread's records, the oldest first. True when none is left.
pub(crate) fn delete_some(tx: &Connection, thread_no: u32, most: u32) -> rusqlite::Result<bool> {
    let (first, last) = (key(thread_no, Seq(0)), key(thread_no, Seq(u32::MAX)));
    let deleted = tx
        .prepare_cached(
            "DELETE FROM event WHERE key IN
             (SELECT key FROM event WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT ?3)",
        )?
        .execute(params![first, last, most])?;
    Ok(deleted < most as usize)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;
    use uuid::Uuid;

    use super::*;
    use crate::schema;

    const TURN: u8 = 1;

    /// A log of so many turns of five records, with one landmark near its beginning.
    fn log(turns: usize) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(schema::TABLES).unwrap();
        let record = |kind| Record { kind, body: b"x".to_vec() };
        let turn = [TURN, 3, 2, 3, 4].map(record);
        let mut records = turn.to_vec();
        records.push(record(LANDMARKS));
        records.extend(std::iter::repeat_n(turn, turns - 1).flatten());
        insert(&conn, 7, Seq(0), Generation(1), &records).unwrap();
        conn
    }

    /// What finding one record takes, in steps of SQLite's machine, and which it is.
    fn steps(conn: &Connection, kind: u8, span: (Seq, Seq), direction: Direction) -> (i32, Option<u32>) {
        let segments = [Segment { thread_no: 7, after: Seq(0), upto: Seq(u32::MAX) }];
        let thread = ThreadId(Uuid::nil());
        let found = find(conn, thread, &segments, kind, span, direction, 1).unwrap().unwrap();
        let statement = conn.prepare_cached(&find_sql(kind, direction)).unwrap();
        (statement.reset_status(StatementStatus::VmStep), found.first().map(|record| record.seq.0))
    }

    #[test]
    fn a_landmark_is_found_in_as_many_steps_however_long_the_log_is() {
        let (short, long) = (log(2), log(20_000));
        let all = (Seq(0), Seq(u32::MAX));
        for direction in [Direction::Ascending, Direction::Descending] {
            let (few, found) = steps(&short, LANDMARKS, all, direction);
            assert_eq!((few, found), steps(&long, LANDMARKS, all, direction));
            assert_eq!(found, Some(6));
            let none = steps(&long, LANDMARKS + 1, all, direction);
            assert!(none.0 <= few && none.1.is_none(), "nor does it take more that there is none: {none:?}");
        }
        // Of the others, what lies between is stepped over.
        assert_eq!(
            steps(&short, TURN, all, Direction::Descending).0,
            steps(&long, TURN, all, Direction::Descending).0
        );
        let missing = steps(&long, 5, all, Direction::Descending);
        assert!(missing.0 > 100_000, "{missing:?}");
    }
}
