//! Questions to the clients: each is asked of every subscriber under one id, and ends exactly once (K8): with the first
//! answer, with the work that needed it, with its turn, or with the server.

use verger_wire::types::{McpServerElicitationAction, ThreadActiveFlag, ThreadStatus};
use verger_wire::{
    DynamicToolCallParams, DynamicToolCallResponse, McpServerElicitationRequest,
    McpServerElicitationRequestParams, McpServerElicitationRequestResponse, Notification, RequestId,
    ServerRequest, ServerRequestResolvedNotification,
};

use super::{Effect, Record, Thread, client_tools};
use crate::ids::QuestionId;

/// What a client is asked, and for whom.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Whether the tool call of this item may be sent to its helper. An item that is not under way needs no answer.
    Approval {
        /// The item's id.
        item: String,
        /// What the client is shown.
        request: McpServerElicitationRequest,
    },
    /// To run a tool of its own: the call of this item.
    ClientTool {
        /// The item's id.
        item: String,
    },
    /// What a helper wants to know.
    Elicitation {
        /// Which server.
        server: String,
        /// What the client is shown.
        request: McpServerElicitationRequest,
    },
}

/// What a client answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To an approval or an elicitation.
    Elicitation(McpServerElicitationRequestResponse),
    /// To a call of a tool of its own.
    Tool(DynamicToolCallResponse),
    /// No client can answer; why, for people and for the model.
    Unable(String),
}

/// How a question ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With an answer.
    Answered(Answer),
    /// With its turn or its work: nobody needs the answer any more.
    Withdrawn,
}

/// A question that is open.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub(super) request: ServerRequest,
    about: About,
}

/// What a question stands in the way of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum About {
    /// A tool call that was not sent yet: the item's id.
    Approval(String),
    /// A helper's own question within a turn.
    Elicitation,
    /// A call of a tool that the client provides: the item's id.
    ClientTool(String),
    /// Nothing of a turn's.
    NoTurn,
}

impl About {
    fn waits_on_approval(&self) -> bool {
        matches!(self, Self::Approval(_) | Self::Elicitation)
    }
}

impl Thread {
    /// The questions that are open, oldest first, as a client that comes is asked them.
    pub fn questions(&self) -> impl Iterator<Item = (QuestionId, &ServerRequest)> {
        self.questions.iter().map(|(&id, question)| (id, &question.request))
    }

    pub(super) fn ask(&mut self, at: i64, id: QuestionId, ask: Ask) {
        let thread_id = self.id.clone();
        match ask {
            Ask::Approval { item, request } => {
                let open = self.turn.as_ref().and_then(|active| Some((active, active.open_call(&item)?)));
                let Some((active, (index, call))) = open else {
                    return self.push(Effect::Settle { question: id, outcome: Outcome::Withdrawn });
                };
                let turn = active.id().to_owned();
                let request = elicitation(thread_id, Some(turn.clone()), call.server.clone(), request);
                if let Some(open) = self.turn.as_mut().and_then(|active| active.open_tool_mut(index)) {
                    open.is_asked = true;
                }
                // Kept before anybody is asked: what a crash leaves here was never sent.
                self.append(vec![Record::CallAsked { turn, index, at }]);
                self.open_question(id, Question { request, about: About::Approval(item) });
            }
            Ask::ClientTool { item } => {
                let open =
                    self.turn.as_ref().and_then(|active| Some((active, active.open_client_call(&item)?)));
                let Some((active, call)) = open else {
                    return self.push(Effect::Settle { question: id, outcome: Outcome::Withdrawn });
                };
                let request = ServerRequest::DynamicToolCall(DynamicToolCallParams {
                    thread_id,
                    turn_id: active.id().to_owned(),
                    call_id: call.id.clone(),
                    namespace: call.namespace.clone(),
                    tool: call.tool.clone(),
                    arguments: call.arguments.clone(),
                });
                self.open_question(id, Question { request, about: About::ClientTool(item) });
            }
            Ask::Elicitation { server, request } => {
                let turn = self.turn.as_ref().filter(|active| active.is_calling_server(&server));
                let turn = turn.map(|active| active.id().to_owned());
                let about = if turn.is_some() { About::Elicitation } else { About::NoTurn };
                let request = elicitation(thread_id, turn, server, request);
                self.open_question(id, Question { request, about });
            }
        }
    }

