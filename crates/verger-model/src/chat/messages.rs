//! The conversation as messages.
//!
//! Many servers pour them into a template, which is stricter than the API's book: two messages of one role in a row, an
//! assistant's calls spread over messages, or arguments that are no JSON object make it fail, and the thread with it. So
//! neighbours are joined, and arguments that are no object are put into one.
//!
//! A provider that wants its thoughts back wants them beside every call: calls that follow each other belong to the answer
//! that the last thought began, whatever outputs stand between them.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use crate::names::{offered_name, resolve};
use crate::request::{InputItem, ModelRequest, Part, ToolSpec, has_image, text_of};

/// Between texts that become one message.
const BREAK: &str = "\n\n";

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(super) enum Message<'a> {
    System {
        content: &'a str,
    },
    User {
        content: Content<'a>,
    },
    Assistant {
        /// Null beside calls alone: some servers want the field, and some refuse an empty text.
        content: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "String::is_empty")]
        reasoning_content: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
    /// What a tool answered: text, for the API has no pictures here.
    Tool {
        tool_call_id: &'a str,
        content: String,
    },
}

/// A list of parts only where it must be one: servers without pictures take strings alone.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(String),
    Parts(Vec<Piece<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Piece<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
pub(super) struct ImageUrl<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Call<'a> {
    id: &'a str,
    r#type: &'a str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
}

/// Instructions and conversation of a request.
pub(super) fn messages(request: &ModelRequest) -> Vec<Message<'_>> {
    let system = Some(request.instructions.as_str()).filter(|text| !text.is_empty());
    let mut all: Vec<Message<'_>> = system.map(|content| Message::System { content }).into_iter().collect();
    let mut thought = String::new();
    let mut rest = request.input.as_slice();
    while let Some((item, after)) = rest.split_first() {
        rest = after;
        match item {
            InputItem::UserMessage { content } => {
                let mut said = vec![content.as_slice()];
                while let Some((InputItem::UserMessage { content }, after)) = rest.split_first() {
                    said.push(content);
                    rest = after;
                }
                all.push(Message::User { content: joined(&said) });
            }
            InputItem::AssistantMessage { text } => {
                let (content, _) = answer(&mut all, std::mem::take(&mut thought), false);
                *content = Some(match content.take() {
                    Some(earlier) => format!("{earlier}{BREAK}{text}").into(),
                    None => text.into(),
                });
            }
            InputItem::ToolCall { call_id, namespace, name, arguments } => {
                let name = spell(&request.tools, namespace.as_deref(), name);
                let function = Function { name, arguments: object(arguments) };
                let (_, calls) = answer(&mut all, std::mem::take(&mut thought), true);
                calls.push(Call { id: call_id, r#type: "function", function });
            }
            InputItem::ToolOutput { call_id, output } => {
                all.push(Message::Tool { tool_call_id: call_id, content: text_of(output) });
            }
            InputItem::Reasoning(reasoning) if reasoning.is_open() => {
                thought.push_str(&reasoning.content.concat());
            }
            // What one server shows of its thoughts, another takes for words of the model's, or refuses.
            InputItem::Reasoning(_) => {}
        }
    }
    all
}

/// Content and calls of the answer that goes on after a thought, if there is one; it is begun if it is over.
fn answer<'m, 'a>(
    all: &'m mut Vec<Message<'a>>,
    thought: String,
    by_call: bool,
) -> (&'m mut Option<Cow<'a, str>>, &'m mut Vec<Call<'a>>) {
    let is_output = |message: &Message<'_>| matches!(message, Message::Tool { .. });
    let last = all.iter().rposition(|message| !is_output(message));
    let goes_on = |at: &usize| match &all[*at] {
        Message::Assistant { reasoning_content, .. } => {
            at + 1 == all.len() || (by_call && thought.is_empty() && !reasoning_content.is_empty())
        }
        _ => false,
    };
    let place = last.filter(goes_on).unwrap_or_else(|| {
        all.push(Message::Assistant {
            content: None,
            reasoning_content: String::new(),
            tool_calls: Vec::new(),
        });
        all.len() - 1
    });
    match &mut all[place] {
        Message::Assistant { content, reasoning_content, tool_calls } => {
            reasoning_content.push_str(&thought);
            (content, tool_calls)
        }
        _ => unreachable!("just looked, or just pushed"),
    }
}

fn joined<'a>(messages: &[&'a [Part]]) -> Content<'a> {
    if messages.iter().any(|parts| has_image(parts)) {
        return Content::Parts(messages.iter().copied().flatten().map(piece).collect());
    }
    Content::Text(messages.iter().map(|parts| text_of(parts)).collect::<Vec<_>>().join(BREAK))
}

fn piece(part: &Part) -> Piece<'_> {
    match part {
        Part::Text(text) => Piece::Text { text },
        Part::Image { url, detail } => {
            Piece::ImageUrl { image_url: ImageUrl { url, detail: detail.as_deref() } }
        }
    }
}

/// A function's name as this API knows it, which has no namespaces.
fn spell<'a>(tools: &[ToolSpec], namespace: Option<&'a str>, name: &'a str) -> Cow<'a, str> {
    let Some(space) = namespace else { return name.into() };
    match resolve(tools, Some(space), name) {
        Some((server, tool)) => offered_name(server, tool).into(),
        None => format!("{space}__{name}").into(),
    }
}

