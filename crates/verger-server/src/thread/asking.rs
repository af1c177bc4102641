//! Asking clients: a question's way out to every subscriber, and the first answer's way back to whoever asked.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use verger_core::ids::{QuestionId, SubscriptionId};
use verger_core::server;
use verger_core::thread::{Answer, Ask, Event as Input, Outcome, request_id};
use verger_wire::{Notification, RequestId, RpcError, ServerRequest, ServerRequestResolvedNotification};

use super::message::{ThreadHandle, ToThread};
use super::owner::Owner;
use crate::event::Event;
use crate::outbox::Outbox;
use crate::questions::Questions;

/// What one client answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) question: QuestionId,
    /// Whose it is.
    pub(crate) outbox: Outbox,
    pub(crate) answer: Result<Box<RawValue>, RpcError>,
    /// Room for one answer of this client's, until this one has been taken.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// A question as its thread's owner knows it, beside the machine.
pub(super) struct Asked {
    /// Which kind of answer it wants.
    kind: Kind,
    /// Who asked; nobody where the machine itself waits.
    asker: Option<oneshot::Sender<Outcome>>,
    /// Subscribers that have said that they cannot answer, and why.
    unable: BTreeMap<SubscriptionId, String>,
}

#[derive(Clone, Copy)]
enum Kind {
    Elicitation,
    ClientTool,
}

/// A question on its way, held by whoever waits for its end. Dropped, the question is withdrawn.
pub(crate) struct Asking {
    question: QuestionId,
    owner: ThreadHandle,
    outcome: oneshot::Receiver<Outcome>,
}

impl Asking {
    /// Asks the clients of the thread of this owner; `None` if the owner has ended.
    pub(crate) fn new(
        questions: &Questions,
        owner: &WeakUnboundedSender<ToThread>,
        ask: Ask,
    ) -> Option<Self> {
        let owner = owner.upgrade()?;
        let question = questions.number();
        let (asker, outcome) = oneshot::channel();
        owner.send(ToThread::Ask { question, ask: Box::new(ask), asker }).ok()?;
        Some(Self { question, owner, outcome })
    }

    /// How the question ended. An owner that ends withdraws its questions.
    pub(crate) async fn outcome(mut self) -> Outcome {
        (&mut self.outcome).await.unwrap_or(Outcome::Withdrawn)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // An owner that has ended, and a question that has, need no word.
        self.owner.send(ToThread::Withdraw { question: self.question }).ok();
    }
}

impl Owner {
    /// Someone asks.
    pub(super) async fn ask(&mut self, question: QuestionId, ask: Ask, asker: oneshot::Sender<Outcome>) {
        if let Ask::Elicitation { request, .. } = &ask
            && let Some(answer) = self.policy().elicitation(request)
        {
            // Whoever asked may be gone already.
            asker.send(Outcome::Answered(answer)).ok();
            return;
        }
        self.note_asked(question, &ask, Some(asker));
        self.handle(Input::Asked { question, ask }).await;
    }

    /// Has a client run a tool of its own. The machine wants it, so that it is told at once.
    pub(super) fn call_client_tool(&mut self, at: i64, item: String) {
        let question = self.caller.shared.questions.number();
        let ask = Ask::ClientTool { item };
        self.note_asked(question, &ask, None);
        self.machine.handle(at, Input::Asked { question, ask });
    }

    fn note_asked(&mut self, question: QuestionId, ask: &Ask, asker: Option<oneshot::Sender<Outcome>>) {
        let kind = match ask {
            Ask::Approval { .. } | Ask::Elicitation { .. } => Kind::Elicitation,
            Ask::ClientTool { .. } => Kind::ClientTool,
        };
        self.asked.insert(question, Asked { kind, asker, unable: BTreeMap::new() });
    }

    /// Carries out the machine's wish to ask.
    pub(super) fn send_question(&mut self, question: QuestionId, request: ServerRequest) {
        self.caller.shared.questions.open(question, self.caller.owner.clone());
        self.subscribers.ask(question, &event(question, request));
    }

    /// Tells those who were asked that they need not answer any more.
    pub(super) fn tell_resolved(&mut self, resolved: ServerRequestResolvedNotification, at: i64) {
        let RequestId::Integer(question) = resolved.request_id else {
            return tracing::error!(id = %resolved.request_id, "a question that was never asked is resolved");
        };
        let event = Event::notice(Notification::ServerRequestResolved(resolved), at);
        self.subscribers.resolve(QuestionId(question), &event);
    }

    /// Carries out the machine's word that a question has ended.
    pub(super) fn settle(&mut self, question: QuestionId, outcome: Outcome) {
        self.caller.shared.questions.close(question);
        if let Some(asker) = self.asked.remove(&question).and_then(|asked| asked.asker) {
            // Who asked may have been given up meanwhile.
            asker.send(outcome).ok();
        }
    }

    /// Tells the house whether the turn waits for a client.
    pub(super) fn tell_waits(&self, waits: bool) {
        let (thread, generation) = (self.caller.thread, self.caller.generation);
        self.caller.house.tell(server::Event::Waits { thread, generation, waits });
    }

    /// A client answered. Only a subscriber may: it alone was asked.
    pub(super) async fn answered(&mut self, answered: Answered) {
        let Answered { question, outbox, answer, _room } = answered;
        let subscription = self.subscribers.of(&outbox);
        let (Some(asked), Some(subscription)) = (self.asked.get_mut(&question), subscription) else {
            return tracing::debug!(%question, "an answer to a question that was not asked of this client");
        };
        match asked.kind.read(answer) {
            Ok(answer) => self.handle(Input::Answered { question, answer }).await,
            Err(why) => {
                tracing::warn!(thread = %self.meta.id, %question, "a client cannot answer: {why}");
                asked.unable.insert(subscription, why);
                self.give_up_hopeless().await;
            }
        }
    }

    /// Ends questions that every client there is has said it cannot answer. While there is none, one may come.
    pub(super) async fn give_up_hopeless(&mut self) {
        loop {
            let is_hopeless = |asked: &Asked| {
                !self.subscribers.is_empty()
                    && self.subscribers.ids().all(|subscription| asked.unable.contains_key(&subscription))
            };
            let Some((&question, asked)) = self.asked.iter().find(|(_, asked)| is_hopeless(asked)) else {
                return;
            };
            let why = asked.unable.values().next_back().cloned().unwrap_or_default();
            let answer = Answer::Unable(format!("no client could answer: {why}"));
            self.handle(Input::Answered { question, answer }).await;
            // The machine settles what it knows, and what it does not know nobody waits for.
            self.asked.remove(&question);
        }
    }
}

/// A question, as clients are asked it.
pub(super) fn event(question: QuestionId, request: ServerRequest) -> Event {
    Event::question(request_id(question), request)
}

impl Kind {
    /// The error is for people: why this is no answer.
    fn read(self, answer: Result<Box<RawValue>, RpcError>) -> Result<Answer, String> {
        fn parsed<T: DeserializeOwned>(answer: &RawValue) -> Result<T, String> {
            serde_json::from_str(answer.get()).map_err(|cause| format!("its answer is not readable: {cause}"))
        }
        let answer = answer.map_err(|error| error.message)?;
        match self {
            Self::Elicitation => parsed(&answer).map(Answer::Elicitation),
            Self::ClientTool => parsed(&answer).map(Answer::Tool),
        }
    }
}
