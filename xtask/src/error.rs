//! Everything that can keep xtask from doing its work.

use std::path::PathBuf;
use std::process::ExitStatus;

use crate::USAGE;

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The words on the command line make no sense.
    #[error("{0}\n\n{USAGE}")]
    Usage(String),
    /// A program could not be started at all.
    #[error("'{program}' could not be started: {source}; is it installed and on PATH?")]
    Start { program: String, source: std::io::Error },
    /// A program ran and said no.
    #[error("'{command}' failed: {status}")]
    Failed { command: String, status: ExitStatus },
    /// A server that others wrote did not come up.
    #[error("'{command}' did not say '{ready}' in time; what it said is above")]
    NotReady { command: String, ready: String },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// A folder that has to be on a search path cannot be.
    #[error("{folder}: a search path cannot hold a folder with ':' in its name; move the project", folder = folder.display())]
    Colon { folder: PathBuf },
    /// A fuzz target found something, or did not end as it should.
    #[error("fuzzing ended with:\n{said}\n(all of it: {log}; try an input again by giving its file to the same program)", log = log.display())]
    Finding { log: PathBuf, said: String },
    /// Something of the machine that this cannot do without.
    #[error("missing here: {what}")]
    Missing { what: String },
    /// A long run printed no figures, or some that are not a flat JSON object.
    #[error(
        "long run '{name}' printed {found} where one line `SOAK {{...}}` was expected; see the test's output"
    )]
    Figures { name: &'static str, found: String },
}

impl Error {
    /// For `map_err` on whatever touches `path`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
