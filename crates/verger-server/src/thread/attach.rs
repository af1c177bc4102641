//! How a client begins to follow a thread: an answer that shows the thread as it is, and everything after it (K5).

use verger_core::ids::SubscriptionId;
use verger_core::server;
use verger_wire::requests::{Replay, ThreadResumeResponse, ThreadTurnsListResponse};
use verger_wire::types::Turn;
use verger_wire::{Notification, RpcError, ThreadStartedNotification};

use super::message::Attach;
use super::owner::Owner;
use super::pages::{Picture, TurnsQuery};
use super::walk::WalkError;
use crate::event::Event;
use crate::replier::Replier;

/// How much of a thread's turns an answer carries, in bytes as they are kept. Clients page through the rest.
const TURNS_BYTES: usize = 8 << 20;

/// What a resume shows of a thread beside its turns.
#[derive(Default)]
struct Pages {
    first: Option<ThreadTurnsListResponse>,
    /// Cursors to the newest turn and the newest item.
    newest: [Option<String>; 2],
    /// Cursor to the turns before those in the answer, where it does not hold all.
    older: Option<String>,
}

impl Pages {
    /// What is in no store has none, but an empty one for who asked.
    async fn of(picture: Option<Picture>, wanted: Option<TurnsQuery>) -> Result<Self, WalkError> {
        let Some(picture) = picture else {
            return Ok(Self { first: wanted.map(|_| ThreadTurnsListResponse::default()), ..Self::default() });
        };
        let first = match wanted {
            Some(query) => Some(picture.turns(&query).await?),
            None => None,
        };
        Ok(Self { first, newest: picture.newest().await?, older: None })
    }
}

impl Owner {
    /// Answers with the thread as it is, or with what the client has missed of it, and subscribes: nothing happens to the
    /// thread in between.
    pub(super) async fn attach(&mut self, replier: Replier, mut how: Attach, subscription: SubscriptionId) {
        let outbox = replier.outbox().clone();
        let raw = matches!(how, Attach::Start { raw: true } | Attach::Resume { raw: true, .. });
        let gap = match &how {
            Attach::Resume { since: Some(since), .. } => self.gap(since).await,
            _ => Ok(None),
        };
        if let (Attach::Resume { exclude_turns, .. }, Ok(Some(_))) = (&mut how, &gap) {
            *exclude_turns = true;
        }
        // Who asks for no turns asks for nothing about them.
        let sees_past = matches!(how, Attach::Resume { exclude_turns: false, .. });
        let shown = match gap {
            Ok(gap) => self.shown(&how).await.map(|shown| (gap, shown)),
            Err(message) => Err(message),
        };
        match shown {
            Ok((gap, (turns, pages))) => {
                let since = gap.as_ref().map(|gap| gap.since);
                let replay = outbox.wants_positions().then(|| self.replay(since));
                self.welcome(replier, how, subscription, turns, pages, replay);
                if let Some(gap) = gap {
                    self.tell_gap(&outbox, &gap);
                }
            }
            Err(message) => {
                replier.refuse(&RpcError::internal(message));
                let (thread, generation) = (self.caller.thread, self.caller.generation);
                let failed = server::Event::AttachFailed { thread, generation, subscription };
                return self.caller.house.tell(failed);
            }
        }
        // It is told with the turns that spend; of those before, a client may have heard nothing.
        if let Some(spent) = self.machine.spent_notification().filter(|_| sees_past) {
            outbox.event(&Event::notice(spent, self.caller.shared.clock.unix_ms()));
        }
        let asked = self.replay_questions(&outbox);
        self.subscribers.insert(subscription, outbox, raw, asked);
    }

    /// What the answer shows of the thread's history. The error is for people.
    fn shown(
        &self,
        how: &Attach,
    ) -> impl Future<Output = Result<(Vec<Turn>, Pages), String>> + Send + 'static {
        let (exclude_turns, resumes, page) = match how {
            Attach::Start { .. } => (true, false, None),
            Attach::Fork { exclude_turns } => (*exclude_turns, false, None),
            Attach::Resume { exclude_turns, page, .. } => (*exclude_turns, true, *page),
        };
        let picture = self.picture();
        let in_memory = (!exclude_turns && picture.is_none()).then(|| self.turns());
        async move {
            let (turns, older) = match (&picture, in_memory) {
                (Some(picture), _) if !exclude_turns => {
                    picture.newest_turns(TURNS_BYTES).await.map_err(|error| error.to_string())?
                }
                (_, Some(turns)) => (turns.await?, None),
                _ => (Vec::new(), None),
            };
            let pages = Pages::of(picture.filter(|_| resumes), page).await;
            Ok((turns, Pages { older, ..pages.map_err(|error| error.to_string())? }))
        }
    }

    fn welcome(
        &mut self,
        replier: Replier,
        how: Attach,
        subscription: SubscriptionId,
        turns: Vec<Turn>,
        pages: Pages,
        replay: Option<Replay>,
    ) {
        if let Attach::Resume { over, .. } = how {
            // Who joins others does not change how they run.
            if self.subscribers.is_empty() {
                self.apply(*over);
            }
            let Pages { first, newest: [turns_backwards_cursor, items_backwards_cursor], older } = pages;
            return replier.ok(&ThreadResumeResponse {
                started: self.meta.to_response(self.machine.status(), turns, replay),
                initial_turns_page: first,
                turns_backwards_cursor,
                items_backwards_cursor,
                older_turns_cursor: older,
                subscription_id: Some(subscription.to_string()),
            });
        }
        replier.ok(&self.meta.to_response(self.machine.status(), turns, replay));
        let thread = Box::new(self.meta.to_wire(self.machine.status(), Vec::new()));
        self.caller.shared.announce(Notification::ThreadStarted(ThreadStartedNotification { thread }));
    }
}
