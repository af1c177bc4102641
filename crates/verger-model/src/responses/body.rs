//! The JSON body of `POST /responses`, written once per request, straight from borrowed parts.

use serde::Serialize;
use serde_json::Value;

use crate::request::{InputItem, ModelRequest, Part, ToolSpec, has_image, text_of};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    input: Vec<Item<'a>>,
    // Some servers refuse an empty list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Effort<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    include: &'a [&'a str],
    // The conversation is ours to keep.
    store: bool,
    stream: bool,
}

#[derive(Serialize)]
struct Effort<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'a str,
    name: &'a str,
    strict: bool,
    schema: &'a Value,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'a str,
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: &'a Value,
    // MCP schemas seldom keep the rules of strict mode.
    strict: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Message {
        role: &'a str,
        content: Vec<Content<'a>>,
    },
    Reasoning {
        id: &'a str,
        summary: Vec<Content<'a>>,
        encrypted_content: &'a str,
    },
    FunctionCall {
        call_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        name: &'a str,
        arguments: &'a str,
    },
    FunctionCallOutput {
        call_id: &'a str,
        output: Output<'a>,
    },
}

/// By the book a list of parts does for every output; servers that only know texts are many.
#[derive(Serialize)]
#[serde(untagged)]
enum Output<'a> {
    Text(String),
    Parts(Vec<Content<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Content<'a> {
    #[serde(rename = "input_text")]
    Input { text: &'a str },
    #[serde(rename = "input_image")]
    Image {
        image_url: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
    },
    #[serde(rename = "output_text")]
    Output { text: &'a str },
    #[serde(rename = "summary_text")]
    Summary { text: &'a str },
}

/// The body of one request.
///
/// # Errors
/// None in practice: every map's keys are strings.
pub(super) fn encode(request: &ModelRequest) -> serde_json::Result<Vec<u8>> {
    let reasoning = reasoning(request);
    let format = |schema| Format { r#type: "json_schema", name: "answer", strict: true, schema };
    serde_json::to_vec(&Body {
        model: &request.model,
        instructions: &request.instructions,
        input: request.input.iter().filter_map(item).collect(),
        tools: request.tools.iter().map(tool).collect(),
        include: if reasoning.is_some() { &["reasoning.encrypted_content"] } else { &[] },
        reasoning,
        text: request.output_schema.as_ref().map(|schema| Text { format: format(schema) }),
        store: false,
        stream: true,
    })
}

fn reasoning(request: &ModelRequest) -> Option<Effort<'_>> {
    let effort = request.reasoning_effort.as_deref();
    let summary = match request.reasoning_summary.as_deref() {
        Some("none") => None,
        Some(summary) => Some(summary),
        None => effort.map(|_| "auto"),
    };
    (effort.is_some() || summary.is_some()).then_some(Effort { effort, summary })
}

fn tool(spec: &ToolSpec) -> Tool<'_> {
    Tool {
        r#type: "function",
        name: spec.name(),
        description: &spec.description,
        parameters: &spec.input_schema,
        strict: false,
    }
}

fn item(item: &InputItem) -> Option<Item<'_>> {
    Some(match item {
        InputItem::UserMessage { content } => {
            Item::Message { role: "user", content: content.iter().map(part).collect() }
        }
        InputItem::AssistantMessage { text } => {
            Item::Message { role: "assistant", content: vec![Content::Output { text }] }
        }
        // An item that the provider neither kept nor sealed is unknown to it. Open ones are another wire's.
        InputItem::Reasoning(reasoning) if reasoning.is_open() => return None,
        InputItem::Reasoning(reasoning) => Item::Reasoning {
            id: &reasoning.id,
            summary: reasoning.summary.iter().map(|text| Content::Summary { text }).collect(),
            encrypted_content: reasoning.encrypted_content.as_deref()?,
        },
        InputItem::ToolCall { call_id, namespace, name, arguments } => {
            Item::FunctionCall { call_id, namespace: namespace.as_deref(), name, arguments }
        }
        InputItem::ToolOutput { call_id, output } => {
            Item::FunctionCallOutput { call_id, output: self::output(output) }
        }
    })
}

fn output(parts: &[Part]) -> Output<'_> {
    if has_image(parts) {
        return Output::Parts(parts.iter().map(part).collect());
    }
    Output::Text(text_of(parts))
}

