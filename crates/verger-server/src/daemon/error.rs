//! Why a daemon does not serve, or does not end well.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::task::JoinError;
use verger_reaper::ReaperError;
use verger_store::StoreError;

use crate::config::ConfigError;

/// Why a daemon did not serve, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The home cannot be written.
    #[error(
        "{path}: cannot {doing}: {cause}; let this user write there, or choose another home by VERGER_HOME"
    )]
    Home {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        cause: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {cause}; is another server running there? choose another with --listen"
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// The Unix socket cannot be made.
    #[error(
        "cannot listen on the Unix socket {path}: {cause}; choose another place by --listen unix://PATH, XDG_RUNTIME_DIR or VERGER_HOME"
    )]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The home has a daemon.
    #[error("this home is served already{by}; stop that server first, or set VERGER_HOME to another home")]
    Served {
        /// By whom, as far as it says: ` (pid N on ws://HOST:PORT)`.
        by: String,
    },
    /// The address is none, or not on this machine.
    #[error("{listen}: {reason}")]
    Address {
        /// As it was given.
        listen: String,
        /// What is wrong, and what to write.
        reason: &'static str,
    },
    /// Others may reach the address, and nothing was chosen that keeps them out.
    #[error(
        "{address}: other machines may reach it; give clients a secret by --auth-token-file, --auth-token-sha256 or --auth-jwt-secret-file (auth_token_file, auth_jwt_secret_file under [server]), or listen on 127.0.0.1"
    )]
    Unguarded {
        /// Which.
        address: SocketAddr,
    },
    /// A secret cannot be used.
    #[error("{path}: clients cannot be held to it: {cause}")]
    Secret {
        /// Its file.
        path: PathBuf,
        /// Why, and what to do.
        cause: String,
    },
    /// JWTs are wanted, and no secret is there to check them with.
    #[error("server.auth = \"jwt\" needs a secret; name its file by auth_jwt_secret_file under [server]")]
    NoSecret,
    /// Processes cannot be owned here.
    #[error(transparent)]
    Reaper(#[from] ReaperError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel refused something that everything rests on.
    #[error("{doing}: {cause}")]
    Kernel {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        cause: std::io::Error,
    },
    /// A task panicked.
    #[error("a part of the server failed: {0}")]
    Task(#[from] JoinError),
    /// Shutdown is complete but for these.
    #[error("{0} helper(s) could not be proven gone; the next start of this home looks for them")]
    Stuck(usize),
}
