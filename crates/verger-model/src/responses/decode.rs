//! From the events of the Responses API to ours.
//!
//! Only what is needed is read: an event's other fields, and events of other kinds, are passed over unparsed. A text
//! is taken from its deltas; where a server sends none, from the item that closes it.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::decoder::{Decoder, Fault, parse};
use crate::event::{ModelEvent, OutputId, Reasoning, ReasoningPart, Usage};
use crate::said::Said;

const ITEM_DONE: &str = "response.output_item.done";

/// Reads one answer's events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Texts that have started and not ended, in order; seldom more than one.
    open: Vec<OutputId>,
}

/// Any event. `type` alone is common to all; a field that has another meaning in another event does no harm unparsed.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    item_id: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    summary_index: Option<&'a RawValue>,
    #[serde(borrow)]
    content_index: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    id: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    summary: Option<Vec<Content>>,
    encrypted_content: Option<String>,
    call_id: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Content {
    text: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize, Default)]
struct Response {
    usage: Option<WireUsage>,
    error: Option<Value>,
    incomplete_details: Option<IncompleteDetails>,
}

#[derive(Deserialize)]
struct IncompleteDetails {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct WireUsage {
    input_tokens: u64,
    input_tokens_details: Option<InputDetails>,
    output_tokens: u64,
    output_tokens_details: Option<OutputDetails>,
    total_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

// === impl Events ===

impl Decoder for Events {
    const END: &'static str = "response.completed";

    fn read(&mut self, data: &str, out: &mut VecDeque<ModelEvent>) -> Result<(), Fault> {
        if data == "[DONE]" {
            return Ok(());
        }
        let event: Envelope<'_> = parse(data)?;
        match &*event.kind {
            "response.output_text.delta" | "response.refusal.delta" => {
                if let Some(delta) = event.delta {
                    let delta: String = parse(delta.get())?;
                    let id = event.item_id.and_then(|id| parse::<&str>(id.get()).ok());
                    self.delta(id, delta, out);
                }
            }
            "response.reasoning_summary_text.delta" => {
                out.extend(thought(&event, ReasoningPart::Summary(index(event.summary_index)))?);
            }
            "response.reasoning_text.delta" => {
                out.extend(thought(&event, ReasoningPart::Content(index(event.content_index)))?);
            }
            ITEM_DONE => {
                if let Some(item) = event.item {
                    self.item(parse(item.get())?, out)?;
                }
            }
            "response.completed" | "response.done" => {
                out.extend(self.open.drain(..).map(|id| ModelEvent::TextDone { id }));
                out.extend(Response::of(event.response)?.usage.map(ModelEvent::from));
                out.push_back(ModelEvent::Completed);
            }
            "response.incomplete" => {
                let response = Response::of(event.response)?;
                out.extend(response.usage.map(ModelEvent::from));
                let reason = response.incomplete_details.and_then(|details| details.reason);
                return Err(Fault::Incomplete(reason.unwrap_or_else(|| "no reason given".to_owned())));
            }
            "response.failed" => {
                let error = Response::of(event.response)?.error.unwrap_or_default();
                return Err(Fault::Failed(Said::of(&error).unwrap_or_else(|| Said::read(""))));
            }
            "error" => return Err(Fault::Failed(Said::read(data))),
            "" if event.error.is_some() => return Err(Fault::Failed(Said::read(data))),
            other => tracing::trace!(kind = other, "event passed over"),
        }
        Ok(())
    }

    /// It closes a text that came in deltas.
    fn knows_rest(&self, head: &str) -> bool {
        let of_text = names(head, "type", "response.output_text.done")
            || names(head, "type", "response.content_part.done")
            || (names(head, "type", ITEM_DONE) && names(head, "type", "message"));
        let id = if names(head, "type", ITEM_DONE) { "id" } else { "item_id" };
        of_text && self.open.iter().any(|open| names(head, id, open))
    }

    fn read_head(&mut self, head: &str, out: &mut VecDeque<ModelEvent>) {
        if names(head, "type", ITEM_DONE)
            && let Some(at) = self.open.iter().position(|open| names(head, "id", open))
        {
            out.push_back(ModelEvent::TextDone { id: self.open.remove(at) });
        }
    }
}

impl Events {
    fn delta(&mut self, id: Option<&str>, delta: String, out: &mut VecDeque<ModelEvent>) {
        if delta.is_empty() {
            return;
        }
        let known = match id {
            Some(id) => self.open.iter().find(|open| ***open == *id),
            None => self.open.last(),
        };
        let id = known.cloned().unwrap_or_else(|| {
            let id = OutputId::from(id.unwrap_or("text"));
            self.open.push(OutputId::clone(&id));
            out.push_back(ModelEvent::TextStarted { id: OutputId::clone(&id) });
            id
        });
        out.push_back(ModelEvent::TextDelta { id, delta });
    }

