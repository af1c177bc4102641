//! What the scheduler makes of what its tasks bring, in orders that no test from without can have happen.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use verger_reaper::Reaper;
use verger_store::{End, JobChange, Liveness, NewJob, RunState, Store};
use verger_wire::RequestId;
use verger_wire::requests::JobNameParams;

use super::*;
use crate::clock::Clock;
use crate::config::{Config, Overrides};
use crate::home::Home;
use crate::outbox::Outbox;
use crate::replier::InFlight;

/// A scheduler that nobody runs: what its tasks bring is brought by hand.
struct Stage {
    scheduler: Scheduler,
    outbox: Outbox,
    in_flight: InFlight,
    requests: i64,
    answered: usize,
    /// Keeps what the scheduler sends to from being gone.
    _kept: (tempfile::TempDir, Box<dyn std::any::Any>),
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let config =
            Arc::new(Config::read(Path::new("/nonexistent"), &Arc::new(Overrides::default())).unwrap());
        let me = Arc::new(Run::begin(&home.state).unwrap());
        let store = Store::open(&home.state, me.id(), Arc::new(|_: &str| Liveness::Gone)).unwrap();
        let (reaper, reaping) = Reaper::start(&me, verger_reaper::Options::default()).unwrap();
        let clock = Clock::start();
        let shared = Arc::new(Shared::new(home, me.id().to_owned(), 0, clock, store, reaper, config));
        let (house, house_inbox) = HouseHandle::new();
        let (jobs, jobs_inbox) = JobsHandle::new();
        let kept = Box::new((house_inbox, jobs_inbox, Box::pin(reaping)));
        let scheduler = Scheduler::new(shared, (house, jobs), me, Alarm::new().unwrap(), true);
        let (outbox, in_flight) = (Outbox::new(clock), InFlight::default());
        Self { scheduler, outbox, in_flight, requests: 0, answered: 0, _kept: (dir, kept) }
    }

    fn replier(&mut self) -> Replier {
        self.requests += 1;
        self.in_flight.take(&self.outbox, RequestId::Integer(self.requests)).unwrap()
    }

    /// Somebody asks for a job.
    fn ask(&mut self, name: &str) {
        let (replier, name) = (self.replier(), name.to_owned());
        let request = Box::new(ClientRequest::JobRead(JobNameParams { name }));
        self.scheduler.take(ToJobs::Request { replier, request });
    }

    /// How many answers there were by now.
    fn answers(&mut self) -> usize {
        while let Some(Ok(_)) = self.outbox.next().now_or_never() {
            self.answered += 1;
        }
        self.answered
    }

    async fn add(&self, name: &str, definition: &str) -> JobRow {
        let now = self.scheduler.shared.clock.timestamp();
        let (name, definition) = (name.to_owned(), Some(definition.to_owned()));
        let new = NewJob { name, definition, schedule: None, cursor: now, created_at: now };
        self.scheduler.shared.store.add_job(new).await.unwrap()
    }

    fn entry(&self, row: &JobRow) -> Entry {
        Entry::new(row, &self.scheduler.shared.config()).unwrap()
    }

    fn book(&self, rows: &[&JobRow]) -> Result<BTreeMap<String, Entry>, JobError> {
        Ok(rows.iter().map(|row| (row.name.clone(), self.entry(row))).collect())
    }

    fn has_read(&mut self, read: Result<BTreeMap<String, Entry>, JobError>) {
        self.scheduler.report(Report::Read(read));
    }
}

const HI: &str = r#"{"schedule":"@yearly","prompt":"hi"}"#;
const BYE: &str = r#"{"schedule":"@yearly","prompt":"bye"}"#;

#[tokio::test]
async fn who_asks_before_the_book_could_be_read_is_answered_from_it() {
    let mut stage = Stage::new();
    let job = stage.add("job", HI).await;
    stage.scheduler.read();
    stage.ask("nobody");
    stage.has_read(Err(JobError::Store(StoreError::Closed)));
    assert_eq!(stage.answers(), 0, "nothing is known of any job");
    assert_eq!(stage.scheduler.later, [Chore::Read].into());
    stage.scheduler.report(Report::Again(Chore::Read));
    assert_eq!(stage.scheduler.reading, Reading::Now);
    let book = stage.book(&[&job]);
    stage.has_read(book);
    assert_eq!(stage.answers(), 1);
    assert!(stage.scheduler.is_adopting && stage.scheduler.book.contains_key("job"));
}

#[tokio::test]
async fn a_configuration_that_changes_during_the_first_read_leaves_it_the_first() {
    let mut stage = Stage::new();
    let job = stage.add("job", HI).await;
    stage.scheduler.read();
    stage.scheduler.take(ToJobs::ConfigChanged);
    stage.ask("nobody");
    let book = stage.book(&[&job]);
    stage.has_read(book);
    assert!(stage.scheduler.book.is_empty() && stage.answers() == 0, "it is of the configuration before");
    let book = stage.book(&[&job]);
    stage.has_read(book);
    assert!(stage.scheduler.is_adopting, "what others have left is looked after");
    assert_eq!(stage.answers(), 1);
}

