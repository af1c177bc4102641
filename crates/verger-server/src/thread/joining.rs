//! Clients that begin to follow a thread, until each has its answer.
//!
//! What an answer shows of the past may be long. It is read and encoded beside the owner, at one moment of the thread for all
//! who want the same and wait by then; each is a cursor at that moment until it has its answer, and goes on from there (K5).

use std::collections::VecDeque;

use tokio::task::{JoinError, JoinSet};
use verger_core::ids::{Seq, SubscriptionId};
use verger_core::thread::Follower;
use verger_wire::requests::ReplaySince;

use super::catching_up::Gap;
use super::message::Attach;
use super::past::{Past, View};
use crate::replier::Replier;

/// A client that has no answer yet.
#[derive(Debug)]
pub(super) struct Joiner {
    pub(super) replier: Replier,
    pub(super) how: Attach,
    pub(super) subscription: SubscriptionId,
}

/// Those of one thread.
#[derive(Default)]
pub(super) struct Joining {
    waiting: VecDeque<Joiner>,
    /// For whom something is drawn. One thing at a time: what they want may be large.
    drawing: Option<Drawing>,
    draws: JoinSet<Result<Drawn, String>>,
}

/// Who waits for what is being drawn.
#[derive(Debug)]
pub(super) struct Drawing {
    pub(super) joiners: Vec<Joiner>,
    /// The end of the thread's log when it began.
    pub(super) head: Seq,
    /// One who had heard everything at that moment.
    pub(super) follower: Follower,
    /// The thread has forgotten some of it since.
    pub(super) is_void: bool,
}

/// What an answer needs that is not at hand.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// What came after this, and beside that what the view says.
    Missed(ReplaySince, View),
    Past(View),
}

/// What an answer needed.
#[derive(Debug)]
pub(super) enum Drawn {
    Missed(Gap, Past),
    /// Who comes back has missed too much, or what was forgotten since: it is better told everything.
    TooMuch,
    Past(Past),
}

// === impl Joining ===

impl Joining {
    pub(super) fn push(&mut self, joiner: Joiner) {
        self.waiting.push_back(joiner);
    }

    /// Those for whom what was drawn is of no use wait on.
    pub(super) fn push_first(&mut self, joiners: Vec<Joiner>) {
        for joiner in joiners.into_iter().rev() {
            self.waiting.push_front(joiner);
        }
    }

    /// The thread has been reverted: its subscribers have been told, but those whose answer would show what it has forgotten.
    pub(super) fn void(&mut self) {
        if let Some(drawing) = &mut self.drawing {
            drawing.is_void = true;
        }
    }

    /// What is to be drawn next; nothing while something is, or nobody waits. Who is gone gets nothing.
    pub(super) fn wanted(&mut self) -> Option<Wanted> {
        if self.drawing.is_some() {
            return None;
        }
        self.waiting.retain(|joiner| joiner.replier.outbox().why_closed().is_none());
        self.waiting.front().map(|joiner| Wanted::by(&joiner.how))
    }

    /// Draws for all who want this.
    pub(super) fn draw(
        &mut self,
        wanted: &Wanted,
        head: Seq,
        follower: Follower,
        drawn: impl Future<Output = Result<Drawn, String>> + Send + 'static,
    ) {
        let (joiners, others): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|joiner| Wanted::by(&joiner.how) == *wanted);
        self.waiting.extend(others);
        self.drawing = Some(Drawing { joiners, head, follower, is_void: false });
        self.draws.spawn(drawn);
    }

    /// For whom something is being drawn.
    pub(super) fn drawing(&self) -> impl Iterator<Item = SubscriptionId> {
        self.drawing.iter().flat_map(|drawing| &drawing.joiners).map(|joiner| joiner.subscription)
    }

    /// The next thing that has been drawn; nothing where nothing is being drawn.
    pub(super) async fn next_drawn(&mut self) -> Option<Result<Result<Drawn, String>, JoinError>> {
        self.draws.join_next().await
    }

    /// Those for whom it was.
    pub(super) fn drawn(&mut self) -> Option<Drawing> {
        self.drawing.take()
    }
}

// === impl Wanted ===

impl Wanted {
    pub(super) fn by(how: &Attach) -> Self {
        match how {
            Attach::Start { .. } => Self::Past(View::default()),
            Attach::Fork { exclude_turns } => Self::Past(View { turns: !exclude_turns, ..View::default() }),
            Attach::Resume { exclude_turns, page, since, .. } => {
                let view = View { turns: !exclude_turns, page: *page, newest: true };
                match since {
                    // Whom the turns are told needs them not shown.
                    Some(since) => Self::Missed(since.clone(), View { turns: false, ..view }),
                    None => Self::Past(view),
                }
            }
        }
    }

    /// Whether an answer needs nothing that would have to be read.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::Past(View::default())
    }
}
