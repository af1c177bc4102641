//! Where a thread's records are: in the store, or for an ephemeral thread in memory.

use std::sync::Arc;

use verger_core::ids::{Generation, Seq, ThreadId};
use verger_core::thread::{Conversation, Live, Record, turns};
use verger_store::{Append, ChangeError, Labels, Store, ThreadPatch};
use verger_wire::types::Turn;

use super::walk::{Walk, WalkError};
use crate::meta::Meta;

/// One thread's log under its current owner.
#[derive(Debug)]
pub(super) struct Log {
    place: Place,
    head: Seq,
    /// What of it counts. In memory nothing else is there.
    live: Arc<Live>,
    /// The last one that counts.
    summary: Summary,
}

/// Where a summary is, and the last record that it covers; 0 where there is none.
#[derive(Clone, Copy, Debug, Default)]
struct Summary {
    at: Seq,
    covers: Seq,
}

#[derive(Debug)]
enum Place {
    Stored { store: Store, thread: ThreadId, generation: Generation },
    Memory(Vec<Record>),
}

impl Log {
    /// That of a thread which begins.
    pub(super) fn stored(store: Store, thread: ThreadId, generation: Generation) -> Self {
        let place = Place::Stored { store, thread, generation };
        Self { place, head: Seq(0), live: Arc::default(), summary: Summary::default() }
    }

    /// That of a thread which goes on.
    pub(super) async fn reopened(
        store: Store,
        thread: ThreadId,
        generation: Generation,
        head: Seq,
    ) -> Result<Self, WalkError> {
        let walk = Walk::open(store.clone(), thread, head).await?;
        let summary = Summary::last_of(&walk).await?;
        let live = Arc::clone(&walk.live);
        Ok(Self { place: Place::Stored { store, thread, generation }, head, live, summary })
    }

    pub(super) fn in_memory(records: Vec<Record>) -> Self {
        let (head, summary) = (place(records.len()), Summary::last_in(&records));
        Self { place: Place::Memory(records), head, live: Arc::default(), summary }
    }

    /// The last record's number.
    pub(super) fn head(&self) -> Seq {
        self.head
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head == Seq(0)
    }

    /// Keeps the records; durable when it returns, where the thread is one that is kept. The first append creates the
    /// thread's row. The error is for people.
    pub(super) async fn append(&mut self, records: &[Record], meta: &Meta) -> Result<(), String> {
        match &mut self.place {
            Place::Memory(kept) => {
                for record in records {
                    match record {
                        Record::Reverted { upto, .. } => kept.truncate(upto.0 as usize),
                        record => kept.push(record.clone()),
                    }
                }
                (self.head, self.summary) = (place(kept.len()), Summary::last_in(kept));
                Ok(())
            }
            Place::Stored { store, thread, generation } => {
                let create = (self.head == Seq(0)).then(|| meta.to_new_thread());
                let (updated_at, recency_at) = (Some(meta.updated_at), Some(meta.recency_at));
                let patch = match create {
                    Some(_) => ThreadPatch { updated_at, recency_at, ..ThreadPatch::default() },
                    None => ThreadPatch {
                        updated_at,
                        recency_at,
                        cwd: Some(meta.cwd.clone()),
                        model: Some(meta.model.clone()),
                        model_provider: Some(meta.model_provider.clone()),
                        // A thread may begin without a message, and its first one be forgotten.
                        preview: Some(meta.preview.clone()),
                        settings: Some(meta.settings_json()),
                    },
                };
                let encoded = records.iter();
                let encoded = encoded
                    .map(|record| verger_store::Record { kind: record.kind(), body: record.encode() })
                    .collect();
                let append = Append {
                    thread: *thread,
                    generation: *generation,
                    after: self.head,
                    create,
                    patch,
                    records: encoded,
                };
                let before = self.head;
                self.head = store.append(append).await.map_err(|error| error.to_string())?;
                self.look_back(before, records).await;
                Ok(())
            }
        }
    }

    /// Notes what the records behind `before` say of those before them.
    async fn look_back(&mut self, before: Seq, records: &[Record]) {
        for (seq, record) in (before.0 + 1..).map(Seq).zip(records) {
            match record {
                Record::Compacted { .. } => self.summary = Summary::of(seq, record),
                Record::Reverted { upto, .. } => {
                    Arc::make_mut(&mut self.live).forget(*upto, seq);
                    let Some(walk) = self.walk() else { continue };
                    self.summary = Summary::last_of(&walk).await.unwrap_or_else(|error| {
                        tracing::warn!(%error, "the last summary was not found; all is read from now on");
                        Summary::default()
                    });
                }
                _ => {}
            }
        }
    }

    /// What the model is told: all but the last `behind` records, from the last summary on. The error is for people.
    pub(super) async fn conversation(&self, behind: u32) -> Result<Conversation, String> {
        let (after, upto) = (self.summary.covers, Seq(self.head.0.saturating_sub(behind)));
        match (&self.place, self.walk()) {
            (Place::Memory(kept), _) => {
                Ok(Conversation::of(kept[after.0.min(upto.0) as usize..upto.0 as usize].iter().cloned()))
            }
            (_, Some(walk)) => walk.conversation(after, upto).await.map_err(|error| error.to_string()),
            (_, None) => Ok(Conversation::default()),
        }
    }

    /// The records up to now, to be read at leisure: what is appended later is not among them.
    pub(super) fn until_now(&self) -> UntilNow {
        match &self.place {
            Place::Memory(kept) => UntilNow::Memory(kept.clone()),
            Place::Stored { .. } => self.walk().map_or(UntilNow::Memory(Vec::new()), UntilNow::Stored),
        }
    }

