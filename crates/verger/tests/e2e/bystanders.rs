//! Two clients of one thread, whom what a third one does is no business of.

use verger_testkit::Client;

use crate::stage::{Stage, begin_turn, ended, resume};

pub(crate) struct Bystanders {
    one: Client,
    other: Client,
    thread: String,
}

impl Bystanders {
    /// Two clients at a server whose threads have a lazy `helper`.
    pub(crate) async fn of(stage: &Stage) -> Self {
        let (one, other) = (stage.client("one").await, stage.client("other").await);
        let thread = stage.saved(&one).await;
        resume(&other, &thread).await;
        Self { one, other, thread }
    }

    /// Runs a turn with a tool call for one, which the other follows: neither has noticed anything.
    pub(crate) async fn notice_nothing(&self, stage: &Stage) {
        let Self { one, other, thread } = self;
        let (a, b) = (one.mark(), other.mark());
        let id = begin_turn(one, thread, "CALL mcp__helper echo {\"text\":\"x\"}").await;
        assert_eq!(ended(one, a, &id).await["status"], "completed");
        assert_eq!(ended(other, b, &id).await["status"], "completed");
        assert!(one.notes(a, "item/completed").len() == other.notes(b, "item/completed").len());
        assert!(!stage.daemon.stderr().contains("panicked"));
    }
}