    fn open_question(&mut self, id: QuestionId, question: Question) {
        let before = self.waiting();
        let request = question.request.clone();
        self.questions.insert(id, question);
        self.tell_waiting(before);
        self.push(Effect::Ask { question: id, request: Box::new(request) });
    }

    pub(super) fn answered(&mut self, at: i64, id: QuestionId, answer: Answer) {
        // The first answer counts; what ended otherwise needs none.
        let Some(question) = self.questions.get(&id) else { return };
        let about = question.about.clone();
        if let (About::Approval(item), true) = (&about, is_accepted(&answer))
            && let Some(active) = &mut self.turn
            && let Some((index, _)) = active.open_call(item)
        {
            let turn = active.id().to_owned();
            if let Some(open) = active.open_tool_mut(index) {
                open.is_asked = false;
            }
            // Kept before the call is sent: what a crash leaves from here on may have had its effect.
            self.append(vec![Record::CallApproved { turn, index, at }]);
        }
        self.close_question(id, Outcome::Answered(answer.clone()));
        if let About::ClientTool(item) = about {
            self.client_tool_done(at, &item, client_tools::told(answer));
        }
    }

    /// Closes a question whose answer nobody needs any more.
    pub(super) fn withdraw(&mut self, id: QuestionId) {
        if self.questions.contains_key(&id) {
            self.close_question(id, Outcome::Withdrawn);
        }
    }

    /// Closes what is asked about one item.
    pub(super) fn withdraw_item(&mut self, item: &str) {
        let is_about = |about: &About| match about {
            About::Approval(of) | About::ClientTool(of) => of == item,
            About::Elicitation | About::NoTurn => false,
        };
        self.withdraw_where(is_about);
    }

    /// Closes what is asked for the active turn, which ends.
    pub(super) fn withdraw_turn(&mut self) {
        self.withdraw_where(|about| *about != About::NoTurn);
    }

    fn withdraw_where(&mut self, is_over: impl Fn(&About) -> bool) {
        let over = self.questions.iter().filter(|(_, question)| is_over(&question.about));
        for id in over.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.close_question(id, Outcome::Withdrawn);
        }
    }

    fn close_question(&mut self, id: QuestionId, outcome: Outcome) {
        let before = self.waiting();
        self.questions.remove(&id);
        let (thread_id, request_id) = (self.id.clone(), request_id(id));
        let resolved = ServerRequestResolvedNotification { thread_id, request_id };
        self.notify(Notification::ServerRequestResolved(resolved));
        self.tell_waiting(before);
        self.push(Effect::Settle { question: id, outcome });
    }

    /// Whether the active turn waits for a client, and for its approval.
    fn waiting(&self) -> (bool, bool) {
        let mut abouts = self.questions.values().map(|question| &question.about);
        let waits = abouts.clone().any(|about| *about != About::NoTurn);
        (waits, abouts.any(About::waits_on_approval))
    }

    fn tell_waiting(&mut self, before: (bool, bool)) {
        let now = self.waiting();
        if now.1 != before.1 {
            self.push(Effect::Status(self.status()));
        }
        if now.0 != before.0 {
            self.push(Effect::Waits { waits: now.0 });
        }
    }

    /// The status of a thread whose turn is active.
    pub(super) fn active_status(&self) -> ThreadStatus {
        let waits = self.waiting().1;
        ThreadStatus::Active {
            active_flags: waits.then_some(ThreadActiveFlag::WaitingOnApproval).into_iter().collect(),
        }
    }
}

fn elicitation(
    thread_id: String,
    turn_id: Option<String>,
    server_name: String,
    request: McpServerElicitationRequest,
) -> ServerRequest {
    let params = McpServerElicitationRequestParams { thread_id, turn_id, server_name, request };
    ServerRequest::McpServerElicitation(params)
}

/// The id under which clients are asked.
pub fn request_id(question: QuestionId) -> RequestId {
    RequestId::Integer(question.0)
}

fn is_accepted(answer: &Answer) -> bool {
    matches!(answer, Answer::Elicitation(response) if response.action == McpServerElicitationAction::Accept)
}
