//! Where a thread's records are: in the store, or for an ephemeral thread in memory.

use verger_core::ids::{Generation, Seq, ThreadId};
use verger_core::thread::Record;
use verger_store::{Append, Store, ThreadPatch};

use crate::meta::Meta;

/// A page of records when a log is read.
const PAGE: usize = 1000;
const PAGE_BYTES: usize = 8 << 20;

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

    pub(super) fn in_memory() -> Self {
        Self { place: Place::Memory(Vec::new()), head: Seq(0) }
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
                let patch = match create {
                    Some(_) => ThreadPatch::default(),
                    None => ThreadPatch {
                        updated_at: Some(meta.updated_at),
                        cwd: Some(meta.cwd.clone()),
                        model: Some(meta.model.clone()),
                        model_provider: Some(meta.model_provider.clone()),
                        settings: Some(meta.settings_json()),
                        ..ThreadPatch::default()
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
            Place::Stored { .. } if self.is_empty() => UntilNow::Memory(Vec::new()),
            Place::Stored { store, thread, .. } => UntilNow::Stored(store.clone(), *thread, self.head),
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
    Stored(Store, ThreadId, Seq),
}

impl UntilNow {
    /// All records. The error is for people.
    pub(super) async fn read(self) -> Result<Vec<Record>, String> {
        match self {
            Self::Memory(kept) => Ok(kept),
            Self::Stored(store, thread, head) => read_stored(&store, thread, head).await,
        }
    }
}

/// Reads a stored log up to `head`.
pub(crate) async fn read_stored(store: &Store, thread: ThreadId, head: Seq) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    let mut after = Seq(0);
    while after < head {
        let page = store.read_upto(thread, after, head, PAGE, PAGE_BYTES).await.map_err(|e| e.to_string())?;
        let Some(last) = page.last() else {
            return Err(format!("thread {thread}: its log ends at {after}, not at {head}"));
        };
        after = last.seq;
        for stored in &page {
            records.push(
                Record::decode(stored.kind, &stored.body).map_err(|e| format!("thread {thread}: {e}"))?,
            );
        }
    }
    Ok(records)
}
