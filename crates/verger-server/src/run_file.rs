//! Where a live run can be reached, for `verger ps` and whoever else shares its home.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::daemon::DaemonError;

const NAME: &str = "serving.json";

/// Written into the run's folder once it serves; the folder goes with the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// The server's process.
    pub pid: u32,
    /// Its WebSocket listener, if it has one.
    pub address: Option<SocketAddr>,
    /// Its own Unix socket in the run's folder, which everyone of this user may ask; `None` where the path was too long.
    pub socket: Option<PathBuf>,
    /// Whether it is the home's daemon, the one that others relay to.
    pub is_daemon: bool,
}

impl RunFile {
    pub(crate) fn write(&self, run_dir: &Path) -> Result<(), DaemonError> {
        let path = run_dir.join(NAME);
        let text = serde_json::to_vec(self).expect("two plain members always encode");
        let written =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        written.and_then(|mut file| file.write_all(&text)).map_err(|cause| DaemonError::Home {
            path,
            doing: "say where this run is reached",
            cause,
        })
    }

    /// What a live run has written; `None` while it does not serve yet.
    pub fn read(run_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(run_dir.join(NAME)).ok()?).ok()
    }
}
