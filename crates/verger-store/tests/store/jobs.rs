//! Jobs and what becomes of their slots, as one server sees it.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use verger_core::ids::{JobId, JobRunId};
use verger_core::job::{Entry, Overlap, Skipped, Slots, Standing, Tick};
use verger_store::{
    Begun, Cause, End, JobChange, JobError, JobRow, JobRunRow, NewJob, NewSkip, Origin, Put, PutSlots,
    RunEnd, RunState, Store,
};

use crate::home::{Home, some_thread};

/// A moment so many seconds from the first.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A job of the config that is at second 0.
pub(crate) async fn some_job(store: &Store) -> JobRow {
    store.ensure_job("nightly", "@daily", at(0)).await.unwrap()
}

pub(crate) fn run_at(second: i64) -> Entry {
    Entry::Run { slot: at(second), due: at(second), late: false }
}

pub(crate) fn skip(first: i64, last: i64, why: Skipped) -> Entry {
    Entry::Skip { slots: slots(first, last), why }
}

fn slots(first: i64, last: i64) -> Slots {
    Slots { first: at(first), last: at(last), count: u32::try_from(last - first + 1).unwrap(), more: false }
}

pub(crate) fn put(job: JobId, seen: i64, upto: i64, entries: &[Entry], overlap: Overlap) -> PutSlots {
    let tick = Tick { cursor: at(upto), entries: entries.to_vec() };
    PutSlots {
        job,
        seen: at(seen),
        revision: None,
        tick,
        overlap,
        most_waiting: 2,
        keep: u32::MAX,
        unproven: Vec::new(),
        now: at(upto),
    }
}

pub(crate) fn end(end: End, now: i64) -> RunEnd {
    RunEnd {
        end,
        reason: None,
        summary: None,
        now: at(now),
        retry_at: None,
        keep: 100,
        only_scheduled: false,
    }
}

/// One slot, begun.
pub(crate) async fn running(store: &Store, job: &JobRow, slot: i64) -> JobRunRow {
    let seen = store.job_by_id(job.id).await.unwrap().unwrap().standing.cursor;
    let tick = Tick { cursor: at(slot), entries: vec![run_at(slot)] };
    let put = PutSlots { seen, tick, most_waiting: 100, ..put(job.id, 0, slot, &[], Overlap::Parallel) };
    let run = store.put_slots(put).await.unwrap().runs.remove(0);
    assert_eq!(store.begin_run(run.id, Overlap::Parallel, at(slot)).await.unwrap(), Begun::Yes);
    store.job_run(run.id).await.unwrap().unwrap()
}

fn states(put: &Put) -> Vec<RunState> {
    put.runs.iter().map(|run| run.state).collect()
}

#[tokio::test]
async fn a_job_is_added_once_changed_and_removed() {
    let home = Home::new();
    let store = home.open("run");
    let new = NewJob {
        name: "nightly".to_owned(),
        definition: Some("{}".to_owned()),
        schedule: None,
        cursor: at(5),
        created_at: at(4),
    };
    let job = store.add_job(new.clone()).await.unwrap();
    assert_eq!(
        (job.name.as_str(), job.definition.as_deref(), job.created_at),
        ("nightly", Some("{}"), at(4))
    );
    assert_eq!((job.standing.cursor, job.standing.fired, job.standing.paused), (at(5), 0, false));
    let again = store.add_job(new).await.unwrap_err();
    assert!(again.to_string().contains("added at run time"), "{again}");
    let ensured = store.ensure_job("nightly", "@daily", at(9)).await;
    assert!(matches!(ensured, Err(JobError::Exists { origin: Origin::RunTime, .. })), "{ensured:?}");

    let change = JobChange { definition: Some("{1}".to_owned()), paused: Some(true), ..JobChange::default() };
    let changed = store.change_job("nightly", change).await.unwrap();
    assert_eq!((changed.definition.as_deref(), changed.standing.paused), (Some("{1}"), true));
    assert!(changed.standing.revision > job.standing.revision);
    let seen = JobChange { seen: Some(job.standing.revision), ..JobChange::default() };
    assert!(matches!(store.change_job("nightly", seen).await, Err(JobError::Moved(_))));
    assert_eq!(store.job("nightly").await.unwrap(), Some(changed.clone()));
    assert_eq!(store.job_by_id(job.id).await.unwrap(), Some(changed));

    store.remove_job("nightly").await.unwrap();
    assert_eq!(store.job("nightly").await.unwrap(), None);
    assert!(matches!(store.remove_job("nightly").await, Err(JobError::NotFound(_))));
    let late = store.put_slots(put(job.id, 5, 6, &[run_at(6)], Overlap::Skip)).await;
    assert!(matches!(late, Err(JobError::Removed(id)) if id == job.id), "{late:?}");
    assert_ne!(some_job(&store).await.id, job.id, "a number is never used again");
    store.close().await;
}

