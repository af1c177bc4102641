//! What an owner and its shim say to each other: length-prefixed messages with hard bounds.
//!
//! A frame is a little-endian `u32` length, one byte of kind and the fields; the length counts kind and fields. Only
//! [`Start`] is long. Everything else fits [`MAX_SHORT`], so neither side allocates once a helper runs.
//!
//! The order is fixed, and both sides end the helper when the other breaks it:
//!
//! ```text
//! owner: Start ───────────── Go ──────────── [Stop orderly] [Stop kill] ──── (closes)
//! shim:         Forked{pid}      Running | ExecFailed     LeaderExited [Stray]* Empty (exits)
//! ```
//!
//! The helper exists after `Start` but does not execute before `Go`, so an owner that dies in between has started
//! nothing. The first byte of `Start` carries the descriptors (SCM_RIGHTS): the helper's 0, 1 and 2, and, if
//! [`Start::cgroup`] is set, the directory of the cgroup to be born in. With [`Start::pidns`] the helper is the child of
//! an init, and the init the child of the shim; all pids are those of the owner's namespace.

mod short;
mod start;

pub use short::{Exit, Frame, Inbox, Order, Report, Stage, Stop, Stray};
pub use start::{Graces, Start};

/// The longest [`Start`] in bytes. The kernel itself takes 2 MiB of arguments and environment under the usual stack
/// limit, and 6 MiB at most.
pub const MAX_START: usize = 6 << 20;

/// The longest message of any other kind in bytes, length prefix not counted.
pub const MAX_SHORT: usize = 64;

/// The bytes of a frame before its kind.
pub const PREFIX: usize = 4;

/// How many strays a shim names before it only counts them.
pub const MAX_NAMED_STRAYS: u32 = 8;

/// What was wrong with a message. Each of these ends the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The length prefix is zero or past the bound of its kind.
    Length(usize),
    /// No message has this kind.
    Kind(u8),
    /// A field is missing, has an impossible value, or bytes are left over.
    Fields,
    /// A message that may not come at this point.
    Order,
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length(len) => write!(f, "a message of {len} bytes is outside the protocol's bounds"),
            Self::Kind(kind) => write!(f, "message kind {kind} is unknown"),
            Self::Fields => f.write_str("a message has missing, impossible or left-over fields"),
            Self::Order => f.write_str("a message came out of order"),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// Reads fields off the front of a payload.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], ProtocolError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(ProtocolError::Fields)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        self.bytes(N)?.try_into().map_err(|_| ProtocolError::Fields)
    }

    fn u8(&mut self) -> Result<u8, ProtocolError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, ProtocolError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, ProtocolError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, ProtocolError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Fails if anything is left: a peer that says more than we understand is not the peer we were built with.
    fn end(self) -> Result<(), ProtocolError> {
        if self.0.is_empty() { Ok(()) } else { Err(ProtocolError::Fields) }
    }
}
