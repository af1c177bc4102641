//! Two processes on one ledger, one or the other of which is killed at any moment: each slot is put down once, and none is lost.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use verger_core::ids::JobRunId;
use verger_core::job::{JobRules, Missed, Overlap, Schedule};
use verger_store::{Begun, End, JobRow, JobRunRow, PutSlots, RunEnd, RunState, Store};

use crate::children::{Child, say};
use crate::home::try_open;
use crate::jobs::{at, end};
use crate::kills::assert_sound;

const KILLS: u32 = 20;

/// So many slots at least are put down meanwhile.
const SLOTS: usize = 200;

/// The job is due each second.
fn rules() -> JobRules {
    JobRules {
        schedule: Schedule::parse("every 1s").unwrap(),
        zone: jiff::tz::TimeZone::UTC,
        jitter: Duration::ZERO,
        seed: 0,
        until: None,
        max_runs: None,
        overlap: Overlap::Parallel,
        missed: Missed::Skip,
        // Time does not pass by itself here, so nothing is missed.
        grace: Duration::from_secs(3600),
    }
}

/// A server of one job, for which time passes as fast as it can put slots down. Says `put SLOT`, `began RUN`, `ended RUN` and
/// `took RUN`, each when it is durable.
pub(crate) async fn keep_a_job_until_killed(store: &Store) {
    let rules = rules();
    loop {
        let others = store.other_owners().await.unwrap();
        if !others.is_empty() {
            let adopted = store.adopt_runs(others, at(0)).await.unwrap();
            adopted.interrupted.iter().for_each(|run| say(&format!("ended {}", run.id)));
            adopted.adopted.iter().for_each(|run| say(&format!("took {}", run.id)));
        }
        for run in store.active_runs().await.unwrap() {
            if store.begin_run(run.id, Overlap::Parallel, at(0)).await.unwrap() == Begun::Yes {
                say(&format!("began {}", run.id));
                let success = RunEnd { keep: u32::MAX, ..end(End::Succeeded, 0) };
                store.end_run(run.id, success).await.unwrap();
                say(&format!("ended {}", run.id));
            }
        }
        let job = store.ensure_job("every second", "every 1s", at(0)).await.unwrap();
        for run in put_next(store, &rules, &job).await {
            say(&format!("put {}", second(&run)));
        }
    }
}

/// Puts the next slot down, or the next three, whatever the clock says.
async fn put_next(store: &Store, rules: &JobRules, job: &JobRow) -> Vec<JobRunRow> {
    let due = rules.next(&job.standing).unwrap();
    let more = if job.standing.fired % 3 == 1 { 2 } else { 0 };
    let now = due.at + jiff::SignedDuration::from_secs(more);
    let tick = rules.tick(&job.standing, now).unwrap();
    let seen = job.standing.cursor;
    let put = PutSlots {
        job: job.id,
        seen,
        revision: Some(job.standing.revision),
        tick,
        overlap: rules.overlap,
        most_waiting: 1_000,
        keep: u32::MAX,
        unproven: Vec::new(),
        now,
    };
    store.put_slots(put).await.unwrap().runs
}

fn second(run: &JobRunRow) -> u64 {
    u64::try_from(run.slot.unwrap().as_second() - at(0).as_second()).unwrap()
}

/// What was said to have been done.
#[derive(Default)]
struct Heard {
    put: HashSet<u64>,
    began: HashSet<u64>,
    ended: HashSet<u64>,
    /// One may be taken again, when who took it is gone, too.
    took: HashSet<u64>,
}

impl Heard {
    fn note(&mut self, said: &str) {
        let (what, number) = said.split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        let is_first = match what {
            "put" => self.put.insert(number),
            "began" => self.began.insert(number),
            "ended" => self.ended.insert(number),
            "took" => {
                self.took.insert(number);
                true
            }
            other => panic!("{other}"),
        };
        assert!(is_first, "said twice: {said}");
    }
}

#[tokio::test]
async fn two_servers_with_kills_put_each_slot_down_once_and_run_it_once() {
    let home = tempfile::tempdir().unwrap();
    let mut starts = 0..;
    let mut start = || {
        let run = format!("server-{}", starts.next().unwrap());
        Child::start(&[], "keep a job", home.path(), &run).unwrap()
    };
    let mut heard = Heard::default();
    let mut children = [start(), start()];
    let mut kills = 0;
    while kills < KILLS || heard.put.len() < SLOTS {
        let victim = (RandomState::new().build_hasher().finish() % 2) as usize;
        // It goes on while it is being killed, so the moment falls anywhere between two answers.
        for _ in 0..RandomState::new().build_hasher().finish() % 60 {
            heard.note(&children[victim].hear().expect("it goes on until it is killed"));
        }
        children[victim].kill();
        while let Some(said) = children[victim].hear() {
            heard.note(&said);
        }
        children[victim] = start();
        kills += 1;
    }
    for child in &mut children {
        child.kill();
        while let Some(said) = child.hear() {
            heard.note(&said);
        }
    }

    let store = try_open(&home.path().join("store"), "check").unwrap();
    let adopted = store.adopt_runs(store.other_owners().await.unwrap(), at(0)).await.unwrap();
    let job = store.job("every second").await.unwrap().unwrap();
    let mut rows = history(&store, &job).await;
    rows.reverse();
    let last = job.standing.fired;
    assert_eq!(job.standing.cursor, at(last.cast_signed()));
    assert!(rows.iter().map(second).eq(1..=last), "each slot once, and none is missing");
    let by_id: HashMap<u64, &JobRunRow> = rows.iter().map(|run| (run.id.0, run)).collect();
    assert!(heard.put.iter().all(|slot| (1..=last).contains(slot)));
    assert!(heard.began.iter().all(|run| by_id[run].started_at.is_some()));
    assert!(heard.ended.iter().all(|run| by_id[run].state.is_over()));
    let count = |state| rows.iter().filter(|run| run.state == state).count();
    assert_eq!(count(RunState::Scheduled), adopted.adopted.len());
    let interrupted = count(RunState::Ended(End::Interrupted));
    assert!(interrupted <= kills as usize + 2, "a server runs one at a time: {interrupted}");
    assert!(interrupted + heard.took.len() > 0, "no kill came between a slot and its end");
    store.close().await;
    assert_sound(&home.path().join("store"));
}

async fn history(store: &Store, job: &JobRow) -> Vec<JobRunRow> {
    let (mut rows, mut before): (Vec<JobRunRow>, Option<JobRunId>) = (Vec::new(), None);
    loop {
        let page = store.job_runs(job.id, before, 100).await.unwrap();
        let Some(last) = page.last() else { return rows };
        before = Some(last.id);
        rows.extend(page);
    }
}
