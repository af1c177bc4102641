//! Short stories, told as transcripts: one event, then what the machine wants done.

use std::time::Duration;

use super::world::thread;
use crate::ids::{ConnectionId, Generation, HelperId, SubscriptionId, Ticket};
use crate::server::{
    Edit, Effect, Ending, Event, OpenError, OrphanTurn, Rules, Server, ServerName, StoreFailure,
};
use crate::time::Time;

/// A server, a clock, and numbers for requests.
pub(super) struct Story {
    pub(super) server: Server,
    pub(super) now: Time,
    tickets: u64,
}

pub(super) const A: ConnectionId = ConnectionId(1);
pub(super) const B: ConnectionId = ConnectionId(2);
const PATIENCE: Duration = Duration::from_secs(30);

impl Story {
    pub(super) fn new(rules: Rules) -> Self {
        let mut story = Self { server: Server::new(rules), now: Time(1000), tickets: 0 };
        for connection in [A, B] {
            story.tell(Event::Connected { connection }, &[]);
        }
        story
    }

    /// One event, and what it must lead to.
    #[track_caller]
    pub(super) fn tell(&mut self, event: Event, expected: &[&str]) {
        self.server.handle(self.now, event);
        self.expect(expected);
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        let effects: Vec<_> = std::iter::from_fn(|| self.server.poll_effect()).map(|e| line(&e)).collect();
        assert_eq!(effects, expected);
    }

