//! Where things lie: the project's folder, and the one folder below which xtask writes.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// Below `target`: the npm package of the peer.
pub(crate) const PEER_FOLDER: &str = "npm-peer";
/// Below `target`: clients from PyPI.
pub(crate) const PYTHON_CLIENTS: &str = "python-clients";

/// Below `target`: the Python environment of the gateway.
pub(crate) const GATEWAY: &str = "gateway";

/// The project's folders. Everything that is fetched or built goes below `target`, nothing into a home.
#[derive(Clone, Debug)]
pub(crate) struct House {
    /// The workspace's root.
    pub(crate) root: PathBuf,
    /// Cargo's build folder: `CARGO_TARGET_DIR`, or `target` in the root.
    pub(crate) target: PathBuf,
}

impl House {
    /// Looks where cargo says it is, so that a moved or copied project finds itself.
    pub(crate) fn find() -> Result<Self, Error> {
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = own.parent().expect("xtask is a folder of the workspace").to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => std::path::absolute(&folder).map_err(Error::file(folder))?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// Where `cargo install` puts programs that the machine does not have.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The Python environment with real MCP servers and what the acceptance scripts import.
    pub(crate) fn venv(&self) -> PathBuf {
        self.target.join("venv")
    }

    /// Its interpreter.
    pub(crate) fn python(&self) -> PathBuf {
        self.venv().join("bin/python")
    }

    /// The folder whose `node_modules` holds real MCP servers.
    pub(crate) fn npm(&self) -> PathBuf {
        self.target.join("npm")
    }

    /// Clients of the protocol from PyPI, for PYTHONPATH.
    pub(crate) fn python_clients(&self) -> PathBuf {
        self.target.join(PYTHON_CLIENTS)
    }

    /// The interpreter of the gateway's environment.
    pub(crate) fn gateway_python(&self) -> PathBuf {
        self.target.join(GATEWAY).join("bin/python")
    }

    /// The peer's program.
    pub(crate) fn peer(&self) -> PathBuf {
        self.target.join(PEER_FOLDER).join("node_modules/.bin/codex")
    }

    /// A program of this workspace, as the step `build` leaves it.
    pub(crate) fn built(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// Scripts that judge any such server from outside; they live beside the project, where there are any.
    pub(crate) fn acceptance_scripts(&self) -> Option<PathBuf> {
        let scripts = self.root.parent()?.join("shared/acceptance");
        scripts.is_dir().then_some(scripts)
    }

    /// An empty folder of this name below `target`; what was there before is gone.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf, Error> {
        let folder = self.target.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
        }
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        Ok(folder)
    }
}

/// The text of a file, or nothing where there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(path)(error)),
    }
}
