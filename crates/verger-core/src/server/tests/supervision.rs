//! Stories of servers that fail: how long they wait, when they are crashed, and what ends that.

use std::time::Duration;

use super::story::{A, B, Story};
use super::world::thread;
use crate::ids::{Generation, HelperId};
use crate::server::{Bar, Effect, Event, Refusal, Restarts, Rules, ServerName};

const MINUTE: Duration = Duration::from_secs(60);

/// Waits are half of `delay` and more; nothing is due before this.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_millis(500);

impl Story {
    /// The helper exits by itself and is proven gone.
    #[track_caller]
    fn dies(&mut self, helper: u64, expected: &[&str]) {
        let helper = HelperId(helper);
        self.tell(Event::HelperFailed { helper, message: "it fell over".into() }, expected);
        self.tell(Event::HelperGone { helper }, &[]);
    }

    /// A helper is wanted and starts as soon as it may.
    #[track_caller]
    fn starts_late(&mut self, helper: u64) {
        self.want(1, &[]);
        let due = self.server.poll_timeout().expect("a helper waits");
        self.after(due.from(self.now), &[&format!("start helper {helper}")]);
    }

    fn bars(&self) -> Vec<Bar> {
        self.server.troubles(self.now).map(|trouble| trouble.bar).collect()
    }

    /// Helper 1 to 5 die; the last of them makes it a crash.
    fn crashed() -> Self {
        let mut story = Self::with_helper(Rules::default());
        for helper in 1..5 {
            story.dies(helper, if helper == 1 { &[] } else { &["no helper: Helper(\"it fell over\")"] });
            story.starts_late(helper + 1);
        }
        story.dies(5, &["no helper: Helper(\"it fell over\")", "crashed with helper 5"]);
        assert_eq!(story.bars(), [Bar::Crashed]);
        story
    }
}

const CRASHED: &str = "no helper: Crashed { reason: \"it fell over\", failures: 5 }";

fn restart(story: &mut Story, of: Option<u128>) -> Event {
    Event::Restart { ticket: story.ticket(), server: ServerName::from("time"), thread: of.map(thread) }
}

#[test]
fn who_wants_a_helper_soon_after_a_death_waits_a_moment_and_gets_one() {
    let mut story = Story::with_helper(Rules::default());
    story.dies(1, &[]);
    story.want(1, &[]);
    story.want(1, &[]);
    story.after(SHORTEST - Duration::from_millis(1), &[]);
    story.after(LONGEST, &["start helper 2"]);
    let ready = Event::HelperReady { helper: HelperId(2) };
    story.tell(ready, &["helper 2 for a waiter", "helper 2 for a waiter"]);
}

#[test]
fn a_death_that_nobody_notices_in_time_costs_nobody_a_wait() {
    let mut story = Story::with_helper(Rules::default());
    story.dies(1, &[]);
    story.after(LONGEST, &[]);
    story.want(1, &["start helper 2"]);
}

#[test]
fn waits_double_up_to_the_limit_and_are_scattered() {
    let rules = Restarts::default();
    for (failures, full) in [(1, 500), (2, 1_000), (3, 2_000), (7, 32_000), (8, 60_000), (40, 60_000)] {
        let waits: Vec<_> = (1..200).map(|id| rules.wait_after(failures, HelperId(id)).as_millis()).collect();
        let (least, most) = (waits.iter().min().expect("many"), waits.iter().max().expect("many"));
        assert!(*least >= full / 2 && *most <= full, "{failures} failures: {least} to {most} ms");
        assert!(most - least > full / 3, "{failures} failures: hardly scattered, {least} to {most} ms");
    }
    let none = Restarts { delay: Duration::ZERO, ..rules };
    assert_eq!(none.wait_after(9, HelperId(1)), Duration::ZERO);
}

#[test]
fn only_a_healthy_minute_makes_up_for_failures() {
    for (healthy, least) in [(MINUTE - Duration::from_millis(1), 2 * SHORTEST), (MINUTE, SHORTEST)] {
        let mut story = Story::with_helper(Rules::default());
        story.dies(1, &[]);
        story.starts_late(2);
        story.tell(Event::HelperReady { helper: HelperId(2) }, &["helper 2 for a waiter"]);
        story.after(healthy, &[]);
        assert_eq!(story.bars().len(), usize::from(healthy < MINUTE), "a record without need");
        story.dies(2, &[]);
        let Some(Bar::BackingOff(left)) = story.bars().pop() else { panic!("no back-off") };
        assert!(left >= least && left <= 2 * least, "after {healthy:?}: {left:?}");
    }
}

#[test]
fn who_has_less_patience_than_the_wait_is_refused_at_once() {
    let restarts = Restarts { delay: 10 * MINUTE, delay_limit: 10 * MINUTE, ..Restarts::default() };
    let mut story = Story::with_helper(Rules { restarts, ..Rules::default() });
    story.dies(1, &[]);
    let ticket = story.ticket();
    let (generation, server) = (Generation(1), ServerName::from("time"));
    let patience = Duration::from_secs(30);
    let wanted = Event::HelperWanted { thread: thread(1), generation, server, ticket, patience };
    story.server.handle(story.now, wanted);
    let Some(Effect::HelperFor { result: Err(Refusal::BackingOff { reason, left }), .. }) =
        story.server.poll_effect()
    else {
        panic!("not refused")
    };
    assert_eq!(reason, "it fell over");
    assert!(left >= 5 * MINUTE && left <= 10 * MINUTE, "{left:?}");
}

