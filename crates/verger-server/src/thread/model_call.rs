//! One call of the model: from the conversation to a stream of what it says.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{FutureExt, Stream, StreamExt};
use serde_json::Value;
use verger_core::thread::{Says, Seal, Thought, ThoughtPart};
use verger_model::{
    InputItem, ModelError, ModelEvent, ModelRequest, ProviderConfig, Reasoning, ReasoningPart, ToolSpec,
    Usage, WireApi, resolve, resolve_client,
};
use verger_wire::types::{CodexErrorInfo, ReasoningSummary, TokenUsageBreakdown, TurnError};

use super::images;
use super::model_error;
use super::tools::Caller;

/// What the model says, in order. Dropping it closes the connection to the provider.
pub(super) type Saying = Pin<Box<dyn Stream<Item = Says> + Send>>;

/// What the model is asked, and on whose behalf.
pub(super) struct Asking {
    pub(super) caller: Caller,
    pub(super) provider: ProviderConfig,
    pub(super) model: String,
    pub(super) instructions: String,
    pub(super) input: Vec<InputItem>,
    /// Whether it may call the thread's tools.
    pub(super) with_tools: bool,
    /// How hard it is to think.
    pub(super) effort: Option<String>,
    /// How much of that it is to tell.
    pub(super) summary: Option<ReasoningSummary>,
    /// What its answer is to keep to.
    pub(super) schema: Option<Value>,
    /// How many tokens it can hold.
    pub(super) window: Option<i64>,
}

/// Calls the provider. Nothing happens before the first poll.
pub(super) fn call(asking: Asking) -> Saying {
    let begin = async move {
        let Asking {
            caller,
            provider,
            model,
            instructions,
            input,
            with_tools,
            effort,
            summary,
            schema,
            window,
        } = asking;
        let offered = with_tools && provider.wire_api != WireApi::Offline;
        let tools = if offered { caller.offered().await } else { Vec::new() };
        let input = images::load(input, caller.folder.clone()).await;
        let request = ModelRequest {
            model,
            instructions,
            input,
            tools: tools.clone(),
            reasoning_effort: effort,
            reasoning_summary: summary.map(word),
            output_schema: schema,
        };
        let said = caller.shared.models.stream(&provider, request);
        said.map(move |event| says(event, &caller, &provider.id, &tools, window))
    };
    Box::pin(begin.flatten_stream())
}

/// A call that fails before it is made.
pub(super) fn failed(message: String) -> Saying {
    let error = turn_error(message, Some(CodexErrorInfo::Other));
    Box::pin(futures_util::stream::iter([Says::Failed { error }]))
}

fn says(
    event: Result<ModelEvent, ModelError>,
    caller: &Caller,
    provider: &str,
    tools: &[ToolSpec],
    window: Option<i64>,
) -> Says {
    match event {
        Ok(ModelEvent::TextStarted { id }) => Says::TextStarted { output: id },
        Ok(ModelEvent::TextDelta { id, delta }) => Says::TextDelta { output: id, delta },
        Ok(ModelEvent::TextDone { id }) => Says::TextDone { output: id },
        Ok(ModelEvent::ReasoningDelta { id, part, delta }) => {
            let part = match part {
                ReasoningPart::Summary(at) => ThoughtPart::Summary(at),
                ReasoningPart::Content(at) => ThoughtPart::Content(at),
            };
            Says::ThoughtDelta { output: id, part, delta }
        }
        Ok(ModelEvent::ReasoningDone(Reasoning { id, summary, content, encrypted_content })) => {
            let output = Arc::from(id.as_str());
            let seal = |content| Seal { provider: provider.to_owned(), id, content };
            Says::ThoughtDone {
                output,
                thought: Thought { summary, content, seal: encrypted_content.map(seal) },
            }
        }
        Ok(ModelEvent::ToolCall { call_id: _, namespace, name, arguments }) => {
            if let Some((family, tool)) = resolve_client(tools, namespace.as_deref(), &name) {
                let arguments = serde_json::from_str(&arguments).unwrap_or(Value::String(arguments));
                let (namespace, tool) = (family.map(str::to_owned), tool.to_owned());
                return Says::ClientToolCall { namespace, tool, arguments };
            }
            let (server, tool) = resolve(tools, namespace.as_deref(), &name).unwrap_or(("", &name));
            // What is no JSON is passed on as it is: the tool refuses it by name, and the model can mend it.
            let arguments = serde_json::from_str(&arguments).unwrap_or(Value::String(arguments));
            let read_only = caller.read_only(server, tool);
            Says::ToolCall { server: server.to_owned(), tool: tool.to_owned(), arguments, read_only }
        }
        Ok(ModelEvent::Usage(usage)) => Says::Spent { used: breakdown(usage), window },
        Ok(ModelEvent::Retrying { message, status, attempt, of, .. }) => {
            Says::Retrying { error: model_error::passing(message, status, attempt, of) }
        }
        Ok(ModelEvent::Completed) => Says::Completed,
        Err(error) => Says::Failed { error: model_error::last(&error) },
    }
}

fn word(summary: ReasoningSummary) -> String {
    match summary {
        ReasoningSummary::Auto => "auto",
        ReasoningSummary::Concise => "concise",
        ReasoningSummary::Detailed => "detailed",
        ReasoningSummary::None => "none",
    }
    .to_owned()
}

fn breakdown(usage: Usage) -> TokenUsageBreakdown {
    let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    TokenUsageBreakdown {
        total_tokens: tokens(usage.total_tokens),
        input_tokens: tokens(usage.input_tokens),
        cached_input_tokens: tokens(usage.cached_input_tokens),
        // No provider that is known here says so.
        cache_write_input_tokens: 0,
        output_tokens: tokens(usage.output_tokens),
        reasoning_output_tokens: tokens(usage.reasoning_output_tokens),
    }
}

/// An error of a turn, with no more than its message.
pub(super) fn turn_error(message: String, codex_error_info: Option<CodexErrorInfo>) -> TurnError {
    TurnError { message, codex_error_info, additional_details: None, misalignment: None }
}
