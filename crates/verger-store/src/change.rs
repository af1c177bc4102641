//! A change of the store: what the writer applies inside its transaction and answers after the commit.

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::claim::Runs;
use crate::error::StoreError;

/// One kind of change.
pub(crate) trait Change: Send + 'static {
    /// What the caller learns.
    type Done: Send + 'static;
    /// Why the store would not.
    type Refused: From<StoreError> + Send + 'static;

    /// False only for what is void after a crash of the machine.
    const DURABLE: bool = true;

    /// Roughly what it adds, to bound a group commit.
    fn bytes(&self) -> usize {
        0
    }

    /// Applies the change. Outer error: SQLite failed, which may concern the whole transaction. Inner: the store
    /// refused, and nothing of this change is kept. May be called again after a rollback.
    fn apply(&self, tx: &Connection, runs: &Runs) -> rusqlite::Result<Result<Self::Done, Self::Refused>>;
}

type Outcome<C> = Result<<C as Change>::Done, <C as Change>::Refused>;

/// A change on its way through the writer, its types forgotten.
pub(crate) trait Write: Send {
    fn durable(&self) -> bool;
    fn bytes(&self) -> usize;
    /// Applies the change and remembers its outcome; true if there is something to keep.
    fn apply(&mut self, tx: &Connection, runs: &Runs) -> rusqlite::Result<bool>;
    /// Makes the outcome a failure of this change alone.
    fn fail(&mut self, error: StoreError);
    /// Tells the caller, once the commit's fate is known.
    fn answer(self: Box<Self>, commit: Result<(), StoreError>);
}

/// A change, the place for its outcome, and the way back to its caller.
pub(crate) struct Queued<C: Change> {
    change: C,
    outcome: Option<Outcome<C>>,
    caller: oneshot::Sender<Outcome<C>>,
}

impl<C: Change> Queued<C> {
    pub(crate) fn new(change: C) -> (Self, oneshot::Receiver<Outcome<C>>) {
        let (caller, answer) = oneshot::channel();
        (Self { change, outcome: None, caller }, answer)
    }
}

impl<C: Change> Write for Queued<C> {
    fn durable(&self) -> bool {
        C::DURABLE
    }

    fn bytes(&self) -> usize {
        self.change.bytes()
    }

    fn apply(&mut self, tx: &Connection, runs: &Runs) -> rusqlite::Result<bool> {
        let outcome = self.change.apply(tx, runs)?;
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        Ok(keep)
    }

    fn fail(&mut self, error: StoreError) {
        self.outcome = Some(Err(error.into()));
    }

    fn answer(self: Box<Self>, commit: Result<(), StoreError>) {
        // Without its commit a refusal does not stand either: it may rest on a neighbour's change that is gone with it.
        let outcome = match commit {
            Err(error) => Err(error.into()),
            Ok(()) => self.outcome.unwrap_or_else(|| Err(StoreError::Closed.into())),
        };
        if self.caller.send(outcome).is_err() {
            tracing::trace!("a caller of the store did not wait for its answer");
        }
    }
}
