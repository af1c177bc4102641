//! Where a server's clients come from.

use std::fs::{File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use verger_reaper::live_runs;

use super::DaemonError;
use super::auth::{AuthOptions, Presented, Resolved};
use crate::config::Config;
use crate::home::Home;
use crate::listen::{Guard, Listeners, UnixSocket};
use crate::run_file::RunFile;

/// The port of a daemon that was told no other.
const PORT: u16 = 7717;

/// The name of a run's own socket, in its folder.
const RUN_SOCKET: &str = "sock";

/// Where a server's clients come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// As the home's one daemon: over TCP, by default with the home's token, and over the home's Unix socket.
    Daemon {
        /// The configuration's `server.listen`, or the default, where nothing is said.
        address: Option<SocketAddr>,
    },
    /// Over TCP, without a token unless the command line or the configuration names one.
    WebSocket(SocketAddr),
    /// Over a Unix socket: this one, or the home's.
    Socket(Option<PathBuf>),
    /// One client on stdin and stdout; the server ends with it.
    Stdio,
}

impl Listen {
    /// Reads what follows `--listen` of the app-server: `stdio://`, `unix://[PATH]` or `ws://HOST:PORT`.
    pub fn parse(url: &str) -> Result<Self, DaemonError> {
        if let Some(address) = url.strip_prefix("ws://") {
            return self::address(address.trim_end_matches('/')).map(Self::WebSocket);
        }
        match (url.strip_prefix("unix://"), url) {
            (Some(""), _) => Ok(Self::Socket(None)),
            (Some(path), _) => Ok(Self::Socket(Some(path.into()))),
            (None, "stdio://" | "stdio") => Ok(Self::Stdio),
            (None, _) => Err(DaemonError::Address {
                listen: url.to_owned(),
                reason: "not understood; write stdio://, unix://, unix://PATH or ws://127.0.0.1:PORT",
            }),
        }
    }

    /// Where clients come from over TCP, if they do; `configured` is `server.listen`.
    fn tcp(&self, configured: Option<&str>) -> Result<Option<SocketAddr>, DaemonError> {
        match (self, configured) {
            (Self::Daemon { address: Some(address) } | Self::WebSocket(address), _) => Ok(Some(*address)),
            (Self::Daemon { address: None }, Some(listen)) => self::address(listen).map(Some),
            // Other machines do not reach it.
            (Self::Daemon { address: None }, None) => Ok(Some((Ipv4Addr::LOCALHOST, PORT).into())),
            (Self::Socket(_) | Self::Stdio, _) => Ok(None),
        }
    }

    /// Makes sure that a daemon is its home's only one, for as long as the file is held.
    pub(super) fn lock(&self, home: &Home) -> Result<Option<File>, DaemonError> {
        if !matches!(self, Self::Daemon { .. }) {
            return Ok(None);
        }
        let path = home.daemon_lock();
        let failed = |doing| {
            let path = path.clone();
            move |cause| DaemonError::Home { path, doing, cause }
        };
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(failed("open the daemon's lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Err(DaemonError::Served { by: served_by(home) }),
            Err(TryLockError::Error(cause)) => Err(failed("take the daemon's lock")(cause)),
        }
    }
}

/// Who serves the home, as far as it says.
fn served_by(home: &Home) -> String {
    let runs = live_runs(&home.state).unwrap_or_default();
    let files = runs.iter().filter_map(|run| RunFile::read(&run.dir));
    let daemon = files.into_iter().find(|file| file.is_daemon);
    daemon.map_or_else(String::new, |file| match file.address {
        Some(address) => format!(" (pid {} on ws://{address})", file.pid),
        None => format!(" (pid {})", file.pid),
    })
}

/// Reads `HOST:PORT`.
pub fn address(listen: &str) -> Result<SocketAddr, DaemonError> {
    let refuse = |reason| DaemonError::Address { listen: listen.to_owned(), reason };
    let text = listen
        .strip_prefix("localhost:")
        .map_or_else(|| listen.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| refuse("not an address; write one like 127.0.0.1:7717"))
}

/// Everything that was opened.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) listeners: Listeners,
    pub(super) address: Option<SocketAddr>,
    pub(super) socket: Option<PathBuf>,
    pub(super) run_socket: Option<PathBuf>,
    pub(super) presented: Presented,
}

impl Places {
    /// Opens what `listen` says, and the run's own socket.
    pub(super) async fn open(
        listen: &Listen,
        auth: &AuthOptions,
        home: &Home,
        config: &Config,
        run_dir: &Path,
    ) -> Result<Self, DaemonError> {
        let tcp = listen.tcp(config.server.listen.as_deref())?;
        let socket = match listen {
            Listen::Daemon { .. } => Some(home.socket.clone()),
            Listen::Socket(path) => Some(path.clone().unwrap_or_else(|| home.socket.clone())),
            Listen::WebSocket(_) | Listen::Stdio => None,
        };
        let auth = match tcp {
            Some(_) => auth.resolve(listen, &config.server, home)?,
            None => Resolved::default(),
        };
        let open_to = tcp.filter(|address| !address.ip().is_loopback());
        if let Some(address) = open_to.filter(|_| !auth.is_explicit) {
            return Err(DaemonError::Unguarded { address });
        }
        let Resolved { credential, presented, .. } = auth;
        let mut listeners = Listeners { tcp: None, sockets: Vec::new(), limits: config.server.limits() };
        let address = match tcp {
            None => None,
            Some(address) => {
                let refused = |cause| DaemonError::Listen { address, cause };
                let listener = TcpListener::bind(address).await.map_err(refused)?;
                let bound = listener.local_addr().map_err(refused)?;
                let allowed_origins = config.server.allowed_origins.clone();
                let allowed_hosts = config.server.allowed_hosts.clone();
                listeners.tcp = Some((
                    listener,
                    Guard {
                        credential,
                        open_to: open_to.map(|address| address.ip()),
                        allowed_origins,
                        allowed_hosts,
                    },
                ));
                Some(bound)
            }
        };
        if let Some(path) = &socket {
            let bound = UnixSocket::bind(path);
            listeners.sockets.push(bound.map_err(|cause| DaemonError::Socket { path: path.clone(), cause })?);
        }
        let run_socket = run_dir.join(RUN_SOCKET);
        let run_socket = match UnixSocket::bind(&run_socket) {
            Ok(bound) => {
                listeners.sockets.push(bound);
                Some(run_socket)
            }
            Err(error) => {
                tracing::warn!(path = %run_socket.display(), %error, "`verger ps` and relays cannot ask this server");
                None
            }
        };
        Ok(Self { listeners, address, socket, run_socket, presented })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_listens_openly_who_did_not_say_so() {
        let tcp = |listen: &Listen, configured: Option<&str>| {
            listen.tcp(configured).unwrap().map(|address| address.to_string())
        };
        let given: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let daemon = Listen::Daemon { address: None };
        assert_eq!(tcp(&daemon, None).unwrap(), "127.0.0.1:7717");
        assert_eq!(tcp(&daemon, Some("localhost:2")).unwrap(), "127.0.0.1:2");
        assert_eq!(
            tcp(&Listen::Daemon { address: Some(given) }, Some("localhost:2")).unwrap(),
            "192.0.2.1:1"
        );
        for of_its_own in [Listen::Stdio, Listen::Socket(None)] {
            assert_eq!(tcp(&of_its_own, Some("192.0.2.1:1")), None, "the daemon's address is not theirs");
        }
    }
}
