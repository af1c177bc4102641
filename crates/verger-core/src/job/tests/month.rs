//! Thirty days of fifty jobs, two servers on one ledger: clocks that change, a machine that sleeps, servers that die, at any
//! moment, and a ledger that fails now and then. `account` holds what was put down against slots that were found by other means.

mod account;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::super::{
    JobEffect, JobEvent, JobRules, Jobs, Missed, Overlap, Schedule, Skipped, Standing, retry_at,
};
use super::ledger::{Ledger, Row, State};
use super::schedule::{Field, watched, zone};
use crate::ids::{JobId, JobRunId};

const DAYS: i64 = 30;

/// For how long slots are found: the machine may sleep over the end of the last day.
const KNOWN: i64 = DAYS + 1;
const GRACE: Duration = Duration::from_secs(120);
const JITTER: Duration = Duration::from_secs(30);
const RETRIES: u32 = 2;

/// Before Berlin's clocks are put back, and New York's a week later.
fn beginning() -> Timestamp {
    "2026-10-10T00:00:00Z".parse().expect("a moment")
}

fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).expect("within range")
}

/// A job's rules, and its slots as someone finds them who has never seen them.
struct Made {
    rules: Arc<JobRules>,
    slots: BTreeSet<Timestamp>,
}

fn make(rng: &mut fastrand::Rng, seed: u64) -> Made {
    let name = if rng.bool() { "Europe/Berlin" } else { "America/New_York" };
    let (zone, from) = (zone(name), beginning());
    let (text, slots) = match rng.u8(..10) {
        0 => {
            let minutes = rng.i64(7..600);
            let length = minutes * 60;
            let first = (from.as_second() / length + 1) * length;
            let seconds = (first..=later(from, KNOWN * 86_400).as_second())
                .step_by(usize::try_from(length).expect("small"));
            let slots = seconds.map(|second| Timestamp::from_second(second).expect("within range")).collect();
            (format!("every {minutes}m"), slots)
        }
        1 => {
            let slot = later(from, rng.i64(0..DAYS * 86_400));
            (format!("at {slot}"), BTreeSet::from([slot]))
        }
        _ => {
            let pattern = pattern(rng);
            let text = pattern.iter().map(Field::text).collect::<Vec<_>>().join(" ");
            (text, watched(&pattern, &zone, from, KNOWN * 24 * 60).into_iter().collect())
        }
    };
    let rules = JobRules {
        schedule: Schedule::parse(&text).unwrap_or_else(|error| panic!("{error}")),
        zone,
        jitter: if rng.bool() { JITTER } else { Duration::ZERO },
        seed,
        until: None,
        max_runs: None,
        overlap: *rng.choice(&[Overlap::Skip, Overlap::Queue, Overlap::Parallel]).expect("three"),
        missed: if rng.bool() { Missed::Skip } else { Missed::RunOnce },
        grace: GRACE,
    };
    Made { rules: Arc::new(rules), slots }
}

/// From every minute of some hours to once a month; the hours in which clocks change are favoured.
fn pattern(rng: &mut fastrand::Rng) -> [Field; 5] {
    let mut some = |most: usize, numbers: std::ops::RangeInclusive<i8>| {
        Field(Some((0..=rng.usize(..most)).map(|_| rng.i8(numbers.clone())).collect()))
    };
    let minute = some(3, 0..=59);
    let hour = some(4, 0..=5);
    let day = some(8, 1..=31);
    let weekday = some(4, 0..=6);
    let any = || Field(None);
    match rng.u8(..6) {
        0 => [any(), hour, any(), any(), weekday],
        1 => [minute, any(), any(), any(), any()],
        2 => [minute, hour, day, any(), any()],
        3 => [minute, hour, any(), any(), weekday],
        _ => [minute, hour, any(), any(), any()],
    }
}

/// One life of a server.
struct Server {
    owner: usize,
    machine: Jobs,
    dies: Timestamp,
}

