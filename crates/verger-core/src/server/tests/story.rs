//! How stories are told: a server, and after each event what it wants done, a line for each.

use std::time::Duration;

use super::world::thread;
use crate::ids::{ConnectionId, Generation, HelperId, Ticket};
use crate::server::{Effect, Ending, Event, Rules, Server, ServerName};
use crate::time::Time;

/// A server, a clock, and numbers for requests.
pub(super) struct Story {
    pub(super) server: Server,
    pub(super) now: Time,
    tickets: u64,
}

pub(super) const A: ConnectionId = ConnectionId(1);
pub(super) const B: ConnectionId = ConnectionId(2);
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

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
    pub(super) fn begin_turn(&mut self, expected: &[&str]) {
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
    pub(super) fn end(&mut self, ending: Ending, expected: &[&str]) {
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