    fn item(&mut self, item: Item<'_>, out: &mut VecDeque<ModelEvent>) -> Result<(), Fault> {
        match &*item.kind {
            "message" => {
                let at = self.position(item.id.as_deref());
                if at.is_none() {
                    self.delta(item.id.as_deref(), texts(item.content)?.concat(), out);
                }
                if let Some(at) = at.or_else(|| self.position(item.id.as_deref())) {
                    out.push_back(ModelEvent::TextDone { id: self.open.remove(at) });
                }
            }
            "reasoning" => out.push_back(ModelEvent::ReasoningDone(Reasoning {
                id: item.id.unwrap_or_default(),
                summary: item.summary.into_iter().flatten().filter_map(|part| part.text).collect(),
                content: texts(item.content)?,
                encrypted_content: item.encrypted_content,
            })),
            "function_call" => {
                let name =
                    item.name.ok_or_else(|| Fault::Unreadable("a function_call without a name".into()))?;
                let call_id = item.call_id.or(item.id);
                let call_id = call_id
                    .ok_or_else(|| Fault::Unreadable(format!("a call of {name} without a call_id")))?;
                // By the book a string that holds JSON; some servers send the JSON itself.
                let arguments = item.arguments.map_or_else(String::new, |raw| {
                    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
                });
                let arguments = if arguments.trim().is_empty() { "{}".to_owned() } else { arguments };
                out.push_back(ModelEvent::ToolCall { call_id, namespace: item.namespace, name, arguments });
            }
            other => tracing::debug!(kind = other, "output item passed over"),
        }
        Ok(())
    }

    /// Where an item's text stands in `open`. One that was opened by deltas without an id is the last, whatever its
    /// item is called.
    fn position(&self, id: Option<&str>) -> Option<usize> {
        let named = self.open.iter().position(|open| Some(&**open) == id);
        named.or_else(|| self.open.iter().position(|open| &**open == "text"))
    }
}

impl Response {
    fn of(raw: Option<&RawValue>) -> Result<Self, Fault> {
        raw.map_or_else(|| Ok(Self::default()), |raw| parse(raw.get()))
    }
}

impl From<WireUsage> for ModelEvent {
    fn from(usage: WireUsage) -> Self {
        let reasoning = usage.output_tokens_details.and_then(|details| details.reasoning_tokens);
        Self::Usage(Usage {
            input_tokens: usage.input_tokens,
            cached_input_tokens: usage
                .input_tokens_details
                .and_then(|details| details.cached_tokens)
                .unwrap_or_default(),
            output_tokens: usage.output_tokens,
            reasoning_output_tokens: reasoning.unwrap_or_default(),
            total_tokens: usage.total_tokens.unwrap_or(usage.input_tokens + usage.output_tokens),
        })
    }
}

/// A piece of a thought. One that does not say of which is left to the event that closes the thought.
fn thought(event: &Envelope<'_>, part: ReasoningPart) -> Result<Option<ModelEvent>, Fault> {
    let id = event.item_id.and_then(|id| parse::<&str>(id.get()).ok());
    let (Some(id), Some(delta)) = (id, event.delta) else { return Ok(None) };
    let delta: String = parse(delta.get())?;
    let id = OutputId::from(id);
    Ok((!delta.is_empty()).then_some(ModelEvent::ReasoningDelta { id, part, delta }))
}

fn index(raw: Option<&RawValue>) -> usize {
    raw.and_then(|raw| raw.get().parse().ok()).unwrap_or_default()
}

/// Whether JSON that is not whole has this field somewhere. Within somebody's text its quotes would be escaped, so that
/// it is not found there.
fn names(head: &str, key: &str, value: &str) -> bool {
    [":", ": "].iter().any(|colon| head.contains(&format!("\"{key}\"{colon}\"{value}\"")))
}

/// The texts of an item's content parts.
fn texts(content: Option<&RawValue>) -> Result<Vec<String>, Fault> {
    let parts: Option<Vec<Content>> = content.map(|raw| parse(raw.get())).transpose()?.flatten();
    Ok(parts.into_iter().flatten().filter_map(|part| part.text.or(part.refusal)).collect())
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