#[tokio::test]
async fn a_job_of_the_config_is_where_it_was_when_it_is_read_again() {
    let home = Home::new();
    let store = home.open("run");
    let job = some_job(&store).await;
    let put = store.put_slots(put(job.id, 0, 1, &[run_at(1)], Overlap::Skip)).await.unwrap();
    store.close().await;
    let store = home.open("later");
    let again = store.ensure_job("nightly", "@daily", at(9)).await.unwrap();
    assert_eq!((again.id, again.standing), (job.id, put.standing));
    // By another schedule its slots begin anew, and never where they have been.
    let moved = store.ensure_job("nightly", "@hourly", at(9)).await.unwrap();
    assert_eq!((put.standing.fired, moved.standing.fired), (1, 0), "they are counted anew");
    assert_eq!(moved.standing.cursor, at(9));
    assert!(moved.standing.revision > again.standing.revision);
    let back = store.ensure_job("nightly", "@daily", at(3)).await.unwrap();
    assert_eq!(back.standing.cursor, at(9));
    let name = "nightly".to_owned();
    let taken = NewJob { name, definition: None, schedule: None, cursor: at(0), created_at: at(0) };
    let taken = store.add_job(taken).await;
    assert!(matches!(taken, Err(JobError::Exists { origin: Origin::Config, .. })), "{taken:?}");
    store.close().await;
}

#[tokio::test]
async fn a_tick_puts_its_slots_down_and_the_job_has_come_to_its_end() {
    let home = Home::new();
    let store = home.open("run");
    let job = some_job(&store).await;
    let late = Entry::Run { slot: at(4), due: at(6), late: true };
    let entries = [skip(1, 3, Skipped::Merged), late];
    let done = store.put_slots(put(job.id, 0, 4, &entries, Overlap::Skip)).await.unwrap();
    assert_eq!((done.standing.cursor, done.standing.fired), (at(4), 1));
    assert_eq!(done.standing.revision, job.standing.revision + 1);
    let [skipped, run] = &done.runs[..] else { panic!("{done:?}") };
    assert_eq!((skipped.slot, skipped.last_slot, skipped.slots), (Some(at(1)), Some(at(3)), 3));
    assert_eq!((skipped.state, skipped.skipped()), (RunState::Skipped, Some(Skipped::Merged)));
    assert_eq!((skipped.server.as_deref(), skipped.ended_at), (None, Some(at(4))));
    assert_eq!((run.slot, run.due_at, run.cause, run.attempt), (Some(at(4)), at(6), Cause::Missed, 1));
    assert_eq!((run.state, run.server.as_deref()), (RunState::Scheduled, Some("run")));
    assert_eq!(store.job_runs(job.id, None, 10).await.unwrap(), [run.clone(), skipped.clone()]);
    assert_eq!(store.last_run(job.id).await.unwrap().as_ref(), Some(run));
    let older = store.job_runs(job.id, Some(run.id), 10).await.unwrap();
    assert_eq!(older.iter().collect::<Vec<_>>(), [skipped]);

    // Of the standing that was: nothing happens, and the present one is told.
    let stale = store.put_slots(put(job.id, 0, 1, &[run_at(1)], Overlap::Parallel)).await.unwrap();
    assert_eq!(stale, Put { standing: done.standing, runs: vec![] });
    let paused = JobChange { paused: Some(true), ..JobChange::default() };
    let paused = store.change_job("nightly", paused).await.unwrap().standing;
    let idle = store.put_slots(put(job.id, 4, 5, &[run_at(5)], Overlap::Parallel)).await.unwrap();
    assert_eq!(idle, Put { standing: paused, runs: vec![] });
    store.close().await;
}