/// Arguments that any server takes. What the model wrote stays readable where it was no object.
fn object(arguments: &str) -> Cow<'_, str> {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(_)) => arguments.into(),
        Ok(other) => json!({ "arguments": other }).to_string().into(),
        Err(_) if arguments.trim().is_empty() => "{}".into(),
        Err(_) => json!({ "arguments": arguments }).to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reasoning;

    fn call(call_id: &str, namespace: Option<&str>, name: &str, arguments: &str) -> InputItem {
        InputItem::ToolCall {
            call_id: call_id.into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
            arguments: arguments.into(),
        }
    }

    fn assistant(text: &str) -> InputItem {
        InputItem::AssistantMessage { text: text.into() }
    }

    fn check(input: Vec<InputItem>, want: &Value) {
        let request = ModelRequest { input, ..ModelRequest::default() };
        assert_eq!(serde_json::to_value(messages(&request)).unwrap(), *want);
    }

    fn wanted(id: &str, name: &str, arguments: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }

    #[test]
    fn calls_of_one_answer_are_one_message_and_each_output_is_another() {
        check(
            vec![
                InputItem::user("both"),
                InputItem::Reasoning(Reasoning::default()),
                assistant("I look"),
                call("a", None, "mcp__git__log", "{\"n\":1}"),
                call("b", Some("mcp__git"), "show", ""),
                InputItem::tool_output("a", "one"),
                InputItem::tool_output("b", "two"),
                call("c", Some("functions"), "shell", "{}"),
                InputItem::tool_output("c", "three"),
                assistant("done"),
            ],
            &json!([
                {"role": "user", "content": "both"},
                {"role": "assistant", "content": "I look", "tool_calls": [
                    wanted("a", "mcp__git__log", "{\"n\":1}"), wanted("b", "mcp__git__show", "{}"),
                ]},
                {"role": "tool", "tool_call_id": "a", "content": "one"},
                {"role": "tool", "tool_call_id": "b", "content": "two"},
                {"role": "assistant", "content": null, "tool_calls": [wanted("c", "functions__shell", "{}")]},
                {"role": "tool", "tool_call_id": "c", "content": "three"},
                {"role": "assistant", "content": "done"},
            ]),
        );
    }

    #[test]
    fn open_thoughts_go_back_beside_every_call_that_they_led_to() {
        let thought = |text: &str, field: &str| {
            InputItem::Reasoning(Reasoning {
                content: vec![text.into()],
                encrypted_content: Some(field.into()),
                ..Reasoning::default()
            })
        };
        check(
            vec![
                thought("both", Reasoning::OPEN),
                call("a", None, "f", "{}"),
                InputItem::tool_output("a", "one"),
                call("b", None, "g", "{}"),
                InputItem::tool_output("b", "two"),
                thought("one more", Reasoning::OPEN),
                assistant("wait"),
                call("c", None, "h", "{}"),
                InputItem::tool_output("c", "three"),
                thought("sealed elsewhere", "gAAAA"),
                assistant("done"),
            ],
            &json!([
                {"role": "assistant", "content": null, "reasoning_content": "both",
                 "tool_calls": [wanted("a", "f", "{}"), wanted("b", "g", "{}")]},
                {"role": "tool", "tool_call_id": "a", "content": "one"},
                {"role": "tool", "tool_call_id": "b", "content": "two"},
                {"role": "assistant", "content": "wait", "reasoning_content": "one more",
                 "tool_calls": [wanted("c", "h", "{}")]},
                {"role": "tool", "tool_call_id": "c", "content": "three"},
                {"role": "assistant", "content": "done"},
            ]),
        );
    }

    #[test]
    fn neighbours_of_one_role_are_joined() {
        check(
            vec![InputItem::user("a"), InputItem::user("b"), assistant("c"), assistant("d")],
            &json!([{"role": "user", "content": "a\n\nb"}, {"role": "assistant", "content": "c\n\nd"}]),
        );
    }

    #[test]
    fn arguments_are_an_object_whatever_the_model_wrote() {
        for (written, sent) in [
            ("{\"a\": 1}", "{\"a\": 1}"),
            (" ", "{}"),
            ("{\"a\": ", "{\"arguments\":\"{\\\"a\\\": \"}"),
            ("[1]", "{\"arguments\":[1]}"),
            ("\"x\"", "{\"arguments\":\"x\"}"),
        ] {
            assert_eq!(object(written), sent);
        }
    }

    #[test]
    fn images_make_a_list_of_parts_and_a_tool_has_only_words() {
        let image = |detail: Option<&str>| Part::Image {
            url: "https://images.example/a.png".into(),
            detail: detail.map(str::to_owned),
        };
        check(
            vec![
                InputItem::UserMessage { content: vec![Part::Text("look".into()), image(Some("low"))] },
                InputItem::UserMessage { content: vec![image(None)] },
                call("a", None, "f", "{}"),
                InputItem::ToolOutput {
                    call_id: "a".into(),
                    output: vec![Part::Text("x".into()), image(None)],
                },
            ],
            &json!([
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "https://images.example/a.png", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://images.example/a.png"}},
                ]},
                {"role": "assistant", "content": null, "tool_calls": [wanted("a", "f", "{}")]},
                {"role": "tool", "tool_call_id": "a", "content": "x\n[image: cannot be shown here]"},
            ]),
        );
    }
}
