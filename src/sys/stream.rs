//! Moving bytes between pipes without reading them, and waiting for them: tee(2), splice(2), FIONREAD, epoll(7).
//! Owns: these calls. Never: decides what is moved, retries, or keeps an fd.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EfdFlags;
pub use nix::sys::eventfd::EventFd;
use nix::unistd::pipe2;

fn count(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// Copies up to `len` bytes from one pipe to another, leaving them in the first. 0: no writer is left and it is empty;
/// `WouldBlock`: empty, or the other is full.
pub fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    // SAFETY: tee(2) touches no memory of ours; both fds are borrowed for the call.
    count(unsafe { libc::tee(from.as_raw_fd(), to.as_raw_fd(), len, libc::SPLICE_F_NONBLOCK) })
}

/// Moves up to `len` bytes from a pipe into a file or another pipe. Results as for `tee`.
pub fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
    // SAFETY: both offsets are null, which splice(2) allows for pipes and for files written at their own offset.
    count(unsafe {
        libc::splice(from.as_raw_fd(), std::ptr::null_mut(), to.as_raw_fd(), std::ptr::null_mut(), len, flags)
    })
}

/// How many bytes stand in a pipe.
pub fn bytes_waiting(pipe: BorrowedFd<'_>) -> io::Result<u64> {
    let mut waiting: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, to the address of one.
    let returned = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(waiting).unwrap_or(0))
}

/// A pipe, both ends non-blocking and closed on exec, that holds `capacity` bytes if the kernel grants it.
/// Returns (read end, write end).
pub fn wide_pipe(capacity: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    widen(read.as_fd(), capacity);
    Ok((read, write))
}

/// Asks for a pipe of `capacity` bytes. A refusal leaves a smaller pipe, which works too, only slower.
pub fn widen(pipe: BorrowedFd<'_>, capacity: i32) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(capacity));
}

/// How many bytes a pipe holds when every buffer is used to its end.
pub fn capacity(pipe: BorrowedFd<'_>) -> io::Result<i32> {
    Ok(fcntl(pipe, FcntlArg::F_GETPIPE_SZ)?)
}

/// True while a write end takes at least one more buffer.
pub fn has_room(write_end: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [PollFd::new(write_end, PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO)?;
    Ok(fds[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLOUT)))
}

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
