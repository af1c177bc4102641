//! What is wrong with a configuration that can be used all the same.

use std::fmt;
use std::path::{Path, PathBuf};

use verger_wire::{ConfigWarningNotification, Notification, TextRange};

/// Warnings beyond these are counted only: a whole foreign file may have been pasted.
const SHOWN: usize = 20;

/// Something that was written and has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file and the place of the key in it; none for a flag or a variable.
    pub(super) place: Option<(PathBuf, TextRange)>,
    /// The key, or the flag or variable that set it.
    pub(super) key: String,
    /// What is wrong, and what to write instead.
    pub(super) reason: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((path, range)) = &self.place {
            write!(f, "{}:{}: ", path.display(), range.start.line)?;
        }
        write!(f, "{}: {}", self.key, self.reason)
    }
}

impl Warning {
    /// As clients are told.
    pub fn to_wire(&self) -> Notification {
        let (path, range) = self.place.clone().unzip();
        Notification::ConfigWarning(ConfigWarningNotification {
            summary: self.to_string(),
            details: None,
            path: path.map(|path| path.display().to_string()),
            range,
        })
    }
}

/// The first of them, and one for the others.
pub(super) fn shorten(mut warnings: Vec<Warning>, path: &Path) -> Vec<Warning> {
    let left = warnings.len().saturating_sub(SHOWN);
    if left > 0 {
        warnings.truncate(SHOWN);
        let key = path.display().to_string();
        warnings.push(Warning { place: None, key, reason: format!("{left} more keys without effect") });
    }
    warnings
}
