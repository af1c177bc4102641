//! A `config.toml` for a server under test, put together piece by piece.

use std::fmt::Write as _;

use serde_json::json;

/// The text of a configuration.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    top: String,
    tables: String,
}

/// One `[mcp_servers.NAME]`.
#[derive(Debug, Clone)]
pub struct ServerEntry {
    command: String,
    args: Vec<String>,
    keys: String,
}

// === impl ConfigFile ===

impl ConfigFile {
    /// A provider of the Responses API at `base_url` that is asked once, and no approvals.
    #[must_use]
    pub fn with_model(base_url: &str) -> Self {
        Self::with_provider(base_url, "responses", "request_max_retries = 0\nstream_max_retries = 0\n")
    }

    /// A provider at `base_url` that speaks `wire_api`, with more keys of its table as TOML, and no approvals.
    #[must_use]
    pub fn with_provider(base_url: &str, wire_api: &str, keys: &str) -> Self {
        let top =
            "model = \"mock-model\"\nmodel_provider = \"mock\"\napproval_policy = \"never\"\nsandbox_mode = \"danger-full-access\"\n"
                .to_owned();
        let tables = format!(
            "[model_providers.mock]\nname = \"mock\"\nbase_url = {}\nwire_api = {}\n{keys}",
            json!(base_url),
            json!(wire_api)
        );
        Self { top, tables }
    }

    /// Adds a server.
    #[must_use]
    pub fn server(mut self, name: &str, entry: &ServerEntry) -> Self {
        let ServerEntry { command, args, keys } = entry;
        // A JSON string or array of strings is a TOML one too.
        write!(
            self.tables,
            "[mcp_servers.{name}]\ncommand = {}\nargs = {}\n{keys}",
            json!(command),
            json!(args)
        )
        .expect("writing to a String cannot fail");
        self
    }

    /// Adds a key of the top level with its value in TOML: `.key("model_context_window", "1000")`.
    #[must_use]
    pub fn key(mut self, name: &str, value: &str) -> Self {
        writeln!(self.top, "{name} = {value}").expect("writing to a String cannot fail");
        self
    }

    /// Adds a whole table, or several, as TOML.
    #[must_use]
    pub fn table(mut self, toml: &str) -> Self {
        self.tables.push_str(toml);
        self.tables.push('\n');
        self
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.top, self.tables)
    }
}

// === impl ServerEntry ===

impl ServerEntry {
    /// Any program.
    pub fn new(command: impl Into<String>, args: impl IntoIterator<Item = String>) -> Self {
        Self { command: command.into(), args: args.into_iter().collect(), keys: String::new() }
    }

    /// Adds a key with its value in TOML: `.key("start", "\"eager\"")`.
    #[must_use]
    pub fn key(mut self, name: &str, value: &str) -> Self {
        writeln!(self.keys, "{name} = {value}").expect("writing to a String cannot fail");
        self
    }

    /// Starts with its thread instead of at its first use.
    #[must_use]
    pub fn eager(self) -> Self {
        self.key("start", "\"eager\"")
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }
}
