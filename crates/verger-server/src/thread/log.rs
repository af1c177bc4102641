//! Where a thread's records are: in the store, or for an ephemeral thread in memory.

use verger_core::ids::{Generation, Seq, ThreadId};
use verger_core::thread::{Record, turns};
use verger_store::{Append, ChangeError, Labels, Store, ThreadPatch};
use verger_wire::types::Turn;

use super::walk::Walk;
use crate::meta::Meta;

/// One thread's log under its current owner.
#[derive(Debug)]
pub(super) struct Log {
    place: Place,
    head: Seq,
}

#[derive(Debug)]
enum Place {
    Stored { store: Store, thread: ThreadId, generation: Generation },
    Memory(Vec<Record>),
}

impl Log {
    pub(super) fn stored(store: Store, thread: ThreadId, generation: Generation, head: Seq) -> Self {
        Self { place: Place::Stored { store, thread, generation }, head }
    }

    pub(super) fn in_memory(records: Vec<Record>) -> Self {
        let head = Seq(u32::try_from(records.len()).unwrap_or(u32::MAX));
        Self { place: Place::Memory(records), head }
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
    pub(super) async fn append(&mut self, records: Vec<Record>, meta: &Meta) -> Result<(), String> {
        match &mut self.place {
            Place::Memory(kept) => {
                self.head.0 += u32::try_from(records.len()).unwrap_or(u32::MAX);
                kept.extend(records);
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
                        preview: None,
                        settings: Some(meta.settings_json()),
                    },
                };
                let records = records.iter();
                let records = records
                    .map(|record| verger_store::Record { kind: record.kind(), body: record.encode() })
                    .collect();
                let append = Append {
                    thread: *thread,
                    generation: *generation,
                    after: self.head,
                    create,
                    patch,
                    records,
                };
                self.head = store.append(append).await.map_err(|error| error.to_string())?;
                Ok(())
            }
        }
    }

    /// The records up to now, to be read at leisure: what is appended later is not among them.
    pub(super) fn until_now(&self) -> UntilNow {
        match &self.place {
            Place::Memory(kept) => UntilNow::Memory(kept.clone()),
            Place::Stored { .. } => self.walk().map_or(UntilNow::Memory(Vec::new()), UntilNow::Stored),
        }
    }

    /// The last records of one kind, newest first: at most `limit` of them, and none that stands before the last `reach`
    /// records. The error is for people.
    pub(super) async fn latest(&self, kind: u8, reach: u32, limit: usize) -> Result<Vec<Record>, String> {
        match &self.place {
            Place::Memory(kept) => {
                let near = kept.iter().rev().take(usize::try_from(reach).unwrap_or(usize::MAX));
                Ok(near.filter(|record| record.kind() == kind).take(limit).cloned().collect())
            }
            Place::Stored { .. } => match self.walk() {
                Some(walk) => walk.latest(kind, reach, limit).await.map_err(|error| error.to_string()),
                None => Ok(Vec::new()),
            },
        }
    }

    /// The stored log up to now; nothing if it is not stored.
    pub(super) fn walk(&self) -> Option<Walk> {
        match &self.place {
            Place::Stored { store, thread, .. } if !self.is_empty() => {
                Some(Walk { store: store.clone(), thread: *thread, head: self.head })
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

/// A log as it was at some moment.
#[derive(Debug)]
pub(super) enum UntilNow {
    Memory(Vec<Record>),
    Stored(Walk),
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