fn part(part: &Part) -> Content<'_> {
    match part {
        Part::Text(text) => Content::Input { text },
        Part::Image { url, detail } => Content::Image { image_url: url, detail: detail.as_deref() },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Reasoning;

    fn body(request: &ModelRequest) -> Value {
        serde_json::from_slice(&encode(request).unwrap()).unwrap()
    }

    #[test]
    fn the_least_request() {
        let request =
            ModelRequest { model: "m".into(), input: vec![InputItem::user("hi")], ..ModelRequest::default() };
        assert_eq!(
            body(&request),
            json!({
                "model": "m",
                "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
                "store": false,
                "stream": true,
            })
        );
    }

    #[test]
    fn a_whole_conversation() {
        let sealed =
            Reasoning { id: "rs_1".into(), encrypted_content: Some("x".into()), ..Reasoning::default() };
        let call = InputItem::ToolCall {
            call_id: "c1".into(),
            namespace: Some("mcp__git".into()),
            name: "log".into(),
            arguments: "{}".into(),
        };
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        let request = ModelRequest {
            model: "m".into(),
            instructions: "be brief".into(),
            input: vec![
                InputItem::Reasoning(sealed),
                InputItem::Reasoning(Reasoning::default()),
                call,
                InputItem::ToolOutput {
                    call_id: "c1".into(),
                    output: vec![Part::Text("a".into()), Part::Text("b".into())],
                },
                InputItem::AssistantMessage { text: "done".into() },
            ],
            tools: vec![ToolSpec {
                source: crate::request::ToolSource::Server("git".into()),
                tool: "log".into(),
                description: "history".into(),
                input_schema: schema.clone(),
            }],
            reasoning_effort: Some("low".into()),
            ..ModelRequest::default()
        };
        assert_eq!(
            body(&request),
            json!({
                "model": "m",
                "instructions": "be brief",
                "input": [
                    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
                    {"type": "function_call", "call_id": "c1", "namespace": "mcp__git", "name": "log", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c1", "output": "a\nb"},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]},
                ],
                "tools": [{"type": "function", "name": "mcp__git__log", "description": "history",
                           "parameters": schema, "strict": false}],
                "reasoning": {"effort": "low", "summary": "auto"},
                "include": ["reasoning.encrypted_content"],
                "store": false,
                "stream": true,
            })
        );
    }

    #[test]
    fn images_go_as_images_and_a_text_stays_a_text() {
        let (url, detail) = ("data:image/png;base64,AAAA".to_owned(), Some("low".to_owned()));
        let image = Part::Image { url: url.clone(), detail };
        let request = ModelRequest {
            input: vec![
                InputItem::UserMessage { content: vec![Part::Text("look".into()), image.clone()] },
                InputItem::ToolOutput {
                    call_id: "c1".into(),
                    output: vec![Part::Image { url, detail: None }],
                },
            ],
            ..ModelRequest::default()
        };
        let shown =
            json!({"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"});
        let input = &body(&request)["input"];
        assert_eq!(input[0]["content"], json!([{"type": "input_text", "text": "look"}, shown]));
        assert_eq!(
            input[1]["output"],
            json!([{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}])
        );
    }

    #[test]
    fn what_is_asked_of_the_answer_is_passed_on() {
        let schema = json!({"type": "object"});
        let asked = |effort: Option<&str>, summary: Option<&str>| {
            let (effort, summary) = (effort.map(str::to_owned), summary.map(str::to_owned));
            let request = ModelRequest {
                reasoning_effort: effort,
                reasoning_summary: summary,
                ..ModelRequest::default()
            };
            body(&request)["reasoning"].clone()
        };
        assert_eq!(asked(Some("low"), None), json!({"effort": "low", "summary": "auto"}));
        assert_eq!(asked(Some("low"), Some("none")), json!({"effort": "low"}));
        assert_eq!(asked(None, Some("detailed")), json!({"summary": "detailed"}));
        assert_eq!(asked(None, Some("none")), Value::Null);
        let request = ModelRequest { output_schema: Some(schema.clone()), ..ModelRequest::default() };
        let format = json!({"type": "json_schema", "name": "answer", "strict": true, "schema": schema});
        assert_eq!(body(&request)["text"], json!({ "format": format }));
    }
}
