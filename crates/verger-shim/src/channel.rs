//! The shim's end of the control channel.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recv, recvmsg, send,
};

use crate::protocol::{Inbox, MAX_START, Order, PREFIX, ProtocolError, Report, Start};

/// What came in.
pub(crate) enum Heard {
    Order(Order),
    /// Nothing more for now.
    Nothing,
    /// The owner is gone or no longer makes sense: the same to a shim.
    Lost,
}

/// The connected socket and what was read of it so far.
pub(crate) struct Channel {
    socket: OwnedFd,
    inbox: Inbox,
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, inbox: Inbox::default() }
    }

    /// Waits for `Start` and its descriptors; `None` when the owner leaves without a word.
    pub(crate) fn receive_start(&mut self) -> io::Result<Option<(Start, Vec<OwnedFd>)>> {
        let mut prefix = [0; PREFIX];
        let mut fds = Vec::new();
        let mut have = self.receive_with_fds(&mut prefix, &mut fds)?;
        if have == 0 {
            return Ok(None);
        }
        while have < PREFIX {
            have += self.receive(&mut prefix[have..])?;
        }
        let len = u32::from_le_bytes(prefix) as usize;
        if len == 0 || len > MAX_START {
            return Err(io::Error::other(ProtocolError::Length(len)));
        }
        let mut frame = vec![0; len];
        let mut have = 0;
        while have < len {
            have += self.receive(&mut frame[have..])?;
        }
        let start = Start::decode(&frame).map_err(io::Error::other)?;
        Ok(Some((start, fds)))
    }

    fn receive_with_fds(&self, into: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
        // A forger's fifth descriptor has no room and sets CTRUNC.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = rustix::io::retry_on_intr(|| {
            recvmsg(&self.socket, &mut [IoSliceMut::new(into)], &mut ancillary, flags)
        })?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        if got.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other(ProtocolError::Fields));
        }
        Ok(got.bytes)
    }

    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        match rustix::io::retry_on_intr(|| recv(&self.socket, &mut *into, RecvFlags::empty()))? {
            (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
            (n, _) => Ok(n),
        }
    }

    /// The next order that has arrived. Never blocks, never allocates.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            match self.inbox.next_frame().map(|frame| frame.map(Order::decode)) {
                Ok(Some(Ok(order))) => return Heard::Order(order),
                Ok(Some(Err(_))) | Err(_) => return Heard::Lost,
                Ok(None) => {}
            }
            match recv(&self.socket, self.inbox.space(), RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Heard::Lost,
                Ok((n, _)) => self.inbox.filled(n),
                Err(Errno::AGAIN) => return Heard::Nothing,
                Err(Errno::INTR) => {}
                Err(_) => return Heard::Lost,
            }
        }
    }

    /// Sends a report without waiting. All reports of a life fit the socket's buffer; where one does not, or the owner
    /// is gone, the owner learns what it needs from the lifeline, so a failure here changes nothing.
    pub(crate) fn say(&self, report: Report) {
        let frame = report.encode();
        send(&self.socket, frame.as_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL).ok();
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
