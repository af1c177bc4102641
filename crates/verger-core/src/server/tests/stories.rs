//! Short stories, told as transcripts: one event, then what the machine wants done.

use std::time::Duration;

use super::story::{A, B, PATIENCE, Story};
use super::world::thread;
use crate::ids::{Generation, HelperId, SubscriptionId};
use crate::server::{Edit, Ending, Event, OpenError, OrphanTurn, Rules, ServerName, StoreFailure};

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
