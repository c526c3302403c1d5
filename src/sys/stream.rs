//! Waiting for many pipes at once: epoll(7), eventfd(2), poll(2).
//! Owns: these calls. Never: decides what is waited for, retries, or reads.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EfdFlags;
pub use nix::sys::eventfd::EventFd;

/// Waits until `readable` can be read or nobody is left at the other end of `out`. Ok(false): nobody is left.
pub fn wait_readable_while_wanted(readable: BorrowedFd<'_>, out: BorrowedFd<'_>) -> io::Result<bool> {
    let closing = PollFlags::from_bits_retain(libc::POLLRDHUP);
    let mut fds = [PollFd::new(readable, PollFlags::POLLIN), PollFd::new(out, closing)];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP | closing;
    Ok(!fds[1].revents().is_some_and(|seen| seen.intersects(gone)))
}

/// What an epoll set has to say of one fd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// The number it was added under.
    pub key: u64,
    /// No writer is left. What was written before still stands in the pipe.
    pub hung_up: bool,
}

/// Fds watched for reading, each told once per change (EPOLLET): who does not read to the end is not told again until
/// more is written. Every pipe write counts as a change once the pipe is polled.
pub struct ReadSet {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl ReadSet {
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, events: vec![EpollEvent::empty(); 64] })
    }

    pub fn add(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        Ok(self.epoll.add(fd, EpollEvent::new(flags, key))?)
    }

    /// To be called before the fd is closed: the set watches the open file, which a copy elsewhere keeps alive.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(self.epoll.delete(fd)?)
    }

    /// Appends what is ready to `ready`; waits for something for at most `limit`, without one for ever.
    pub fn wait(&mut self, limit: Option<Duration>, ready: &mut Vec<Readiness>) -> io::Result<()> {
        let timeout = match limit {
            None => EpollTimeout::NONE,
            // Rounded up: a wait that ends early would be called again at once.
            Some(limit) => {
                EpollTimeout::try_from(limit.as_micros().div_ceil(1000) as u32).unwrap_or(EpollTimeout::ZERO)
            }
        };
        let seen = match self.epoll.wait(&mut self.events, timeout) {
            Ok(seen) => seen,
            Err(Errno::EINTR) => 0,
            Err(e) => return Err(e.into()),
        };
        let hung_up = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        ready.extend(
            self.events[..seen]
                .iter()
                .map(|event| Readiness { key: event.data(), hung_up: event.events().intersects(hung_up) }),
        );
        Ok(())
    }
}

/// A counter that one thread raises and another waits for.
pub fn eventfd() -> io::Result<EventFd> {
    Ok(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)
}
