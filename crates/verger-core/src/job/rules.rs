//! What one job keeps to, and what its past slots come to: a function of its rules, of how far it has come, and of now.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Schedule;

/// So many missed slots are counted one by one; of more it is said that there are more.
const COUNTED: u32 = 2_000;

/// So many slots that are not missed are put down in one go.
const AT_ONCE: usize = 128;

/// What a job keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRules {
    /// When it is due.
    pub schedule: Schedule,
    /// Whose clock on the wall the schedule means.
    pub zone: TimeZone,
    /// A slot is put off by a part of this that follows from the slot and `seed`: so that jobs of one minute do not all
    /// begin at once.
    pub jitter: Duration,
    /// Any number, the same for a job wherever it is run.
    pub seed: u64,
    /// It has no slot after this.
    pub until: Option<Timestamp>,
    /// So many of its slots are run at most.
    pub max_runs: Option<u64>,
    /// What becomes of a slot while an earlier one of it runs.
    pub overlap: Overlap,
    /// What becomes of slots that nobody was there for.
    pub missed: Missed,
    /// A slot is missed when it is so much past.
    pub grace: Duration,
}

/// What becomes of a slot of a job that still runs, or waits to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// It runs after what came before it.
    Queue,
    /// It runs beside it.
    Parallel,
}

/// What becomes of slots that nobody was there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// They are skipped.
    #[default]
    Skip,
    /// The last of them is run, unless one that is not missed is due as well; the others are skipped.
    RunOnce,
}

/// How far a job has come: the ledger's word, which moves in one direction only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Of two standings of a job the one with the larger number is the newer; it grows with every change of the job, too.
    pub revision: u64,
    /// Every slot up to and with this moment has been dealt with.
    pub cursor: Timestamp,
    /// How many slots were put down to be run.
    pub fired: u64,
    /// Nothing is due.
    pub paused: bool,
}

impl Standing {
    /// The newer of two: answers may overtake each other.
    #[must_use]
    pub fn newer(self, other: Self) -> Self {
        if other.revision >= self.revision { other } else { self }
    }
}

/// A job's next slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The moment that its schedule names.
    pub slot: Timestamp,
    /// When it is to be run: the slot and its jitter.
    pub at: Timestamp,
}

/// What is to be put down of the slots that have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// How far the job will have come with it.
    pub cursor: Timestamp,
    /// In the order of their slots; at least one.
    pub entries: Vec<Entry>,
}

/// What becomes of one slot, or of several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is run, unless the job's `overlap` has it skipped.
    Run {
        /// Which.
        slot: Timestamp,
        /// When it was due.
        due: Timestamp,
        /// Nobody was there for it.
        late: bool,
    },
    /// They are skipped.
    Skip {
        /// Which, and why.
        slots: Slots,
        /// Why.
        why: Skipped,
    },
}

/// Neighbouring slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many they are.
    pub count: u32,
    /// They are more, which nobody has counted.
    pub more: bool,
}

/// Why a slot was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skipped {
    /// Nobody was there when it was due.
    Missed,
    /// Nobody was there when it was due, and a later slot is run for it.
    Merged,
    /// An earlier run had not ended.
    Overlap,
    /// As many runs of the job waited as may.
    QueueFull,
    /// The job was paused.
    Paused,
}

impl Skipped {
    /// Its name in the ledger and on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Merged => "merged",
            Self::Overlap => "overlap",
            Self::QueueFull => "queueFull",
            Self::Paused => "paused",
        }
    }
}

impl JobRules {
    /// What is due next, maybe in the past.
    #[must_use]
    pub fn next(&self, standing: &Standing) -> Option<Due> {
        let may_run = !standing.paused && self.max_runs.is_none_or(|most| standing.fired < most);
        if may_run { self.after(standing.cursor) } else { None }
    }

    /// What becomes of the slots that have come; nothing where none has. Of very many it says what becomes of the first: the next tick
    /// goes on.
    #[must_use]
    pub fn tick(&self, standing: &Standing, now: Timestamp) -> Option<Tick> {
        let first = self.next(standing).filter(|due| due.at <= now)?;
        let missed = self.missed_from(first, now);
        let mut left = self.max_runs.map_or(u64::MAX, |most| most - standing.fired);
        let mut punctual = Vec::new();
        let mut next = missed.as_ref().map_or(Some(first), |missed| self.after(missed.slots.last));
        while let Some(due) = next.filter(|due| due.at <= now && left > 0 && punctual.len() < AT_ONCE) {
            punctual.push(due);
            left -= 1;
            next = self.after(due.slot);
        }
        let mut entries = match missed {
            None => Vec::new(),
            Some(missed) if self.missed == Missed::RunOnce && punctual.is_empty() => missed.last_is_run(self),
            Some(Run { slots, .. }) => {
                let why = if self.missed == Missed::RunOnce { Skipped::Merged } else { Skipped::Missed };
                vec![Entry::Skip { slots, why }]
            }
        };
        entries.extend(punctual.iter().map(|due| Entry::Run { slot: due.slot, due: due.at, late: false }));
        let cursor = entries.last().map(Entry::last)?;
        Some(Tick { cursor, entries })
    }

