//! What has come and gone over a connection, in bytes: a client is slow, or gone, by what it takes and says. How it is closed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use super::socket::Socket;

/// Bytes that are dropped at once of what a client sends that is not heard any more.
const REST: usize = 16 << 10;

/// Counts the bytes that the kernel took for a client, and those that came from it. Cheap to clone; the connection is open for
/// as long as there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Nothing in tests.
    socket: Option<Socket>,
    written: AtomicU64,
    read: AtomicU64,
}

impl Progress {
    /// Says that nothing more comes, and then waits until the client has hung up, or the time is over. What it still sends is
    /// dropped: a socket that is closed with something unread is reset, and then the client may lose the last that it was told.
    pub(crate) async fn linger(&self, limit: Duration) {
        let Some(socket) = &self.0.socket else { return };
        let draining = async {
            rustix::net::shutdown(socket, Shutdown::Write)?;
            let mut rest = vec![0; REST];
            loop {
                // Who floods has no more than its share of the time.
                consume_budget().await;
                socket.readable().await?;
                match socket.try_read(&mut rest) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        };
        // An error: it has hung up already.
        if let Ok(Err(error)) = timeout(limit, draining).await {
            tracing::debug!(%error, "a client was gone before its connection was closed");
        }
    }

    /// Bytes that the kernel took for the client.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Bytes that came from the client.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.0.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.0.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A connection whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted(Progress);

impl Counted {
    fn new(socket: impl Into<Socket>) -> Self {
        Self(Progress(Arc::new(Counts { socket: Some(socket.into()), ..Counts::default() })))
    }

    pub(super) fn progress(&self) -> Progress {
        self.0.clone()
    }

    fn socket(&self) -> io::Result<&Socket> {
        self.0.0.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Writes as soon as the kernel takes something.
    fn poll_with(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let socket = self.socket()?;
        loop {
            ready!(socket.poll_write_ready(cx))?;
            match write(socket) {
                Ok(bytes) => {
                    self.0.wrote(bytes);
                    return Poll::Ready(Ok(bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.socket()?;
        loop {
            ready!(socket.poll_read_ready(cx))?;
            match socket.try_read(buf.initialize_unfilled()) {
                Ok(bytes) => {
                    buf.advance(bytes);
                    self.0.read(bytes);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |socket| socket.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |socket| socket.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The kernel has what was written.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(self.socket()?, Shutdown::Write).map_err(io::Error::from))
    }
}

/// A listener whose connections are counted.
#[derive(Debug)]
pub(super) struct Counting<L>(pub(super) L);

impl<L: Listener<Io: Into<Socket>>> Listener for Counting<L> {
    type Io = Counted;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (socket, address) = self.0.accept().await;
        (Counted::new(socket), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
