//! After failures: when a server may be started again, and when not before a person says so.
//!
//! Failures are remembered for each server in each thread, and not for each owner: who leaves and comes back must not get
//! around the wait. Probes of one server, whose scopes end with their requests, are remembered together.
//!
//! A record is forgotten when a helper of it was ready for long enough, at a restart or a reload, with its thread, or when
//! it has not failed for so long that it bars nothing any more. A crashed server stays so for as long as its thread is
//! loaded. So there are no more records than failures within the window, and those of loaded threads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::{HelperId, ThreadId};
use crate::time::Time;

use super::helpers::HelperState;
use super::rules::Restarts;
use super::{Effect, Refusal, Scope, Server, ServerName};

/// How many characters of a reason are kept: it may end with what a helper wrote to stderr.
const REASON_KEPT: usize = 1000;

/// Where failures are counted: one server in one thread, or in all probes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// `None` for probes.
    pub(super) thread: Option<ThreadId>,
    pub(super) server: ServerName,
}

/// What is remembered of failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Supervision {
    pub(super) records: BTreeMap<Place, Record>,
    /// When to look at a record again; it keeps its own entry, so that it can be withdrawn.
    timers: BTreeSet<(Time, Place)>,
}

/// The failures of one place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    /// Those within the window, oldest first, and never more than make it crashed.
    pub(super) failures: Vec<Time>,
    /// How many there were since it was last healthy.
    in_a_row: u32,
    /// No start before.
    not_before: Time,
    pub(super) crashed: bool,
    /// Since when a later helper has been ready.
    ready: Option<(HelperId, Time)>,
    /// Who failed last, in which scope, and why.
    helper: HelperId,
    scope: Scope,
    reason: String,
    pub(super) timer: Option<Time>,
}

/// What [`Server::troubles`] tells of a server that has failed lately.
#[derive(Clone, Copy, Debug)]
pub struct Trouble<'a> {
    /// In which thread; `None` for probes.
    pub thread: Option<ThreadId>,
    /// Which server.
    pub server: &'a ServerName,
    /// The helper that failed last.
    pub helper: HelperId,
    /// Why it did.
    pub reason: &'a str,
    /// What follows from it.
    pub bar: Bar,
}

/// Whether a server that has failed may be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// It may.
    None,
    /// When this much time has passed.
    BackingOff(Duration),
    /// Not before a restart or a reload.
    Crashed,
}

// === impl Record ===

impl Record {
    fn bar(&self, now: Time) -> Bar {
        match self.crashed {
            true => Bar::Crashed,
            false if now < self.not_before => Bar::BackingOff(self.not_before.from(now)),
            false => Bar::None,
        }
    }

    /// Whether the helper that is ready now has made up for what was.
    fn is_healed(&self, now: Time, rules: &Restarts) -> bool {
        self.ready.is_some_and(|(_, since)| since.after(rules.healthy_after) <= now)
    }

    /// Counts a failure of a helper that was started at `started`. What was under way when another one failed is the same
    /// failure: ten probes of a server that is not there are no crash loop.
    fn fail(&mut self, now: Time, started: Time, rules: &Restarts) {
        self.ready = None;
        if self.crashed || self.failures.last().is_some_and(|&last| started < last) {
            return;
        }
        self.failures.retain(|at| now < at.after(rules.crash_window));
        self.failures.push(now);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.not_before = now.after(rules.wait_after(self.in_a_row, self.helper));
        self.crashed = self.failures.len() >= rules.crash_limit;
    }

    /// From when on it bars nothing and counts for nothing.
    fn outdated(&self, rules: &Restarts) -> Time {
        let counts_until = self.failures.last().map(|last| last.after(rules.crash_window));
        counts_until.unwrap_or_default().max(self.not_before)
    }

    /// When something changes by itself. `kept` says that nobody but a person ends a crash.
    fn next_look(&self, now: Time, kept: bool, rules: &Restarts) -> Option<Time> {
        let barred = Some(self.not_before).filter(|at| *at > now && !self.crashed);
        let healed = self.ready.map(|(_, since)| since.after(rules.healthy_after));
        let outdated = Some(self.outdated(rules)).filter(|_| !(self.crashed && kept));
        [barred, healed, outdated].into_iter().flatten().min()
    }
}