#[test]
fn a_server_that_fails_five_times_is_crashed_until_a_restart() {
    let mut story = Story::crashed();
    story.want(1, &[CRASHED]);
    story.after(60 * MINUTE, &[]);
    story.want(1, &[CRASHED]);
    let elsewhere = restart(&mut story, Some(2));
    story.tell(elsewhere, &["answer Restarted { ended: 0, forgiven: 0 }"]);
    story.want(1, &[CRASHED]);
    let here = restart(&mut story, Some(1));
    story.tell(here, &["start helper 6", "answer Restarted { ended: 0, forgiven: 1 }"]);
    story.want(1, &[]);
    assert_eq!(story.bars(), []);
}

#[test]
fn a_reload_mends_a_crash_too() {
    let mut story = Story::crashed();
    let ticket = story.ticket();
    story.tell(Event::Reload { ticket, changed: [].into() }, &["answer Reloaded"]);
    story.want(1, &["start helper 6"]);
}

#[test]
fn failures_far_apart_are_no_crash() {
    let restarts = Restarts { crash_limit: 2, ..Restarts::default() };
    let mut story = Story::with_helper(Rules { restarts, ..Rules::default() });
    for helper in 1..9 {
        story.dies(helper, if helper == 1 { &[] } else { &["no helper: Helper(\"it fell over\")"] });
        story.after(5 * MINUTE, &[]);
        assert_eq!(story.bars(), [], "remembered for ever");
        story.want(1, &[&format!("start helper {}", helper + 1)]);
    }
}

#[test]
fn a_new_owner_does_not_get_around_the_wait_and_a_crash_does_not_outlive_its_thread_for_ever() {
    let mut story = Story::crashed();
    story.tell(Event::Disconnected { connection: A, cut: false }, &["detach 1", "stop 1"]);
    let stopped = Event::Stopped { thread: thread(1), generation: Generation(1) };
    story.tell(stopped, &["announce Unloaded", "announce Closed"]);
    story.resume(B, false, &["open 2"]);
    story.opened(2, &["attach 2"]);
    story.want(2, &[CRASHED]);
    story.tell(Event::Disconnected { connection: B, cut: false }, &["detach 2", "stop 2"]);
    story.after(5 * MINUTE, &[]);
    assert_eq!(story.bars(), []);
}

#[test]
fn a_shutdown_ends_the_wait_at_once_and_nothing_starts_after_it() {
    let mut story = Story::with_helper(Rules::default());
    story.dies(1, &[]);
    story.want(1, &[]);
    story.tell(Event::Shutdown, &["no helper: ShuttingDown", "stop 1"]);
    story.after(MINUTE, &[]);
    let stopped = Event::Stopped { thread: thread(1), generation: Generation(1) };
    story.tell(stopped, &["announce Unloaded", "announce Closed", "finished, 0 stuck"]);
    story.after(10 * MINUTE, &[]);
}

#[test]
fn a_restart_replaces_what_runs_after_its_calls() {
    let mut story = Story::with_helper(Rules::default());
    let all = restart(&mut story, None);
    story.tell(all, &["stop helper 1 AfterCalls"]);
    story.tell(
        Event::HelperGone { helper: HelperId(1) },
        &["start helper 2", "answer Restarted { ended: 1, forgiven: 0 }"],
    );
}

#[test]
fn a_restart_cuts_a_wait_short() {
    let mut story = Story::with_helper(Rules::default());
    story.dies(1, &[]);
    story.want(1, &[]);
    let all = restart(&mut story, None);
    story.tell(all, &["start helper 2", "answer Restarted { ended: 0, forgiven: 1 }"]);
}

#[test]
fn the_reason_that_is_kept_is_the_last_and_best_one() {
    let mut story = Story::with_helper(Rules::default());
    let helper = HelperId(1);
    story.tell(Event::HelperExited { helper }, &[]);
    let message = "it exited by itself; its stderr ends with: no disk".to_owned();
    story.tell(Event::HelperFailed { helper, message: message.clone() }, &[]);
    let reasons: Vec<_> = story.server.troubles(story.now).map(|trouble| trouble.reason).collect();
    assert_eq!(reasons, [message]);
}

#[test]
fn probes_that_fail_together_have_failed_once() {
    let mut story = Story::new(Rules::default());
    for n in 1..=6 {
        let (ticket, patience) = (story.ticket(), MINUTE);
        let (thread, server) = (thread(8 + n), ServerName::from("time"));
        let probe = Event::Probe { ticket, connection: A, thread, server, patience };
        story.tell(probe, &[&format!("start helper {n}")]);
    }
    story.after(Duration::from_millis(1), &[]);
    for helper in (1..=6).map(HelperId) {
        let failed = Event::HelperFailed { helper, message: "no".into() };
        story.tell(failed, &["no helper: Helper(\"no\")"]);
    }
    let Some(Bar::BackingOff(left)) = story.bars().pop() else { panic!("no back-off") };
    assert!(left <= LONGEST, "{left:?}");
}

#[test]
fn a_start_over_the_limit_is_refused_and_the_next_one_is_not() {
    let mut story = Story::with_helper(Rules { max_helpers: 1, ..Rules::default() });
    let (ticket, patience) = (story.ticket(), MINUTE);
    let server = ServerName::from("browser");
    let wanted =
        Event::HelperWanted { thread: thread(1), generation: Generation(1), server, ticket, patience };
    story.tell(wanted.clone(), &["no helper: TooManyHelpers { limit: 1 }"]);
    story.want(1, &["helper 1 for a waiter"]);
    story.dies(1, &[]);
    story.tell(wanted, &["start helper 3"]);
}
