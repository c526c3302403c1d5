//! Pipes and what moves bytes between them without copying.
//! Owns: pipe2, capacity, tee(2), splice(2), FIONREAD.
//! Never: reads or formats what is in them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid};

/// Both ends of a pipe, close-on-exec, blocking.
pub struct Pipe {
    pub read: OwnedFd,
    pub write: OwnedFd,
}

/// What a log pipe holds.
pub const LOG_CAPACITY: usize = 1 << 20;

impl Pipe {
    pub fn new() -> io::Result<Pipe> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        Ok(Pipe { read, write })
    }

    /// A pipe of at least this capacity, or of what the kernel grants: over `pipe-max-size` it is EPERM for whoever lacks
    /// CAP_SYS_RESOURCE, and then the default size has to do.
    pub fn with_capacity(bytes: usize) -> io::Result<Pipe> {
        let pipe = Pipe::new()?;
        let _ = set_capacity(pipe.write.as_fd(), bytes);
        Ok(pipe)
    }

    /// The same, with both ends non-blocking.
    pub fn nonblocking(bytes: usize) -> io::Result<Pipe> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let _ = set_capacity(write.as_fd(), bytes);
        Ok(Pipe { read, write })
    }
}

pub fn set_capacity(pipe: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    let bytes = libc::c_int::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    Ok(fcntl(pipe, FcntlArg::F_SETPIPE_SZ(bytes))? as usize)
}

pub fn capacity(pipe: BorrowedFd<'_>) -> io::Result<usize> {
    Ok(fcntl(pipe, FcntlArg::F_GETPIPE_SZ)? as usize)
}

/// Bytes that stand in a pipe, unread.
pub fn pending(pipe: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to the address given.
    let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(bytes as usize) }
}

/// True while a write end takes at least one more buffer.
pub fn has_room(write_end: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [PollFd::new(write_end, PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO)?;
    Ok(fds[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLOUT)))
}

/// Duplicates up to `bytes` from one pipe into another without consuming them; never blocks. 0 at end of file.
pub fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    // SAFETY: fd numbers and a length.
    moved(unsafe { libc::tee(from.as_raw_fd(), to.as_raw_fd(), bytes, libc::SPLICE_F_NONBLOCK) })
}

/// Moves up to `bytes` out of or into a pipe; never blocks on it. 0 at end of file.
pub fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    let (flags, here) = (libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE, std::ptr::null_mut());
    // SAFETY: fd numbers and a length; null offsets mean the current position.
    moved(unsafe { libc::splice(from.as_raw_fd(), here, to.as_raw_fd(), here, bytes, flags) })
}

fn moved(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Copies up to `bytes` of a file, from its offset on, into a pipe; the offset stays where it is. 0 at end of file.
pub fn copy_from_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    let mut at = nix::unistd::lseek(from, 0, nix::unistd::Whence::SeekCur)?;
    // SAFETY: fd numbers, a length, and an offset that outlives the call.
    moved(unsafe {
        let here = std::ptr::null_mut();
        libc::splice(from.as_raw_fd(), &raw mut at, to.as_raw_fd(), here, bytes, libc::SPLICE_F_NONBLOCK)
    })
}

/// Takes what stands in a pipe when the call begins, but no more than `limit`, and appends it to a file, whose offset stays
/// where it is. Returns how much that was. Nobody else may read the pipe.
pub fn move_to_file(from: BorrowedFd<'_>, to: &std::fs::File, limit: usize) -> io::Result<usize> {
    const CHUNK: usize = 64 << 10;
    let all = pending(from)?.min(limit);
    let mut read = std::fs::File::from(from.try_clone_to_owned()?);
    let mut buffer = vec![0; CHUNK.min(all)];
    let mut end = to.metadata()?.len();
    let mut left = all;
    while left > 0 {
        let part = left.min(CHUNK);
        std::io::Read::read_exact(&mut read, &mut buffer[..part])?;
        std::os::unix::fs::FileExt::write_all_at(to, &buffer[..part], end)?;
        (left, end) = (left - part, end + part as u64);
    }
    Ok(all)
}

/// O_NONBLOCK of the open file description, which is shared with whoever else holds this end.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Gives a pipe to a user, who can then open it again by /dev/stdout or /proc/self/fd/1.
pub fn give_to(pipe: BorrowedFd<'_>, uid: u32, gid: Option<u32>) -> io::Result<()> {
    Ok(nix::unistd::fchown(pipe, Some(Uid::from_raw(uid)), gid.map(Gid::from_raw))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tee_leaves_the_bytes_and_splice_takes_them() {
        let (app, copy) = (Pipe::with_capacity(LOG_CAPACITY).unwrap(), Pipe::new().unwrap());
        assert_eq!(capacity(app.read.as_fd()).unwrap(), LOG_CAPACITY);
        nix::unistd::write(&app.write, b"one line\n").unwrap();
        assert_eq!(tee(app.read.as_fd(), copy.write.as_fd(), 100).unwrap(), 9);
        assert_eq!((pending(app.read.as_fd()).unwrap(), pending(copy.read.as_fd()).unwrap()), (9, 9));
        assert_eq!(splice(app.read.as_fd(), copy.write.as_fd(), 4).unwrap(), 4);
        assert_eq!((pending(app.read.as_fd()).unwrap(), pending(copy.read.as_fd()).unwrap()), (5, 13));
    }

    #[test]
    fn an_empty_pipe_is_would_block_and_a_closed_one_is_end_of_file() {
        let (from, to) = (Pipe::new().unwrap(), Pipe::new().unwrap());
        let error = tee(from.read.as_fd(), to.write.as_fd(), 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(from.write);
        assert_eq!(tee(from.read.as_fd(), to.write.as_fd(), 10).unwrap(), 0);
    }
}
