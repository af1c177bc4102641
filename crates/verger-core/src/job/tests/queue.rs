//! Which run begins, step by step.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::{JobEffect, JobEvent, JobRules, Jobs, Missed, Overlap, Schedule, Standing, retry_at};
use super::schedule::zone;
use crate::ids::{JobId, JobRunId};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a moment")
}

/// Jobs that are due every minute, at most `most` of them at once.
fn jobs(most: usize, names: &[u32], overlap: Overlap) -> Jobs {
    let mut jobs = Jobs::new(most);
    for &name in names {
        let rules = JobRules {
            schedule: Schedule::parse("every 1m").expect("a schedule"),
            zone: zone("UTC"),
            jitter: Duration::ZERO,
            seed: 0,
            until: None,
            max_runs: None,
            overlap,
            missed: Missed::Skip,
            grace: Duration::from_secs(30),
        };
        let standing = Standing { revision: 0, cursor: at(0), fired: 0, paused: false };
        jobs.handle(at(0), JobEvent::Known { job: JobId(name), rules: Arc::new(rules), standing });
    }
    jobs
}

fn effects(jobs: &mut Jobs) -> Vec<JobEffect> {
    std::iter::from_fn(|| jobs.poll_effect()).collect()
}

/// Which begin.
fn begun(jobs: &mut Jobs) -> Vec<u64> {
    let begun = effects(jobs).into_iter().map(|effect| match effect {
        JobEffect::Begin { run, .. } => run.0,
        other => panic!("{other:?}"),
    });
    begun.collect()
}

fn wait(jobs: &mut Jobs, now: Timestamp, job: u32, run: u64, due: Timestamp) {
    jobs.handle(now, JobEvent::Waits { job: JobId(job), run: JobRunId(run), due });
}

fn end(jobs: &mut Jobs, now: Timestamp, run: u64) {
    jobs.handle(now, JobEvent::Ended { run: JobRunId(run) });
}

#[test]
fn a_slot_is_put_down_once_and_nothing_wakes_before_it() {
    let mut jobs = jobs(4, &[1], Overlap::Skip);
    assert_eq!(jobs.poll_timeout(), Some(at(60)));
    jobs.handle_timeout(at(59));
    assert!(effects(&mut jobs).is_empty());
    jobs.handle_timeout(at(60));
    assert!(matches!(effects(&mut jobs)[..], [JobEffect::Put { seen, .. }] if seen.cursor == at(0)));
    // Until the ledger has answered there is nothing to wake for.
    assert_eq!(jobs.poll_timeout(), None);
    jobs.handle_timeout(at(61));
    assert!(effects(&mut jobs).is_empty());
    let standing = Standing { revision: 1, cursor: at(60), fired: 1, paused: false };
    jobs.handle(at(61), JobEvent::Put { job: JobId(1), standing });
    assert_eq!(jobs.poll_timeout(), Some(at(120)));
    // An older answer changes nothing.
    jobs.handle(
        at(62),
        JobEvent::Put { job: JobId(1), standing: Standing { revision: 0, cursor: at(0), ..standing } },
    );
    assert_eq!(jobs.poll_timeout(), Some(at(120)));
}

#[test]
fn what_could_not_be_put_down_is_tried_again_a_little_later() {
    let mut jobs = jobs(4, &[1], Overlap::Skip);
    jobs.handle_timeout(at(60));
    effects(&mut jobs);
    jobs.handle(at(60), JobEvent::NotPut { job: JobId(1) });
    assert_eq!(jobs.poll_timeout(), Some(at(65)));
    jobs.handle_timeout(at(65));
    assert!(matches!(effects(&mut jobs)[..], [JobEffect::Put { .. }]));
}

#[test]
fn of_very_many_jobs_that_are_due_some_are_looked_at_and_the_others_at_once_after() {
    let names: Vec<_> = (0..100).collect();
    let mut jobs = jobs(4, &names, Overlap::Skip);
    jobs.handle_timeout(at(60));
    assert_eq!(effects(&mut jobs).len(), 64);
    assert_eq!(jobs.poll_timeout(), Some(at(60)), "there are more");
    jobs.handle_timeout(at(60));
    assert_eq!(effects(&mut jobs).len(), 36);
    assert_eq!(jobs.poll_timeout(), None, "all wait for the ledger");
}

#[test]
fn no_job_fills_the_house() {
    let mut jobs = jobs(2, &[1, 2], Overlap::Parallel);
    for run in 1..=3 {
        wait(&mut jobs, at(0), 1, run, at(-10));
    }
    assert_eq!(begun(&mut jobs), [1, 2]);
    // The other came later, and is next: none of it runs.
    wait(&mut jobs, at(1), 2, 4, at(1));
    end(&mut jobs, at(2), 1);
    assert_eq!(begun(&mut jobs), [4]);
    end(&mut jobs, at(3), 4);
    assert_eq!(begun(&mut jobs), [3]);
}

