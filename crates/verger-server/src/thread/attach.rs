//! How a client begins to follow a thread: an answer that shows the thread as it is, and everything after it (K5).

use tokio::task::JoinError;
use verger_core::ids::{Seq, SubscriptionId};
use verger_core::server;
use verger_core::thread::Follower;
use verger_wire::requests::{Replay, ThreadResumeResponse};
use verger_wire::{Notification, RpcError, ThreadStartedNotification};

use super::catching_up::Gap;
use super::joining::{Drawing, Drawn, Joiner, Wanted};
use super::message::Attach;
use super::owner::Owner;
use super::past::{Answer, Moment, Past};
use crate::event::Event;
use crate::replier::Replier;

impl Owner {
    /// Answers with the thread as it is, or with what the client has missed of it, and subscribes: for the client nothing
    /// happens to the thread in between. An answer for which something must be read comes later.
    pub(super) async fn attach(&mut self, replier: Replier, mut how: Attach, subscription: SubscriptionId) {
        if let Attach::Resume { over, .. } = &mut how {
            let over = std::mem::take(over);
            // Who joins others does not change how they run.
            if self.subscribers.is_empty() {
                self.apply(*over);
            }
        }
        let raw = matches!(how, Attach::Start { raw: true } | Attach::Resume { raw: true, .. });
        self.subscribers.insert(subscription, replier.outbox().clone(), raw);
        let joiner = Joiner { replier, how, subscription };
        if Wanted::by(&joiner.how).is_nothing() {
            self.welcome(joiner, &Past::default(), self.log.head(), self.stream.follower()).await;
        } else {
            self.joining.push(joiner);
            self.draw();
        }
    }

    /// Begins to draw what those want who wait, as of now.
    fn draw(&mut self) {
        let Some(wanted) = self.joining.wanted() else { return };
        let (head, follower) = (self.log.head(), self.stream.follower());
        match wanted.clone() {
            Wanted::Missed(since, view) => {
                let (gap, moment) = (self.gap(&since), self.moment());
                let drawn = async move {
                    let Some(gap) = gap.await? else { return Ok(Drawn::TooMuch) };
                    Ok(Drawn::Missed(gap, Past::draw(moment, view).await?))
                };
                self.joining.draw(&wanted, head, follower, drawn);
            }
            Wanted::Past(view) => {
                let moment = self.moment();
                let drawn = async move { Past::draw(moment, view).await.map(Drawn::Past) };
                self.joining.draw(&wanted, head, follower, drawn);
            }
        }
        self.joining.drawing().for_each(|subscription| self.subscribers.begin(subscription));
    }

    fn moment(&self) -> Moment {
        match self.picture() {
            Some(picture) => Moment::Stored(picture),
            None => Moment::Unstored(self.log.until_now(), self.machine.active_turn().cloned()),
        }
    }

    /// Something has been drawn: answers those who waited for it, and goes on with the others.
    pub(super) async fn drawn(&mut self, drawn: Result<Result<Drawn, String>, JoinError>) {
        let Some(Drawing { mut joiners, head, follower, is_void }) = self.joining.drawn() else { return };
        if is_void {
            self.joining.push_first(joiners);
            return self.draw();
        }
        match drawn.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(Drawn::Past(past)) => {
                for joiner in joiners {
                    self.welcome(joiner, &past, head, follower.clone()).await;
                }
            }
            Ok(Drawn::Missed(gap, past)) => {
                for joiner in joiners {
                    self.welcome_back(joiner, &gap, &past, head).await;
                }
            }
            Ok(Drawn::TooMuch) => {
                for joiner in &mut joiners {
                    if let Attach::Resume { since, .. } = &mut joiner.how {
                        *since = None;
                    }
                }
                self.joining.push_first(joiners);
            }
            Err(message) => {
                for joiner in joiners {
                    self.refuse(joiner, &message);
                }
            }
        }
        self.draw();
    }

    /// Answers one who comes back, with what it has missed up to `head`.
    async fn welcome_back(&mut self, joiner: Joiner, gap: &Gap, past: &Past, head: Seq) {
        let (outbox, subscription) = (joiner.replier.outbox().clone(), joiner.subscription);
        let replay = outbox.wants_positions().then(|| self.replay(Some(gap.since), head));
        self.answer(joiner, past, replay);
        if self.subscribers.lag(subscription) {
            let follower = self.tell_gap(&outbox, gap);
            self.go_on(subscription, Box::new(follower)).await;
        }
    }

    /// Answers with the thread as it was when its log ended at `head`. The follower had heard everything by then.
    async fn welcome(&mut self, joiner: Joiner, past: &Past, head: Seq, follower: Follower) {
        let (outbox, subscription) = (joiner.replier.outbox().clone(), joiner.subscription);
        // Who asks for no turns asks for nothing about them.
        let sees_past = matches!(joiner.how, Attach::Resume { exclude_turns: false, .. });
        let replay = outbox.wants_positions().then(|| self.replay(None, head));
        self.answer(joiner, past, replay);
        if !self.subscribers.lag(subscription) {
            return;
        }
        // It is told with the turns that spend; of those before, a client may have heard nothing.
        if let Some(spent) = self.machine.spent_notification().filter(|_| sees_past) {
            outbox.event(&Event::notice(spent, self.caller.shared.clock.unix_ms()));
        }
        self.go_on(subscription, Box::new(follower)).await;
    }

    fn answer(&self, joiner: Joiner, past: &Past, replay: Option<Replay>) {
        let Joiner { replier, how, subscription } = joiner;
        let started = self.meta.to_response(self.machine.status(), Vec::new(), replay);
        if let Attach::Resume { .. } = how {
            let [turns_backwards_cursor, items_backwards_cursor] = past.newest.clone();
            let answer = ThreadResumeResponse {
                started,
                initial_turns_page: None,
                turns_backwards_cursor,
                items_backwards_cursor,
                older_turns_cursor: past.older.clone(),
                subscription_id: Some(subscription.to_string()),
            };
            return replier.with(Answer::of(&answer, past));
        }
        replier.with(Answer::of(&started, past));
        let thread = Box::new(self.meta.to_wire(self.machine.status(), Vec::new()));
        self.caller.shared.announce(Notification::ThreadStarted(ThreadStartedNotification { thread }));
    }

    fn refuse(&mut self, joiner: Joiner, message: &str) {
        let Joiner { replier, subscription, .. } = joiner;
        replier.refuse(&RpcError::internal(message));
        self.subscribers.remove(subscription);
        let (thread, generation) = (self.caller.thread, self.caller.generation);
        self.caller.house.tell(server::Event::AttachFailed { thread, generation, subscription });
    }
}
