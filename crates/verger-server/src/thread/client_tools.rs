//! Tools that a client provides: what `thread/start` registers, as it is kept with the thread and offered to the model.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use verger_model::{Part, ToolSource, ToolSpec, client_name};
use verger_wire::RpcError;
use verger_wire::requests::{DynamicToolKind, DynamicToolSpec};
use verger_wire::types::{DynamicToolCallItem, DynamicToolCallOutputContentItem};

/// What providers accept as the length of a function's name, in characters.
const MAX_NAME: usize = 64;

/// A registered tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientTool {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    name: String,
    description: String,
    input_schema: Value,
}

/// The tools that a request registers.
///
/// # Errors
/// -32600 in the peer's words: a name that no model can call, one that is there twice, a family within a family.
pub(crate) fn registered(specs: &[DynamicToolSpec]) -> Result<Vec<ClientTool>, RpcError> {
    let mut tools: Vec<ClientTool> = Vec::new();
    for spec in specs {
        match spec.r#type {
            DynamicToolKind::Function if spec.defer_loading => {
                let message = format!("deferred dynamic tool must include a namespace: {}", spec.name);
                return Err(RpcError::unusable_tool(message));
            }
            DynamicToolKind::Function => add(&mut tools, None, spec)?,
            DynamicToolKind::Namespace => {
                check(&spec.name)?;
                if spec.name.starts_with("mcp__") {
                    let message = format!("dynamic tool namespace is reserved: {}", spec.name);
                    return Err(RpcError::unusable_tool(message));
                }
                // One that is to be found by a search first is accepted, and never found.
                for tool in spec.tools.iter().filter(|tool| !tool.defer_loading) {
                    add(&mut tools, Some(&spec.name), tool)?;
                }
            }
        }
    }
    Ok(tools)
}

fn add(tools: &mut Vec<ClientTool>, family: Option<&str>, spec: &DynamicToolSpec) -> Result<(), RpcError> {
    let name = &spec.name;
    if spec.r#type == DynamicToolKind::Namespace {
        return Err(RpcError::unusable_tool(format!("a dynamic tool namespace holds tools, not '{name}'")));
    }
    check(name)?;
    let full = client_name(family, name);
    if full.len() > MAX_NAME {
        let message = format!("dynamic tool name is longer than {MAX_NAME} characters: {full}");
        return Err(RpcError::unusable_tool(message));
    }
    if tools.iter().any(|tool| client_name(tool.family.as_deref(), &tool.name) == full) {
        return Err(RpcError::unusable_tool(format!("duplicate dynamic tool name: {name}")));
    }
    let input_schema = spec.input_schema.clone().unwrap_or_else(|| json!({ "type": "object" }));
    if !input_schema.is_object() {
        let message = format!("dynamic tool input schema is not supported for {name}: it is no object");
        return Err(RpcError::unusable_tool(message));
    }
    let family = family.map(str::to_owned);
    tools.push(ClientTool {
        family,
        name: name.clone(),
        description: spec.description.clone(),
        input_schema,
    });
    Ok(())
}

fn check(name: &str) -> Result<(), RpcError> {
    if name.is_empty() {
        return Err(RpcError::unusable_tool("dynamic tool name must not be empty"));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        let message = format!("dynamic tool name must match ^[a-zA-Z0-9_-]+$ to match Responses API: {name}");
        return Err(RpcError::unusable_tool(message));
    }
    Ok(())
}

impl ClientTool {
    pub(super) fn spec(&self) -> ToolSpec {
        ToolSpec {
            source: ToolSource::Client(self.family.clone()),
            tool: self.name.clone(),
            description: self.description.clone(),
            input_schema: self.input_schema.clone(),
        }
    }
}

/// What a client's tool answered, as the model reads it.
pub(super) fn output(call: &DynamicToolCallItem) -> Vec<Part> {
    let parts = call.content_items.iter().flatten().map(|item| match item {
        DynamicToolCallOutputContentItem::InputText { text } => Part::Text(text.clone()),
        DynamicToolCallOutputContentItem::InputImage { image_url } => {
            Part::Image { url: image_url.clone(), detail: None }
        }
        DynamicToolCallOutputContentItem::InputAudio { .. } => {
            Part::Text("[audio: not sent to the model]".to_owned())
        }
    });
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { vec![Part::Text(String::new())] } else { parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(specs: Value) -> Result<Vec<String>, String> {
        let specs: Vec<DynamicToolSpec> = serde_json::from_value(specs).unwrap();
        let tools = registered(&specs).map_err(|error| error.message)?;
        Ok(tools.iter().map(|tool| tool.spec().name()).collect())
    }

    #[test]
    fn tools_and_families_are_registered() {
        let tool =
            |name: &str| json!({ "name": name, "description": "d", "inputSchema": { "type": "object" } });
        let family =
            json!({ "type": "namespace", "name": "shop", "description": "d", "tools": [tool("buy")] });
        assert_eq!(
            read(json!([tool("lookup"), family])),
            Ok(vec!["lookup".to_owned(), "shop__buy".to_owned()])
        );
    }

    #[test]
    fn what_no_model_could_call_is_refused_by_name() {
        let tool = |name: &str| json!({ "name": name, "description": "d" });
        for (specs, error) in [
            (
                json!([tool("bad name")]),
                "dynamic tool name must match ^[a-zA-Z0-9_-]+$ to match Responses API: bad name",
            ),
            (json!([tool("")]), "dynamic tool name must not be empty"),
            (json!([tool("x"), tool("x")]), "duplicate dynamic tool name: x"),
            (
                json!([{ "name": "x", "description": "d", "deferLoading": true }]),
                "deferred dynamic tool must include a namespace: x",
            ),
            (
                json!([{ "type": "namespace", "name": "mcp__x", "description": "d" }]),
                "dynamic tool namespace is reserved: mcp__x",
            ),
            (
                json!([{ "name": "x", "description": "d", "inputSchema": 3 }]),
                "dynamic tool input schema is not supported for x: it is no object",
            ),
        ] {
            assert_eq!(read(specs), Err(error.to_owned()));
        }
    }
}
