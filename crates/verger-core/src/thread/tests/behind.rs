//! Clients that lag or went away, and how an owner catches them up.

use super::client::{Client, Sort};
use super::executor::Executor;
use crate::ids::Seq;
use crate::thread::{Follower, Record, Told};

/// So many at most follow one thread.
const MANY: usize = 6;

/// A client that is, or was, behind.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) client: Client,
    /// Where it is behind; nothing while it hears everything.
    pub(super) follower: Option<Follower>,
    /// How far the log was read for it.
    read: Seq,
    /// It was not told of something that is forgotten by now.
    misses_some: bool,
}

impl Executor {
    /// After so many more notifications a client falls behind: one that was behind before, or one that knows what the first
    /// client does. One that `leaves` comes back with the last durable event that it knows.
    pub(super) fn fall_behind(&mut self, after: u8, leaves: bool) {
        self.falling.push((after, leaves));
        self.fall();
    }

    /// Those whose time has come fall behind.
    pub(super) fn fall(&mut self) {
        let due: Vec<_> = self.falling.extract_if(.., |(after, _)| *after == 0).collect();
        for (_, leaves) in due {
            let up_to_date = self.behind.iter().position(|behind| behind.follower.is_none());
            let (mut client, misses_some) = match up_to_date.map(|at| self.behind.remove(at)) {
                Some(behind) => (behind.client, behind.misses_some),
                None if self.behind.len() < MANY => (self.first.one_that_lags(), false),
                None => continue,
            };
            let follower = if leaves || client.sort == Sort::ComesBack {
                client.sort = Sort::ComesBack;
                Follower::since(self.id(), client.cursor)
            } else {
                self.stream.follower()
            };
            let read = self.start_of_turn(follower.seq());
            self.behind.push(Behind { client, follower: Some(follower), read, misses_some });
        }
        self.falling.iter_mut().for_each(|(after, _)| *after -= 1);
    }

    /// The last record before the turn that `seq` is in.
    fn start_of_turn(&self, seq: Seq) -> Seq {
        let until = &self.log[..seq.0 as usize];
        let start = until.iter().rposition(|record| matches!(record, Record::TurnStarted { .. }));
        Seq(u32::try_from(start.unwrap_or(0)).expect("a test's log is short"))
    }

    pub(super) fn hear_behind(&mut self, told: &Told) {
        for behind in self.behind.iter_mut().filter(|behind| behind.follower.is_none()) {
            behind.client.hear(told.clone());
        }
    }

    /// One of those that are behind takes so many records.
    pub(super) fn feed(&mut self, which: u8, records: usize) {
        let (counted, len) = (self.counted(), self.behind.len());
        let Some(behind) = self.behind.get_mut(usize::from(which) % len.max(1)) else { return };
        let Some(follower) = &mut behind.follower else { return };
        let next = counted.iter().filter(|(seq, _)| *seq > behind.read).take(records);
        for (seq, record) in next.cloned().collect::<Vec<_>>() {
            behind.read = seq;
            for told in follower.record(seq, &record) {
                let is_whole = !told.notification.method().contains("elta");
                assert!(is_whole || behind.client.sort == Sort::Lags, "what is complete is told as a whole");
                behind.client.hear(told);
            }
        }
    }

    /// One of those that are behind takes what there is, and then knows what the first client knows.
    pub(super) fn catch_up(&mut self, which: u8) {
        self.feed(which, usize::MAX);
        let (active, len) = (self.machine.active_turn(), self.behind.len());
        let Some(behind) = self.behind.get_mut(usize::from(which) % len.max(1)) else { return };
        if let Some(follower) = &mut behind.follower {
            let told = follower.catch_up(active, &self.stream);
            assert_eq!(*follower, self.stream.follower());
            told.into_iter().for_each(|told| behind.client.hear(told));
            behind.follower = None;
        }
        if !self.failed {
            let (client, first) = (&behind.client, &self.first);
            assert_eq!(client.known(), first.known(), "K5: {:?} and the first client differ", client.sort);
            let (knows, all) = ((&client.spent, client.cursor), (&first.spent, first.cursor));
            assert!(knows == all || behind.misses_some, "{:?} knows {knows:?} of {all:?}", client.sort);
        }
    }

    /// All of them.
    pub(super) fn catch_all_up(&mut self) {
        (0..).take(self.behind.len()).for_each(|which| self.catch_up(which));
    }

    /// The owner before this one crashed, and with it what all of them heard. Those that lag are told the rest by this one; those
    /// that heard everything come back.
    pub(super) fn takes_over(&mut self, before: &mut Self) {
        self.behind = std::mem::take(&mut before.behind);
        for behind in &mut self.behind {
            if behind.follower.is_none() {
                behind.client.sort = Sort::ComesBack;
                let follower = Follower::since(before.id(), behind.client.cursor);
                behind.read = before.start_of_turn(follower.seq());
                behind.follower = Some(follower);
            }
        }
    }

    /// What is behind record `upto` is forgotten, from this turn on. Those that came back get a new picture of the thread.
    pub(super) fn forget_behind(&mut self, upto: Seq, from: &str) {
        let lags = |behind: &Behind| match &behind.follower {
            Some(follower) => behind.client.sort == Sort::Lags || follower.seq() <= upto,
            None => true,
        };
        self.behind.retain(lags);
        for behind in &mut self.behind {
            behind.misses_some |= behind.follower.is_some();
            if self.in_memory {
                let told = behind.follower.as_mut().map(|follower| follower.forget(upto)).unwrap_or_default();
                told.into_iter().for_each(|told| behind.client.hear(told));
                (behind.client.cursor, behind.read) = (behind.client.cursor.min(upto), behind.read.min(upto));
            }
            behind.client.forget(from);
        }
    }
}
