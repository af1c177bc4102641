//! How a thread begins as a fork: what it takes from its source, and where its own history begins.

use tokio::sync::oneshot;
use verger_core::ids::{Generation, Seq, ThreadId};
use verger_core::server::OpenError;
use verger_store::{ClaimError, Store};

use super::log::Log;
use super::message::{ThreadHandle, ToThread};
use super::walk::{Walk, WalkError};
use crate::meta::{Meta, Overrides};

/// What `thread/fork` asks for.
#[derive(Debug)]
pub(crate) struct Forking {
    pub(crate) source: ThreadId,
    /// The source's owner, where it has one.
    pub(crate) owner: Option<ThreadHandle>,
    pub(crate) cut: Cut,
    pub(crate) ephemeral: bool,
    pub(crate) over: Overrides,
    /// Unix seconds.
    pub(crate) now: i64,
}

/// Where the source's history ends for the fork.
#[derive(Debug)]
pub(crate) enum Cut {
    /// With what is durable.
    Now,
    /// With this turn, which must have ended.
    After(String),
    /// Before this turn.
    Before(String),
}

/// What a fork takes from its source.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(super) meta: Meta,
    pub(super) head: Seq,
    /// The turn that is under way.
    pub(super) active: Option<String>,
}

impl Forking {
    /// The new thread and its log; durable when this returns, if the fork is one that is kept and has a history.
    pub(super) async fn begin(
        self,
        store: Store,
        thread: ThreadId,
        generation: Generation,
    ) -> Result<(Meta, Log), OpenError> {
        let seed = self.seed(&store).await?;
        let walk = Walk::open(store.clone(), self.source, seed.head).await.map_err(failed)?;
        let upto = self.upto(&walk, seed.active.as_deref()).await?;
        let mut meta = Meta::forked(&seed.meta, thread, self.now, self.ephemeral);
        if upto == Seq(0) {
            meta.preview = String::new();
        }
        meta.apply(self.over);
        if self.ephemeral {
            let records = walk.records(Seq(0), upto).await.map_err(failed)?;
            let records = records.into_iter().map(|(_, record)| record).collect();
            return Ok((meta, Log::in_memory(records)));
        }
        if upto == Seq(0) {
            return Ok((meta, Log::stored(store, thread, generation)));
        }
        let new = meta.to_new_thread();
        store.fork(self.source, upto, thread, generation, new).await.map_err(unclaimed)?;
        let log = Log::reopened(store, thread, generation, upto).await.map_err(failed)?;
        Ok((meta, log))
    }

    /// From the source's owner, which knows more than the store; else from the store.
    async fn seed(&self, store: &Store) -> Result<Seed, OpenError> {
        if let Some(owner) = &self.owner {
            let (answer, answered) = oneshot::channel();
            // An owner that ends meanwhile drops the question; then the store has all that there is.
            owner.send(ToThread::Seed(answer)).ok();
            if let Ok(seed) = answered.await {
                return seed.map(|seed| *seed).ok_or(OpenError::NotFound);
            }
        }
        let row = store.thread(self.source).await.map_err(|error| OpenError::Failed(error.to_string()))?;
        let row = row.ok_or(OpenError::NotFound)?;
        if row.archived {
            return Err(OpenError::Archived);
        }
        Ok(Seed { head: row.head, meta: Meta::from_row(&row), active: None })
    }

    /// The last record that the two have in common.
    async fn upto(&self, walk: &Walk, active: Option<&str>) -> Result<Seq, OpenError> {
        let (turn, with) = match &self.cut {
            Cut::Now => return Ok(walk.head),
            Cut::After(turn) => (turn, true),
            Cut::Before(turn) => (turn, false),
        };
        if with && active == Some(turn.as_str()) {
            return Err(OpenError::ActiveTurn(turn.clone()));
        }
        // A source without a durable turn is in no store.
        let start = match walk.head {
            Seq(0) => None,
            _ => walk.locate(turn).await.map_err(failed)?,
        };
        let start = start.ok_or_else(|| OpenError::NoSuchTurn(turn.clone()))?;
        if with { walk.end_of(start).await.map_err(failed) } else { Ok(Seq(start.0 - 1)) }
    }
}

pub(super) fn failed(error: WalkError) -> OpenError {
    OpenError::Failed(error.to_string())
}

/// Why an owner did not get its thread.
pub(super) fn unclaimed(error: ClaimError) -> OpenError {
    match error {
        ClaimError::NotFound(_) => OpenError::NotFound,
        ClaimError::Archived(_) => OpenError::Archived,
        ClaimError::Owned { pid, .. } => OpenError::Owned { pid },
        ClaimError::Store(error) => OpenError::Failed(error.to_string()),
    }
}
