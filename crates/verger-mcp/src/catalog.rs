//! The tools of a server, as it lists them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{CallError, shared::Shared};

/// Most pages that one listing may have, and most tools: past that, a server is counting for ever.
const MAX_PAGES: usize = 1_000;
const MAX_TOOLS: usize = 10_000;

/// One tool. Nothing of what the server said is lost: `raw` is its words.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// The name to call it by.
    pub name: String,
    /// A name for people: the tool's `title`, else that of its annotations.
    pub title: Option<String>,
    /// What it does, for the model.
    pub description: Option<String>,
    /// What the server claims about it. Claims only: never trust them for safety.
    pub hints: Hints,
    /// The whole object, unknown members too.
    pub raw: Value,
}

/// A tool's annotations; nothing where the server says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints {
    /// It changes nothing. MCP's default: false.
    pub read_only: Option<bool>,
    /// It may destroy, not only add. MCP's default: true.
    pub destructive: Option<bool>,
    /// Repeating it changes nothing more. MCP's default: false.
    pub idempotent: Option<bool>,
    /// It reaches beyond a closed world, the web say. MCP's default: true.
    pub open_world: Option<bool>,
}

impl Tool {
    /// JSON Schema of its arguments, `null` where the server gave none.
    #[must_use]
    pub fn input_schema(&self) -> &Value {
        &self.raw["inputSchema"]
    }

    fn read(raw: Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let notes = &raw["annotations"];
        let hint = |name: &str| notes[name].as_bool();
        Some(Self {
            name: text(&raw["name"])?,
            title: text(&raw["title"]).or_else(|| text(&notes["title"])),
            description: text(&raw["description"]),
            hints: Hints {
                read_only: hint("readOnlyHint"),
                destructive: hint("destructiveHint"),
                idempotent: hint("idempotentHint"),
                open_world: hint("openWorldHint"),
            },
            raw,
        })
    }
}

/// Asks for every page of `tools/list`.
pub(crate) async fn list(shared: &Shared) -> Result<Arc<[Tool]>, CallError> {
    let mut tools = Vec::new();
    let mut params = json!({});
    for _ in 0..MAX_PAGES {
        let mut page = shared.ask("tools/list", &params).await?;
        let Value::Array(listed) = page["tools"].take() else {
            return Err(shared.malformed("tools/list has no list of tools".to_owned()));
        };
        for raw in listed {
            let tool = Tool::read(raw).ok_or_else(|| shared.malformed("a tool has no name".to_owned()))?;
            tools.push(tool);
        }
        if tools.len() > MAX_TOOLS {
            return Err(shared.malformed(format!("tools/list goes past {MAX_TOOLS} tools")));
        }
        match page["nextCursor"].take() {
            // Some servers say "no more" with an empty cursor.
            Value::String(cursor) if !cursor.is_empty() && params["cursor"] != cursor => {
                params = json!({ "cursor": cursor });
            }
            _ => return Ok(tools.into()),
        }
    }
    Err(shared.malformed(format!("tools/list goes past {MAX_PAGES} pages")))
}
