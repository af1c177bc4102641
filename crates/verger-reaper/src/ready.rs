//! The one place where descriptors are registered with the runtime.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor that is owned, and therefore stays open and the same as long as it is registered.
#[expect(
    deprecated,
    reason = "unsound for types whose descriptor can change; its unsafe successor asks what OwnedFd is"
)]
pub(crate) fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}
