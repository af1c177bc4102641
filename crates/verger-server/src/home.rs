//! Where this server's files are.

use std::path::{Path, PathBuf};

/// The socket's name.
const SOCKET: &str = "verger.sock";

/// The folders of one home. `VERGER_HOME` joins both in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// `config.toml` is here.
    pub config: PathBuf,
    /// The store, the runs and the token are here.
    pub state: PathBuf,
    /// The Unix socket of the home's daemon.
    pub socket: PathBuf,
}

/// No home could be told from the environment.
#[derive(Debug, thiserror::Error)]
#[error(
    "no folder for the state: neither VERGER_HOME, XDG_STATE_HOME nor HOME is set to an absolute path; set VERGER_HOME"
)]
pub struct NoHome;

impl Home {
    /// Reads `VERGER_HOME`, else the XDG variables with their usual defaults.
    pub fn from_env(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<Self, NoHome> {
        let absolute = |name: &str| var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(home) = var("VERGER_HOME").filter(|home| !home.is_empty()) {
            let home = std::path::absolute(PathBuf::from(home)).map_err(|_| NoHome)?;
            return Ok(Self::at(&home));
        }
        let below_home = |path: &str| absolute("HOME").map(|home| home.join(path));
        let config = absolute("XDG_CONFIG_HOME").or_else(|| below_home(".config")).ok_or(NoHome)?;
        let state = absolute("XDG_STATE_HOME").or_else(|| below_home(".local/state")).ok_or(NoHome)?;
        let (config, state) = (config.join("verger"), state.join("verger"));
        let runtime = absolute("XDG_RUNTIME_DIR").unwrap_or_else(|| state.clone());
        Ok(Self { config, state, socket: runtime.join(SOCKET) })
    }

    /// Everything in one folder.
    pub fn at(home: &Path) -> Self {
        Self { config: home.to_owned(), state: home.to_owned(), socket: home.join(SOCKET) }
    }

    /// The configuration; it need not exist.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Held by the home's daemon as long as it lives.
    pub(crate) fn daemon_lock(&self) -> PathBuf {
        self.state.join("daemon.flock")
    }

    /// The token that TCP clients of `verger serve` present (0600).
    pub fn token_file(&self) -> PathBuf {
        self.state.join("token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(vars: &[(&str, &str)]) -> Option<Home> {
        let var = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
        Home::from_env(var).ok()
    }

    #[test]
    fn verger_home_joins_all_and_xdg_splits() {
        let joined = home(&[("VERGER_HOME", "/h"), ("HOME", "/u")]).unwrap();
        assert_eq!(joined, Home::at(Path::new("/h")));
        let split = home(&[("HOME", "/u"), ("XDG_STATE_HOME", "/s")]).unwrap();
        let (config, state) = ("/u/.config/verger".into(), "/s/verger".into());
        assert_eq!(split, Home { config, state, socket: "/s/verger/verger.sock".into() });
        let runtime = home(&[("HOME", "/u"), ("XDG_RUNTIME_DIR", "/run/u")]).unwrap();
        assert_eq!(runtime.socket, Path::new("/run/u/verger.sock"));
        assert_eq!(home(&[("HOME", "relative")]), None);
    }
}
