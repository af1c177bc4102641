//! One call of the model: from the conversation to a stream of what it says.

use std::pin::Pin;

use futures_util::{FutureExt, Stream, StreamExt};
use verger_core::thread::Says;
use verger_model::{
    InputItem, ModelError, ModelEvent, ModelRequest, ProviderConfig, ToolSpec, WireApi, resolve,
};
use verger_wire::types::{CodexErrorInfo, TurnError};

use super::model_error;
use super::tools::Caller;

/// What the model says, in order. Dropping it closes the connection to the provider.
pub(super) type Saying = Pin<Box<dyn Stream<Item = Says> + Send>>;

/// Calls `provider`. Nothing happens before the first poll.
pub(super) fn call(
    caller: Caller,
    provider: ProviderConfig,
    model: String,
    instructions: String,
    input: Vec<InputItem>,
) -> Saying {
    let begin = async move {
        let offline = provider.wire_api == WireApi::Offline;
        let tools = if offline { Vec::new() } else { caller.offered().await };
        let request =
            ModelRequest { model, instructions, input, tools: tools.clone(), ..ModelRequest::default() };
        let said = caller.shared.models.stream(&provider, request);
        said.filter_map(move |event| std::future::ready(says(event, &tools)))
    };
    Box::pin(begin.flatten_stream())
}

/// A call that fails before it is made.
pub(super) fn failed(message: String) -> Saying {
    let error = turn_error(message, Some(CodexErrorInfo::Other));
    Box::pin(futures_util::stream::iter([Says::Failed { error }]))
}

fn says(event: Result<ModelEvent, ModelError>, tools: &[ToolSpec]) -> Option<Says> {
    Some(match event {
        Ok(ModelEvent::TextStarted { id }) => Says::TextStarted { output: id },
        Ok(ModelEvent::TextDelta { id, delta }) => Says::TextDelta { output: id, delta },
        Ok(ModelEvent::TextDone { id }) => Says::TextDone { output: id },
        Ok(ModelEvent::ReasoningDone(reasoning)) => {
            Says::Reasoning { summary: reasoning.summary, content: reasoning.content }
        }
        Ok(ModelEvent::ToolCall { call_id: _, namespace, name, arguments }) => {
            let (server, tool) = resolve(tools, namespace.as_deref(), &name).unwrap_or(("", &name));
            // What is no JSON is passed on as it is: the tool refuses it by name, and the model can mend it.
            let arguments = serde_json::from_str(&arguments).unwrap_or(serde_json::Value::String(arguments));
            Says::ToolCall { server: server.to_owned(), tool: tool.to_owned(), arguments }
        }
        // Token counts reach clients with the turns of a later version.
        Ok(ModelEvent::Usage(_)) => return None,
        Ok(ModelEvent::Retrying { message, status, .. }) => {
            Says::Retrying { error: model_error::passing(message, status) }
        }
        Ok(ModelEvent::Completed) => Says::Completed,
        Err(error) => Says::Failed { error: model_error::last(&error) },
    })
}

/// An error of a turn, with no more than its message.
pub(super) fn turn_error(message: String, codex_error_info: Option<CodexErrorInfo>) -> TurnError {
    TurnError { message, codex_error_info, additional_details: None, misalignment: None }
}
