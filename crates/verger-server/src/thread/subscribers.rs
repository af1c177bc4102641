//! Who follows a thread, and how far each has been told: up to now, or up to a cursor where its client lags.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::{AbortHandle, JoinError, JoinSet};
use verger_core::ids::{QuestionId, SubscriptionId};
use verger_core::thread::{Follower, Stream};

use super::walk::WalkError;
use crate::event::Event;
use crate::outbox::{Closed, Outbox};

/// The subscriptions of one thread.
#[derive(Default)]
pub(super) struct Subscribers {
    all: BTreeMap<SubscriptionId, Subscriber>,
    /// Those who lag: each comes back when its client has taken what waited for it.
    lagging: JoinSet<(SubscriptionId, Caught)>,
}

/// A follower that may be told more, or why it can't be.
pub(super) type Caught = Result<Box<Follower>, WalkError>;

struct Subscriber {
    outbox: Outbox,
    /// It hears raw events.
    raw: bool,
    /// What it was asked and not told to forget.
    asked: BTreeSet<QuestionId>,
    /// Nothing where it has been told everything.
    lag: Option<Lag>,
}

/// How far a subscriber lags. Dropped with it.
struct Lag {
    outbox: Outbox,
    /// Bytes of the events that it was not told.
    skipped: usize,
    /// The task that has its cursor.
    task: AbortHandle,
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.outbox.passed(self.skipped);
        self.task.abort();
    }
}

impl Subscribers {
    /// Adds one who has been told everything.
    pub(super) fn insert(
        &mut self,
        subscription: SubscriptionId,
        outbox: Outbox,
        raw: bool,
        asked: BTreeSet<QuestionId>,
    ) {
        self.all.insert(subscription, Subscriber { outbox, raw, asked, lag: None });
    }

    pub(super) fn remove(&mut self, subscription: SubscriptionId) {
        self.all.remove(&subscription);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = SubscriptionId> {
        self.all.keys().copied()
    }

    /// The subscription of this client.
    pub(super) fn of(&self, outbox: &Outbox) -> Option<SubscriptionId> {
        self.all.iter().find(|(_, known)| known.outbox.is(outbox)).map(|(&id, _)| id)
    }

    pub(super) fn want_positions(&self) -> bool {
        self.all.values().any(|subscriber| subscriber.outbox.wants_positions())
    }

    pub(super) fn want_raw(&self) -> bool {
        self.all.values().any(|subscriber| subscriber.raw)
    }

    /// Tells an event of the stream, which has it already. Who has no room left is a cursor from here on.
    pub(super) fn tell(&mut self, event: &Event, stream: &Stream) {
        for (&id, subscriber) in &mut self.all {
            match &mut subscriber.lag {
                Some(lag) => lag.skipped += subscriber.outbox.skip(event),
                None if subscriber.outbox.event(event) => {}
                None => {
                    let (outbox, follower) = (subscriber.outbox.clone(), Box::new(stream.follower()));
                    let low = outbox.low();
                    let task = self.lagging.spawn(async move {
                        low.await;
                        (id, Ok(follower))
                    });
                    subscriber.lag = Some(Lag { outbox, skipped: 0, task });
                }
            }
        }
    }

    /// Tells what only those need to hear who have been told everything.
    pub(super) fn tell_prompt(&self, event: &Event) {
        for subscriber in self.prompt() {
            subscriber.outbox.event(event);
        }
    }

    /// The same, of them those who hear raw events.
    pub(super) fn tell_raw(&self, event: &Event) {
        for subscriber in self.prompt().filter(|subscriber| subscriber.raw) {
            subscriber.outbox.event(event);
        }
    }

    fn prompt(&self) -> impl Iterator<Item = &Subscriber> {
        self.all.values().filter(|subscriber| subscriber.lag.is_none())
    }

    /// Tells what is in no log, and holds for everyone.
    pub(super) fn notice(&self, event: &Event) {
        self.all.values().for_each(|subscriber| subscriber.outbox.notice(event));
    }

    /// Asks all but those who lag: they have not heard yet what the question is about.
    pub(super) fn ask(&mut self, question: QuestionId, event: &Event) {
        for subscriber in self.all.values_mut().filter(|subscriber| subscriber.lag.is_none()) {
            subscriber.outbox.event(event);
            subscriber.asked.insert(question);
        }
    }

    /// Tells those who were asked that the question has ended.
    pub(super) fn resolve(&mut self, question: QuestionId, event: &Event) {
        for subscriber in self.all.values_mut() {
            if subscriber.asked.remove(&question) {
                subscriber.outbox.event(event);
            }
        }
    }

    /// The next one who lags and has room again. Never resolves while nobody lags.
    pub(super) async fn next_caught(&mut self) -> Option<Result<(SubscriptionId, Caught), JoinError>> {
        self.lagging.join_next().await
    }

    /// The outbox of one who lags; nothing if it left meanwhile.
    pub(super) fn lagging(&self, subscription: SubscriptionId) -> Option<Outbox> {
        let subscriber = self.all.get(&subscription)?;
        subscriber.lag.as_ref().map(|lag| lag.outbox.clone())
    }

    /// Lets a task bring the cursor of one who lags on.
    pub(super) fn bring_on(
        &mut self,
        subscription: SubscriptionId,
        bringing: impl Future<Output = Caught> + Send + 'static,
    ) {
        let Some(lag) = self.all.get_mut(&subscription).and_then(|subscriber| subscriber.lag.as_mut()) else {
            return;
        };
        lag.task = self.lagging.spawn(async move { (subscription, bringing.await) });
    }

    /// One who lagged has been told everything; what it has been asked before.
    pub(super) fn caught_up(&mut self, subscription: SubscriptionId) -> Option<&mut BTreeSet<QuestionId>> {
        let subscriber = self.all.get_mut(&subscription)?;
        subscriber.lag = None;
        Some(&mut subscriber.asked)
    }

    /// Cuts one whose cursor cannot be brought on: it may come back.
    pub(super) fn cut(&mut self, subscription: SubscriptionId) {
        if let Some(subscriber) = self.all.get(&subscription) {
            subscriber.outbox.close(Closed::Slow);
        }
    }
}
