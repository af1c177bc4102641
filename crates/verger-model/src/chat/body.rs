//! The JSON body of `POST /chat/completions`, written once per request. `messages` has the conversation.

use serde::Serialize;
use serde_json::Value;

use super::messages::{Message, messages};
use crate::request::{ModelRequest, ToolSpec};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    // Some servers refuse an empty list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    stream: bool,
    stream_options: StreamOptions,
}

/// Without it a streamed answer does not say what it cost.
#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'a str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: &'a Value,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'a str,
    json_schema: Schema<'a>,
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'a str,
    strict: bool,
    schema: &'a Value,
}

/// The body of one request.
///
/// # Errors
/// None in practice: every map's keys are strings.
pub(super) fn encode(request: &ModelRequest) -> serde_json::Result<Vec<u8>> {
    let format = |schema| Format {
        r#type: "json_schema",
        json_schema: Schema { name: "answer", strict: true, schema },
    };
    serde_json::to_vec(&Body {
        model: &request.model,
        messages: messages(request),
        tools: request.tools.iter().map(tool).collect(),
        reasoning_effort: request.reasoning_effort.as_deref(),
        response_format: request.output_schema.as_ref().map(format),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
    })
}

fn tool(spec: &ToolSpec) -> Tool<'_> {
    Tool {
        r#type: "function",
        function: Function {
            name: spec.name(),
            description: &spec.description,
            parameters: &spec.input_schema,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::InputItem;

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
                "messages": [{"role": "user", "content": "hi"}],
                "stream": true,
                "stream_options": {"include_usage": true},
            })
        );
    }

    #[test]
    fn everything_that_can_be_asked() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        let request = ModelRequest {
            model: "m".into(),
            instructions: "be brief".into(),
            tools: vec![ToolSpec {
                source: crate::request::ToolSource::Server("git".into()),
                tool: "log".into(),
                description: "history".into(),
                input_schema: schema.clone(),
            }],
            reasoning_effort: Some("low".into()),
            reasoning_summary: Some("detailed".into()),
            output_schema: Some(schema.clone()),
            ..ModelRequest::default()
        };
        let function = json!({"name": "mcp__git__log", "description": "history", "parameters": schema});
        assert_eq!(
            body(&request),
            json!({
                "model": "m",
                "messages": [{"role": "system", "content": "be brief"}],
                "tools": [{"type": "function", "function": function}],
                "reasoning_effort": "low",
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "strict": true, "schema": schema},
                },
                "stream": true,
                "stream_options": {"include_usage": true},
            })
        );
    }
}
