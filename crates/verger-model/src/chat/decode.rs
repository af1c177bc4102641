//! From the chunks of Chat Completions to our events.
//!
//! An answer is one text, one train of thought and some calls. After the chunk with `finish_reason` one with the usage may
//! follow, and then `[DONE]`, which some servers leave out: so a reason and the end of the stream, however it ends, make an
//! answer whole. Without a reason it is whole only where the server says `[DONE]` and nothing in it is half.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::calls::{Calls, Fragment};
use crate::decoder::{Decoder, Fault, parse};
use crate::event::{ModelEvent, OutputId, Reasoning, ReasoningPart, Usage};
use crate::said::Said;

/// What a train of thought is called, of which there is one at a time.
const THOUGHT: &str = "reasoning";

/// Reads one answer's chunks.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Set by the text's first delta.
    text: Option<OutputId>,
    /// Thoughts that no text has followed yet.
    thought: String,
    /// Whether they came in the field that they go back in.
    is_open: bool,
    calls: Calls,
    usage: Option<Usage>,
    finish: Option<String>,
    over: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    /// In place of `delta`, from servers that had the whole answer at once.
    #[serde(borrow)]
    message: Option<Delta<'a>>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Fragment<'a>>>,
}

#[derive(Deserialize)]
struct ContentPart {
    text: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    /// DeepSeek's place for what the details hold.
    prompt_cache_hit_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    completion_tokens_details: Option<CompletionDetails>,
    total_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

// === impl Chunks ===

impl Decoder for Chunks {
    const END: &'static str = "finish_reason";

    fn read(&mut self, data: &str, out: &mut VecDeque<ModelEvent>) -> Result<(), Fault> {
        if self.over {
            return Ok(());
        }
        if data == "[DONE]" {
            let said = self.text.is_some() || !self.thought.is_empty() || !self.calls.is_empty();
            if self.finish.is_none() && !(said && self.calls.are_whole()) {
                return Err(Fault::BrokenOff(format!("it said [DONE] without {}", Self::END)));
            }
            return self.finish(out);
        }
        let chunk: Chunk<'_> = parse(data)?;
        // Older servers write the error itself, without a name around it.
        let bare = chunk.choices.is_none() && chunk.message.is_some_and(|raw| raw.get().starts_with('"'));
        if chunk.error.is_some() || bare {
            return Err(Fault::Failed(Said::read(data)));
        }
        // A number that is not where it should be is not worth an answer.
        if let Some(usage) = chunk.usage.and_then(|raw| serde_json::from_str::<WireUsage>(raw.get()).ok()) {
            self.usage = Some(usage.into());
        }
        for choice in chunk.choices.into_iter().flatten().filter(|choice| choice.index.unwrap_or(0) == 0) {
            if let Some(delta) = choice.delta.or(choice.message) {
                self.delta(delta, out)?;
            }
            let reason = choice.finish_reason.filter(|reason| !reason.is_empty());
            self.finish = self.finish.take().or(reason);
        }
        Ok(())
    }

    fn end(&mut self, out: &mut VecDeque<ModelEvent>) -> Result<bool, Fault> {
        if self.finish.is_some() && !self.over {
            self.finish(out)?;
        }
        Ok(self.over)
    }
}

impl Chunks {
    fn delta(&mut self, delta: Delta<'_>, out: &mut VecDeque<ModelEvent>) -> Result<(), Fault> {
        // Gateways repeat one as the other.
        let (first, second) = (texts(delta.reasoning_content)?, texts(delta.reasoning)?);
        self.is_open |= !first.is_empty();
        let delta_of_thought = if first.is_empty() { second } else { first };
        if !delta_of_thought.is_empty() {
            self.thought.push_str(&delta_of_thought);
            out.push_back(ModelEvent::ReasoningDelta {
                id: OutputId::from(THOUGHT),
                part: ReasoningPart::Content(0),
                delta: delta_of_thought,
            });
        }
        self.text(texts(delta.content)?, out);
        self.text(texts(delta.refusal)?, out);
        for fragment in delta.tool_calls.into_iter().flatten() {
            self.calls.add(fragment);
        }
        Ok(())
    }

    fn text(&mut self, delta: String, out: &mut VecDeque<ModelEvent>) {
        if delta.is_empty() {
            return;
        }
        self.thought_ends(out);
        let id = self.text.get_or_insert_with(|| {
            let id = OutputId::from("text");
            out.push_back(ModelEvent::TextStarted { id: OutputId::clone(&id) });
            id
        });
        out.push_back(ModelEvent::TextDelta { id: OutputId::clone(id), delta });
    }

    fn thought_ends(&mut self, out: &mut VecDeque<ModelEvent>) {
        let thought = std::mem::take(&mut self.thought);
        if !thought.is_empty() {
            let field = std::mem::take(&mut self.is_open).then(|| Reasoning::OPEN.to_owned());
            out.push_back(ModelEvent::ReasoningDone(Reasoning {
                id: THOUGHT.into(),
                content: vec![thought],
                encrypted_content: field,
                ..Reasoning::default()
            }));
        }
    }

    /// Yields what was kept back until the answer was whole.
    fn finish(&mut self, out: &mut VecDeque<ModelEvent>) -> Result<(), Fault> {
        self.over = true;
        self.thought_ends(out);
        let usage = self.usage.take().map(ModelEvent::Usage);
        match self.finish.as_deref() {
            Some(
                reason @ ("length"
                | "model_length"
                | "max_tokens"
                | "content_filter"
                | "abort"
                | "insufficient_system_resource"),
            ) => {
                out.extend(usage);
                return Err(Fault::Incomplete(reason.to_owned()));
            }
            Some("error") => {
                return Err(Fault::Failed(Said::read("the model failed (finish_reason: error)")));
            }
            // Servers say `stop` beside calls as well.
            _ => {}
        }
        let calls = self.calls.take()?;
        out.extend(self.text.take().map(|id| ModelEvent::TextDone { id }));
        out.extend(calls);
        out.extend(usage);
        out.push_back(ModelEvent::Completed);
        Ok(())
    }
}

impl From<WireUsage> for Usage {
    fn from(usage: WireUsage) -> Self {
        let input_tokens = usage.prompt_tokens.unwrap_or_default();
        let output_tokens = usage.completion_tokens.unwrap_or_default();
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        let reasoning = usage.completion_tokens_details.and_then(|details| details.reasoning_tokens);
        Self {
            input_tokens,
            cached_input_tokens: cached.or(usage.prompt_cache_hit_tokens).unwrap_or_default(),
            output_tokens,
            reasoning_output_tokens: reasoning.unwrap_or_default(),
            total_tokens: usage.total_tokens.unwrap_or(input_tokens + output_tokens),
        }
    }
}

/// A text: a string, or a list of parts that have one. Anything else is none.
fn texts(raw: Option<&RawValue>) -> Result<String, Fault> {
    let json = raw.map_or("null", RawValue::get);
    if json.starts_with('[') {
        let parts: Vec<ContentPart> = parse(json)?;
        return Ok(parts.into_iter().filter_map(|part| part.text).collect());
    }
    if json.starts_with('"') { parse(json) } else { Ok(String::new()) }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