#[test]
fn one_after_the_other_where_they_may_not_overlap() {
    let mut jobs = jobs(9, &[1], Overlap::Queue);
    for run in 1..=2 {
        wait(&mut jobs, at(0), 1, run, at(0));
    }
    assert_eq!(begun(&mut jobs), [1]);
    end(&mut jobs, at(5), 1);
    assert_eq!(begun(&mut jobs), [2]);
    end(&mut jobs, at(6), 2);
    // A second attempt waits for its time, and for nobody who asks twice.
    wait(&mut jobs, at(6), 1, 3, at(20));
    wait(&mut jobs, at(6), 1, 3, at(20));
    assert!(begun(&mut jobs).is_empty());
    assert_eq!(jobs.poll_timeout(), Some(at(20)));
    jobs.handle_timeout(at(20));
    assert_eq!(begun(&mut jobs), [3]);
    assert_eq!(jobs.counts(JobId(1)), (1, 0));
}

#[test]
fn what_another_has_begun_gives_its_place_back() {
    let mut jobs = jobs(1, &[1, 2], Overlap::Skip);
    wait(&mut jobs, at(0), 1, 1, at(0));
    wait(&mut jobs, at(0), 2, 2, at(0));
    assert_eq!(begun(&mut jobs), [1]);
    // The ledger said no.
    end(&mut jobs, at(0), 1);
    assert_eq!(begun(&mut jobs), [2]);
    // Said twice it counts once.
    end(&mut jobs, at(0), 1);
    end(&mut jobs, at(0), 2);
    assert!(jobs.is_quiet());
}

#[test]
fn what_lingers_keeps_its_own_job_waiting_and_no_other() {
    let mut jobs = jobs(1, &[1, 2], Overlap::Queue);
    for (job, run) in [(1, 1), (1, 2), (2, 3)] {
        wait(&mut jobs, at(0), job, run, at(0));
    }
    assert_eq!(begun(&mut jobs), [1]);
    // Said twice it counts once.
    for second in [5, 6] {
        jobs.handle(at(second), JobEvent::Lingers { run: JobRunId(1) });
    }
    assert_eq!(begun(&mut jobs), [3]);
    assert_eq!(jobs.counts(JobId(1)), (1, 1));
    end(&mut jobs, at(7), 1);
    assert!(begun(&mut jobs).is_empty(), "its place was given away");
    end(&mut jobs, at(8), 3);
    assert_eq!(begun(&mut jobs), [2]);
}

#[test]
fn what_was_cancelled_or_removed_does_not_begin() {
    let mut jobs = jobs(1, &[1, 2], Overlap::Queue);
    for (job, run) in [(1, 1), (1, 2), (2, 3), (2, 4)] {
        wait(&mut jobs, at(0), job, run, at(0));
    }
    assert_eq!(begun(&mut jobs), [1]);
    jobs.handle(at(1), JobEvent::Withdrawn { run: JobRunId(3) });
    jobs.handle(at(1), JobEvent::Removed { job: JobId(1) });
    assert_eq!(effects(&mut jobs), [JobEffect::Drop { run: JobRunId(2) }]);
    end(&mut jobs, at(2), 1);
    assert_eq!(begun(&mut jobs), [4]);
    assert_eq!(jobs.standing(JobId(1)), None);
    // Whatever comes of it later is dropped.
    wait(&mut jobs, at(3), 1, 5, at(3));
    assert_eq!(effects(&mut jobs), [JobEffect::Drop { run: JobRunId(5) }]);
}

#[test]
fn nothing_begins_after_a_shutdown() {
    let mut jobs = jobs(1, &[1], Overlap::Queue);
    wait(&mut jobs, at(0), 1, 1, at(0));
    wait(&mut jobs, at(0), 1, 2, at(0));
    assert_eq!(begun(&mut jobs), [1]);
    jobs.handle(at(1), JobEvent::Shutdown);
    assert_eq!((jobs.poll_timeout(), jobs.is_quiet()), (None, false));
    end(&mut jobs, at(2), 1);
    jobs.handle_timeout(at(500));
    assert!(effects(&mut jobs).is_empty() && jobs.is_quiet());
}

#[test]
fn attempts_are_made_at_growing_distances() {
    let (backoff, longest) = (Duration::from_secs(30), Duration::from_secs(3600));
    let after = |attempt| retry_at(at(0), attempt, backoff, longest).duration_since(at(0));
    assert_eq!([1, 2, 3].map(after), [30, 60, 120].map(SignedDuration::from_secs));
    assert_eq!(after(40), SignedDuration::from_secs(3600));
}
