//! What the machine wants done, done.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use verger_core::ids::{Generation, HelperId, ThreadId, Ticket};
use verger_core::server::{Effect, Ending, Event, News, Origin, Refusal, Scope, ServerName};
use verger_wire::types::ThreadStatus;
use verger_wire::{Notification, ThreadIdNotification, ThreadStatusChangedNotification};

use super::edits::failure;
use super::supervision::why_not_started;
use super::{Asked, Change, HelperSlot, House, OwnerRequest, Pending, Waiter, helper};
use crate::meta::Overrides;
use crate::thread::{self, Attach, Caller, ToThread, TurnsQuery};

impl House {
    pub(super) fn perform_all(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Refuse { ticket, refusal } => self.refuse(ticket, refusal),
            Effect::Answer { ticket, answer } => self.answer(ticket, answer),
            Effect::Open { thread, generation, origin } => self.open(thread, generation, origin),
            Effect::Attach { thread: _, generation, ticket, subscription, connection: _, replaces } => {
                let Some(Pending { replier, request }) = self.pending.remove(&ticket) else { return };
                let how = match request {
                    Asked::Resume(_, params) => Attach::Resume {
                        exclude_turns: params.exclude_turns,
                        raw: params.experimental_raw_events,
                        page: params.initial_turns_page.as_ref().map(TurnsQuery::new),
                        since: params.since.clone(),
                        over: Box::new(Overrides::from(&*params)),
                    },
                    Asked::Fork(fork) => Attach::Fork { exclude_turns: fork.params.exclude_turns },
                    Asked::Start(_, params) => Attach::Start { raw: params.experimental_raw_events },
                    _ => Attach::Start { raw: false },
                };
                self.send(generation, ToThread::Attach { replier, how, subscription, replaces });
            }
            Effect::Detach { thread: _, generation, subscription } => {
                self.left = Some(generation);
                self.send(generation, ToThread::Detach { subscription });
            }
            Effect::Forward { thread: _, generation, ticket } => {
                let Some(Pending { replier, request }) = self.pending.remove(&ticket) else { return };
                let request = match request {
                    Asked::Owner(_, request) => request,
                    Asked::Edit(_, Change::Label(label)) => OwnerRequest::Label(label),
                    // No other is forwarded; the replier says that the server failed.
                    _ => return,
                };
                self.send(generation, ToThread::Request { ticket, replier, request });
            }
            Effect::Interrupt { thread: _, generation } => self.send(generation, ToThread::Interrupt),
            Effect::Stop { thread: _, generation } => self.send(generation, ToThread::Stop),
            Effect::Store { thread, generation, ending } => self.store(thread, generation, ending),
            Effect::Edit { thread, generation, ticket, edit: _ } => {
                self.begin_edit(thread, generation, ticket)
            }
            Effect::StartHelper { helper, scope, server } => self.start_helper(helper, scope, server),
            Effect::StopHelper { helper, how } => {
                if let Some(slot) = self.helpers.get(&helper) {
                    slot.stop.send_replace(Some(how));
                }
            }
            Effect::HelperFor { ticket, result } => self.helper_for(ticket, result),
            Effect::HelperCrashed { helper: _, scope, server, refusal } => {
                self.helper_crashed(scope, &server, &refusal);
            }
            Effect::Announce { thread, news } => self.announce(thread, news),
            Effect::Finished { stuck } => self.stuck = Some(stuck.len()),
        }
    }

    /// To an owner that runs, or has just ended; then the message's replier answers by being dropped.
    fn send(&self, generation: Generation, message: ToThread) {
        if let Some(thread) = self.threads.get(&generation) {
            thread.send(message).ok();
        }
    }

    fn open(&mut self, thread: ThreadId, generation: Generation, origin: Origin) {
        let origin = match (origin, self.fresh.remove(&thread)) {
            (Origin::Forked { source, .. }, Some(thread::Origin::Forked(mut forking))) => {
                let owner = self.core.owner_of(source);
                forking.owner = owner.and_then(|generation| self.threads.get(&generation).cloned());
                thread::Origin::Forked(forking)
            }
            (_, fresh) => fresh.unwrap_or(thread::Origin::Saved),
        };
        let (handle, inbox) = mpsc::unbounded_channel();
        let (shared, house) = (Arc::clone(&self.shared), self.handle.clone());
        let caller = Caller {
            shared,
            house: house.clone(),
            thread,
            generation,
            folder: PathBuf::new(),
            servers_off: Arc::default(),
            client_tools: Arc::default(),
            is_warned: Arc::default(),
            owner: handle.downgrade(),
        };
        self.threads.insert(generation, handle);
        self.tasks.spawn(async move {
            // A panic has been reported by its hook. What it must not do is leave the thread loaded for ever.
            if AssertUnwindSafe(thread::run(caller, origin, inbox)).catch_unwind().await.is_err() {
                house.tell(Event::OwnerDied { thread, generation });
            }
        });
    }

    fn store(&mut self, thread: ThreadId, generation: Generation, ending: Ending) {
        let (store, handle) = (self.shared.store.clone(), self.handle.clone());
        self.tasks.spawn(async move {
            let done = match ending {
                Ending::Archive => store.set_archived(thread, true, Some(generation)).await.map(drop),
                Ending::Delete => store.delete(thread, Some(generation)).await,
            };
            handle.tell(Event::Stored { thread, generation, result: done.map_err(failure) });
        });
    }

    fn start_helper(&mut self, id: HelperId, scope: Scope, server: ServerName) {
        let definition = self.shared.config().mcp_server(&server).cloned();
        let (stop, stopped) = watch::channel(None);
        let custody = Arc::new(OnceLock::new());
        let keeper = helper::Keeper {
            shared: Arc::clone(&self.shared),
            house: self.handle.clone(),
            owner: self.threads.get(&scope.generation).cloned(),
            id,
            scope,
            server: server.clone(),
            cwd: self
                .folders
                .get(&scope.generation)
                .cloned()
                .or_else(|| self.probe_folders.remove(&scope.thread)),
            custody: Arc::clone(&custody),
            stop: stopped,
        };
        let slot = HelperSlot { server, definition: definition.clone(), stop, session: None, custody };
        self.helpers.insert(id, slot);
        self.tasks.spawn(helper::keep(keeper, definition));
    }

    fn helper_for(&mut self, ticket: Ticket, result: Result<HelperId, Refusal>) {
        // Lent before anything else: the machine counts loans, and so does the session.
        let slot = result.as_ref().ok().and_then(|helper| self.helpers.get(helper));
        let lent = slot.and_then(|slot| Some(slot.session.as_ref()?.lend()));
        let Some(Waiter { answer, server, scope }) = self.wanted.remove(&ticket) else { return };
        if let (Err(refusal), Some(scope)) = (&result, scope) {
            self.not_started(scope, &server, refusal);
        }
        let session = match result {
            Ok(_) => lent.ok_or_else(|| "its helper has just ended".to_owned()),
            Err(refusal) => {
                let thread = scope.map(|scope| scope.thread);
                Err(why_not_started(&server, thread, &refusal).unwrap_or_else(|| match refusal {
                    Refusal::Helper(message) => message,
                    Refusal::Unproven => {
                        "an earlier helper of it could not be proven gone; see `verger ps`".to_owned()
                    }
                    Refusal::ShuttingDown => "the server is shutting down".to_owned(),
                    _ => "it is not wanted any more: its thread was closed or its client went".to_owned(),
                }))
            }
        };
        // Whoever wanted it may have given up.
        answer.send(session).ok();
    }

    fn announce(&mut self, thread: ThreadId, news: News) {
        let thread_id = thread.to_string();
        let named = ThreadIdNotification { thread_id: thread_id.clone() };
        self.shared.announce(match news {
            News::Unloaded => {
                self.shared.statuses.remove(thread);
                let status = ThreadStatus::NotLoaded;
                Notification::ThreadStatusChanged(ThreadStatusChangedNotification { thread_id, status })
            }
            News::Closed => Notification::ThreadClosed(named),
            News::Archived => Notification::ThreadArchived(named),
            News::Unarchived => Notification::ThreadUnarchived(named),
            News::Deleted => {
                self.shared.grants.forget(thread);
                Notification::ThreadDeleted(named)
            }
        });
    }
}
