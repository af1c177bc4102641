//! A server that can be measured: its program, and how it wants to be configured.

use std::path::PathBuf;

use crate::config_file::ServerEntry;
use crate::home::Home;

/// One server.
#[derive(Debug, Clone)]
pub struct Subject {
    /// In the table.
    pub name: String,
    /// Speaks the protocol after `app-server --listen ws://127.0.0.1:0`, and says on stderr where.
    pub program: PathBuf,
    /// What it understands.
    pub flavor: Flavor,
}

/// Whose configuration a server reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// This project's.
    Verger,
    /// The app-server's whose protocol this is.
    Peer,
}

// === impl Flavor ===

impl Flavor {
    /// The variable that names the folder of state and configuration.
    pub(super) fn home_variable(self) -> &'static str {
        match self {
            Self::Verger => "VERGER_HOME",
            Self::Peer => "CODEX_HOME",
        }
    }

    /// The text of `config.toml`: the home's fake model, and `helper` where one is wanted.
    pub(super) fn config(self, home: &Home, helper: Option<&ServerEntry>) -> String {
        let config = match self {
            Self::Verger => home.config(),
            // The first two keys go on with the table of the provider, which is the last so far. Without them, and with
            // plugins, it would look for its maker's servers.
            Self::Peer => home.config().table(
                "requires_openai_auth = false\nsupports_websockets = false\n\
                 [features]\nplugins = false\napps = false",
            ),
        };
        helper.into_iter().fold(config, |config, helper| config.server("helper", helper)).text()
    }
}
