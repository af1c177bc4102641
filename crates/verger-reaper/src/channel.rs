//! The owner's end of a shim's control channel.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use verger_shim::protocol::{Inbox, Order, Report};

/// Reports in, orders out. Dropping it tells the shim to kill its tree.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    inbox: Inbox,
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, inbox: Inbox::default() }
    }

    /// Sends `Start` and the descriptors that go with it.
    pub(crate) async fn start(&mut self, frame: &[u8], fds: &[OwnedFd]) -> io::Result<()> {
        let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let sent = self
            .stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                if !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
                    return Err(io::Error::other("more descriptors than the protocol knows"));
                }
                let flags = SendFlags::NOSIGNAL;
                Ok(sendmsg(&self.stream, &[IoSlice::new(frame)], &mut ancillary, flags)?)
            })
            .await?;
        self.stream.write_all(&frame[sent..]).await
    }

    /// Gives an order at once. All orders of a life fit the socket's buffer, so this fails only if the shim is gone.
    pub(crate) fn order(&self, order: Order) -> io::Result<()> {
        let frame = order.encode();
        let sent = self.stream.try_write(frame.as_bytes())?;
        if sent == frame.as_bytes().len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Lets go of the lifeline; reports still come in.
    pub(crate) async fn close(&mut self) {
        if let Err(e) = self.stream.shutdown().await {
            tracing::debug!("a shim was gone before its lifeline was closed: {e}");
        }
    }

    /// The next report; `None` when the shim is gone. Cancel-safe.
    pub(crate) async fn report(&mut self) -> io::Result<Option<Report>> {
        loop {
            if let Some(frame) = self.inbox.next_frame().map_err(io::Error::other)? {
                return Report::decode(frame).map(Some).map_err(io::Error::other);
            }
            match self.stream.read(self.inbox.space()).await {
                Ok(0) => return Ok(None),
                Ok(read) => self.inbox.filled(read),
                // A shim that dies with an order unread resets the socket.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(e) => return Err(e),
            }
        }
    }
}
