//! Keys of Codex's `mcp_servers` and `model_providers` tables that Verger takes and does not use.
//!
//! They are those that Codex 0.169.0 accepts. A key is passed over in silence only where nobody can miss its effect.

use toml::de::{DeTable, DeValue};

/// What is lost with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing that anybody can miss.
    None,
    /// What is said, unless the key has the value that asks for nothing.
    Some {
        /// The value that asks for nothing, besides `false` and what is empty.
        unless: &'static str,
    },
    /// It belongs to a remote server, and has its warning there.
    Remote,
}

/// A key of Codex's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Foreign {
    /// `mcp_servers` or `model_providers`.
    pub(super) table: &'static str,
    pub(super) key: &'static str,
    pub(super) loss: Loss,
    /// What is so instead.
    pub(super) instead: &'static str,
}

const SERVERS: &str = "mcp_servers";
const PROVIDERS: &str = "model_providers";
const MISSED: Loss = Loss::Some { unless: "" };
const NO_REMOTE: &str = "remote servers are not supported yet";
const NO_SIGN_IN: &str = "requests are sent without it; put a key into env_key's variable";

/// All of them, in the order of the reference.
pub(super) const FOREIGN: &[Foreign] = &[
    key(SERVERS, "name", Loss::None, "the table's own name is shown"),
    key(SERVERS, "startup_readiness", Loss::None, "a server counts as ready as soon as its tools are known"),
    key(
        SERVERS,
        "supports_parallel_tool_calls",
        Loss::None,
        "calls that a model makes together run together",
    ),
    key(SERVERS, "required", MISSED, "threads begin even if this server cannot start"),
    key(SERVERS, "tool_input_schema_max_bytes", MISSED, "models are given the whole schema of each tool"),
    key(SERVERS, "environment_id", Loss::Some { unless: "local" }, "helpers run where this server runs"),
    key(SERVERS, "auth", Loss::Remote, NO_REMOTE),
    key(SERVERS, "bearer_token_env_var", Loss::Remote, NO_REMOTE),
    key(SERVERS, "http_headers", Loss::Remote, NO_REMOTE),
    key(SERVERS, "http_headers_helper", Loss::Remote, NO_REMOTE),
    key(SERVERS, "env_http_headers", Loss::Remote, NO_REMOTE),
    key(SERVERS, "oauth", Loss::Remote, NO_REMOTE),
    key(SERVERS, "oauth_resource", Loss::Remote, NO_REMOTE),
    key(SERVERS, "scopes", Loss::Remote, NO_REMOTE),
    key(PROVIDERS, "env_key_instructions", Loss::None, "an error names the variable of env_key"),
    key(PROVIDERS, "supports_websockets", Loss::None, "models are asked over HTTP"),
    key(PROVIDERS, "websocket_connect_timeout_ms", Loss::None, "models are asked over HTTP"),
    key(PROVIDERS, "supports_standalone_web_search", Loss::None, "this version has no web search"),
    key(PROVIDERS, "capabilities", MISSED, "every provider is asked alike"),
    key(PROVIDERS, "model_catalog_url", MISSED, "name the models in models"),
    key(PROVIDERS, "requires_openai_auth", MISSED, NO_SIGN_IN),
    key(PROVIDERS, "auth", MISSED, NO_SIGN_IN),
    key(PROVIDERS, "gateway_oauth", MISSED, NO_SIGN_IN),
    key(PROVIDERS, "aws", MISSED, NO_SIGN_IN),
    key(PROVIDERS, "credential_file", MISSED, NO_SIGN_IN),
    key(PROVIDERS, "project_id", MISSED, NO_SIGN_IN),
    key(PROVIDERS, "location", MISSED, NO_SIGN_IN),
];

const fn key(table: &'static str, key: &'static str, loss: Loss, instead: &'static str) -> Foreign {
    Foreign { table, key, loss, instead }
}

/// The key `name` of an entry of `table`, if it is one of Codex's.
pub(super) fn find(table: &str, name: &str) -> Option<&'static Foreign> {
    FOREIGN.iter().find(|foreign| foreign.table == table && foreign.key == name)
}

impl Foreign {
    /// What to say of it where it has this value, beside the other keys of its entry; nothing where nothing is lost.
    pub(super) fn warning(&self, value: &DeValue<'_>, entry: &DeTable<'_>) -> Option<String> {
        let asks_for_nothing = match value {
            DeValue::Boolean(asked) => !asked,
            DeValue::String(text) => text.is_empty(),
            DeValue::Array(items) => items.is_empty(),
            DeValue::Table(table) => table.is_empty(),
            _ => false,
        };
        match self.loss {
            Loss::None => None,
            Loss::Some { unless } if asks_for_nothing || value.as_str() == Some(unless) => None,
            Loss::Some { .. } => Some(format!("known to Codex, without effect here: {}", self.instead)),
            Loss::Remote if asks_for_nothing || entry.contains_key("url") => None,
            Loss::Remote => {
                Some("without effect: it belongs to servers with a url, not a command".to_owned())
            }
        }
    }
}
