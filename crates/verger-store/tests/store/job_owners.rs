//! Whose a job's run is: nobody else moves it, and when its server is gone it is taken over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use verger_core::job::{Overlap, Skipped};
use verger_store::{Adopted, Begun, End, JobError, JobRunRow, Liveness, PutSlots, RunState, Store};

use crate::home::{Home, some_thread};
use crate::jobs::{at, end, put, run_at, running, skip, some_job};

fn ids(runs: &[JobRunRow]) -> Vec<u64> {
    runs.iter().map(|run| run.id.0).collect()
}

/// Takes over what there is.
async fn adopt(store: &Store, second: i64) -> Adopted {
    let others = store.other_owners().await.unwrap();
    store.adopt_runs(others, at(second)).await.unwrap()
}

#[tokio::test]
async fn of_two_servers_one_puts_a_slot_down_and_only_it_may_run_it() {
    let home = Home::new();
    let (ours, theirs) = (home.open("ours"), home.open("theirs"));
    home.lives("ours", 1);
    home.lives("theirs", 2);
    let job = some_job(&ours).await;
    let tick = || put(job.id, 0, 1, &[run_at(1)], Overlap::Parallel);
    let (one, two) = tokio::join!(ours.put_slots(tick()), theirs.put_slots(tick()));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.standing, two.standing);
    assert_eq!(one.runs.len() + two.runs.len(), 1);
    let (owner, other, run) =
        if one.runs.is_empty() { (&theirs, &ours, &two.runs[0]) } else { (&ours, &theirs, &one.runs[0]) };

    assert_eq!(other.begin_run(run.id, Overlap::Parallel, at(1)).await.unwrap(), Begun::No);
    assert_eq!(owner.begin_run(run.id, Overlap::Parallel, at(1)).await.unwrap(), Begun::Yes);
    assert!(!other.set_run_thread(run.id, some_thread(), true).await.unwrap());
    let foreign = other.end_run(run.id, end(End::Failed, 2)).await;
    assert!(matches!(foreign, Err(JobError::Over(_))), "{foreign:?}");
    assert_eq!(other.active_runs().await.unwrap(), []);
    assert_eq!(ids(&owner.active_runs().await.unwrap()), [run.id.0]);
    assert!(matches!(other.remove_job("nightly").await, Err(JobError::Active { .. })));
    // A run of theirs is in the way of ours.
    let next = other.put_slots(put(job.id, 1, 2, &[run_at(2)], Overlap::Skip)).await.unwrap();
    assert_eq!(next.runs[0].state, RunState::Skipped);
    ours.close().await;
    theirs.close().await;
}

#[tokio::test]
async fn what_a_server_that_is_gone_has_left_is_taken_over_once() {
    let home = Home::new();
    let (ours, theirs, third) = (home.open("ours"), home.open("theirs"), home.open("third"));
    for (run, pid) in [("ours", 1), ("theirs", 2), ("third", 3)] {
        home.lives(run, pid);
    }
    let job = some_job(&ours).await;
    let own = running(&ours, &job, 1).await;
    assert!(ours.other_owners().await.unwrap().is_empty());
    let begun = running(&theirs, &job, 2).await;
    let waits = theirs.add_run(job.id, at(3), 9).await.unwrap();
    let live = running(&third, &job, 4).await;
    assert_eq!(ours.other_owners().await.unwrap().len(), 2);
    assert_eq!(adopt(&ours, 5).await, Adopted::default());

    home.dies("theirs");
    let abandoned = ours.remove_job("nightly").await;
    assert!(matches!(abandoned, Err(JobError::Active { run, .. }) if run == own.id), "{abandoned:?}");
    // Who was not named may have died since it was looked after them.
    let unnamed = ours.adopt_runs(vec!["third".to_owned()], at(5)).await.unwrap();
    assert_eq!(unnamed, Adopted::default());
    let adopted = adopt(&ours, 6).await;
    assert_eq!((ids(&adopted.interrupted), ids(&adopted.adopted)), (vec![begun.id.0], vec![waits.id.0]));
    let interrupted = &adopted.interrupted[0];
    assert_eq!(interrupted.state, RunState::Ended(End::Interrupted));
    assert_eq!((interrupted.ended_at, interrupted.server.as_deref()), (Some(at(6)), Some("theirs")));
    assert!(interrupted.reason.as_ref().unwrap().contains("without a word"));
    assert_eq!(adopt(&ours, 7).await, Adopted::default());

    // Should the lock have lied, the ledger is still safe.
    let zombie = theirs.end_run(begun.id, end(End::Succeeded, 8)).await;
    assert!(matches!(zombie, Err(JobError::Over(_))), "{zombie:?}");
    assert_eq!(theirs.begin_run(waits.id, Overlap::Parallel, at(8)).await.unwrap(), Begun::No);
    assert_eq!(ours.begin_run(waits.id, Overlap::Parallel, at(8)).await.unwrap(), Begun::Yes);
    assert_eq!(ids(&third.active_runs().await.unwrap()), [live.id.0]);
    let unended = ours.active_runs().await.unwrap().len() + 1;
    assert_eq!(theirs.unended_runs(live.job).await.unwrap(), (u32::try_from(unended).unwrap(), 0));
    for store in [ours, theirs, third] {
        store.close().await;
    }
}

