//! What a helper asks in the middle of its work: `elicitation/create`, which a person answers, or nobody does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{message::ServerError, shared::Shared};

/// Most questions that one helper may have open; one more is refused.
pub const MAX_QUESTIONS: usize = 16;

/// The request that is a question.
const ELICITATION: &str = "elicitation/create";

/// A helper's question. Dropped unanswered, it is answered as cancelled.
#[derive(Debug)]
pub struct HelperQuestion {
    shared: Arc<Shared>,
    /// The helper's name for it.
    id: Value,
    params: Value,
    withdrawn: CancellationToken,
    is_answered: bool,
}

/// A session's questions that have no answer yet.
#[derive(Debug)]
pub(crate) struct Questions {
    /// Where they go; nowhere if nobody takes them. Holds at most [`MAX_QUESTIONS`], as there are no more.
    taker: Option<mpsc::Sender<HelperQuestion>>,
    /// By the helper's name for each, as JSON text.
    open: Mutex<HashMap<String, CancellationToken>>,
    /// How many are open.
    count: watch::Sender<usize>,
}

impl HelperQuestion {
    /// `params` of the request, as the helper wrote them.
    #[must_use]
    pub fn params(&self) -> &Value {
        &self.params
    }

    /// Resolves when the helper does not want an answer any more: it said so, or its session has ended.
    pub async fn withdrawn(&self) {
        tokio::select! {
            () = self.withdrawn.cancelled() => {}
            () = self.shared.ended.cancelled() => {}
        }
    }

    /// Answers that the question is none.
    pub fn refuse(mut self, why: &str) {
        self.is_answered = true;
        let code = i64::from(rmcp::model::ErrorCode::INVALID_PARAMS.0);
        self.shared.answer(&self.id, Err(&ServerError { code, message: why.to_owned(), data: None }));
    }

    /// Answers: an `ElicitResult`.
    pub fn answer(mut self, result: &Value) {
        self.is_answered = true;
        self.shared.answer(&self.id, Ok(result));
    }
}

impl Drop for HelperQuestion {
    fn drop(&mut self) {
        if !self.shared.questions.close(&self.id) || self.is_answered {
            return;
        }
        self.shared.answer(&self.id, Ok(&json!({ "action": "cancel" })));
    }
}

impl Questions {
    pub(crate) fn new(taker: Option<mpsc::Sender<HelperQuestion>>) -> Self {
        Self { taker, open: Mutex::default(), count: watch::Sender::new(0) }
    }

    /// Whether anybody takes them.
    pub(crate) fn are_taken(&self) -> bool {
        self.taker.is_some()
    }

    /// How many are open, to be followed.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        // Held for one operation of the map.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was open, and the helper waits for its answer.
    fn close(&self, id: &Value) -> bool {
        let token = self.open().remove(&id.to_string());
        self.count.send_replace(self.open().len());
        token.is_some_and(|token| !token.is_cancelled())
    }

    /// The helper takes a question back.
    pub(crate) fn withdraw(&self, id: &Value) {
        if let Some(token) = self.open().get(&id.to_string()) {
            token.cancel();
        }
    }
}

impl Shared {
    /// Passes a helper's request on, if it is a question that somebody takes.
    pub(crate) fn take_question(
        self: &Arc<Self>,
        id: Value,
        method: &str,
        params: Value,
    ) -> Result<(), Value> {
        let Some(taker) = self.questions.taker.as_ref().filter(|_| method == ELICITATION) else {
            return Err(id);
        };
        let withdrawn = CancellationToken::new();
        let name = id.to_string();
        let is_new = {
            let mut open = self.questions.open();
            let is_new = open.len() < MAX_QUESTIONS && !open.contains_key(&name);
            if is_new {
                open.insert(name, withdrawn.clone());
            }
            is_new
        };
        if !is_new {
            let message = format!("at most {MAX_QUESTIONS} questions at once, each under an id of its own");
            let code = i64::from(rmcp::model::ErrorCode::INVALID_REQUEST.0);
            self.answer(&id, Err(&ServerError { code, message, data: None }));
            return Ok(());
        }
        self.questions.count.send_replace(self.questions.open().len());
        let question = HelperQuestion { shared: Arc::clone(self), id, params, withdrawn, is_answered: false };
        // Where nobody takes it any more it is dropped here, which answers it.
        taker.try_send(question).ok();
        Ok(())
    }

    fn answer(&self, id: &Value, outcome: Result<&Value, &ServerError>) {
        if !self.ledger.reply(id, outcome) {
            tracing::warn!(server = %self.server, "does not read the answers to its own requests; dropped one");
        }
    }
}
