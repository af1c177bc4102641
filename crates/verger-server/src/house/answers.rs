//! What clients are answered: the machine's verdicts in the wire's words.

use verger_core::ids::{ThreadId, Ticket};
use verger_core::server::{Answer, Ending, OpenError, Refusal, StoreFailure};
use verger_core::thread::turns;
use verger_wire::RpcError;
use verger_wire::requests::{
    Empty, ThreadLoadedListResponse, ThreadReadResponse, ThreadUnsubscribeResponse, ThreadUnsubscribeStatus,
};
use verger_wire::types::ThreadStatus;

use super::{Asked, House, OwnerRequest, Pending};
use crate::meta::Meta;
use crate::replier::Replier;
use crate::thread::read_stored;

impl House {
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let Some(Pending { replier, .. }) = self.pending.remove(&ticket) else { return };
        let status = match answer {
            Answer::Ended | Answer::Reloaded => return replier.ok(&Empty {}),
            Answer::Unsubscribed => ThreadUnsubscribeStatus::Unsubscribed,
            Answer::NotSubscribed => ThreadUnsubscribeStatus::NotSubscribed,
            Answer::NotLoaded => ThreadUnsubscribeStatus::NotLoaded,
        };
        replier.ok(&ThreadUnsubscribeResponse { status });
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        let Some(Pending { replier, request }) = self.pending.remove(&ticket) else { return };
        if let Asked::Start(thread, _) = &request {
            self.fresh.remove(thread);
        }
        match (&request, &refusal) {
            (Asked::Owner(thread, OwnerRequest::Read { include_turns }), Refusal::NotLoaded) => {
                self.read_from_store(replier, *thread, *include_turns);
            }
            _ => replier.refuse(&error(&request, refusal)),
        }
    }

    /// `thread/read` of a thread that is not loaded. It stays so.
    fn read_from_store(&mut self, replier: Replier, thread: ThreadId, include_turns: bool) {
        let store = self.shared.store.clone();
        self.tasks.spawn(async move {
            let outbox = replier.outbox().clone();
            let _permit = outbox.room_for_large().await;
            let read = async {
                let row = store.thread(thread).await.map_err(|e| RpcError::internal(e.to_string()))?;
                let row = row.ok_or_else(|| RpcError::thread_not_loaded(thread))?;
                let records = if include_turns {
                    read_stored(&store, thread, row.head).await.map_err(RpcError::internal)?
                } else {
                    Vec::new()
                };
                let thread = Meta::from_row(&row).to_wire(ThreadStatus::NotLoaded, turns(records, None));
                Ok(ThreadReadResponse { thread })
            };
            replier.with(read.await);
        });
    }

    pub(super) fn loaded_list(&self, replier: Replier, cursor: Option<ThreadId>, limit: usize) {
        let after = |thread: &ThreadId| cursor.is_none_or(|cursor| *thread > cursor);
        let mut threads = self.core.loaded().map(|loaded| loaded.thread).filter(after);
        let data: Vec<_> = threads.by_ref().take(limit).map(|thread| thread.to_string()).collect();
        let next_cursor = threads.next().and_then(|_| data.last().cloned());
        replier.ok(&ThreadLoadedListResponse { data, next_cursor });
    }
}

/// The wire's word for a refusal, which depends on what was asked.
fn error(request: &Asked, refusal: Refusal) -> RpcError {
    let thread = match request {
        Asked::Resume(thread, _)
        | Asked::Unsubscribe(thread)
        | Asked::Owner(thread, _)
        | Asked::End(thread, _) => thread.to_string(),
        Asked::Start(..) | Asked::Reload => String::new(),
    };
    let not_found = || match request {
        Asked::Owner(_, OwnerRequest::Read { .. }) => RpcError::thread_not_loaded(&thread),
        Asked::Owner(..) => RpcError::thread_not_found(&thread),
        _ => RpcError::no_rollout(&thread),
    };
    match refusal {
        Refusal::NotLoaded
        | Refusal::Open(OpenError::NotFound)
        | Refusal::Store(StoreFailure::NotFound)
        | Refusal::Ending(Ending::Delete) => not_found(),
        Refusal::Ending(Ending::Archive) | Refusal::Open(OpenError::Archived) => {
            RpcError::thread_archived(&thread)
        }
        Refusal::Open(OpenError::Owned { pid }) | Refusal::Store(StoreFailure::Owned { pid }) => {
            RpcError::active_writer(&thread, pid)
        }
        Refusal::Open(OpenError::Failed(message))
        | Refusal::Store(StoreFailure::Failed(message))
        | Refusal::Helper(message) => RpcError::internal(message),
        Refusal::Unproven => RpcError::internal("helper could not be proven gone; see `verger ps`"),
        Refusal::Closed => RpcError::internal(format!("thread {thread} was closed before it could answer")),
        Refusal::ShuttingDown => RpcError::shutting_down(),
    }
}
