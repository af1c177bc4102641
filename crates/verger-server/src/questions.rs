//! Questions to clients that are open: under which number each is asked, and who takes the answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::WeakUnboundedSender;
use verger_core::ids::QuestionId;
use verger_wire::RequestId;

use crate::thread::ToThread;

/// One per daemon: a connection may follow many threads, so that no two of them may use one number.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    next: AtomicI64,
    open: Mutex<HashMap<QuestionId, WeakUnboundedSender<ToThread>>>,
}

impl Questions {
    /// A number that no other question has.
    pub(crate) fn number(&self) -> QuestionId {
        QuestionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn map(&self) -> MutexGuard<'_, HashMap<QuestionId, WeakUnboundedSender<ToThread>>> {
        // Held for one operation of the map.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on answers go to `owner`.
    pub(crate) fn open(&self, question: QuestionId, owner: WeakUnboundedSender<ToThread>) {
        self.map().insert(question, owner);
    }

    /// From now on an answer is one to no question.
    pub(crate) fn close(&self, question: QuestionId) {
        self.map().remove(&question);
    }

    /// Who asks under this id.
    pub(crate) fn owner(&self, id: &RequestId) -> Option<(QuestionId, WeakUnboundedSender<ToThread>)> {
        let RequestId::Integer(number) = id else { return None };
        let question = QuestionId(*number);
        self.map().get(&question).map(|owner| (question, owner.clone()))
    }
}
