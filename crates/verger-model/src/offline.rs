//! The model that is always there: no network, no key, and the same answer every time.
//!
//! It repeats what it is told. When the last line is `/call SERVER TOOL {json}` it calls that tool, and then answers
//! with what the tool said. That is enough to try a server, a job or the whole of Verger for real.

use futures_util::{Stream, stream};
use serde_json::{Map, Value};

use crate::error::ModelError;
use crate::event::ModelEvent;
use crate::request::{InputItem, ModelRequest, text_of};

/// In how many deltas an answer comes, at most: enough to see it grow.
const DELTAS: usize = 4;

const FORM: &str = "To call a tool, write one line: /call SERVER TOOL {\"argument\": \"value\"}";

/// The answer to a request; ends with [`ModelEvent::Completed`], never with an error.
pub(crate) fn stream(
    request: &ModelRequest,
) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static + use<> {
    stream::iter(answer(&request.input).into_iter().map(Ok))
}

fn answer(input: &[InputItem]) -> Vec<ModelEvent> {
    let mut events = match input.iter().rev().find(|item| !matches!(item, InputItem::Reasoning(_))) {
        Some(InputItem::ToolOutput { output, .. }) => say(text_of(output)),
        Some(InputItem::UserMessage { content }) => {
            let text = text_of(content);
            match Call::parse(&text) {
                Some(Ok(call)) => vec![call.into_event(input)],
                Some(Err(cause)) => say(format!("{cause}. {FORM}")),
                None => say(format!("You said: {text}")),
            }
        }
        _ => say("Nothing was said.".to_owned()),
    };
    events.push(ModelEvent::Completed);
    events
}

/// A text, in up to [`DELTAS`] pieces of about the same length. An empty one is no text at all.
fn say(text: String) -> Vec<ModelEvent> {
    if text.is_empty() {
        return Vec::new();
    }
    let id = crate::OutputId::from("text");
    let step = text.len().div_ceil(DELTAS);
    let mut events = vec![ModelEvent::TextStarted { id: id.clone() }];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let cut = (step..rest.len()).find(|&cut| rest.is_char_boundary(cut)).unwrap_or(rest.len());
        let (delta, after) = rest.split_at(cut);
        events.push(ModelEvent::TextDelta { id: id.clone(), delta: delta.to_owned() });
        rest = after;
    }
    events.push(ModelEvent::TextDone { id });
    events
}

/// A `/call` line.
struct Call<'a> {
    server: &'a str,
    tool: &'a str,
    arguments: Map<String, Value>,
}

// === impl Call ===

impl<'a> Call<'a> {
    /// `None`: the last line is not a call. `Err`: it is a call that cannot be made, and why.
    fn parse(text: &'a str) -> Option<Result<Self, String>> {
        let line = text.trim_end().lines().next_back()?.trim_start();
        let rest = line.strip_prefix("/call")?;
        if rest.starts_with(|c: char| !c.is_whitespace()) {
            return None;
        }
        let (server, rest) = word(rest);
        let (tool, json) = word(rest);
        if server.is_empty() || tool.is_empty() {
            return Some(Err("A call needs a server and a tool".to_owned()));
        }
        let arguments = if json.is_empty() { Ok(Map::new()) } else { serde_json::from_str(json) };
        Some(match arguments {
            Ok(arguments) => Ok(Self { server, tool, arguments }),
            Err(error) => Err(format!("The arguments of {tool} are not a JSON object ({error})")),
        })
    }

    fn into_event(self, input: &[InputItem]) -> ModelEvent {
        let earlier = input.iter().filter(|item| matches!(item, InputItem::ToolCall { .. })).count();
        ModelEvent::ToolCall {
            call_id: format!("call_{}", earlier + 1),
            namespace: Some(format!("mcp__{}", self.server)),
            name: self.tool.to_owned(),
            arguments: Value::Object(self.arguments).to_string(),
        }
    }
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(events: &[ModelEvent]) -> String {
        let delta = |event: &ModelEvent| match event {
            ModelEvent::TextDelta { delta, .. } => Some(delta.clone()),
            _ => None,
        };
        events.iter().filter_map(delta).collect()
    }

    fn ask(line: &str) -> Vec<ModelEvent> {
        answer(&[InputItem::user(line)])
    }

    #[test]
    fn anything_is_repeated_in_a_few_deltas() {
        let events = ask("good morning, what is the news?");
        assert_eq!(text(&events), "You said: good morning, what is the news?");
        assert_eq!(events.len(), 1 + DELTAS + 2, "{events:?}");
        assert!(matches!(events[0], ModelEvent::TextStarted { .. }));
        assert!(matches!(events[5..], [ModelEvent::TextDone { .. }, ModelEvent::Completed]), "{events:?}");
    }

    #[test]
    fn deltas_never_cut_a_character() {
        for line in ["é", "日本語日本語", "a🦀", ""] {
            assert_eq!(text(&ask(line)), format!("You said: {line}"));
        }
    }

    #[test]
    fn a_call_line_calls_and_the_output_is_the_answer() {
        let mut input = vec![InputItem::user("please:\n  /call clock  now {\"zone\": \"UTC\"}\n")];
        let ModelEvent::ToolCall { call_id, namespace, name, arguments } = answer(&input).remove(0) else {
            panic!("no call")
        };
        assert_eq!((namespace.as_deref(), name.as_str()), (Some("mcp__clock"), "now"));
        assert_eq!(arguments, r#"{"zone":"UTC"}"#);
        input.push(InputItem::ToolCall { call_id: call_id.clone(), namespace, name, arguments });
        input.push(InputItem::tool_output(call_id.clone(), "12:00"));
        assert_eq!(text(&answer(&input)), "12:00");

        input.push(InputItem::AssistantMessage { text: "12:00".into() });
        input.push(InputItem::user("/call clock now"));
        let second = answer(&input);
        assert!(
            matches!(&second[0], ModelEvent::ToolCall { call_id: second, arguments, .. } if *second != call_id && arguments == "{}"),
            "{second:?}"
        );
    }

    #[test]
    fn a_call_that_cannot_be_made_explains_the_form() {
        for line in
            ["/call", "/call git", "/call git log {not json}", "/call git log [1]", "/call git log {} more"]
        {
            let events = ask(line);
            assert!(text(&events).contains("/call SERVER TOOL {"), "{line}: {events:?}");
            assert!(matches!(events.last(), Some(ModelEvent::Completed)));
        }
        assert_eq!(text(&ask("/callback git log")), "You said: /callback git log");
        assert_eq!(text(&ask("/call git log\nor not")), "You said: /call git log\nor not");
    }

    #[test]
    fn an_empty_output_is_an_empty_answer() {
        let input = [InputItem::user("/call a b"), InputItem::tool_output("call_1", "")];
        assert_eq!(answer(&input), [ModelEvent::Completed]);
    }
}