#[tokio::test]
async fn nothing_is_put_down_before_what_others_have_left_is_looked_after() {
    let mut stage = Stage::new();
    let job = stage.add("job", r#"{"schedule":"every 1s","prompt":"hi"}"#).await;
    stage.scheduler.read();
    let book = stage.book(&[&job]);
    stage.has_read(book);
    let later = stage.scheduler.shared.clock.timestamp().checked_add(Duration::from_secs(5)).unwrap();
    stage.scheduler.machine.handle_timeout(later);
    stage.scheduler.perform_all();
    assert_eq!((stage.scheduler.puts.len(), stage.scheduler.putting), (1, 0));
    stage.scheduler.report(Report::Adopted(Err("no".to_owned())));
    assert_eq!(stage.scheduler.later, [Chore::Adopt].into(), "it is tried again");
    stage.scheduler.perform_all();
    assert_eq!((stage.scheduler.puts.len(), stage.scheduler.putting), (0, 1));
    // It came across what a server has left that died since.
    let run = JobRunId(7);
    let held = JobError::Abandoned { name: "job".to_owned(), run };
    stage.scheduler.report(Report::Put(job.id, Err(held.clone())));
    assert!(stage.scheduler.is_adopting);
    assert_eq!(stage.scheduler.machine.poll_timeout(), None, "its slots wait for that");
    // Of nothing that was taken over it is in vain to ask at once.
    stage.scheduler.report(Report::Adopted(Ok(Look::default())));
    let now = stage.scheduler.shared.clock.timestamp();
    let wait = stage.scheduler.machine.poll_timeout().unwrap().duration_since(now).as_secs();
    assert!((3..=5).contains(&wait), "{wait}");
    // What was in the way is this server's: it is put down at once.
    stage.scheduler.machine.handle_timeout(later.checked_add(Duration::from_secs(10)).unwrap());
    stage.scheduler.perform_all();
    stage.scheduler.report(Report::Put(job.id, Err(held)));
    let row = stage.scheduler.shared.store.add_run(job.id, now, 9).await.unwrap();
    let left = Adopted { adopted: vec![row], ..Adopted::default() };
    stage.scheduler.report(Report::Adopted(Ok(Look { left, ..Look::default() })));
    let wait = stage.scheduler.machine.poll_timeout().unwrap().duration_since(now).as_secs();
    assert!(wait <= 1, "{wait}");
}

#[tokio::test]
async fn what_is_not_proven_gone_still_runs_and_is_looked_at_again_later() {
    let mut stage = Stage::new();
    let job = stage.add("job", r#"{"schedule":"every 1s","prompt":"hi"}"#).await;
    stage.scheduler.read();
    let book = stage.book(&[&job]);
    stage.has_read(book);
    let unproven = BTreeSet::from(["it".to_owned()]);
    stage.scheduler.report(Report::Adopted(Ok(Look { unproven: unproven.clone(), ..Look::default() })));
    assert_eq!(stage.scheduler.later, [Chore::Adopt].into());
    let later = stage.scheduler.shared.clock.timestamp().checked_add(Duration::from_secs(5)).unwrap();
    stage.scheduler.machine.handle_timeout(later);
    while let Some(effect) = stage.scheduler.machine.poll_effect() {
        stage.scheduler.perform(effect);
    }
    assert_eq!(stage.scheduler.puts[0].unproven, ["it"], "its rows have slots skipped");
    stage.scheduler.report(Report::Again(Chore::Adopt));
    assert!(stage.scheduler.is_adopting && stage.scheduler.unproven.is_empty(), "it may have died by now");
}

#[tokio::test]
async fn an_answer_that_was_overtaken_undoes_nothing() {
    let mut stage = Stage::new();
    let older = stage.add("job", HI).await;
    let book = stage.book(&[&older]);
    stage.scheduler.read();
    stage.has_read(book);
    let edit = JobChange { definition: Some(BYE.to_owned()), ..JobChange::default() };
    let newer = stage.scheduler.shared.store.change_job("job", edit).await.unwrap();
    for row in [newer.clone(), older] {
        let replier = stage.replier();
        stage.scheduler.report(Report::Changed { replier, row, last: None });
    }
    assert_eq!(stage.answers(), 2);
    let known = &stage.scheduler.book["job"];
    assert_eq!((known.definition.prompt.as_deref(), known.standing), (Some("bye"), newer.standing));
}

#[tokio::test]
async fn the_end_of_a_job_is_not_that_of_another_of_its_name() {
    let mut stage = Stage::new();
    let old = stage.add("job", HI).await;
    stage.scheduler.read();
    let book = stage.book(&[&old]);
    stage.has_read(book);
    // Elsewhere it was removed, and added again.
    stage.scheduler.shared.store.remove_job("job").await.unwrap();
    let new = stage.add("job", BYE).await;
    stage.scheduler.read_again();
    let book = stage.book(&[&new]);
    stage.has_read(book);
    assert_eq!(stage.scheduler.book["job"].id, new.id);
    stage.scheduler.putting = 1;
    stage.scheduler.report(Report::Put(old.id, Err(JobError::Removed(old.id))));
    assert_eq!(stage.scheduler.book.get("job").map(|entry| entry.id), Some(new.id));
    assert_eq!(stage.scheduler.machine.standing(old.id), None, "no slot of it comes any more");
    stage.scheduler.report(Report::Looked(old.id, Ok(None)));
    assert!(stage.scheduler.book.contains_key("job"));
}

#[tokio::test]
async fn what_is_cancelled_while_it_could_not_begin_does_not_begin_later() {
    let mut stage = Stage::new();
    let job = stage.add("job", HI).await;
    stage.scheduler.read();
    let book = stage.book(&[&job]);
    stage.has_read(book);
    let row = stage.scheduler.shared.store.add_run(job.id, job.created_at, 9).await.unwrap();
    let (run, replier) = (row.id, stage.replier());
    let (stop, _stopped) = watch::channel(None);
    stage.scheduler.running.insert(run, Running { name: "job".to_owned(), stop, cancelling: vec![replier] });
    stage.scheduler.take(ToJobs::NotBegun { row: Box::new(row) });
    assert_eq!(stage.answers(), 0);
    while stage.answers() == 0 {
        let report = stage.scheduler.tasks.join_next().await.expect("somebody is to be answered").unwrap();
        stage.scheduler.report(report);
    }
    let ended = stage.scheduler.shared.store.job_run(run).await.unwrap().unwrap();
    assert_eq!(ended.state, RunState::Ended(End::Cancelled));
    assert_eq!(stage.scheduler.machine.counts(job.id), (0, 0), "it waits no more");
}

#[tokio::test]
async fn a_job_that_left_while_it_was_looked_at_has_slots_when_it_comes_back() {
    let mut stage = Stage::new();
    let job = stage.add("job", r#"{"schedule":"every 1s","prompt":"hi"}"#).await;
    stage.scheduler.read();
    let book = stage.book(&[&job]);
    stage.has_read(book);
    // A run of it goes on, so that it is remembered.
    let run = stage.scheduler.shared.store.add_run(job.id, job.created_at, 9).await.unwrap();
    stage.scheduler.wait_for(run);
    let later = stage.scheduler.shared.clock.timestamp().checked_add(Duration::from_secs(5)).unwrap();
    stage.scheduler.machine.handle_timeout(later);
    assert_eq!(stage.scheduler.machine.poll_timeout(), None, "its slots are on their way to the ledger");
    let nothing = stage.book(&[]);
    stage.scheduler.read_again();
    stage.has_read(nothing);
    stage.scheduler.report(Report::Looked(job.id, Ok(Some(job.clone()))));
    let book = stage.book(&[&job]);
    stage.scheduler.read_again();
    stage.has_read(book);
    assert!(stage.scheduler.machine.poll_timeout().is_some());
}

#[tokio::test]
async fn who_is_cancelled_is_so_whether_the_server_stops_before_or_after() {
    let mut stage = Stage::new();
    for (run, is_first) in [(1, true), (2, false)] {
        let (stop, stopped) = watch::channel(None);
        let running = Running { name: "job".to_owned(), stop, cancelling: Vec::new() };
        stage.scheduler.running.insert(JobRunId(run), running);
        let replier = stage.replier();
        if is_first {
            stage.scheduler.cancel(replier, JobRunId(run));
            stage.scheduler.take(ToJobs::Shutdown);
        } else {
            stage.scheduler.take(ToJobs::Shutdown);
            stage.scheduler.cancel(replier, JobRunId(run));
        }
        assert_eq!(*stopped.borrow(), Some(Stop::Cancelled));
    }
}

#[tokio::test]
async fn what_has_begun_when_it_was_to_be_cancelled_is_stopped() {
    let mut stage = Stage::new();
    let job = stage.add("job", HI).await;
    let run = stage.scheduler.shared.store.add_run(job.id, job.created_at, 9).await.unwrap().id;
    let replier = stage.replier();
    stage.scheduler.report(Report::Begun { replier, run });
    assert_eq!(stage.answers(), 1, "it has ended since");
    let (stop, stopped) = watch::channel(None);
    stage.scheduler.running.insert(run, Running { name: "j".to_owned(), stop, cancelling: Vec::new() });
    let replier = stage.replier();
    stage.scheduler.report(Report::Begun { replier, run });
    assert_eq!((stage.answers(), stopped.borrow().clone()), (1, Some(Stop::Cancelled)));
    assert_eq!(stage.scheduler.running[&run].cancelling.len(), 1);
}
