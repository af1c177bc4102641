//! Who follows a thread, and how far each has been told: up to now, or up to a cursor where its client lags.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::{AbortHandle, JoinError, JoinSet};
use verger_core::ids::{QuestionId, Seq, SubscriptionId};
use verger_core::thread::{Follower, Record, Stream};

use super::walk::WalkError;
use crate::event::Event;
use crate::outbox::{Closed, Outbox};

/// Notices that are kept for a client until it has its answer. There are few: states of helpers, warnings.
const NOTICES: usize = 64;

/// The subscriptions of one thread.
#[derive(Default)]
pub(super) struct Subscribers {
    all: BTreeMap<SubscriptionId, Subscriber>,
    /// Those who lag: each comes back when there is something to do for it.
    lagging: JoinSet<(SubscriptionId, Result<Caught, WalkError>)>,
}

/// What can be done for one who lags.
pub(super) enum Caught {
    /// Its client has taken most of what waited.
    Low(Box<Follower>),
    /// A page of what it missed has been read, which reaches to this record.
    Page { follower: Box<Follower>, records: Vec<(Seq, Record)>, reached: Seq },
}

struct Subscriber {
    outbox: Outbox,
    /// It hears raw events.
    raw: bool,
    /// What it was asked and not told to forget.
    asked: BTreeSet<QuestionId>,
    told: Told,
}

/// How much of the thread's stream a subscriber has been told.
enum Told {
    /// Nothing: it has no answer yet. With the notices since what it will show was begun to be drawn, of which it will be told
    /// after the answer.
    Nothing(Vec<Event>),
    /// Up to a cursor.
    Some(Lag),
    Everything,
}

/// How far a subscriber lags. Dropped with it.
struct Lag {
    outbox: Outbox,
    /// Bytes of the events that it was not told.
    skipped: usize,
    /// The task that has its cursor, if the owner has not.
    task: Option<AbortHandle>,
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.outbox.passed(self.skipped);
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Subscribers {
    /// Adds one who has no answer yet, and is told nothing before it.
    pub(super) fn insert(&mut self, subscription: SubscriptionId, outbox: Outbox, raw: bool) {
        let (asked, told) = (BTreeSet::new(), Told::Nothing(Vec::new()));
        self.all.insert(subscription, Subscriber { outbox, raw, asked, told });
    }

    /// One has its answer: from here on the owner has a cursor for it. `false`: it left meanwhile.
    pub(super) fn lag(&mut self, subscription: SubscriptionId) -> bool {
        let Some(subscriber) = self.all.get_mut(&subscription) else { return false };
        let lag = Told::Some(Lag { outbox: subscriber.outbox.clone(), skipped: 0, task: None });
        if let Told::Nothing(notices) = std::mem::replace(&mut subscriber.told, lag) {
            notices.iter().for_each(|notice| subscriber.outbox.notice(notice));
        }
        true
    }

    /// What the answer of one will show is begun to be drawn: what was noticed before is no news to it.
    pub(super) fn begin(&mut self, subscription: SubscriptionId) {
        if let Some(Subscriber { told: Told::Nothing(notices), .. }) = self.all.get_mut(&subscription) {
            notices.clear();
        }
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
            match &mut subscriber.told {
                Told::Nothing(_) => {}
                Told::Some(lag) => lag.skipped += subscriber.outbox.skip(event),
                Told::Everything if subscriber.outbox.event(event) => {}
                Told::Everything => {
                    let (outbox, follower) = (subscriber.outbox.clone(), Box::new(stream.follower()));
                    let task = Some(self.lagging.spawn(low(id, &outbox, follower)));
                    subscriber.told = Told::Some(Lag { outbox, skipped: 0, task });
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
        self.all.values().filter(|subscriber| matches!(subscriber.told, Told::Everything))
    }

    /// Tells what is in no log, and holds for everyone: for those who have no answer yet, after it.
    pub(super) fn notice(&mut self, event: &Event) {
        for subscriber in self.all.values_mut() {
            match &mut subscriber.told {
                Told::Nothing(notices) if notices.len() < NOTICES => notices.push(event.clone()),
                Told::Nothing(_) => {
                    tracing::debug!("a notice is not kept for a client that has no answer yet")
                }
                Told::Some(_) | Told::Everything => subscriber.outbox.notice(event),
            }
        }
    }

    /// Asks those who have been told everything: the others have not heard yet what the question is about.
    pub(super) fn ask(&mut self, question: QuestionId, event: &Event) {
        let prompt = |subscriber: &&mut Subscriber| matches!(subscriber.told, Told::Everything);
        for subscriber in self.all.values_mut().filter(prompt) {
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
    pub(super) async fn next_caught(
        &mut self,
    ) -> Option<Result<(SubscriptionId, Result<Caught, WalkError>), JoinError>> {
        self.lagging.join_next().await
    }

    /// The outbox of one who lags; nothing if it left meanwhile.
    pub(super) fn lagging(&self, subscription: SubscriptionId) -> Option<Outbox> {
        match &self.all.get(&subscription)?.told {
            Told::Some(lag) => Some(lag.outbox.clone()),
            Told::Nothing(_) | Told::Everything => None,
        }
    }

    /// Lets a task read on for one who lags.
    pub(super) fn read(
        &mut self,
        subscription: SubscriptionId,
        reading: impl Future<Output = Result<Caught, WalkError>> + Send + 'static,
    ) {
        if let Some(Subscriber { told: Told::Some(lag), .. }) = self.all.get_mut(&subscription) {
            lag.task = Some(self.lagging.spawn(async move { (subscription, reading.await) }));
        }
    }

    /// Waits until the client of one who lags has taken most of what waits.
    pub(super) fn wait(&mut self, subscription: SubscriptionId, follower: Box<Follower>) {
        if let Some(Subscriber { told: Told::Some(lag), .. }) = self.all.get_mut(&subscription) {
            lag.task = Some(self.lagging.spawn(low(subscription, &lag.outbox, follower)));
        }
    }

    /// One who lagged has been told everything; what it has been asked before.
    pub(super) fn caught_up(&mut self, subscription: SubscriptionId) -> Option<&mut BTreeSet<QuestionId>> {
        let subscriber = self.all.get_mut(&subscription)?;
        subscriber.told = Told::Everything;
        Some(&mut subscriber.asked)
    }

    /// Cuts one whose cursor cannot be brought on: it may come back.
    pub(super) fn cut(&mut self, subscription: SubscriptionId) {
        if let Some(subscriber) = self.all.get(&subscription) {
            subscriber.outbox.close(Closed::Slow);
        }
    }
}

/// Comes back once most of what waits for the client has been taken.
fn low(
    subscription: SubscriptionId,
    outbox: &Outbox,
    follower: Box<Follower>,
) -> impl Future<Output = (SubscriptionId, Result<Caught, WalkError>)> + Send + 'static {
    let low = outbox.low();
    async move {
        low.await;
        (subscription, Ok(Caught::Low(follower)))
    }
}