// === impl Restarts ===

impl Restarts {
    /// How long to wait after so many failures in a row: half of it is certain, the rest is jitter, so that helpers which
    /// failed together do not come back together.
    pub(super) fn wait_after(&self, in_a_row: u32, helper: HelperId) -> Duration {
        let doubled = 2_u32.checked_pow(in_a_row.saturating_sub(1));
        let full = doubled.and_then(|times| self.delay.checked_mul(times)).unwrap_or(self.delay_limit);
        let full = u64::try_from(full.min(self.delay_limit).as_millis()).unwrap_or(u64::MAX);
        let half = full / 2;
        Duration::from_millis(full - half + scatter(self.seed ^ helper.0) % (half + 1))
    }
}

fn kept(message: &str) -> String {
    message.chars().take(REASON_KEPT).collect()
}

/// SplitMix64's output function: neighbouring numbers become unrelated ones.
fn scatter(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

// === impl Supervision ===

impl Supervision {
    pub(super) fn next_timer(&self) -> Option<Time> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// The next place whose time has come.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Place> {
        if self.next_timer()? > now {
            return None;
        }
        let (_, place) = self.timers.pop_first()?;
        if let Some(record) = self.records.get_mut(&place) {
            record.timer = None;
        }
        Some(place)
    }

    fn bar(&self, now: Time, place: &Place) -> Bar {
        self.records.get(place).map_or(Bar::None, |record| record.bar(now))
    }

    fn set_timer(&mut self, place: &Place, at: Option<Time>) {
        let Some(record) = self.records.get_mut(place) else { return };
        if let Some(old) = std::mem::replace(&mut record.timer, at) {
            self.timers.remove(&(old, place.clone()));
        }
        self.timers.extend(at.map(|at| (at, place.clone())));
    }

    fn forget(&mut self, place: &Place) -> Option<Record> {
        self.set_timer(place, None);
        self.records.remove(place)
    }

    fn places_of(&self, thread: ThreadId) -> Vec<Place> {
        self.records.keys().filter(|place| place.thread == Some(thread)).cloned().collect()
    }
}

// === impl Server ===

impl Server {
    /// Whether someone who would wait for `patience` may wait for a helper to start.
    pub(super) fn admit_start(&self, now: Time, place: &Place, patience: Duration) -> Result<(), Refusal> {
        let Some(record) = self.supervision.records.get(place) else { return Ok(()) };
        match record.bar(now) {
            Bar::Crashed => Err(record.crashed()),
            Bar::BackingOff(left) if left > patience => {
                Err(Refusal::BackingOff { reason: record.reason.clone(), left })
            }
            Bar::BackingOff(_) | Bar::None => Ok(()),
        }
    }

    /// Whether no helper of this place starts now.
    pub(super) fn is_barred(&self, now: Time, place: &Place) -> bool {
        self.supervision.bar(now, place) != Bar::None
    }

    /// A helper ended by itself, or could not be started.
    pub(super) fn note_failure(&mut self, now: Time, id: HelperId, message: &str) {
        let Some(helper) = self.helpers.get(&id) else { return };
        let (place, scope, started) = (helper.place(), helper.scope, helper.started);
        let rules = &self.rules.restarts;
        if self.supervision.records.get(&place).is_some_and(|record| record.is_healed(now, rules)) {
            self.supervision.forget(&place);
        }
        let new = Record {
            failures: Vec::new(),
            in_a_row: 0,
            not_before: now,
            crashed: false,
            ready: None,
            helper: id,
            scope,
            reason: String::new(),
            timer: None,
        };
        let record = self.supervision.records.entry(place.clone()).or_insert(new);
        let was_crashed = record.crashed;
        (record.helper, record.scope) = (id, scope);
        record.reason = kept(message);
        record.fail(now, started, rules);
        let crashed = (record.crashed && !was_crashed).then(|| record.crashed());
        self.time(now, &place);
        let Some(refusal) = crashed else { return };
        let server = place.server.clone();
        self.effects.push_back(Effect::HelperCrashed { helper: id, scope, server, refusal: refusal.clone() });
        let is_queued = |h: &super::Helper| h.state == HelperState::Queued && h.place() == place;
        let dropped = self.helpers.extract_if(.., |_, helper| is_queued(helper));
        for ticket in dropped.flat_map(|(_, helper)| helper.waiters).collect::<Vec<_>>() {
            self.helper_for(ticket, Err(refusal.clone()));
        }
    }

