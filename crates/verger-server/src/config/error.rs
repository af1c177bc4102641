//! Configurations that cannot be used.

use std::path::PathBuf;

use super::overrides::Source;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file exists and cannot be read.
    #[error("{path}: not readable: {cause}; let this user read it, or set VERGER_HOME to a home of its own")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Not TOML, a key of the wrong type, or a value that means nothing.
    #[error("{}{}: {}{reason}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default(), key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Where in it, from 1.
        line: Option<usize>,
        /// Which key, dotted, where it is a key's fault.
        key: Option<String>,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// The same, said on the command line or in the environment.
    #[error("{by}: {reason}")]
    Override {
        /// The flag with its key, or the variable.
        by: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
}

impl ConfigError {
    /// What `source` sets `key` to cannot be used.
    pub(super) fn of(source: &Source, key: &str, reason: impl Into<String>) -> Self {
        Self::Override { by: source.describe(key), reason: reason.into() }
    }
}
