//! How a client that lags, or comes back, is told what it has missed: from the log, and from the text in flight.

use verger_core::ids::{Seq, SubscriptionId};
use verger_core::thread::{Follower, Place, Record, Told};
use verger_store::Direction;
use verger_wire::StreamPosition;
use verger_wire::requests::{Replay, ReplaySince};

use super::asking;
use super::owner::Owner;
use super::subscribers::Caught;
use super::walk::{Walk, WalkError};
use crate::event::Event;
use crate::outbox::Outbox;

/// Records that the owner itself reads for a client that lags. More are read beside it.
const FEW: usize = 16;

/// Records and bytes that a client that lags is told at once.
const PAGE: usize = 500;
const PAGE_BYTES: usize = 256 << 10;

/// Who comes back and has missed more than this is given a snapshot: so many records, so many bytes of them, and so many
/// of the turn that it left.
const MISSED: u32 = 1000;
const MISSED_BYTES: usize = 4 << 20;

/// What turns a thread's places into positions.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    pub(super) log_epoch: String,
    /// The owner's number.
    pub(super) r#gen: u64,
}

impl Positions {
    pub(super) fn of(&self, place: Place) -> StreamPosition {
        let r#gen = self.r#gen;
        match place {
            Place::Durable(seq) => {
                StreamPosition::Durable { log_epoch: self.log_epoch.clone(), seq: seq.0.into(), r#gen }
            }
            Place::InFlight { item, off } => {
                StreamPosition::Delta { item_id: item, off: u64::try_from(off).unwrap_or(u64::MAX), r#gen }
            }
        }
    }

    fn event(&self, told: Told, at: i64) -> Event {
        let Told { notification, place } = told;
        Event::placed(notification, at, place.map(|place| self.of(place)))
    }
}

impl Owner {
    pub(super) fn positions(&self) -> Positions {
        let shared = &self.caller.shared;
        // What is kept nowhere has no past: a cursor of it means nothing anywhere else.
        let log_epoch = if self.meta.ephemeral { &shared.run } else { shared.store.log_epoch() };
        Positions { log_epoch: log_epoch.to_owned(), r#gen: self.number }
    }

    /// Where in the thread's stream an answer stands that shows it up to `head`.
    pub(super) fn replay(&self, since: Option<Seq>, head: Seq) -> Replay {
        let Positions { log_epoch, r#gen } = self.positions();
        let head = u64::from(head.0);
        let from = since.map_or(head, |since| u64::from(since.0)) + 1;
        Replay { recovered: since.is_some(), from, to: head, head_seq: head, log_epoch, r#gen }
    }

    /// What a client that comes back has missed; nothing if it is better told everything. The error is for people.
    pub(super) fn gap(
        &self,
        since: &ReplaySince,
    ) -> impl Future<Output = Result<Option<Gap>, String>> + Send + 'static {
        let walk = self.log.walk().filter(|_| since.log_epoch == self.caller.shared.store.log_epoch());
        let since = u32::try_from(since.seq).map(Seq);
        async move {
            let (Some(walk), Ok(since)) = (walk, since) else { return Ok(None) };
            Gap::read(&walk, since).await.map_err(|error| error.to_string())
        }
    }

    /// Tells a client that comes back what it has missed, up to where that was read; its cursor there.
    pub(super) fn tell_gap(&self, outbox: &Outbox, gap: &Gap) -> Follower {
        let (positions, at) = (self.positions(), self.caller.shared.clock.unix_ms());
        let mut follower = Follower::since(self.caller.thread, gap.since);
        for (seq, record) in &gap.records {
            for told in follower.record(*seq, record) {
                outbox.replay(&positions.event(told, at));
            }
        }
        follower
    }

    /// Goes on with a client that has just been answered, and has been told of the thread up to its cursor.
    pub(super) async fn go_on(&mut self, subscription: SubscriptionId, follower: Box<Follower>) {
        match self.subscribers.lagging(subscription) {
            // At once where that may be: who asks for raw events misses none that the next request causes.
            Some(outbox) if outbox.is_low() => {
                self.catch_up(subscription, Ok(Caught::Low(follower))).await;
            }
            _ => self.subscribers.wait(subscription, follower),
        }
    }

    /// Goes on with a client that lags and has taken what waited for it.
    pub(super) async fn catch_up(&mut self, subscription: SubscriptionId, caught: Result<Caught, WalkError>) {
        // It may have left meanwhile.
        let Some(outbox) = self.subscribers.lagging(subscription) else { return };
        let told = match caught {
            Ok(Caught::Low(follower)) => self.tell_lagging(&outbox, follower).await,
            // Told here and not by the task that read it: one whose subscription has ended meanwhile is told nothing more.
            Ok(Caught::Page { mut follower, records, reached }) => {
                let at = self.caller.shared.clock.unix_ms();
                tell(&mut follower, &records, &outbox, &self.positions(), at);
                follower.pass(reached);
                return self.subscribers.wait(subscription, follower);
            }
            Err(error) => Err(error),
        };
        match told {
            Ok(None) => {
                let asked = self.subscribers.caught_up(subscription);
                if let Some(asked) = asked {
                    let new = self.machine.questions().filter(|(question, _)| asked.insert(*question));
                    for (question, request) in new {
                        outbox.event(&asking::event(question, request.clone()));
                    }
                }
            }
            Ok(Some(follower)) => {
                let missed = self.log.after(follower.seq(), PAGE);
                self.subscribers.read(subscription, async move {
                    let (records, reached) = missed.read(PAGE, PAGE_BYTES).await?;
                    Ok(Caught::Page { follower, records, reached })
                });
            }
            Err(error) => {
                tracing::error!(thread = %self.meta.id, %error, "a client that lags cannot be told what it missed");
                self.subscribers.cut(subscription);
            }
        }
    }

    /// Tells all that there is, if that is little; else gives the follower back.
    async fn tell_lagging(
        &mut self,
        outbox: &Outbox,
        mut follower: Box<Follower>,
    ) -> Result<Option<Box<Follower>>, WalkError> {
        let head = self.log.head();
        if head.0.saturating_sub(follower.seq().0) as usize > FEW {
            return Ok(Some(follower));
        }
        let (positions, at) = (self.positions(), self.caller.shared.clock.unix_ms());
        if follower.seq() < head {
            let (records, reached) = self.log.after(follower.seq(), FEW).read(FEW, PAGE_BYTES).await?;
            tell(&mut follower, &records, outbox, &positions, at);
            follower.pass(reached);
            if reached < head {
                return Ok(Some(follower));
            }
        }
        for told in follower.catch_up(self.machine.active_turn(), &self.stream) {
            outbox.event(&positions.event(told, at));
        }
        Ok(None)
    }
}

/// What a client has missed that comes back.
#[derive(Debug)]
pub(super) struct Gap {
    /// The last record that it knows of.
    pub(super) since: Seq,
    /// Those of its turn up to there, and all that came after.
    records: Vec<(Seq, Record)>,
}

impl Gap {
    /// Nothing if it is too much, or was forgotten.
    async fn read(walk: &Walk, since: Seq) -> Result<Option<Self>, WalkError> {
        if since > walk.head || walk.head.0 - since.0 > MISSED || !walk.is_whole_after(since) {
            return Ok(None);
        }
        let start = walk.starts(Seq(0), since, Direction::Descending, 1).await?;
        let start = start.first().map_or(since, |start| Seq(start.0 - 1));
        let Some(mut records) = walk.at_most(start, since, MISSED_BYTES).await? else { return Ok(None) };
        let Some(missed) = walk.at_most(since, walk.head, MISSED_BYTES).await? else { return Ok(None) };
        records.extend(missed);
        Ok(Some(Self { since, records }))
    }
}

/// Tells a client that lags what these records tell.
fn tell(follower: &mut Follower, records: &[(Seq, Record)], outbox: &Outbox, positions: &Positions, at: i64) {
    for told in records.iter().flat_map(|(seq, record)| follower.record(*seq, record)) {
        outbox.event(&positions.event(told, at));
    }
}
