//! Changes of what is written on a thread that has no owner: errands to the store, one at a time for each thread.

use verger_core::ids::{Generation, ThreadId, Ticket};
use verger_core::server::{Event, StoreFailure};
use verger_store::{ChangeError, Store, ThreadRow};
use verger_wire::requests::ThreadReadResponse;
use verger_wire::types::ThreadStatus;

use super::{Asked, House, Pending, ToHouse};
use crate::labels::Label;
use crate::meta::Meta;

/// What is to be changed.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Label(Label),
    Unarchive,
}

impl House {
    pub(super) fn begin_edit(&mut self, thread: ThreadId, generation: Generation, ticket: Ticket) {
        let Some(Pending { request: Asked::Edit(_, change), .. }) = self.pending.get(&ticket) else { return };
        let (change, store, house) = (change.clone(), self.shared.store.clone(), self.handle.clone());
        self.tasks.spawn(async move {
            let result = edit(&store, thread, generation, &change).await.map(Box::new);
            house.send(ToHouse::Edited { thread, generation, ticket, result });
        });
    }

    pub(super) fn edited(
        &mut self,
        thread: ThreadId,
        generation: Generation,
        ticket: Ticket,
        result: Result<Box<ThreadRow>, StoreFailure>,
    ) {
        let result = result.map(|row| drop(self.edited.insert(ticket, row)));
        self.decide(Event::Edited { thread, generation, result });
        self.edited.remove(&ticket);
    }

    /// Answers with the thread as it is now.
    pub(super) fn answer_edit(&mut self, ticket: Ticket) {
        let Some(row) = self.edited.remove(&ticket) else { return };
        let Some(Pending { replier, request: Asked::Edit(_, change) }) = self.pending.remove(&ticket) else {
            return;
        };
        let meta = Meta::from_row(&row);
        match change {
            Change::Label(label) => label.answer(&self.shared, replier, &meta, ThreadStatus::NotLoaded),
            Change::Unarchive => {
                let thread = meta.to_wire(ThreadStatus::NotLoaded, Vec::new());
                replier.ok(&ThreadReadResponse { thread });
            }
        }
    }
}

async fn edit(
    store: &Store,
    thread: ThreadId,
    generation: Generation,
    change: &Change,
) -> Result<ThreadRow, StoreFailure> {
    let changed = match change {
        Change::Unarchive => store.set_archived(thread, false, Some(generation)).await,
        Change::Label(label) => {
            let row = store.thread(thread).await.map_err(|error| StoreFailure::Failed(error.to_string()))?;
            let mut meta = Meta::from_row(&row.ok_or(StoreFailure::NotFound)?);
            store.relabel(thread, label.apply(&mut meta), Some(generation)).await
        }
    };
    changed.map_err(failure)
}

/// The machine's word for what the store would not do.
pub(super) fn failure(error: ChangeError) -> StoreFailure {
    match error {
        ChangeError::NotFound(_) => StoreFailure::NotFound,
        ChangeError::Archived(_) => StoreFailure::Archived,
        ChangeError::NotArchived(_) => StoreFailure::NotArchived,
        ChangeError::Forked(_) => StoreFailure::Forked,
        ChangeError::Owned { pid, .. } => StoreFailure::Owned { pid },
        ChangeError::Store(error) => StoreFailure::Failed(error.to_string()),
    }
}
