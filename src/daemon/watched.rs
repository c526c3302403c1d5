//! Waiting for a descriptor of ours inside tokio.
//! Owns: the one call that needs a word about soundness.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// An owned descriptor that the runtime tells of.
#[expect(deprecated, reason = "the other door is unsafe; what is owned here keeps its descriptor open and the same")]
pub fn watched<T: AsRawFd + Into<OwnedFd>>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(fd, interest)
}