    /// The slots after `after` up to and with `upto`: what a job has let pass while it was paused.
    #[must_use]
    pub fn passed(&self, after: Timestamp, upto: Timestamp) -> Option<Slots> {
        let first = self.after(after)?;
        self.run_of(first, |due| due.slot <= upto).map(|run| run.slots)
    }

    fn after(&self, slot: Timestamp) -> Option<Due> {
        let slot = self.schedule.next(slot, &self.zone)?;
        let is_within = self.until.is_none_or(|until| slot <= until);
        is_within.then(|| Due { slot, at: self.put_off(slot) })
    }

    /// When a slot is to be run.
    fn put_off(&self, slot: Timestamp) -> Timestamp {
        let Some(range) = u64::try_from(self.jitter.as_millis()).ok().filter(|range| *range > 0) else {
            return slot;
        };
        let part = scramble(self.seed ^ slot.as_second().cast_unsigned()) % (range + 1);
        let part = SignedDuration::from_millis(i64::try_from(part).unwrap_or(i64::MAX));
        slot.checked_add(part).unwrap_or(slot)
    }

    fn missed_from(&self, first: Due, now: Timestamp) -> Option<Run> {
        let grace = SignedDuration::try_from(self.grace).unwrap_or(SignedDuration::MAX);
        let horizon = now.checked_sub(grace).unwrap_or(Timestamp::MIN);
        self.run_of(first, |due| due.at < horizon)
    }

    /// The slots from `first` on, as long as they are `meant`.
    fn run_of(&self, first: Due, meant: impl Fn(&Due) -> bool) -> Option<Run> {
        let mut run: Option<Run> = None;
        let mut next = Some(first);
        while let Some(due) = next.filter(&meant) {
            match &mut run {
                None => run = Some(Run::of(due.slot)),
                Some(run) if run.slots.count < COUNTED => run.add(due.slot),
                Some(run) => {
                    self.jump(run, &meant);
                    break;
                }
            }
            next = self.after(due.slot);
        }
        run
    }

    /// Goes on to the last slot that is meant without a look at all in between.
    fn jump(&self, run: &mut Run, meant: impl Fn(&Due) -> bool) {
        run.slots.more = true;
        let mut step = SignedDuration::from_hours(24 * 366 * 100);
        while step >= SignedDuration::from_secs(1) {
            let later =
                run.slots.last.checked_add(step).ok().and_then(|later| self.after(later)).filter(&meant);
            // Not to the very last: the one before it is wanted, too.
            match later.filter(|due| self.after(due.slot).is_some_and(|next| meant(&next))) {
                Some(due) => run.add(due.slot),
                None => step /= 2,
            }
        }
        while let Some(due) = self.after(run.slots.last).filter(&meant) {
            run.add(due.slot);
        }
    }
}

/// Neighbouring slots, and the last but one of them.
struct Run {
    slots: Slots,
    before: Option<Timestamp>,
}

impl Run {
    fn of(slot: Timestamp) -> Self {
        Self { slots: Slots { first: slot, last: slot, count: 1, more: false }, before: None }
    }

    fn add(&mut self, slot: Timestamp) {
        self.before = Some(self.slots.last);
        self.slots.last = slot;
        self.slots.count += u32::from(!self.slots.more);
    }

    /// The last is run for the others.
    fn last_is_run(self, rules: &JobRules) -> Vec<Entry> {
        let Slots { first, last, count, more } = self.slots;
        let others = self.before.map(|before| Entry::Skip {
            slots: Slots { first, last: before, count: count - u32::from(!more), more },
            why: Skipped::Merged,
        });
        others.into_iter().chain([Entry::Run { slot: last, due: rules.put_off(last), late: true }]).collect()
    }
}

impl Entry {
    pub(super) fn last(&self) -> Timestamp {
        match self {
            Self::Run { slot, .. } => *slot,
            Self::Skip { slots, .. } => slots.last,
        }
    }
}

/// A number that shows nothing of the one that it was made of (SplitMix64's last step).
fn scramble(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