    /// The records after `after`, for a client that lags: to be read at leisure. Of those in memory at most `limit`.
    pub(super) fn after(&self, after: Seq, limit: usize) -> Missed {
        let numbers = (after.0.saturating_add(1)..).map(Seq);
        match (&self.place, self.walk()) {
            (Place::Memory(kept), _) => {
                let missed = numbers.zip(kept.iter().skip(after.0 as usize).cloned());
                Missed::Memory(missed.take(limit).collect())
            }
            (_, Some(walk)) => Missed::Stored(walk, after),
            (_, None) => Missed::Memory(Vec::new()),
        }
    }

    /// The last records of one kind, newest first: at most `limit` of them. The error is for people.
    pub(super) async fn latest(&self, kind: u8, limit: usize) -> Result<Vec<Record>, String> {
        match (&self.place, self.walk()) {
            (Place::Memory(kept), _) => {
                let of_kind = kept.iter().rev().filter(|record| record.kind() == kind);
                Ok(of_kind.take(limit).cloned().collect())
            }
            (_, Some(walk)) => walk.latest(kind, limit).await.map_err(|error| error.to_string()),
            (_, None) => Ok(Vec::new()),
        }
    }

    /// How many tokens the model held after its last answer, as far as the log says; nothing if it has summed up since. The
    /// error is for people.
    pub(super) async fn held(&self) -> Result<Option<i64>, String> {
        let tokens = |record: &Record| match record {
            Record::TokensSpent(spent) => Some(spent.usage.last.total_tokens),
            _ => None,
        };
        match (&self.place, self.walk()) {
            (Place::Memory(kept), _) => Ok(kept[self.summary.at.0 as usize..].iter().rev().find_map(tokens)),
            (_, Some(walk)) => {
                let last = walk.last(Record::TOKENS_SPENT).await.map_err(|error| error.to_string())?;
                let since = last.filter(|(seq, _)| *seq > self.summary.at);
                Ok(since.and_then(|(_, record)| tokens(&record)))
            }
            (_, None) => Ok(None),
        }
    }

    /// The stored log up to now; nothing if it is not stored.
    pub(super) fn walk(&self) -> Option<Walk> {
        match &self.place {
            Place::Stored { store, thread, .. } if !self.is_empty() => {
                let live = Arc::clone(&self.live);
                Some(Walk { store: store.clone(), thread: *thread, head: self.head, live })
            }
            _ => None,
        }
    }

    /// Changes what is written on the thread, where it is stored.
    pub(super) async fn relabel(&self, labels: Labels) -> Result<(), ChangeError> {
        match &self.place {
            Place::Stored { store, thread, generation } if !self.is_empty() => {
                store.relabel(*thread, labels, Some(*generation)).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Gives the thread up.
    pub(super) async fn release(self) {
        if let Place::Stored { store, thread, generation } = self.place
            && self.head != Seq(0)
            && let Err(error) = store.release(thread, generation).await
        {
            // The claim is void as soon as a later generation or another run wants the thread.
            tracing::warn!(%thread, %error, "the thread's claim was not released");
        }
    }
}

impl Summary {
    async fn last_of(walk: &Walk) -> Result<Self, WalkError> {
        let last = walk.last(Record::COMPACTED).await?;
        Ok(last.map(|(seq, record)| Self::of(seq, &record)).unwrap_or_default())
    }

    fn last_in(records: &[Record]) -> Self {
        let last = records.iter().rposition(|record| matches!(record, Record::Compacted { .. }));
        last.map(|last| Self::of(place(last + 1), &records[last])).unwrap_or_default()
    }

    fn of(at: Seq, record: &Record) -> Self {
        match record {
            Record::Compacted { behind, .. } => Self { at, covers: Seq(at.0.saturating_sub(behind + 1)) },
            _ => Self::default(),
        }
    }
}

/// The number of the last of so many records.
fn place(count: usize) -> Seq {
    Seq(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A log as it was at some moment.
#[derive(Debug)]
pub(super) enum UntilNow {
    Memory(Vec<Record>),
    Stored(Walk),
}

/// What of a log a client has missed.
#[derive(Debug)]
pub(super) enum Missed {
    Memory(Vec<(Seq, Record)>),
    /// What comes after a record.
    Stored(Walk, Seq),
}

impl Missed {
    /// Some of it, and how far that reaches: at most `limit` records, and no more bytes than one of them puts over
    /// `max_bytes`.
    pub(super) async fn read(
        self,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(Vec<(Seq, Record)>, Seq), WalkError> {
        match self {
            Self::Memory(missed) => {
                let reached = missed.last().map_or(Seq(0), |(seq, _)| *seq);
                Ok((missed, reached))
            }
            Self::Stored(walk, after) => {
                let (records, _, reached) = walk.page(after, walk.head, limit, max_bytes).await?;
                Ok((records, reached))
            }
        }
    }
}

impl UntilNow {
    /// All records. The error is for people.
    pub(super) async fn read(self) -> Result<Vec<Record>, String> {
        match self {
            Self::Memory(kept) => Ok(kept),
            Self::Stored(walk) => walk.all().await.map_err(|error| error.to_string()),
        }
    }

    /// One turn that has ended. The error is for people.
    pub(super) async fn turn(self, id: &str) -> Result<Option<Turn>, String> {
        match self {
            Self::Memory(kept) => Ok(turns(kept, None).into_iter().find(|turn| turn.id == id)),
            Self::Stored(walk) => walk.turn(id).await.map_err(|error| error.to_string()),
        }
    }
}
