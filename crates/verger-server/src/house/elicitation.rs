//! Questions of a helper: to the clients of its thread, and an answer back.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{self, WeakUnboundedSender};
use verger_core::server::ServerName;
use verger_core::thread::{Answer, Ask, Outcome};
use verger_mcp::HelperQuestion;
use verger_wire::McpServerElicitationRequest;
use verger_wire::types::McpServerElicitationAction;

use crate::shared::Shared;
use crate::thread::{Asking, ToThread};

/// Asks what a helper asks, until its session has ended. Dropped, it answers what is open as cancelled.
pub(super) async fn pass_on(
    shared: Arc<Shared>,
    owner: WeakUnboundedSender<ToThread>,
    server: ServerName,
    mut questions: mpsc::Receiver<HelperQuestion>,
) {
    // No more than the session lets its helper have open.
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            question = questions.recv() => match question {
                Some(question) => open.push(ask(&shared, &owner, &server, question)),
                None => return,
            },
            Some(()) = open.next() => {}
        }
    }
}

async fn ask(
    shared: &Shared,
    owner: &WeakUnboundedSender<ToThread>,
    server: &ServerName,
    question: HelperQuestion,
) {
    let request = match request(question.params()) {
        Ok(request) => request,
        Err(why) => {
            tracing::warn!(%server, "a question that cannot be asked: {why}");
            return question.refuse(&why);
        }
    };
    let ask = Ask::Elicitation { server: server.to_string(), request };
    // Without an owner there is nobody to ask: the question is dropped, which answers it.
    let Some(asking) = Asking::new(&shared.questions, owner, ask) else { return };
    let outcome = tokio::select! {
        outcome = asking.outcome() => outcome,
        () = question.withdrawn() => return,
    };
    question.answer(&result(outcome));
}

/// What the clients are shown. The error is for the helper.
fn request(params: &Value) -> Result<McpServerElicitationRequest, String> {
    let text = |name: &str| {
        let missing = || format!("'{name}' is missing, or is no text");
        params.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(missing)
    };
    let meta = params.get("_meta").filter(|meta| !meta.is_null()).cloned();
    let message = text("message")?;
    // Before there were two modes there was none.
    match params.get("mode").and_then(Value::as_str).unwrap_or("form") {
        "form" => {
            let requested_schema = params.get("requestedSchema").filter(|schema| schema.is_object()).cloned();
            let requested_schema = requested_schema.ok_or("'requestedSchema' is missing, or is no object")?;
            Ok(McpServerElicitationRequest::Form { meta, message, requested_schema })
        }
        "url" => {
            let (url, elicitation_id) = (text("url")?, text("elicitationId")?);
            Ok(McpServerElicitationRequest::Url { meta, message, url, elicitation_id })
        }
        other => Err(format!("'mode' is '{other}'; known are form and url")),
    }
}

/// An `ElicitResult`.
fn result(outcome: Outcome) -> Value {
    let Outcome::Answered(Answer::Elicitation(response)) = outcome else {
        let action = if outcome == Outcome::Withdrawn { "cancel" } else { "decline" };
        return json!({ "action": action });
    };
    let mut result = Map::new();
    result.insert("action".to_owned(), json!(response.action));
    if response.action == McpServerElicitationAction::Accept {
        result.insert("content".to_owned(), response.content.unwrap_or_else(|| json!({})));
    }
    if let Some(meta) = response.meta {
        result.insert("_meta".to_owned(), meta);
    }
    Value::Object(result)
}
