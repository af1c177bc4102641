//! Walking a stored log by turns: where they begin and end, and the records between, no more of them than needed. What a
//! revert forgot is passed by.

use std::cmp::Ordering;
use std::sync::Arc;

use verger_core::ids::{Seq, ThreadId};
use verger_core::thread::{Conversation, KeptTurn, Live, Record, UnderWay, kept_turns};
use verger_store::{Direction, LANDMARKS, Store, StoreError, StoredRecord};
use verger_wire::types::Turn;

/// A page of records when a log is read.
const PAGE: usize = 1000;
const PAGE_BYTES: usize = 8 << 20;

/// Turns that are read at once on the way from the newest to older ones, at most.
const TURNS_AT_ONCE: usize = 16;

/// What is looked for in a log of any length has to be a landmark.
const _: () = assert!(Record::REVERTED >= LANDMARKS && Record::COMPACTED >= LANDMARKS);
const _: () = assert!(Record::TOKENS_SPENT >= LANDMARKS && Record::REQUEST_TAKEN >= LANDMARKS);

/// A stored log as it was when it ended at `head`.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub(super) store: Store,
    pub(super) thread: ThreadId,
    pub(super) head: Seq,
    pub(super) live: Arc<Live>,
}

/// Turns, the newest of a thread and as many before them as there was room for.
#[derive(Debug)]
pub(super) struct Newest {
    /// Oldest first.
    pub(super) turns: Vec<KeptTurn>,
    /// Where the oldest of them begins, if there are older ones.
    pub(super) cut: Option<Seq>,
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
    /// The log up to `head`.
    pub(crate) async fn open(store: Store, thread: ThreadId, head: Seq) -> Result<Self, WalkError> {
        let mut walk = Self { store, thread, head, live: Arc::default() };
        if head == Seq(0) {
            // Of what has no record the store knows nothing.
            return Ok(walk);
        }
        let (mut live, mut after) = (Live::default(), Seq(0));
        loop {
            let span = (after, head);
            let found = walk.store.find(thread, Record::REVERTED, span, Direction::Ascending, PAGE).await?;
            for marker in &found {
                if let Record::Reverted { upto, .. } = walk.decode(marker)? {
                    live.forget(upto, marker.seq);
                }
            }
            match found.last() {
                Some(last) if found.len() == PAGE => after = last.seq,
                _ => break,
            }
        }
        walk.live = Arc::new(live);
        Ok(walk)
    }

