//! What clients are answered: the machine's verdicts in the wire's words.

use verger_core::ids::{ThreadId, Ticket};
use verger_core::server::{Answer, Ending, OpenError, Refusal, StoreFailure};
use verger_core::thread::turns;
use verger_wire::RpcError;
use verger_wire::requests::{
    Empty, ThreadLoadedListResponse, ThreadReadResponse, ThreadUnsubscribeResponse, ThreadUnsubscribeStatus,
};
use verger_wire::types::ThreadStatus;

use super::{Asked, Change, House, OwnerRequest, Pending, Vacated};
use crate::meta::Meta;
use crate::replier::Replier;
use crate::thread::{PageQuery, Picture, ToThread, Walk, WalkError};

impl House {
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let status = match answer {
            Answer::Edited => return self.answer_edit(ticket),
            Answer::Probed => return self.answer_probe(ticket),
            Answer::Restarted { ended, forgiven } => return self.answer_restart(ticket, ended, forgiven),
            Answer::Vacated => return self.vacated(ticket, Ok(Vacated::Gone)),
            Answer::Shared => return self.vacated(ticket, Ok(Vacated::Shared)),
            Answer::Ended | Answer::Reloaded => None,
            Answer::Unsubscribed => Some(ThreadUnsubscribeStatus::Unsubscribed),
            Answer::NotSubscribed => Some(ThreadUnsubscribeStatus::NotSubscribed),
            Answer::NotLoaded => Some(ThreadUnsubscribeStatus::NotLoaded),
        };
        let Some(Pending { replier, .. }) = self.pending.remove(&ticket) else { return };
        let left = self.left.take();
        match (status, left.and_then(|generation| self.threads.get(&generation))) {
            (Some(status @ ThreadUnsubscribeStatus::Unsubscribed), Some(owner)) => {
                // An owner that has ended tells nothing more: the answer comes back and is given here.
                if let Err(gone) = owner.send(ToThread::Left { replier }) {
                    let ToThread::Left { replier } = gone.0 else { return };
                    replier.ok(&ThreadUnsubscribeResponse { status });
                }
            }
            (Some(status), _) => replier.ok(&ThreadUnsubscribeResponse { status }),
            (None, _) => replier.ok(&Empty {}),
        }
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        if self.vacating.contains_key(&ticket) {
            return self.not_vacated(ticket, refusal);
        }
        let Some(Pending { replier, request }) = self.pending.remove(&ticket) else { return };
        self.wanted.remove(&ticket);
        self.probed.remove(&ticket);
        match &request {
            Asked::Start(thread, _) => drop(self.fresh.remove(thread)),
            Asked::Fork(fork) => drop(self.fresh.remove(&fork.thread)),
            _ => {}
        }
        match (request, refusal) {
            (Asked::Owner(thread, OwnerRequest::Read { include_turns }), Refusal::NotLoaded) => {
                self.read_from_store(replier, thread, include_turns);
            }
            (Asked::Owner(thread, OwnerRequest::Page(query)), Refusal::NotLoaded) => {
                self.page_from_store(replier, thread, query);
            }
            (request, refusal) => replier.refuse(&error(&request, refusal)),
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
                let records = async {
                    if include_turns {
                        Walk::open(store, thread, row.head).await?.all().await
                    } else {
                        Ok(Vec::new())
                    }
                };
                let records =
                    records.await.map_err(|error: WalkError| RpcError::internal(error.to_string()))?;
                let thread = Meta::from_row(&row).to_wire(ThreadStatus::NotLoaded, turns(records, None));
                Ok(ThreadReadResponse { thread })
            };
            replier.with(read.await);
        });
    }

    /// `thread/turns/list`, `thread/items/list` of a thread that is not loaded. It stays so.
    fn page_from_store(&mut self, replier: Replier, thread: ThreadId, query: PageQuery) {
        let store = self.shared.store.clone();
        self.tasks.spawn(async move {
            match store.thread(thread).await {
                Ok(Some(row)) => match Walk::open(store, thread, row.head).await {
                    Ok(walk) => Picture { walk, active: None }.answer(replier, query).await,
                    Err(error) => replier.refuse(&RpcError::internal(error.to_string())),
                },
                Ok(None) => replier.refuse(&RpcError::thread_not_loaded(thread)),
                Err(error) => replier.refuse(&RpcError::internal(error.to_string())),
            }
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
        | Asked::Edit(thread, _)
        | Asked::End(thread, _) => thread.to_string(),
        Asked::Fork(fork) => fork.source.to_string(),
        Asked::Start(..) | Asked::Reload | Asked::Restart { .. } | Asked::Probe => String::new(),
    };
    let not_found = || match request {
        Asked::Owner(_, OwnerRequest::Read { .. } | OwnerRequest::Page(_)) => {
            RpcError::thread_not_loaded(&thread)
        }
        Asked::Owner(..) => RpcError::thread_not_found(&thread),
        Asked::Edit(_, Change::Unarchive) => RpcError::no_archived_rollout(&thread),
        _ => RpcError::no_rollout(&thread),
    };
    let archived = || match request {
        // The one finds it not archived yet, the other archived already: there is none to do it to.
        Asked::Edit(_, Change::Unarchive) | Asked::End(_, Ending::Archive) => not_found(),
        _ => RpcError::thread_archived(&thread),
    };
    match refusal {
        Refusal::NotLoaded
        | Refusal::Open(OpenError::NotFound)
        | Refusal::Store(StoreFailure::NotFound | StoreFailure::NotArchived)
        | Refusal::Ending(Ending::Delete) => not_found(),
        Refusal::Ending(Ending::Archive)
        | Refusal::Open(OpenError::Archived)
        | Refusal::Store(StoreFailure::Archived) => archived(),
        Refusal::Open(OpenError::NoSuchTurn(turn)) => RpcError::turn_not_found(turn),
        Refusal::Open(OpenError::ActiveTurn(turn)) => RpcError::fork_at_active_turn(turn),
        Refusal::Store(StoreFailure::Forked) => RpcError::forked_from(&thread),
        Refusal::Open(OpenError::Owned { pid }) | Refusal::Store(StoreFailure::Owned { pid }) => {
            RpcError::active_writer(&thread, pid)
        }
        Refusal::Open(OpenError::Failed(message))
        | Refusal::Store(StoreFailure::Failed(message))
        | Refusal::Helper(message) => RpcError::internal(message),
        // Who wants a helper waits elsewhere; no request is refused so.
        Refusal::BackingOff { reason, .. } | Refusal::Crashed { reason, .. } => RpcError::internal(reason),
        Refusal::TooManyHelpers { limit } => RpcError::internal(format!("{limit} helpers run")),
        Refusal::TooManyThreads { limit } => RpcError::invalid_request(format!(
            "this connection follows {limit} threads, as many as one may; unsubscribe from some, or raise max_threads_per_connection under [server]"
        )),
        Refusal::Unproven => RpcError::internal("helper could not be proven gone; see `verger ps`"),
        Refusal::Closed => RpcError::internal(format!("thread {thread} was closed before it could answer")),
        Refusal::ShuttingDown => RpcError::shutting_down(),
    }
}