#[tokio::test]
async fn a_job_goes_with_what_a_server_that_is_gone_had_not_begun() {
    let home = Home::new();
    let (ours, theirs) = (home.open("ours"), home.open("theirs"));
    home.lives("theirs", 2);
    let job = some_job(&ours).await;
    let run = running(&theirs, &job, 1).await;
    let thread = some_thread();
    theirs.set_run_thread(run.id, thread, true).await.unwrap();
    theirs.add_run(job.id, at(2), 9).await.unwrap();
    home.dies("theirs");
    let abandoned = ours.remove_job("nightly").await;
    assert!(matches!(abandoned, Err(JobError::Abandoned { run: id, .. }) if id == run.id), "{abandoned:?}");
    home.lives("theirs", 2);
    theirs.end_run(run.id, end(End::Succeeded, 3)).await.unwrap();
    assert!(matches!(ours.remove_job("nightly").await, Err(JobError::Active { .. })));
    home.dies("theirs");
    let removed = ours.remove_job("nightly").await.unwrap();
    assert_eq!((removed.job.id, removed.threads), (job.id, vec![thread]));
    assert_eq!(ours.job_runs(job.id, None, 10).await.unwrap(), []);
    assert_eq!(theirs.active_runs().await.unwrap(), []);
    ours.close().await;
    theirs.close().await;
}

#[tokio::test]
async fn no_slot_is_skipped_for_a_run_of_a_server_that_is_gone() {
    let home = Home::new();
    let (ours, theirs) = (home.open("ours"), home.open("theirs"));
    home.lives("ours", 1);
    home.lives("theirs", 2);
    let job = some_job(&ours).await;
    let begun = running(&theirs, &job, 1).await;
    theirs.add_run(job.id, at(1), 9).await.unwrap();
    home.dies("theirs");
    let tick = |seen, overlap| put(job.id, seen, seen + 1, &[run_at(seen + 1)], overlap);
    let held = ours.put_slots(tick(1, Overlap::Skip)).await;
    assert!(matches!(held, Err(JobError::Abandoned { run, .. }) if run == begun.id), "{held:?}");
    assert_eq!(ours.job_by_id(job.id).await.unwrap().unwrap().standing.cursor, at(1));
    // It is not in the way of what may overlap, nor of what is skipped anyhow.
    let beside = ours.put_slots(tick(1, Overlap::Parallel)).await.unwrap();
    ours.end_run(beside.runs[0].id, end(End::Cancelled, 2)).await.unwrap();
    ours.put_slots(put(job.id, 2, 3, &[skip(3, 3, Skipped::Missed)], Overlap::Skip)).await.unwrap();

    // What cannot be ended runs still.
    let stuck = PutSlots { unproven: vec!["theirs".to_owned()], ..tick(3, Overlap::Skip) };
    let skipped = ours.put_slots(stuck).await.unwrap();
    assert_eq!(skipped.runs[0].skipped(), Some(Skipped::Overlap));

    // What it had not begun is this server's then, and it lives.
    let waits = adopt(&ours, 3).await.adopted.remove(0);
    let skipped = ours.put_slots(tick(4, Overlap::Skip)).await.unwrap();
    assert_eq!(skipped.runs[0].skipped(), Some(Skipped::Overlap));
    ours.end_run(waits.id, end(End::Cancelled, 4)).await.unwrap();
    let next = ours.put_slots(tick(5, Overlap::Skip)).await.unwrap();
    assert_eq!(next.runs[0].state, RunState::Scheduled);
    ours.close().await;
    theirs.close().await;
}

#[tokio::test]
async fn each_owner_is_asked_for_once() {
    let home = Home::new();
    let theirs = home.open("theirs");
    let job = some_job(&theirs).await;
    for slot in 1..=5 {
        running(&theirs, &job, slot).await;
        theirs.add_run(job.id, at(slot), 99).await.unwrap();
    }
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let liveness = move |run: &str| {
        assert_eq!(run, "theirs");
        count.fetch_add(1, Ordering::Relaxed);
        Liveness::Gone
    };
    let ours = Store::open(&home.path(), "ours", Arc::new(liveness)).unwrap();
    let adopted = adopt(&ours, 9).await;
    assert_eq!((adopted.interrupted.len(), adopted.adopted.len()), (5, 5));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    ours.close().await;
    theirs.close().await;
}
