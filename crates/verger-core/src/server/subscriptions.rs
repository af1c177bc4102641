//! Who follows which thread: starting, resuming, leaving; and the requests that go to a thread's owner.

use crate::ids::{ConnectionId, Generation, SubscriptionId, ThreadId, Ticket};
use crate::time::Time;

use super::loaded::{Left, Loaded, Subscription, Waiting};
use super::{Answer, Effect, Origin, Refusal, Server};

impl Server {
    pub(super) fn start(
        &mut self,
        ticket: Ticket,
        connection: ConnectionId,
        thread: ThreadId,
        ephemeral: bool,
    ) {
        if self.admit(ticket, connection) && self.has_room(ticket, connection, thread) {
            self.open(ticket, connection, thread, Origin::Fresh { ephemeral }, false);
        }
    }

    pub(super) fn resume(
        &mut self,
        now: Time,
        ticket: Ticket,
        connection: ConnectionId,
        thread: ThreadId,
        observe: bool,
    ) {
        if !self.admit(ticket, connection) {
            return;
        }
        if let Some(ending) = self.ending_of(thread) {
            return self.refuse(ticket, Refusal::Ending(ending));
        }
        if !self.has_room(ticket, connection, thread) {
            return;
        }
        match self.threads.get_mut(&thread) {
            None => self.open(ticket, connection, thread, Origin::Saved, observe),
            Some(Loaded { opening: Some(waiting), .. }) => {
                waiting.push(Waiting::Attach { ticket, connection, observe });
            }
            Some(_) => {
                self.attach(ticket, connection, thread, observe);
                self.settle(now, thread);
            }
        }
    }

    /// A fork of a thread that is being archived or deleted is refused. What only the store can know (a source that is
    /// deleted by another run, or whose deletion meets a fork that was made a moment before) the store decides.
    pub(super) fn fork(
        &mut self,
        ticket: Ticket,
        connection: ConnectionId,
        source: ThreadId,
        thread: ThreadId,
        ephemeral: bool,
    ) {
        if !self.admit(ticket, connection) {
            return;
        }
        match self.ending_of(source) {
            Some(ending) => self.refuse(ticket, Refusal::Ending(ending)),
            None if !self.has_room(ticket, connection, thread) => {}
            None => self.open(ticket, connection, thread, Origin::Forked { source, ephemeral }, false),
        }
    }

    /// Whether the request may be served; answers it where it may not.
    pub(super) fn admit(&mut self, ticket: Ticket, connection: ConnectionId) -> bool {
        if !self.is_known(ticket, connection) {
            return false;
        }
        if self.is_shutting_down() {
            self.refuse(ticket, Refusal::ShuttingDown);
            return false;
        }
        true
    }

    /// Whether the connection may follow one more thread, or follows this one already; answers it where not.
    fn has_room(&mut self, ticket: Ticket, connection: ConnectionId, thread: ThreadId) -> bool {
        let limit = self.rules.max_threads_per_connection;
        // Who follows all that is loaded follows no more than that: the usual case needs no counting.
        if self.threads.len() < limit {
            return true;
        }
        let follows = |loaded: &Loaded| {
            // A request that still waits for the owner is a subscription to be.
            let is_waiting =
                |w: &Waiting| matches!(w, Waiting::Attach { connection: c, .. } if *c == connection);
            loaded.subscriptions.values().any(|s| s.connection == connection)
                || loaded.opening.iter().flatten().any(is_waiting)
        };
        let is_followed = self.threads.get(&thread).is_some_and(follows);
        let has_room = is_followed || self.threads.values().filter(|loaded| follows(loaded)).count() < limit;
        if !has_room {
            self.refuse(ticket, Refusal::TooManyThreads { limit });
        }
        has_room
    }

    /// Whether the client is still there. Where it is not, the answer only clears the executor's books.
    fn is_known(&mut self, ticket: Ticket, connection: ConnectionId) -> bool {
        let is_known = self.connections.contains_key(&connection);
        if !is_known {
            self.stale += 1;
            self.refuse(ticket, Refusal::Closed);
        }
        is_known
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        self.effects.push_back(Effect::Refuse { ticket, refusal });
    }

