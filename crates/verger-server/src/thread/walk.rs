//! Walking a stored log by turns: where they begin and end, and the records between, no more of them than needed.

use verger_core::ids::{Seq, ThreadId};
use verger_core::thread::{KeptTurn, Record, kept_turns};
use verger_store::{Direction, Store, StoreError, StoredRecord};
use verger_wire::types::Turn;

/// A page of records when a log is read.
const PAGE: usize = 1000;
const PAGE_BYTES: usize = 8 << 20;

/// A stored log as it was when it ended at `head`.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub(crate) store: Store,
    pub(crate) thread: ThreadId,
    pub(crate) head: Seq,
}

/// Why a log could not be walked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("thread {0}: {1}")]
    Unreadable(ThreadId, String),
}

impl Walk {
    /// The first records of turns within (`after`, `upto`], at most `limit` of them, from the end that `direction` names.
    async fn begins(
        &self,
        after: Seq,
        upto: Seq,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, WalkError> {
        let upto = upto.min(self.head);
        Ok(self.store.find(self.thread, Record::TURN_STARTED, (after, upto), direction, limit).await?)
    }

    /// Where turns begin.
    pub(super) async fn starts(
        &self,
        after: Seq,
        upto: Seq,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Seq>, WalkError> {
        let begins = self.begins(after, upto, direction, limit).await?;
        Ok(begins.into_iter().map(|record| record.seq).collect())
    }

    /// Where the turn of this id begins.
    pub(super) async fn locate(&self, turn: &str) -> Result<Option<Seq>, WalkError> {
        let mut upto = self.head;
        loop {
            let begins = self.begins(Seq(0), upto, Direction::Descending, PAGE).await?;
            for begin in &begins {
                if self.decode(begin)?.turn() == turn {
                    return Ok(Some(begin.seq));
                }
            }
            match begins.last() {
                Some(last) if begins.len() == PAGE => upto = Seq(last.seq.0 - 1),
                _ => return Ok(None),
            }
        }
    }

    /// The last record of the turn that begins at `start`.
    pub(super) async fn end_of(&self, start: Seq) -> Result<Seq, WalkError> {
        let next = self.starts(start, self.head, Direction::Ascending, 1).await?;
        Ok(next.first().map_or(self.head, |next| Seq(next.0 - 1)))
    }

    /// The turns that begin at `starts`, which are neighbours, in the order of their beginning.
    pub(super) async fn turns(
        &self,
        starts: &[Seq],
        active: Option<&str>,
    ) -> Result<Vec<(Seq, KeptTurn)>, WalkError> {
        let (Some(first), Some(last)) = (starts.iter().min(), starts.iter().max()) else {
            return Ok(Vec::new());
        };
        let records = self.records(Seq(first.0 - 1), self.end_of(*last).await?).await?;
        let begins = records.iter().filter(|(_, record)| matches!(record, Record::TurnStarted { .. }));
        let begins: Vec<Seq> = begins.map(|(seq, _)| *seq).collect();
        let turns = kept_turns(records.into_iter().map(|(_, record)| record), active);
        Ok(begins.into_iter().zip(turns).collect())
    }

    /// One turn, which is not active.
    pub(super) async fn turn(&self, id: &str) -> Result<Option<Turn>, WalkError> {
        let Some(start) = self.locate(id).await? else { return Ok(None) };
        let turns = self.turns(&[start], None).await?;
        Ok(turns.into_iter().map(|(_, kept)| kept.turn).find(|turn| turn.id == id))
    }

    /// The last records of one kind, newest first: at most `limit` of them, and none that stands before the last `reach`
    /// records.
    pub(super) async fn latest(&self, kind: u8, reach: u32, limit: usize) -> Result<Vec<Record>, WalkError> {
        let within = (Seq(self.head.0.saturating_sub(reach)), self.head);
        let found = self.store.find(self.thread, kind, within, Direction::Descending, limit).await?;
        found.iter().map(|stored| self.decode(stored)).collect()
    }

    /// Every record of the log.
    pub(crate) async fn all(&self) -> Result<Vec<Record>, WalkError> {
        let records = self.records(Seq(0), self.head).await?;
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }

    /// The records after `after`, up to and with `upto`.
    pub(super) async fn records(&self, after: Seq, upto: Seq) -> Result<Vec<(Seq, Record)>, WalkError> {
        let mut records = Vec::new();
        let mut after = after;
        while after < upto {
            let page = self.store.read_upto(self.thread, after, upto, PAGE, PAGE_BYTES).await?;
            let Some(last) = page.last() else {
                return Err(self.unreadable(format!("its log ends at {after}, not at {upto}")));
            };
            after = last.seq;
            for stored in &page {
                records.push((stored.seq, self.decode(stored)?));
            }
        }
        Ok(records)
    }

    fn decode(&self, stored: &StoredRecord) -> Result<Record, WalkError> {
        Record::decode(stored.kind, &stored.body).map_err(|error| self.unreadable(error.to_string()))
    }

    fn unreadable(&self, why: String) -> WalkError {
        WalkError::Unreadable(self.thread, why)
    }
}