#[tokio::test]
async fn a_slot_of_less_than_a_millisecond_does_not_come_again() {
    let home = Home::new();
    let store = home.open("run");
    let job = some_job(&store).await;
    let slot = at(1) + jiff::SignedDuration::from_nanos(1);
    let entries = vec![Entry::Run { slot, due: slot, late: false }];
    let tick = Tick { cursor: slot, entries };
    let put = PutSlots { tick, ..put(job.id, 0, 1, &[], Overlap::Skip) };
    let standing = store.put_slots(put).await.unwrap().standing;
    assert!(standing.cursor >= slot, "{standing:?}");
    store.close().await;
}

#[tokio::test]
async fn what_overlaps_is_skipped_or_waits_in_a_queue_that_has_an_end() {
    let home = Home::new();
    let store = home.open("run");
    let job = some_job(&store).await;
    let entries = [run_at(1), run_at(2)];
    let done = store.put_slots(put(job.id, 0, 2, &entries, Overlap::Skip)).await.unwrap();
    assert_eq!(states(&done), [RunState::Scheduled, RunState::Skipped]);
    assert_eq!(done.runs[1].skipped(), Some(Skipped::Overlap));
    assert!(done.runs[1].reason.as_ref().unwrap().contains(&format!("run {} ", done.runs[0].id)));
    assert_eq!(done.standing.fired, 1, "what is skipped was not put down to be run");

    // Two may wait, and one does.
    let entries = [run_at(3), run_at(4)];
    let done = store.put_slots(put(job.id, 2, 4, &entries, Overlap::Queue)).await.unwrap();
    assert_eq!(states(&done), [RunState::Scheduled, RunState::Skipped]);
    assert_eq!(done.runs[1].skipped(), Some(Skipped::QueueFull));
    // What runs does not wait.
    assert_eq!(store.begin_run(done.runs[0].id, Overlap::Parallel, at(4)).await.unwrap(), Begun::Yes);
    let done = store.put_slots(put(job.id, 4, 5, &[run_at(5)], Overlap::Parallel)).await.unwrap();
    assert_eq!(states(&done), [RunState::Scheduled]);

    assert!(matches!(store.add_run(job.id, at(6), 2).await, Err(JobError::QueueFull { most: 2, .. })));
    let by_hand = store.add_run(job.id, at(6), 3).await.unwrap();
    assert_eq!((by_hand.slot, by_hand.slots, by_hand.cause), (None, 0, Cause::Manual));
    assert_eq!(store.job_by_id(job.id).await.unwrap().unwrap().standing, done.standing);
    let active = store.active_runs().await.unwrap();
    assert_eq!(active.len(), 4);
    let page = store.jobs_with_last(None, 10).await.unwrap();
    assert_eq!((page[0].scheduled, page[0].running, page[0].last.as_ref()), (3, 1, Some(&by_hand)));
    store.close().await;
}

