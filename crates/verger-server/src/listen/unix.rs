//! Unix sockets: who may open the file may do everything. A client speaks HTTP, as over TCP, or JSON lines from the first
//! byte on.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::serve::Listener;
use rustix::fs::{Mode, fchmod};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, bind, listen, recv, socket_with,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use verger_wire::RpcError;

use super::{Arrival, Arrivals, Limits};

/// Connections that the kernel may hold until they are taken.
const BACKLOG: i32 = 1024;

/// Connections that may be waiting to say their first byte; more wait in the kernel.
const SILENT: usize = 1024;

/// What a client has said before it is refused, at most.
const SAID: usize = 64 << 10;

/// How long to wait after the kernel refused a connection, for want of descriptors most likely.
const BREATH: Duration = Duration::from_millis(100);

/// A listening socket and its file, which goes with it.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl UnixSocket {
    /// Makes the file, 0600 from its first moment on. One that nobody listens on any more is replaced.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path).map_err(|_| {
            let bytes = path.as_os_str().len();
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a socket's path has at most 107 bytes, this one has {bytes}"),
            )
        })?;
        remove_stale(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Linux makes the file with the mode of the socket, so that it is never open to others.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        let listener = UnixListener::from_std(socket.into())?;
        Ok(Self { path: path.to_owned(), listener })
    }

    /// Takes connections for ever; who speaks HTTP is handed to `http`.
    pub(super) async fn serve(self, arrivals: Arrivals, http: mpsc::Sender<UnixStream>, limits: Limits) {
        let mut silent = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if silent.len() < SILENT => match accepted {
                    Ok((stream, _)) => {
                        silent.spawn(introduce(stream, arrivals.clone(), http.clone(), limits.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(BREATH).await;
                    }
                },
                Some(introduced) = silent.join_next() => {
                    if let Ok(Err(error)) = introduced {
                        tracing::debug!(%error, "a connection ended before its first byte");
                    }
                }
            }
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // While it still listens: nobody takes the path for abandoned, so the file is this one's own.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the socket's file was gone");
        }
    }
}

/// Removes what a dead server left at `path`; refuses where one listens, or where the file is no socket.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) => {}
    }
    match StdStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// Looks at the first byte, and hands the connection to whom it concerns. JSON begins with a brace; HTTP never does.
async fn introduce(
    mut stream: UnixStream,
    arrivals: Arrivals,
    http: mpsc::Sender<UnixStream>,
    limits: Limits,
) -> io::Result<()> {
    let mut first = [0];
    let peeking = stream.async_io(Interest::READABLE, || Ok(recv(&stream, &mut first, RecvFlags::PEEK)?.0));
    let length = timeout(limits.handshake, peeking).await??;
    if length == 0 {
        return Ok(());
    }
    // Both are closed when the server is leaving; the connection is dropped, and with it closed.
    if first[0].is_ascii_uppercase() {
        http.send(stream).await.ok();
    } else {
        match limits.owners_seat() {
            Ok(seat) => {
                arrivals.send(Arrival::Lines(stream, seat)).await.ok();
            }
            Err(full) => {
                // What is left unread would reach the client as a reset, before the reason does.
                let mut said = vec![0; SAID];
                let _bytes = stream.read(&mut said).await?;
                stream.write_all(refusal(full).as_bytes()).await?;
            }
        }
    }
    Ok(())
}

/// The one line that a client gets for which there is no place: an answer to no request.
fn refusal(why: String) -> String {
    let error = RpcError::full(why);
    format!("{}\n", serde_json::json!({ "id": null, "error": error }))
}

/// What speaks HTTP, as axum wants to be given it.
#[derive(Debug)]
pub(super) struct HttpStreams(pub(super) mpsc::Receiver<UnixStream>);

impl Listener for HttpStreams {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn the_file_is_private_and_goes_with_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let socket = UnixSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(UnixSocket::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_server_left_is_replaced_and_anything_else_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(UnixSocket::bind(&path).unwrap());
        fs::write(&path, "mine").unwrap();
        assert_eq!(UnixSocket::bind(&path).unwrap_err().to_string(), "there is a file that is no socket");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let long = dir.path().join("x".repeat(120));
        assert!(
            UnixSocket::bind(&long).unwrap_err().to_string().starts_with("a socket's path has at most 107")
        );
    }
}