    /// Records of one kind within (`after`, `upto`], at most `limit` of them, from the end that `direction` names.
    async fn find(
        &self,
        kind: u8,
        (after, upto): (Seq, Seq),
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, WalkError> {
        let mut stretches: Vec<_> = self.live.within(after, upto.min(self.head)).collect();
        if direction == Direction::Descending {
            stretches.reverse();
        }
        let mut found = Vec::new();
        for stretch in stretches {
            let left = limit - found.len();
            if left == 0 {
                break;
            }
            found.extend(self.store.find(self.thread, kind, stretch, direction, left).await?);
        }
        Ok(found)
    }

    /// The last record of a kind.
    pub(super) async fn last(&self, kind: u8) -> Result<Option<(Seq, Record)>, WalkError> {
        let found = self.find(kind, (Seq(0), self.head), Direction::Descending, 1).await?;
        found.first().map(|stored| Ok((stored.seq, self.decode(stored)?))).transpose()
    }

    /// Where turns begin, within (`after`, `upto`].
    pub(super) async fn starts(
        &self,
        after: Seq,
        upto: Seq,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Seq>, WalkError> {
        let begins = self.find(Record::TURN_STARTED, (after, upto), direction, limit).await?;
        Ok(begins.into_iter().map(|record| record.seq).collect())
    }

    /// Where the turn of this id begins. Ids grow with time, so that one is found as in a book; where a clock was put
    /// back they do not, and every turn is looked at.
    pub(super) async fn locate(&self, turn: &str) -> Result<Option<Seq>, WalkError> {
        match self.search(turn).await? {
            Some(start) => Ok(Some(start)),
            None => self.search_all(turn).await,
        }
    }

    async fn search(&self, turn: &str) -> Result<Option<Seq>, WalkError> {
        let (mut after, mut upto) = (Seq(0), self.head);
        while after < upto {
            let middle = Seq(after.0 + (upto.0 - after.0).div_ceil(2));
            let found = self.find(Record::TURN_STARTED, (after, middle), Direction::Descending, 1).await?;
            let Some(found) = found.first() else {
                after = middle;
                continue;
            };
            match self.decode(found)?.turn().map(|found| found.cmp(turn)) {
                Some(Ordering::Equal) => return Ok(Some(found.seq)),
                Some(Ordering::Greater) => upto = Seq(found.seq.0 - 1),
                Some(Ordering::Less) | None => after = middle,
            }
        }
        Ok(None)
    }

    async fn search_all(&self, turn: &str) -> Result<Option<Seq>, WalkError> {
        let mut upto = self.head;
        loop {
            let begins = self.find(Record::TURN_STARTED, (Seq(0), upto), Direction::Descending, PAGE).await?;
            for begin in &begins {
                if self.decode(begin)?.turn() == Some(turn) {
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
        // Reverts cut between turns: all of a turn is in one stretch.
        let stretch = self.live.within(Seq(start.0 - 1), self.head).next();
        let (_, upto) = stretch.ok_or_else(|| self.unreadable(format!("no turn begins at {start}")))?;
        let next = self.starts(start, upto, Direction::Ascending, 1).await?;
        Ok(next.first().map_or(upto, |next| Seq(next.0 - 1)))
    }

    /// The turns that begin at `starts`, which are neighbours, in the order of their beginning.
    pub(super) async fn turns(
        &self,
        starts: &[Seq],
        active: Option<&UnderWay>,
    ) -> Result<Vec<(Seq, KeptTurn)>, WalkError> {
        self.sized_turns(starts, active).await.map(|(turns, _)| turns)
    }

    /// As [`Self::turns`], with how many bytes they were kept in.
    async fn sized_turns(
        &self,
        starts: &[Seq],
        active: Option<&UnderWay>,
    ) -> Result<(Vec<(Seq, KeptTurn)>, usize), WalkError> {
        let (Some(first), Some(last)) = (starts.iter().min(), starts.iter().max()) else {
            return Ok((Vec::new(), 0));
        };
        let (records, bytes) = self.sized_records(Seq(first.0 - 1), self.end_of(*last).await?).await?;
        let begins = records.iter().filter(|(_, record)| matches!(record, Record::TurnStarted { .. }));
        let begins: Vec<Seq> = begins.map(|(seq, _)| *seq).collect();
        let turns = kept_turns(records.into_iter().map(|(_, record)| record), active);
        Ok((begins.into_iter().zip(turns).collect(), bytes))
    }

    /// The newest turns: all, or as many as were kept in about `room` bytes.
    pub(super) async fn newest_turns(
        &self,
        active: Option<&UnderWay>,
        room: usize,
    ) -> Result<Newest, WalkError> {
        let (mut upto, mut bytes, mut parts) = (self.head, 0, Vec::new());
        // Turns may be long or short: few at first, so that not much more is read than there is room for.
        let mut count = 1;
        let cut = loop {
            let starts = self.starts(Seq(0), upto, Direction::Descending, count).await?;
            let Some(oldest) = starts.last() else { break None };
            upto = Seq(oldest.0 - 1);
            let (turns, more) = self.sized_turns(&starts, active).await?;
            bytes += more;
            parts.push(turns);
            if starts.len() < count {
                break None;
            }
            if bytes > room {
                let older = self.starts(Seq(0), upto, Direction::Descending, 1).await?;
                break older.first().map(|_| *oldest);
            }
            count = (2 * count).min(TURNS_AT_ONCE);
        };
        let turns = parts.into_iter().rev().flatten().map(|(_, turn)| turn).collect();
        Ok(Newest { turns, cut })
    }

    /// One turn, which is not active.
    pub(super) async fn turn(&self, id: &str) -> Result<Option<Turn>, WalkError> {
        let Some(start) = self.locate(id).await? else { return Ok(None) };
        let turns = self.turns(&[start], None).await?;
        Ok(turns.into_iter().map(|(_, kept)| kept.turn).find(|turn| turn.id == id))
    }

    /// The last records of one kind, newest first: at most `limit` of them.
    pub(super) async fn latest(&self, kind: u8, limit: usize) -> Result<Vec<Record>, WalkError> {
        let found = self.find(kind, (Seq(0), self.head), Direction::Descending, limit).await?;
        found.iter().map(|stored| self.decode(stored)).collect()
    }

    /// Every record that counts.
    pub(crate) async fn all(&self) -> Result<Vec<Record>, WalkError> {
        let records = self.records(Seq(0), self.head).await?;
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }

    /// What those records say to a model that come after `after`, up to and with `upto`.
    pub(super) async fn conversation(&self, after: Seq, upto: Seq) -> Result<Conversation, WalkError> {
        let records = self.records(after, upto).await?;
        Ok(Conversation::of(records.into_iter().map(|(_, record)| record)))
    }

    /// The records that count after `after`, up to and with `upto`.
    pub(super) async fn records(&self, after: Seq, upto: Seq) -> Result<Vec<(Seq, Record)>, WalkError> {
        self.sized_records(after, upto).await.map(|(records, _)| records)
    }

    /// Whether every record after `after` counts: nothing was forgotten since.
    pub(super) fn is_whole_after(&self, after: Seq) -> bool {
        after == self.head || self.live.within(after, self.head).eq([(after, self.head)])
    }

    /// The records that count after `after`, up to and with `upto`; nothing if they have more than `room` bytes.
    pub(super) async fn at_most(
        &self,
        mut after: Seq,
        upto: Seq,
        room: usize,
    ) -> Result<Option<Vec<(Seq, Record)>>, WalkError> {
        let (mut records, mut left) = (Vec::new(), room);
        while after < upto {
            let (page, bytes, reached) = self.page(after, upto, PAGE, left.max(1)).await?;
            records.extend(page);
            after = reached;
            match left.checked_sub(bytes) {
                Some(less) => left = less,
                None => return Ok(None),
            }
        }
        Ok(Some(records))
    }

    /// Some of the records that count after `after`, up to and with `upto`: at most `limit` of them, and no more bytes than
    /// one of them puts over `max_bytes`. With how many bytes they have, and how far they reach.
    pub(super) async fn page(
        &self,
        after: Seq,
        upto: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(Vec<(Seq, Record)>, usize, Seq), WalkError> {
        let upto = upto.min(self.head);
        let Some((after, end)) = self.live.within(after, upto).next() else {
            return Ok((Vec::new(), 0, upto));
        };
        let page = self.store.read_upto(self.thread, after, end, limit, max_bytes).await?;
        let last = page.last().map(|last| last.seq);
        let last = last.ok_or_else(|| self.unreadable(format!("its log ends at {after}, not at {end}")))?;
        // Nothing that counts comes between the end of one stretch and the next.
        let next = self.live.within(end, upto).next().map_or(upto, |(after, _)| after);
        let bytes = page.iter().map(|stored| stored.body.len()).sum();
        let records = page.iter().map(|stored| Ok((stored.seq, self.decode(stored)?)));
        Ok((records.collect::<Result<_, WalkError>>()?, bytes, if last == end { next } else { last }))
    }

    async fn sized_records(&self, after: Seq, upto: Seq) -> Result<(Vec<(Seq, Record)>, usize), WalkError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        for (mut after, upto) in self.live.within(after, upto.min(self.head)) {
            while after < upto {
                let page = self.store.read_upto(self.thread, after, upto, PAGE, PAGE_BYTES).await?;
                let Some(last) = page.last() else {
                    return Err(self.unreadable(format!("its log ends at {after}, not at {upto}")));
                };
                after = last.seq;
                for stored in &page {
                    bytes += stored.body.len();
                    records.push((stored.seq, self.decode(stored)?));
                }
            }
        }
        Ok((records, bytes))
    }

    fn decode(&self, stored: &StoredRecord) -> Result<Record, WalkError> {
        Record::decode(stored.kind, &stored.body).map_err(|error| self.unreadable(error.to_string()))
    }

    fn unreadable(&self, why: String) -> WalkError {
        WalkError::Unreadable(self.thread, why)
    }
}