#[tokio::test]
async fn what_passed_during_a_pause_is_put_down_once() {
    let home = Home::new();
    let store = home.open("run");
    let job = some_job(&store).await;
    let resume = |last| JobChange {
        paused: Some(false),
        cursor: Some(at(1)),
        skipped: Some(NewSkip { slots: slots(1, last), why: Skipped::Paused, now: at(last) }),
        ..JobChange::default()
    };
    let resumed = store.change_job("nightly", resume(3)).await.unwrap();
    assert_eq!(resumed.standing.cursor, at(3), "no slot that was put down is before it");
    // A second server resumes it at the same time, a little later.
    assert!(matches!(store.change_job("nightly", resume(4)).await, Err(JobError::Moved(_))));
    let back = JobChange { cursor: Some(at(2)), fired: Some(7), ..JobChange::default() };
    let standing = store.change_job("nightly", back).await.unwrap().standing;
    assert_eq!((standing.cursor, standing.fired), (at(3), 7));
    let history = store.job_runs(job.id, None, 10).await.unwrap();
    assert_eq!(history.iter().map(JobRunRow::skipped).collect::<Vec<_>>(), [Some(Skipped::Paused)]);
    store.close().await;
}

#[tokio::test]
async fn a_run_begins_once_ends_once_and_then_never_changes() {
    let home = Home::new();
    let store = home.open("run");
    let job = some_job(&store).await;
    let run = running(&store, &job, 1).await;
    assert_eq!((run.state, run.started_at), (RunState::Running, Some(at(1))));
    assert_eq!(store.begin_run(run.id, Overlap::Parallel, at(2)).await.unwrap(), Begun::No);
    let thread = some_thread();
    assert!(store.set_run_thread(run.id, thread, true).await.unwrap());
    let failed = RunEnd {
        reason: Some("no".to_owned()),
        summary: Some("so far".to_owned()),
        retry_at: Some(at(9)),
        ..end(End::Failed, 3)
    };
    let ended = store.end_run(run.id, failed).await.unwrap();
    assert_eq!((ended.row.state, ended.row.ended_at), (RunState::Ended(End::Failed), Some(at(3))));
    assert_eq!((ended.row.reason.as_deref(), ended.row.summary.as_deref()), (Some("no"), Some("so far")));
    assert_eq!(ended.row.thread, Some(thread));
    let retry = ended.retry.unwrap();
    assert_eq!((retry.slot, retry.attempt, retry.cause, retry.due_at), (run.slot, 2, Cause::Retry, at(9)));
    assert_eq!((retry.state, retry.thread, retry.started_at), (RunState::Scheduled, None, None));
    assert_eq!(store.job_by_id(job.id).await.unwrap().unwrap().standing.fired, 1);

    let again = store.end_run(run.id, end(End::Succeeded, 4)).await;
    assert!(matches!(again, Err(JobError::Over(id)) if id == run.id), "{again:?}");
    assert!(!store.set_run_thread(run.id, some_thread(), true).await.unwrap());
    assert_eq!(store.begin_run(run.id, Overlap::Parallel, at(4)).await.unwrap(), Begun::No);
    // Not even at the hand of somebody else's program.
    let conn = Connection::open(home.path().join("store.db")).unwrap();
    for sql in ["state = 0", "summary = 'better'", "thread = NULL", "run_no = 99"] {
        let forged = conn
            .execute(&format!("UPDATE job_run SET {sql} WHERE run_no = ?1"), [run.id.0.cast_signed()])
            .unwrap_err();
        assert!(forged.to_string().contains("never changes"), "{forged}");
    }
    let twice = conn.execute(
        "INSERT INTO job_run (job_no, slot, slots, more, attempt, cause, state, due_at) VALUES (?1, ?2, 1, 0, 1, 0, 0, 0)",
        params![job.id.0, at(1).as_millisecond()],
    );
    assert!(twice.unwrap_err().to_string().contains("UNIQUE"));
    // What came of telling somebody is beside it.
    assert!(store.put_notice(run.id, at(5), false, "nobody there".to_owned()).await.unwrap());
    assert!(!store.put_notice(JobRunId(99), at(5), true, String::new()).await.unwrap());
    let seen = store.job_run(run.id).await.unwrap().unwrap();
    assert_eq!(JobRunRow { notice: None, ..seen.clone() }, ended.row);
    assert_eq!(seen.notice.unwrap().message, "nobody there");
    store.close().await;
}