    /// Subscribes a connection to a thread whose owner runs.
    pub(super) fn attach(
        &mut self,
        ticket: Ticket,
        connection: ConnectionId,
        thread: ThreadId,
        observe: bool,
    ) {
        if !self.is_known(ticket, connection) {
            return;
        }
        let Some(followed) = self.connections.get_mut(&connection) else { return };
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        followed.insert(thread);
        self.last_subscription.0 += 1;
        let subscription = self.last_subscription;
        let replaces =
            loaded.subscriptions.iter().find(|(_, s)| s.connection == connection).map(|(&id, _)| id);
        if let Some(old) = replaces {
            loaded.subscriptions.remove(&old);
        }
        loaded.subscriptions.insert(subscription, Subscription { connection, observe });
        loaded.vacated &= observe;
        let generation = loaded.generation;
        self.effects.push_back(Effect::Attach {
            thread,
            generation,
            ticket,
            subscription,
            connection,
            replaces,
        });
    }

    pub(super) fn attach_failed(
        &mut self,
        now: Time,
        thread: ThreadId,
        generation: Generation,
        subscription: SubscriptionId,
    ) {
        let Some(loaded) = self.current(thread, generation) else { return };
        loaded.subscriptions.remove(&subscription);
        self.settle(now, thread);
    }

    pub(super) fn unsubscribe(
        &mut self,
        now: Time,
        ticket: Ticket,
        connection: ConnectionId,
        thread: ThreadId,
    ) {
        let answer = if !self.threads.contains_key(&thread) {
            Answer::NotLoaded
        } else if self.leave(connection, thread, Left::Unsubscribed) {
            Answer::Unsubscribed
        } else {
            Answer::NotSubscribed
        };
        if let Some(followed) = self.connections.get_mut(&connection) {
            followed.remove(&thread);
        }
        self.effects.push_back(Effect::Answer { ticket, answer });
        self.settle(now, thread);
    }

    pub(super) fn disconnect(&mut self, now: Time, connection: ConnectionId, cut: bool) {
        self.end_probes_of(connection);
        let how = if cut { Left::Cut } else { Left::Disconnected };
        for thread in self.connections.remove(&connection).unwrap_or_default() {
            self.leave(connection, thread, how);
            self.settle(now, thread);
        }
    }

    /// Drops the connection's subscriptions to the thread; whether there were any.
    fn leave(&mut self, connection: ConnectionId, thread: ThreadId, how: Left) -> bool {
        let Some(loaded) = self.threads.get_mut(&thread) else { return false };
        let generation = loaded.generation;
        let (mut left, mut kept) = (false, false);
        loaded.subscriptions.retain(|&subscription, s| {
            let stays = s.connection != connection;
            if !stays {
                (left, kept) = (true, kept || !s.observe);
                self.effects.push_back(Effect::Detach { thread, generation, subscription });
            }
            stays
        });
        // A request that still waits for the owner is a subscription to be: it leaves with the others.
        if let Some(waiting) = &mut loaded.opening {
            waiting.retain(|w| {
                let Waiting::Attach { ticket, connection: c, observe } = w else { return true };
                if *c == connection {
                    (left, kept) = (true, kept || !*observe);
                    self.effects.push_back(Effect::Refuse { ticket: *ticket, refusal: Refusal::Closed });
                }
                *c != connection
            });
        }
        // Nobody waits for an observer to come back.
        if kept {
            loaded.last_left = how;
        }
        left
    }

    pub(super) fn request(
        &mut self,
        ticket: Ticket,
        connection: ConnectionId,
        thread: ThreadId,
        begins_turn: bool,
    ) {
        if !self.is_known(ticket, connection) {
            return;
        }
        if begins_turn && self.is_shutting_down() {
            return self.refuse(ticket, Refusal::ShuttingDown);
        }
        match self.threads.get_mut(&thread) {
            None => self.refuse(ticket, Refusal::NotLoaded),
            Some(Loaded { then: Some(then), .. }) => {
                let ending = then.ending;
                self.refuse(ticket, Refusal::Ending(ending));
            }
            Some(Loaded { opening: Some(waiting), .. }) => {
                waiting.push(Waiting::Forward { ticket, begins_turn });
            }
            Some(_) => self.forward(ticket, thread, begins_turn),
        }
    }

    pub(super) fn forward(&mut self, ticket: Ticket, thread: ThreadId, begins_turn: bool) {
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        loaded.turns_sent += u64::from(begins_turn);
        loaded.vacated &= !begins_turn;
        let generation = loaded.generation;
        self.effects.push_back(Effect::Forward { thread, generation, ticket });
    }
}
