//! Random histories of two servers on one ledger, held after each step against an account of what should be in it.
//!
//! The account knows no table: it is a list of jobs and a list of rows. Servers know of a job what they last saw, so their ticks
//! are often of a standing that is past.

use std::collections::{BTreeSet, HashSet};

use fastrand::Rng;
use rusqlite::Connection;
use verger_core::ids::{JobId, JobRunId};
use verger_core::job::{Entry, Overlap, Skipped};
use verger_store::{Begun, End, JobChange, JobError, JobRunRow, RunEnd, RunState, Store};

use crate::home::Home;
use crate::jobs::{at, end, put, run_at, skip};

const JOBS: usize = 2;

/// What [`put`] lets wait.
const MOST_WAITING: usize = 2;

/// A job as the account has it.
#[derive(Debug, Default)]
struct Job {
    cursor: i64,
    fired: u64,
    paused: bool,
}

/// A row as the account has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    id: JobRunId,
    job: usize,
    slot: Option<i64>,
    attempt: u32,
    state: RunState,
    /// Of a row that is not over, or was run: whose it is.
    owner: Option<String>,
}

struct Server {
    run: String,
    store: Store,
    /// Where it believes each job is.
    seen: [i64; JOBS],
}

struct World {
    rng: Rng,
    home: Home,
    ids: Vec<JobId>,
    jobs: [Job; JOBS],
    rows: Vec<Row>,
    servers: Vec<Server>,
    starts: u32,
    /// How often a slot was not put down because of what a server that is gone has left.
    held: u32,
    /// Everything that was ever over, as it was first seen so.
    over: Vec<JobRunRow>,
    /// Each slot and attempt that was ever put down.
    slots: HashSet<(usize, i64, u32)>,
    history: Vec<String>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut world = Self {
            rng: Rng::with_seed(seed),
            home: Home::new(),
            ids: Vec::new(),
            jobs: Default::default(),
            rows: Vec::new(),
            servers: Vec::new(),
            starts: 0,
            held: 0,
            over: Vec::new(),
            slots: HashSet::new(),
            history: Vec::new(),
        };
        for _ in 0..2 {
            let server = world.start();
            world.servers.push(server);
        }
        for name in ["a", "b"] {
            world.ids.push(world.servers[0].store.ensure_job(name, "@daily", at(0)).await.unwrap().id);
        }
        world
    }

    fn start(&mut self) -> Server {
        self.starts += 1;
        let run = format!("run-{}", self.starts);
        self.home.lives(&run, self.starts);
        Server { store: self.home.open(&run), run, seen: [0; JOBS] }
    }

    async fn step(&mut self) {
        let (server, job) = (self.rng.usize(..2), self.rng.usize(..JOBS));
        match self.rng.u32(..20) {
            0..7 => self.tick(server, job).await,
            7..11 => self.begin(server).await,
            11..15 => self.end(server).await,
            15 => self.by_hand(server, job).await,
            16 => self.pause(server, job).await,
            17 => self.crash(server),
            _ => self.adopt(server).await,
        }
        self.check().await;
    }

    fn unended(&self, job: usize) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.job == job && !row.state.is_over()).collect()
    }

    fn waiting(&self, job: usize) -> usize {
        self.unended(job).iter().filter(|row| row.state == RunState::Scheduled).count()
    }

    /// All that has not ended is of servers that are gone.
    fn is_abandoned(&self, job: usize) -> bool {
        let is_gone = |row: &&Row| self.servers.iter().all(|server| row.owner.as_ref() != Some(&server.run));
        !self.unended(job).is_empty() && self.unended(job).iter().all(is_gone)
    }

    fn put_down(&mut self, row: Row) {
        if let Some(slot) = row.slot {
            assert!(self.slots.insert((row.job, slot, row.attempt)), "twice: {row:?}");
        }
        self.rows.push(row);
    }

    async fn tick(&mut self, server: usize, job: usize) {
        let seen = self.servers[server].seen[job];
        let overlap = [Overlap::Skip, Overlap::Queue, Overlap::Parallel][self.rng.usize(..3)];
        let (mut entries, mut upto) = (Vec::new(), seen);
        for _ in 0..self.rng.usize(1..4) {
            let length = self.rng.i64(1..4);
            let is_skip = self.rng.u32(..4) == 0;
            entries.push(if is_skip {
                skip(upto + 1, upto + length, Skipped::Missed)
            } else {
                run_at(upto + 1)
            });
            upto += if is_skip { length } else { 1 };
        }
        self.history.push(format!("{server} ticks {job} from {seen} to {upto}, {overlap:?}"));
        let tick = put(self.ids[job], seen, upto, &entries, overlap);
        let done = self.servers[server].store.put_slots(tick).await;

        let is_put = seen == self.jobs[job].cursor && !self.jobs[job].paused;
        let may_be_skipped =
            overlap == Overlap::Skip && entries.iter().any(|entry| matches!(entry, Entry::Run { .. }));
        if is_put && may_be_skipped && self.is_abandoned(job) {
            assert!(matches!(done, Err(JobError::Abandoned { .. })), "{done:?}");
            self.held += 1;
            return;
        }
        let done = done.unwrap();
        assert_eq!(done.runs.len(), if is_put { entries.len() } else { 0 });
        for (entry, run) in entries.iter().zip(&done.runs) {
            let runs = match entry {
                Entry::Skip { .. } => false,
                Entry::Run { .. } if overlap == Overlap::Skip => self.unended(job).is_empty(),
                Entry::Run { .. } => self.waiting(job) < MOST_WAITING,
            };
            let first = match entry {
                Entry::Skip { slots, .. } => slots.first,
                Entry::Run { slot, .. } => *slot,
            };
            self.jobs[job].fired += u64::from(runs);
            let row = Row {
                id: run.id,
                job,
                slot: Some(first.as_second() - at(0).as_second()),
                attempt: 1,
                state: if runs { RunState::Scheduled } else { RunState::Skipped },
                owner: runs.then(|| self.servers[server].run.clone()),
            };
            self.put_down(row);
        }
        if is_put {
            self.jobs[job].cursor = upto;
        }
        let told = done.standing.cursor.as_second() - at(0).as_second();
        assert_eq!(told, self.jobs[job].cursor, "a server learns where the job is");
        self.servers[server].seen[job] = told;
    }

    /// A row, mostly one that is not over.
    fn some_row(&mut self) -> Option<usize> {
        let open: Vec<_> = (0..self.rows.len()).filter(|n| !self.rows[*n].state.is_over()).collect();
        if open.is_empty() || self.rng.u32(..5) == 0 {
            return (!self.rows.is_empty()).then(|| self.rng.usize(..self.rows.len()));
        }
        Some(open[self.rng.usize(..open.len())])
    }

    fn is_owned(&self, n: usize, server: usize) -> bool {
        self.rows[n].owner.as_ref() == Some(&self.servers[server].run)
    }

    async fn begin(&mut self, server: usize) {
        let Some(n) = self.some_row() else { return };
        let (id, job) = (self.rows[n].id, self.rows[n].job);
        let overlap = [Overlap::Queue, Overlap::Parallel][self.rng.usize(..2)];
        self.history.push(format!("{server} begins {id}, {overlap:?}"));
        let is_meant = self.rows[n].state == RunState::Scheduled && self.is_owned(n, server);
        let is_alone = self.unended(job).iter().all(|row| row.state != RunState::Running);
        let expected = match is_meant {
            true if is_alone || overlap == Overlap::Parallel => Begun::Yes,
            true => Begun::NotYet,
            false => Begun::No,
        };
        let begun = self.servers[server].store.begin_run(id, overlap, at(5)).await.unwrap();
        assert_eq!(begun, expected);
        if begun == Begun::Yes {
            self.rows[n].state = RunState::Running;
        }
    }

    async fn end(&mut self, server: usize) {
        let Some(n) = self.some_row() else { return };
        let how = [End::Succeeded, End::Failed, End::TimedOut, End::Cancelled][self.rng.usize(..4)];
        let retries = self.rng.bool();
        // Mostly everything stays, so that a row that should not be there has a chance to be seen.
        let keep = if self.rng.u32(..10) == 0 { self.rng.u32(..10) } else { u32::MAX };
        self.history
            .push(format!("{server} ends {} {how:?}, retry: {retries}, keep: {keep}", self.rows[n].id));
        let order = RunEnd { retry_at: retries.then(|| at(7)), keep, ..end(how, 6) };
        let ended = self.servers[server].store.end_run(self.rows[n].id, order).await;
        if self.rows[n].state.is_over() || !self.is_owned(n, server) {
            assert!(matches!(ended, Err(JobError::Over(_))), "{ended:?}");
            return;
        }
        let ended = ended.unwrap();
        self.rows[n].state = RunState::Ended(how);
        let row = self.rows[n].clone();
        assert_eq!(ended.retry.is_some(), retries);
        if let Some(retry) = ended.retry {
            let attempt = row.attempt + 1;
            self.put_down(Row { id: retry.id, attempt, state: RunState::Scheduled, ..row.clone() });
        }
        let of_job = self.rows.iter().filter(|other| other.job == row.job && other.state.is_over());
        let (skipped, ran): (Vec<_>, Vec<_>) = of_job.partition(|other| other.state == RunState::Skipped);
        let mut over = Vec::new();
        for of_kind in [ran, skipped] {
            let mut ids: Vec<_> = of_kind.iter().map(|other| other.id).collect();
            ids.sort();
            ids.truncate(ids.len().saturating_sub(keep as usize));
            over.extend(ids);
        }
        over.retain(|id| *id != row.id);
        assert_eq!(ended.pruned.iter().map(|run| run.id).collect::<Vec<_>>(), over);
        self.rows.retain(|row| !over.contains(&row.id));
        self.over.retain(|row| !over.contains(&row.id));
    }

    async fn by_hand(&mut self, server: usize, job: usize) {
        self.history.push(format!("{server} adds a run of {job}"));
        let added = self.servers[server].store.add_run(self.ids[job], at(3), 2).await;
        if self.waiting(job) >= MOST_WAITING {
            assert!(matches!(added, Err(JobError::QueueFull { .. })), "{added:?}");
            return;
        }
        let owner = Some(self.servers[server].run.clone());
        let (id, state) = (added.unwrap().id, RunState::Scheduled);
        self.put_down(Row { id, job, slot: None, attempt: 1, state, owner });
    }

    async fn pause(&mut self, server: usize, job: usize) {
        let paused = !self.jobs[job].paused;
        // Sometimes with a cursor that goes back, which has no effect.
        let cursor = at(self.jobs[job].cursor + self.rng.i64(-3..3));
        self.history.push(format!("{server} pauses {job}: {paused}, cursor {cursor}"));
        let change = JobChange { paused: Some(paused), cursor: Some(cursor), ..JobChange::default() };
        let changed = self.servers[server].store.change_job(["a", "b"][job], change).await.unwrap();
        self.jobs[job].paused = paused;
        let told = changed.standing.cursor.as_second() - at(0).as_second();
        self.jobs[job].cursor = self.jobs[job].cursor.max(cursor.as_second() - at(0).as_second());
        assert_eq!(told, self.jobs[job].cursor);
    }

    /// The server is gone without a word, and another begins.
    fn crash(&mut self, server: usize) {
        self.history.push(format!("{server} crashes"));
        self.home.dies(&self.servers[server].run);
        self.servers[server] = self.start();
    }

    async fn adopt(&mut self, server: usize) {
        self.history.push(format!("{server} adopts"));
        let store = &self.servers[server].store;
        let others = self.rows.iter().filter(|row| !row.state.is_over());
        let others =
            others.filter_map(|row| row.owner.clone()).filter(|owner| *owner != self.servers[server].run);
        let others: BTreeSet<_> = others.collect();
        let found = store.other_owners().await.unwrap();
        assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), others);
        let adopted = store.adopt_runs(found, at(8)).await.unwrap();
        let live: Vec<_> = self.servers.iter().map(|server| server.run.clone()).collect();
        let (mut interrupted, mut taken) = (vec![], vec![]);
        for row in self.rows.iter_mut().filter(|row| !row.state.is_over()) {
            if live.contains(row.owner.as_ref().unwrap()) {
                continue;
            }
            if row.state == RunState::Running {
                row.state = RunState::Ended(End::Interrupted);
                interrupted.push(row.id);
            } else {
                row.owner = Some(live[server].clone());
                taken.push(row.id);
            }
        }
        assert_eq!(adopted.interrupted.iter().map(|run| run.id).collect::<Vec<_>>(), interrupted);
        assert_eq!(adopted.adopted.iter().map(|run| run.id).collect::<Vec<_>>(), taken);
    }

    /// The whole ledger is what the account says, and what was over is as it was.
    async fn check(&mut self) {
        for job in 0..JOBS {
            let store = &self.servers[0].store;
            let standing = store.job_by_id(self.ids[job]).await.unwrap().unwrap().standing;
            let expected = &self.jobs[job];
            assert_eq!(
                (standing.cursor, standing.fired, standing.paused),
                (at(expected.cursor), expected.fired, expected.paused)
            );
            let (mut kept, mut before) = (Vec::new(), None);
            loop {
                let page = store.job_runs(self.ids[job], before, 7).await.unwrap();
                let Some(last) = page.last() else { break };
                before = Some(last.id);
                kept.extend(page);
            }
            kept.reverse();
            let of_job = self.rows.iter().filter(|row| row.job == job).cloned().collect::<Vec<_>>();
            let as_rows = kept.iter().map(|run| Row {
                id: run.id,
                job,
                slot: run.slot.map(|slot| slot.as_second() - at(0).as_second()),
                attempt: run.attempt,
                state: run.state,
                owner: run.server.clone(),
            });
            assert_eq!(as_rows.collect::<Vec<_>>(), of_job);
            for run in kept.into_iter().filter(|run| run.state.is_over()) {
                match self.over.iter().find(|old| old.id == run.id) {
                    Some(old) => assert_eq!(*old, run, "a row that was over has changed"),
                    None => self.over.push(run),
                }
            }
        }
    }
}

/// Prints what has happened when a step fails.
struct Told<'a>(&'a mut World, u64);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}:\n{}", self.1, self.0.history.join("\n"));
        }
    }
}

#[tokio::test]
async fn random_histories_leave_the_ledger_that_they_should() {
    let (mut steps, mut over, mut held) = (0, 0, 0);
    for seed in 0..30 {
        let mut world = World::new(seed).await;
        // Short ones first: so the first that fails is short.
        for _ in 0..10 + seed * 4 {
            let told = Told(&mut world, seed);
            told.0.step().await;
            steps += 1;
        }
        over += world.over.len();
        held += world.held;
        for server in world.servers.drain(..) {
            server.store.close().await;
        }
        let conn = Connection::open(world.home.path().join("store.db")).unwrap();
        let changed = conn.execute("UPDATE job_run SET attempt = attempt + 1 WHERE state >= 2", []);
        assert_eq!(changed.is_err(), !world.over.is_empty());
    }
    assert!(steps > 1_000 && over > 300 && held > 0, "{steps} steps, {over} rows over, {held} ticks held");
}