#[tokio::test]
async fn what_was_not_begun_can_be_cancelled() {
    let home = Home::new();
    let store = home.open("run");
    let job = some_job(&store).await;
    let run = store.add_run(job.id, at(1), 9).await.unwrap();
    let ended = store.end_run(run.id, end(End::Cancelled, 2)).await.unwrap();
    assert_eq!((ended.row.state, ended.row.started_at), (RunState::Ended(End::Cancelled), None));
    assert_eq!(store.begin_run(run.id, Overlap::Parallel, at(3)).await.unwrap(), Begun::No);
    store.close().await;
}

#[tokio::test]
async fn the_newest_rows_stay_and_what_is_not_over_stays_whatever_its_age() {
    let home = Home::new();
    let store = home.open("run");
    let job = some_job(&store).await;
    let old = running(&store, &job, 1).await;
    let mut ids = vec![];
    for slot in 2..=5 {
        let run = running(&store, &job, slot).await;
        store.put_notice(run.id, at(slot), true, String::new()).await.unwrap();
        ids.push(run.id);
    }
    let keep_two = || RunEnd { keep: 2, ..end(End::Succeeded, 9) };
    let pruned = async |run| {
        let ended = store.end_run(run, keep_two()).await.unwrap();
        ended.pruned.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(pruned(ids[0]).await, []);
    assert_eq!(pruned(ids[1]).await, []);
    assert_eq!(pruned(ids[3]).await, [ids[0]]);
    assert_eq!(pruned(ids[2]).await, [ids[1]]);
    // The oldest, which ends last: it is not removed by its own end.
    assert_eq!(pruned(old.id).await, []);
    let next = running(&store, &job, 6).await;
    assert_eq!(pruned(next.id).await, [old.id, ids[2]]);
    let left = store.job_runs(job.id, None, 100).await.unwrap();
    assert_eq!(left.iter().map(|run| run.id).collect::<Vec<_>>(), [next.id, ids[3]]);
    store.close().await;
    let conn = Connection::open(home.path().join("store.db")).unwrap();
    let notices: u32 = conn.query_row("SELECT count(*) FROM job_notice", [], |row| row.get(0)).unwrap();
    assert_eq!(notices, 1, "they go with their rows");
}

#[tokio::test]
async fn what_has_begun_is_not_ended_by_who_thought_that_it_waits() {
    let home = Home::new();
    let store = home.open("run");
    let job = some_job(&store).await;
    let cancelled = || RunEnd { only_scheduled: true, ..end(End::Cancelled, 2) };
    let begun = running(&store, &job, 1).await;
    let ended = store.end_run(begun.id, cancelled()).await;
    assert!(matches!(ended, Err(JobError::Over(id)) if id == begun.id), "{ended:?}");
    assert_eq!(store.job_run(begun.id).await.unwrap(), Some(begun));
    let waits = store.add_run(job.id, at(1), 9).await.unwrap();
    let ended = store.end_run(waits.id, cancelled()).await.unwrap();
    assert_eq!(ended.row.state, RunState::Ended(End::Cancelled));
    store.close().await;
}

#[tokio::test]
async fn a_run_that_takes_long_does_not_let_skipped_slots_pile_up() {
    let home = Home::new();
    let store = home.open("run");
    let job = some_job(&store).await;
    let long = running(&store, &job, 1).await;
    // From before there was a limit.
    let many: Vec<_> = (2..=40).map(run_at).collect();
    store.put_slots(put(job.id, 1, 40, &many, Overlap::Skip)).await.unwrap();
    let skipped = async || {
        let rows = store.job_runs(job.id, None, 100).await.unwrap();
        let slots = rows.iter().filter(|run| run.state == RunState::Skipped);
        slots.map(|run| run.slot.unwrap().as_second() - at(0).as_second()).collect::<Vec<_>>()
    };
    assert_eq!(skipped().await.len(), 39);
    let keep = |keep, seen, upto| {
        let entries: Vec<_> = (seen + 1..=upto).map(run_at).collect();
        PutSlots { keep, ..put(job.id, seen, upto, &entries, Overlap::Skip) }
    };
    store.put_slots(keep(3, 40, 41)).await.unwrap();
    assert_eq!(skipped().await, (19..=41).rev().collect::<Vec<_>>(), "a bounded number at once, the oldest");
    store.put_slots(keep(3, 41, 44)).await.unwrap();
    store.put_slots(keep(3, 44, 45)).await.unwrap();
    assert_eq!(skipped().await, [45, 44, 43]);
    let told = store.put_slots(keep(0, 45, 46)).await.unwrap();
    assert_eq!(skipped().await, [46], "what is told of is there");
    assert_eq!(told.runs.len(), 1);
    assert_eq!(store.job_run(long.id).await.unwrap(), Some(long));
    store.close().await;
}

#[tokio::test]
async fn nothing_is_put_down_for_a_job_that_was_told_to_be_another() {
    let home = Home::new();
    let store = home.open("ours");
    let job = some_job(&store).await;
    let tick = |standing: Standing| PutSlots {
        revision: Some(standing.revision),
        seen: standing.cursor,
        ..put(job.id, 0, 90, &[run_at(90)], Overlap::Skip)
    };
    let edit = JobChange { definition: Some("{1}".to_owned()), ..JobChange::default() };
    let edited = store.change_job(&job.name, edit).await.unwrap().standing;
    assert_eq!(edited.cursor, job.standing.cursor, "it has come no further");
    assert_eq!(
        store.put_slots(tick(job.standing)).await.unwrap(),
        Put { standing: edited, runs: Vec::new() }
    );
    assert_eq!(store.put_slots(tick(edited)).await.unwrap().runs.len(), 1);
    store.close().await;
}

#[tokio::test]
async fn of_two_edits_of_one_definition_the_second_is_refused() {
    let home = Home::new();
    let store = home.open("run");
    let name = "added".to_owned();
    let definition = Some("{}".to_owned());
    let new = NewJob { name, definition, schedule: None, cursor: at(0), created_at: at(0) };
    store.add_job(new).await.unwrap();
    let edit = |was: &str, definition: &str| JobChange {
        was: Some(was.to_owned()),
        definition: Some(definition.to_owned()),
        ..JobChange::default()
    };
    store.change_job("added", edit("{}", "{1}")).await.unwrap();
    let lost = store.change_job("added", edit("{}", "{2}")).await;
    assert!(matches!(lost, Err(JobError::Moved(_))), "{lost:?}");
    assert_eq!(store.job("added").await.unwrap().unwrap().definition.as_deref(), Some("{1}"));
    // What changes something else is not in the way.
    let paused = JobChange { paused: Some(true), ..JobChange::default() };
    store.change_job("added", paused).await.unwrap();
    let edited = store.change_job("added", edit("{1}", "{2}")).await.unwrap();
    assert_eq!((edited.definition.as_deref(), edited.standing.paused), (Some("{2}"), true));
    store.close().await;
}

#[tokio::test]
async fn ten_thousand_jobs_come_in_pages() {
    let home = Home::new();
    let store = home.open("run");
    let mut adding = tokio::task::JoinSet::new();
    for n in 0..10_000 {
        let store = store.clone();
        adding.spawn(async move { store.ensure_job(&format!("job-{n:05}"), "@daily", at(n)).await.unwrap() });
    }
    assert_eq!(adding.join_all().await.len(), 10_000);
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.jobs_with_last(after.as_deref(), 100).await.unwrap();
        let names: Vec<_> = store.jobs(after.as_deref(), 100).await.unwrap();
        assert!(page.iter().map(|entry| &entry.job).eq(&names));
        assert!(page.len() <= 100 && page.iter().all(|entry| entry.last.is_none()));
        let Some(last) = page.last() else { break };
        after = Some(last.job.name.clone());
        seen.extend(page.into_iter().map(|entry| entry.job.name));
    }
    assert_eq!(seen.len(), 10_000);
    assert!(seen.is_sorted());
    store.close().await;
}