    #[track_caller]
    pub(super) fn after(&mut self, time: Duration, expected: &[&str]) {
        self.now = self.now.after(time);
        self.server.handle_timeout(self.now);
        self.expect(expected);
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    #[track_caller]
    pub(super) fn resume(&mut self, connection: ConnectionId, observe: bool, expected: &[&str]) {
        let ticket = self.ticket();
        self.tell(Event::Resume { ticket, connection, thread: thread(1), observe }, expected);
    }

    #[track_caller]
    pub(super) fn opened(&mut self, generation: u64, expected: &[&str]) {
        let generation = Generation(generation);
        self.tell(Event::Opened { thread: thread(1), generation, result: Ok(()) }, expected);
    }

    #[track_caller]
    fn begin_turn(&mut self, expected: &[&str]) {
        let ticket = self.ticket();
        self.tell(Event::Request { ticket, connection: A, thread: thread(1), begins_turn: true }, expected);
    }

    #[track_caller]
    pub(super) fn want(&mut self, generation: u64, expected: &[&str]) {
        let (ticket, generation) = (self.ticket(), Generation(generation));
        let server = ServerName::from("time");
        self.tell(
            Event::HelperWanted { thread: thread(1), generation, server, ticket, patience: PATIENCE },
            expected,
        );
    }

    #[track_caller]
    fn end(&mut self, ending: Ending, expected: &[&str]) {
        let ticket = self.ticket();
        self.tell(Event::End { ticket, connection: A, thread: thread(1), ending }, expected);
    }

    /// A thread that was saved, opened by A under generation 1, with a helper that runs.
    pub(super) fn with_helper(rules: Rules) -> Self {
        let mut story = Self::new(rules);
        story.resume(A, false, &["open 1"]);
        story.opened(1, &["attach 1"]);
        story.want(1, &["start helper 1"]);
        story.tell(Event::HelperReady { helper: HelperId(1) }, &["helper 1 for a waiter"]);
        story
    }
}

fn line(effect: &Effect) -> String {
    match effect {
        Effect::Refuse { refusal, .. } => format!("refuse {refusal:?}"),
        Effect::Answer { answer, .. } => format!("answer {answer:?}"),
        Effect::Open { generation, .. } => format!("open {generation}"),
        Effect::Attach { generation, .. } => format!("attach {generation}"),
        Effect::Detach { generation, .. } => format!("detach {generation}"),
        Effect::Forward { generation, .. } => format!("forward {generation}"),
        Effect::Interrupt { generation, .. } => format!("interrupt {generation}"),
        Effect::Stop { generation, .. } => format!("stop {generation}"),
        Effect::Store { ending, .. } => format!("store {ending:?}"),
        Effect::Edit { generation, edit, .. } => format!("edit {generation} {edit:?}"),
        Effect::StartHelper { helper, .. } => format!("start helper {helper}"),
        Effect::StopHelper { helper, how } => format!("stop helper {helper} {how:?}"),
        Effect::HelperFor { result: Ok(helper), .. } => format!("helper {helper} for a waiter"),
        Effect::HelperFor { result: Err(refusal), .. } => format!("no helper: {refusal:?}"),
        Effect::HelperCrashed { helper, .. } => format!("crashed with helper {helper}"),
        Effect::Announce { news, .. } => format!("announce {news:?}"),
        Effect::Finished { stuck } => format!("finished, {} stuck", stuck.len()),
    }
}

#[test]
fn the_last_client_leaves_and_the_thread_is_closed_when_its_helper_is_gone() {
    let mut story = Story::with_helper(Rules::default());
    let helper = HelperId(1);
    story.tell(
        Event::Disconnected { connection: A, cut: false },
        &["detach 1", "stop 1", "stop helper 1 Orderly"],
    );
    story.tell(Event::Stopped { thread: thread(1), generation: Generation(1) }, &[]);
    story.tell(Event::HelperGone { helper }, &["announce Unloaded", "announce Closed"]);
}

#[test]
fn a_thread_waits_for_a_client_that_was_cut_and_for_no_other() {
    let grace = Duration::from_secs(30);
    let mut story = Story::with_helper(Rules::default());
    story.tell(Event::Disconnected { connection: A, cut: true }, &["detach 1"]);
    story.resume(B, true, &["attach 1"]);
    // An observer that leaves changes nothing.
    story.tell(Event::Disconnected { connection: B, cut: false }, &["detach 1"]);
    assert_eq!(story.server.poll_timeout(), Some(story.now.after(grace)));
    story.after(grace, &["stop 1", "stop helper 1 Orderly"]);
}

#[test]
fn the_longer_grace_holds_for_a_client_that_was_cut() {
    let orphan_grace = Duration::from_secs(60);
    let mut story = Story::with_helper(Rules { orphan_grace, ..Rules::default() });
    story.tell(Event::Disconnected { connection: A, cut: true }, &["detach 1"]);
    assert_eq!(story.server.poll_timeout(), Some(story.now.after(orphan_grace)));
}

#[test]
fn a_second_client_keeps_the_thread_and_an_observer_does_not() {
    let mut story = Story::with_helper(Rules::default());
    story.resume(B, false, &["attach 1"]);
    story.tell(Event::Disconnected { connection: A, cut: false }, &["detach 1"]);
    story.resume(B, true, &["attach 1", "stop 1", "stop helper 1 Orderly"]);
}

#[test]
fn a_resume_while_closing_succeeds_at_once_and_its_helper_waits_for_the_proof() {
    let mut story = Story::with_helper(Rules::default());
    story.tell(
        Event::Disconnected { connection: A, cut: false },
        &["detach 1", "stop 1", "stop helper 1 Orderly"],
    );
    story.resume(B, false, &["open 2"]);
    story.opened(2, &["attach 2"]);
    story.want(2, &[]);
    story.tell(Event::Stopped { thread: thread(1), generation: Generation(1) }, &[]);
    // Nobody is told that the thread closed: it is loaded.
    story.tell(Event::HelperGone { helper: HelperId(1) }, &["start helper 2"]);
}

#[test]
fn a_resume_that_fails_while_closing_does_not_hide_the_closing() {
    let mut story = Story::with_helper(Rules::default());
    story.tell(
        Event::Disconnected { connection: A, cut: false },
        &["detach 1", "stop 1", "stop helper 1 Orderly"],
    );
    story.resume(B, false, &["open 2"]);
    story.tell(Event::HelperGone { helper: HelperId(1) }, &[]);
    story.tell(Event::Stopped { thread: thread(1), generation: Generation(1) }, &[]);
    let (generation, result) = (Generation(2), Err(OpenError::NotFound));
    story.tell(
        Event::Opened { thread: thread(1), generation, result },
        &["announce Unloaded", "announce Closed", "refuse Open(NotFound)"],
    );
}

#[test]
fn a_turn_that_begins_while_another_is_interrupted_is_interrupted_too() {
    let mut story = Story::with_helper(Rules { orphan_turn: OrphanTurn::Interrupt, ..Rules::default() });
    story.begin_turn(&["forward 1"]);
    story.tell(Event::Disconnected { connection: A, cut: false }, &["detach 1", "interrupt 1"]);
    let ticket = story.ticket();
    let begin = Event::Request { ticket, connection: B, thread: thread(1), begins_turn: true };
    story.tell(begin, &["forward 1"]);
    story.tell(Event::Idle { thread: thread(1), generation: Generation(1), seen: 1 }, &["interrupt 1"]);
}

#[test]
fn a_resume_that_is_refused_leaves_no_subscription() {
    let mut story = Story::new(Rules::default());
    story.resume(A, false, &["open 1"]);
    story.opened(1, &["attach 1"]);
    let (generation, subscription) = (Generation(1), SubscriptionId(1));
    story.tell(Event::AttachFailed { thread: thread(1), generation, subscription }, &["stop 1"]);
}

#[test]
fn an_archive_ends_the_turn_waits_for_the_proof_and_then_for_the_store() {
    let mut story = Story::with_helper(Rules::default());
    let generation = Generation(1);
    story.begin_turn(&["forward 1"]);
    story.end(Ending::Archive, &["interrupt 1"]);
    story.resume(B, false, &["refuse Ending(Archive)"]);
    story.tell(Event::Idle { thread: thread(1), generation, seen: 1 }, &["stop 1", "stop helper 1 Orderly"]);
    story.tell(Event::HelperGone { helper: HelperId(1) }, &[]);
    story.tell(Event::Stopped { thread: thread(1), generation }, &["store Archive"]);
    story.tell(
        Event::Stored { thread: thread(1), generation, result: Ok(()) },
        &["announce Unloaded", "answer Ended", "announce Archived"],
    );
}

#[test]
fn a_thread_that_ends_before_its_first_turn_has_nothing_to_keep() {
    let mut story = Story::new(Rules::default());
    let ticket = story.ticket();
    story.tell(Event::Start { ticket, connection: A, thread: thread(1), ephemeral: false }, &["open 1"]);
    story.opened(1, &["attach 1"]);
    let generation = Generation(1);
    story.end(Ending::Delete, &["stop 1"]);
    story.tell(Event::Stopped { thread: thread(1), generation }, &["store Delete"]);
    story.tell(
        Event::Stored { thread: thread(1), generation, result: Err(StoreFailure::NotFound) },
        &["announce Unloaded", "answer Ended", "announce Deleted"],
    );
    // Now nobody knows it any more.
    story.end(Ending::Delete, &["store Delete"]);
    let (generation, result) = (Generation(2), Err(StoreFailure::NotFound));
    story.tell(Event::Stored { thread: thread(1), generation, result }, &["refuse Store(NotFound)"]);
}

#[test]
fn an_ephemeral_thread_survives_what_it_is_refused() {
    let mut story = Story::new(Rules::default());
    let ticket = story.ticket();
    story.tell(Event::Start { ticket, connection: A, thread: thread(1), ephemeral: true }, &["open 1"]);
    story.opened(1, &["attach 1"]);
    story.end(Ending::Archive, &["refuse Store(NotFound)"]);
    story.end(Ending::Delete, &["refuse Store(NotFound)"]);
    story.begin_turn(&["forward 1"]);
}

#[test]
fn what_cannot_be_proven_gone_is_never_called_closed() {
    let mut story = Story::with_helper(Rules::default());
    story.end(Ending::Delete, &["stop 1", "stop helper 1 Orderly"]);
    story.tell(Event::Stopped { thread: thread(1), generation: Generation(1) }, &[]);
    story.tell(Event::HelperStuck { helper: HelperId(1) }, &["refuse Unproven"]);
    // The thread is neither deleted nor closed; it can be opened, but its server cannot start beside the stuck one.
    story.resume(A, false, &["open 2"]);
    story.opened(2, &["attach 2"]);
    story.want(2, &["no helper: Unproven"]);
    story.tell(Event::HelperGone { helper: HelperId(1) }, &[]);
    story.want(2, &["start helper 2"]);
}

#[test]
fn an_orphans_turn_is_finished_within_its_limit() {
    let limit = Duration::from_secs(60);
    let mut story = Story::with_helper(Rules { orphan_turn_limit: limit, ..Rules::default() });
    story.begin_turn(&["forward 1"]);
    story.tell(Event::Disconnected { connection: A, cut: false }, &["detach 1"]);
    story.after(limit / 2, &[]);
    story.after(limit / 2, &["interrupt 1"]);
    story.tell(
        Event::Idle { thread: thread(1), generation: Generation(1), seen: 1 },
        &["stop 1", "stop helper 1 Orderly"],
    );
}

#[test]
fn an_orphans_turn_is_interrupted_at_once_where_that_is_the_rule() {
    let mut story = Story::with_helper(Rules { orphan_turn: OrphanTurn::Interrupt, ..Rules::default() });
    story.begin_turn(&["forward 1"]);
    story.tell(Event::Disconnected { connection: A, cut: false }, &["detach 1", "interrupt 1"]);
}

#[test]
fn an_idle_that_crosses_a_new_turn_unloads_nothing() {
    let mut story = Story::with_helper(Rules::default());
    story.begin_turn(&["forward 1"]);
    story.begin_turn(&["forward 1"]);
    story.tell(Event::Disconnected { connection: A, cut: false }, &["detach 1"]);
    let generation = Generation(1);
    story.tell(Event::Idle { thread: thread(1), generation, seen: 1 }, &[]);
    story.tell(Event::Idle { thread: thread(1), generation, seen: 2 }, &["stop 1", "stop helper 1 Orderly"]);
}

#[test]
fn a_thread_that_cannot_be_resumed_from_the_store_waits_for_its_client() {
    let mut story = Story::new(Rules::default());
    let ticket = story.ticket();
    story.tell(Event::Start { ticket, connection: A, thread: thread(1), ephemeral: false }, &["open 1"]);
    story.opened(1, &["attach 1"]);
    story.tell(Event::Disconnected { connection: A, cut: false }, &["detach 1"]);
    story.after(Duration::from_secs(59), &[]);
    story.resume(B, false, &["attach 1"]);
    story.after(Duration::from_secs(59), &[]);
    story.tell(Event::Disconnected { connection: B, cut: false }, &["detach 1"]);
    story.after(Duration::from_secs(60), &["stop 1"]);
}

#[test]
fn an_ephemeral_thread_closes_at_once_when_its_client_says_so() {
    let mut story = Story::new(Rules::default());
    let ticket = story.ticket();
    story.tell(Event::Start { ticket, connection: A, thread: thread(1), ephemeral: true }, &["open 1"]);
    story.opened(1, &["attach 1"]);
    let ticket = story.ticket();
    story.tell(
        Event::Unsubscribe { ticket, connection: A, thread: thread(1) },
        &["detach 1", "answer Unsubscribed", "stop 1"],
    );
}

#[test]
fn a_shutdown_drains_turns_then_interrupts_them_and_ends_with_the_proof() {
    let mut story = Story::with_helper(Rules::default());
    story.begin_turn(&["forward 1"]);
    story.tell(Event::Shutdown, &[]);
    story.resume(B, false, &["refuse ShuttingDown"]);
    story.after(Duration::from_secs(5), &["interrupt 1"]);
    let generation = Generation(1);
    story.tell(Event::Idle { thread: thread(1), generation, seen: 1 }, &["stop 1", "stop helper 1 Orderly"]);
    story.tell(Event::Stopped { thread: thread(1), generation }, &[]);
    // The second signal skips the waiting, not the proof.
    story.tell(Event::Shutdown, &["stop helper 1 Kill"]);
    story.tell(
        Event::HelperGone { helper: HelperId(1) },
        &["announce Unloaded", "announce Closed", "finished, 0 stuck"],
    );
}

#[test]
fn a_reload_ends_what_changed_and_leaves_the_rest_alone() {
    let mut story = Story::with_helper(Rules::default());
    let ticket = story.ticket();
    let changed = [ServerName::from("browser")].into();
    story.tell(Event::Reload { ticket, changed }, &["answer Reloaded"]);
    let ticket = story.ticket();
    let changed = [ServerName::from("time")].into();
    story.tell(Event::Reload { ticket, changed }, &["stop helper 1 AfterCalls"]);
    story.want(1, &[]);
    story.tell(Event::HelperGone { helper: HelperId(1) }, &["start helper 2", "answer Reloaded"]);
}

#[test]
fn an_owner_that_fails_takes_its_thread_along_and_nothing_else() {
    let mut story = Story::with_helper(Rules::default());
    story.begin_turn(&["forward 1"]);
    let generation = Generation(1);
    story.tell(Event::OwnerDied { thread: thread(1), generation }, &["stop 1", "stop helper 1 Orderly"]);
    story.tell(Event::HelperGone { helper: HelperId(1) }, &["announce Unloaded", "announce Closed"]);
}

#[test]
fn a_resume_waits_for_the_unarchiving_and_then_finds_the_thread() {
    let mut story = Story::new(Rules::default());
    let (ticket, thread) = (story.ticket(), thread(1));
    story.tell(Event::Edit { ticket, connection: A, thread, edit: Edit::Unarchive }, &["edit 1 Unarchive"]);
    story.resume(B, false, &[]);
    let ticket = story.ticket();
    story.tell(Event::Edit { ticket, connection: A, thread, edit: Edit::Label }, &[]);
    let done = Event::Edited { thread, generation: Generation(1), result: Ok(()) };
    // The label comes behind the resume: it waits for the owner, who then makes it.
    story.tell(done, &["answer Edited", "announce Unarchived", "open 2"]);
    story.opened(2, &["attach 2", "forward 2"]);
}

#[test]
fn a_thread_that_is_being_put_away_is_neither_labelled_nor_forked() {
    let mut story = Story::with_helper(Rules::default());
    story.end(Ending::Archive, &["stop 1", "stop helper 1 Orderly"]);
    let (ticket, source) = (story.ticket(), thread(1));
    let label = Event::Edit { ticket, connection: B, thread: source, edit: Edit::Label };
    story.tell(label, &["refuse Ending(Archive)"]);
    let ticket = story.ticket();
    let fork = Event::Fork { ticket, connection: B, source, thread: thread(2), ephemeral: false };
    story.tell(fork, &["refuse Ending(Archive)"]);
}

#[test]
fn a_probe_is_answered_when_its_helper_is_gone() {
    let mut story = Story::new(Rules::default());
    let (ticket, thread, server) = (story.ticket(), thread(9), ServerName::from("time"));
    story.tell(
        Event::Probe { ticket, connection: A, thread, server, patience: PATIENCE },
        &["start helper 1"],
    );
    let helper = HelperId(1);
    story.tell(Event::HelperReady { helper }, &["helper 1 for a waiter"]);
    story.tell(Event::ProbeDone { ticket }, &["stop helper 1 Orderly"]);
    story.tell(Event::HelperGone { helper }, &["answer Probed"]);
}

#[test]
fn a_probe_ends_with_its_client() {
    let mut story = Story::new(Rules::default());
    let (ticket, thread, server) = (story.ticket(), thread(9), ServerName::from("time"));
    story.tell(
        Event::Probe { ticket, connection: A, thread, server, patience: PATIENCE },
        &["start helper 1"],
    );
    let gone = ["stop helper 1 Orderly", "no helper: Closed"];
    story.tell(Event::Disconnected { connection: A, cut: false }, &gone);
    story.tell(Event::ProbeDone { ticket }, &["stop helper 1 Orderly"]);
    story.tell(Event::HelperGone { helper: HelperId(1) }, &["answer Probed"]);
}
