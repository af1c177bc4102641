//! The image that shims are made of, and a shim as a child process.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use crate::process::{self, Stat};
use crate::ready::watched;
use crate::token::{TOKEN_VARIABLE, Token};
use crate::{ReaperError, SpawnError};

/// Opened once: an upgrade in place cannot mix versions of the protocol.
#[derive(Debug)]
pub(crate) struct Image {
    file: File,
}

impl Image {
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, ReaperError> {
        let path = path.unwrap_or(Path::new("/proc/self/exe"));
        let opened = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        match opened {
            Ok(fd) => Ok(Self { file: fd.into() }),
            Err(e) => Err(ReaperError::Image { path: path.to_path_buf(), source: e.into() }),
        }
    }

    /// Starts a shim and returns it with the owner's end of its channel.
    ///
    /// Nothing here may add a `pre_exec`: that would turn posix_spawn into fork, which copies this process's page
    /// tables and makes it fault on every page after.
    pub(crate) fn start(&self, name: &str, token: &Token) -> Result<(Shim, UnixStream), SpawnError> {
        let failed = |source| SpawnError::Resources { doing: "start a supervisor process", source };
        let (ours, theirs) = StdStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let ours = UnixStream::from_std(ours).map_err(failed)?;
        let program = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        #[expect(clippy::disallowed_methods, reason = "the one place where processes are started")]
        let mut command = Command::new(program);
        command
            .arg0(verger_shim::ARGV0)
            // For `ps` only.
            .arg(name.replace('\0', ""))
            .env_clear()
            .env(TOKEN_VARIABLE, token.as_str())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        drop(command);
        let pid = child.id();
        // Nobody else waits for it, so the pid is still its own.
        let opened = process::open(pid).and_then(|pidfd| match pidfd {
            Some(pidfd) => watched(pidfd, Interest::READABLE),
            None => Err(io::ErrorKind::NotFound.into()),
        });
        let pidfd = match opened {
            Ok(pidfd) => pidfd,
            Err(e) => {
                // Usually out of descriptors. A shim whose lifeline closes before it was told anything exits at once.
                drop(ours);
                child.wait().map_err(failed)?;
                return Err(failed(e));
            }
        };
        let started = Stat::read(pid).map_or(0, |stat| stat.started);
        Ok((Shim { pid, pidfd, started }, ours))
    }
}

/// A child process of ours that runs a shim.
#[derive(Debug)]
pub(crate) struct Shim {
    pub(crate) pid: u32,
    pidfd: AsyncFd<OwnedFd>,
    /// When it was started, in clock ticks after boot.
    pub(crate) started: u64,
}

impl Shim {
    /// Makes a stopped shim listen again. A running one does not notice.
    pub(crate) fn wake(&self) -> io::Result<()> {
        process::signal(self.pidfd.get_ref(), Signal::CONT)
    }

    pub(crate) fn kill(&self) -> io::Result<()> {
        process::signal(self.pidfd.get_ref(), Signal::KILL)
    }

    /// Waits until it has exited, and reaps it. Its orphans have come to this process by then.
    pub(crate) async fn exited(&self) -> io::Result<()> {
        self.pidfd.readable().await?.retain_ready();
        process::reap(self.pidfd.get_ref())
    }
}