struct World {
    rng: fastrand::Rng,
    now: Timestamp,
    jobs: BTreeMap<JobId, Made>,
    ledger: Ledger,
    /// Two at most; none while it is down.
    servers: [Option<Server>; 2],
    starts: [Timestamp; 2],
    sleeps: Timestamp,
    owners: usize,
    /// When job runs end, and whose they are.
    ends: BTreeSet<(Timestamp, usize, JobRunId)>,
    /// What was done, and not proven gone at once.
    lingering: BTreeSet<JobRunId>,
    /// What ran when its server died.
    cut: BTreeSet<JobRunId>,
    /// From when to when each job run went on.
    spans: BTreeMap<JobRunId, (Timestamp, Option<Timestamp>)>,
    /// From when to when somebody was there to put slots down.
    present: Vec<(Timestamp, Timestamp)>,
    since: Option<Timestamp>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let now = beginning();
        let jobs: BTreeMap<_, _> =
            (1..=50).map(|number| (JobId(number), make(&mut rng, u64::from(number)))).collect();
        let standing = Standing { revision: 0, cursor: now, fired: 0, paused: false };
        let ledger = Ledger { jobs: jobs.keys().map(|&job| (job, standing)).collect(), ..Ledger::default() };
        Self {
            rng,
            now,
            jobs,
            ledger,
            servers: [None, None],
            starts: [now, later(now, 3_600)],
            sleeps: later(now, 20_000),
            owners: 0,
            ends: BTreeSet::new(),
            lingering: BTreeSet::new(),
            cut: BTreeSet::new(),
            spans: BTreeMap::new(),
            present: Vec::new(),
            since: None,
        }
    }

    fn run(&mut self) {
        let end = later(beginning(), DAYS * 86_400);
        loop {
            let starts =
                (0..2).filter(|&place| self.servers[place].is_none()).map(|place| self.starts[place]);
            let servers = self.servers.iter().flatten();
            let timers = servers.clone().filter_map(|server| server.machine.poll_timeout());
            let next = starts
                .chain(servers.map(|server| server.dies))
                .chain(timers)
                .chain(self.ends.first().map(|&(at, ..)| at))
                .chain([self.sleeps])
                .min()
                .expect("there is always something to come");
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.step();
        }
        self.now = self.now.max(end);
        self.presence(false);
    }

    fn step(&mut self) {
        let now = self.now;
        if self.sleeps <= now {
            // Everybody's clock jumps, and nobody has seen anything.
            let was_there = self.since.is_some();
            self.presence(false);
            self.now = later(now, self.rng.i64(120..40_000));
            self.sleeps = later(self.now, self.rng.i64(40_000..150_000));
            for server in self.servers.iter_mut().flatten() {
                server.dies = server.dies.max(later(self.now, 1));
            }
            return self.presence(was_there);
        }
        for place in [0, 1] {
            if self.servers[place].as_ref().is_some_and(|server| server.dies <= now) {
                self.die(place);
            }
            if self.servers[place].is_none() && self.starts[place] <= now {
                self.start(place);
            }
        }
        while let Some(&(at, owner, run)) = self.ends.first().filter(|(at, ..)| *at <= now) {
            self.ends.remove(&(at, owner, run));
            self.end(owner, run);
        }
        let first = self.rng.usize(..2);
        for place in [first, 1 - first] {
            if let Some(server) = &mut self.servers[place] {
                server.machine.handle_timeout(now);
            }
        }
        // What both have seen before either has done anything about it.
        while let Some((place, effect)) = self.next_effect() {
            if self.rng.u16(..2_000) == 0 {
                self.die(place);
                continue;
            }
            self.perform(place, effect);
            if self.rng.u16(..2_000) == 0 {
                self.die(place);
            }
        }
    }

    fn next_effect(&mut self) -> Option<(usize, JobEffect)> {
        let first = self.rng.usize(..2);
        [first, 1 - first]
            .into_iter()
            .find_map(|place| Some((place, self.servers[place].as_mut()?.machine.poll_effect()?)))
    }

    fn perform(&mut self, place: usize, effect: JobEffect) {
        let (now, is_failing) = (self.now, self.rng.u16(..500) == 0);
        let Some(server) = &mut self.servers[place] else { return };
        let owner = server.owner;
        match effect {
            JobEffect::Put { job, .. } if is_failing => server.machine.handle(now, JobEvent::NotPut { job }),
            JobEffect::Put { job, seen, tick, overlap } => {
                let waiting = self.ledger.put((owner, now), (job, seen), &tick, overlap);
                let standing = self.ledger.jobs[&job];
                let waiting = waiting.into_iter().map(|(run, due)| JobEvent::Waits { job, run, due });
                for event in waiting.chain([JobEvent::Put { job, standing }]) {
                    server.machine.handle(now, event);
                }
                self.adopt(place);
            }
            JobEffect::Begin { job, run } => {
                match self.ledger.begin(owner, run, self.jobs[&job].rules.overlap) {
                    Some(true) => {
                        let length = if self.rng.u8(..20) == 0 { 30_000 } else { 600 };
                        self.ends.insert((later(now, self.rng.i64(1..length)), owner, run));
                        self.spans.insert(run, (now, None));
                    }
                    Some(false) => server.machine.handle(now, JobEvent::Ended { run }),
                    None => {
                        server.machine.handle(now, JobEvent::Ended { run });
                        server.machine.handle(now, JobEvent::Waits { job, run, due: later(now, 5) });
                        self.adopt(place);
                    }
                }
            }
            JobEffect::Drop { run } => panic!("{run} was dropped, and no job ever removed"),
        }
    }

    fn end(&mut self, owner: usize, run: JobRunId) {
        let now = self.now;
        if self.rng.u8(..20) == 0 && self.lingering.insert(run) {
            self.ends.insert((later(now, self.rng.i64(1..20_000)), owner, run));
            let server = self.servers.iter_mut().flatten().find(|server| server.owner == owner);
            return server.expect("it lives").machine.handle(now, JobEvent::Lingers { run });
        }
        self.has_ended(run);
        let row = &self.ledger.rows[&run];
        let (job, attempt) = (row.job, row.attempt);
        let has_failed = self.rng.u8(..4) == 0;
        let state = if has_failed { State::Failed } else { State::Succeeded };
        let backoff = (Duration::from_secs(30), Duration::from_secs(3_600));
        let retry = (has_failed && attempt <= RETRIES).then(|| retry_at(now, attempt, backoff.0, backoff.1));
        let again = self.ledger.end((run, state), (now, retry));
        let server =
            self.servers.iter_mut().flatten().find(|server| server.owner == owner).expect("it lives");
        server.machine.handle(now, JobEvent::Ended { run });
        if let Some((run, due)) = again {
            server.machine.handle(now, JobEvent::Waits { job, run, due });
        }
    }

    fn has_ended(&mut self, run: JobRunId) {
        self.spans.get_mut(&run).expect("it had begun").1 = Some(self.now);
    }

    fn start(&mut self, place: usize) {
        self.owners += 1;
        let mut machine = Jobs::new(5);
        for (&job, made) in &self.jobs {
            let (rules, standing) = (Arc::clone(&made.rules), self.ledger.jobs[&job]);
            machine.handle(self.now, JobEvent::Known { job, rules, standing });
        }
        let dies = later(self.now, self.rng.i64(60..20_000));
        self.servers[place] = Some(Server { owner: self.owners, machine, dies });
        self.adopt(place);
        self.presence(true);
    }

    /// Takes over what dead servers left, as every server does at its start and after it has put slots down.
    fn adopt(&mut self, place: usize) {
        let alive: BTreeSet<_> = self.servers.iter().flatten().map(|server| server.owner).collect();
        let Some(server) = &mut self.servers[place] else { return };
        for (job, run, due) in self.ledger.adopt(server.owner, |owner| !alive.contains(&owner)) {
            server.machine.handle(self.now, JobEvent::Waits { job, run, due });
        }
    }

    /// SIGKILL.
    fn die(&mut self, place: usize) {
        let Some(dead) = self.servers[place].take() else { return };
        self.starts[place] = later(self.now, self.rng.i64(1..2_400));
        let (cut, ends) = self.ends.iter().partition(|(_, owner, _)| *owner == dead.owner);
        self.ends = ends;
        let cut: BTreeSet<(Timestamp, usize, JobRunId)> = cut;
        for (.., run) in &cut {
            self.has_ended(*run);
        }
        self.cut.extend(cut.into_iter().map(|(.., run)| run));
        if self.servers.iter().all(Option::is_none) {
            self.presence(false);
        }
    }

    fn presence(&mut self, is_there: bool) {
        match (self.since, is_there) {
            (None, true) => self.since = Some(self.now),
            (Some(since), false) => {
                self.present.push((since, self.now));
                self.since = None;
            }
            _ => {}
        }
    }
}

#[test]
fn a_month_of_changing_clocks_sleep_and_crashes_puts_each_slot_down_once() {
    for seed in 0..2 {
        let mut world = World::new(seed);
        world.run();
        let sums = world.check();
        println!("seed {seed}: {} servers, {sums:?}", world.owners);
        for state in
            ["Succeeded", "Failed", "Interrupted", "Skipped(Missed)", "Skipped(Merged)", "Skipped(Overlap)"]
        {
            assert!(sums.get(state).is_some_and(|count| *count > 10), "hardly any {state}: {sums:?}");
        }
    }
}

/// The zone matters here: what is unused of jiff's traits would be noticed.
#[test]
fn the_month_has_both_changes() {
    for (name, day) in [("Europe/Berlin", "2026-10-25"), ("America/New_York", "2026-11-01")] {
        let zone: TimeZone = zone(name);
        let change = zone.following(beginning()).next().expect("a change").timestamp();
        assert!(change.to_string().starts_with(day), "{name}: {change}");
        assert!(change < beginning().checked_add((DAYS * 24).hours()).expect("within range"));
    }
}