    /// The same failure again, in better words.
    pub(super) fn note_reason(&mut self, id: HelperId, message: &str) {
        let Some(helper) = self.helpers.get(&id) else { return };
        if let Some(record) = self.supervision.records.get_mut(&helper.place())
            && record.helper == id
        {
            record.reason = kept(message);
        }
    }

    /// A helper takes calls. A probe's does not live long enough to prove anything.
    pub(super) fn note_ready(&mut self, now: Time, id: HelperId) {
        let Some(helper) = self.helpers.get(&id) else { return };
        let place = helper.place();
        if let Some(record) = self.supervision.records.get_mut(&place)
            && place.thread.is_some()
        {
            record.ready = Some((id, now));
            self.time(now, &place);
        }
    }

    /// Does what the time demands: forgets what is over, and starts who waited for it.
    pub(super) fn look_at(&mut self, now: Time, place: &Place) {
        let kept = self.is_kept(place);
        if let Some(record) = self.supervision.records.get_mut(place) {
            let is_ready = |(id, _): &(HelperId, Time)| {
                self.helpers.get(id).is_some_and(|helper| helper.state == HelperState::Ready)
            };
            record.ready = record.ready.filter(is_ready);
            let rules = &self.rules.restarts;
            let is_outdated = record.outdated(rules) <= now && !(record.crashed && kept);
            if is_outdated || record.is_healed(now, rules) {
                self.supervision.forget(place);
            } else {
                self.time(now, place);
            }
        }
        self.start_queued(now, |helper| helper.place() == *place);
    }

    fn time(&mut self, now: Time, place: &Place) {
        let kept = self.is_kept(place);
        let record = self.supervision.records.get(place);
        let at = record.and_then(|record| record.next_look(now, kept, &self.rules.restarts));
        self.supervision.set_timer(place, at);
    }

    /// Whether a crash here is ended by a person alone. With its thread unloaded it would be remembered for ever.
    fn is_kept(&self, place: &Place) -> bool {
        place.thread.is_none_or(|thread| self.threads.contains_key(&thread))
    }

    /// The thread is no longer loaded.
    pub(super) fn time_crashes_of(&mut self, now: Time, thread: ThreadId) {
        for place in self.supervision.places_of(thread) {
            self.time(now, &place);
        }
    }

    /// The thread is archived or deleted.
    pub(super) fn forget_failures_of(&mut self, thread: ThreadId) {
        for place in self.supervision.places_of(thread) {
            self.supervision.forget(&place);
        }
    }

    /// Forgets the failures of these places; the scope and server of each.
    pub(super) fn forget_failures(&mut self, of: impl Fn(&Place) -> bool) -> Vec<(Scope, ServerName)> {
        let places = self.supervision.records.keys().filter(|place| of(place)).cloned().collect::<Vec<_>>();
        let forget = |place: Place| Some((self.supervision.forget(&place)?.scope, place.server));
        places.into_iter().filter_map(forget).collect()
    }

    /// Servers that have failed lately.
    pub fn troubles(&self, now: Time) -> impl Iterator<Item = Trouble<'_>> {
        self.supervision.records.iter().map(move |(place, record)| Trouble {
            thread: place.thread,
            server: &place.server,
            helper: record.helper,
            reason: &record.reason,
            bar: record.bar(now),
        })
    }
}

impl Record {
    fn crashed(&self) -> Refusal {
        Refusal::Crashed { reason: self.reason.clone(), failures: self.failures.len() }
    }
}
