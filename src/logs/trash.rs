//! The pipe that makes reading exact: app bytes are looked at in a copy, and taken out only once they are in the file.
//! Owns: the trash pipe, which the holder keeps too, so that what stands in it survives the daemon.
//! Never: knows what a line is, or which record is being kept.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::pipe::{Pipe, capacity, copy_from_file, has_room, pending, set_capacity, splice, tee};

/// The size of every pipe here, if the kernel grants it.
pub const PIPE_SIZE: usize = 1 << 20;

pub struct Trash {
    read: File,
    write: OwnedFd,
    null: File,
}

/// What a look into an app's pipe saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// This many bytes are in the trash. `more`: others may follow in the pipe.
    Bytes {
        len: usize,
        more: bool,
    },
    Empty,
    /// Empty, and nobody is left to write.
    Closed,
}

impl Trash {
    /// Takes both ends of a pipe that outlives the daemon. It should be as large as the pipes of apps.
    pub fn new(read: OwnedFd, write: OwnedFd) -> io::Result<Self> {
        let null = File::options().write(true).open("/dev/null")?;
        Ok(Self { read: File::from(read), write, null })
    }

    /// One of its own, gone with the process: what a daemon without a holder has.
    pub fn private() -> io::Result<Self> {
        let Pipe { read, write } = Pipe::nonblocking(PIPE_SIZE)?;
        Self::new(read, write)
    }

    /// Copies the beginning of `pipe` into the trash, which must be empty, leaving the pipe as it is.
    pub fn look(&self, pipe: BorrowedFd<'_>, limit: usize) -> io::Result<Look> {
        // A file of what was spilled, which cannot be teed. Its offset stays where it is, too.
        let copied = match tee(pipe, self.write.as_fd(), limit) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => copy_from_file(pipe, self.write.as_fd(), limit),
            teed => teed,
        };
        let len = match copied {
            Ok(0) => return Ok(Look::Closed),
            Ok(len) => len,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Look::Empty),
            Err(e) => return Err(e),
        };
        // The copy may end early because it runs out of buffers, not of bytes, so the pipe itself is asked.
        let more = len == limit || pending(pipe)? > len;
        Ok(Look::Bytes { len, more })
    }

    /// Reads a part of the copy.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<()> {
        (&self.read).read_exact(buffer)
    }

    /// True if the pipe's writer blocks, or as good: as many buffers are in use as the trash has, so no look sees more.
    pub fn is_crowded(&self, pipe: BorrowedFd<'_>) -> io::Result<bool> {
        // With more buffers than the pipe the trash would never fill. An empty pipe can be made any size.
        let (own, its) = (capacity(self.write.as_fd())?, capacity(pipe)?);
        if its >= own {
            return self.fills_from(pipe);
        }
        let _ = set_capacity(self.write.as_fd(), its);
        let crowded = self.fills_from(pipe);
        let _ = set_capacity(self.write.as_fd(), own);
        crowded
    }

    fn fills_from(&self, pipe: BorrowedFd<'_>) -> io::Result<bool> {
        match tee(pipe, self.write.as_fd(), usize::MAX >> 1) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        }
        let crowded = !has_room(self.write.as_fd())?;
        self.empty()?;
        Ok(crowded)
    }

    /// Takes exactly `len` bytes out of `pipe` and leaves them in the trash, where they can be counted.
    pub fn take(&self, pipe: BorrowedFd<'_>, len: u64) -> io::Result<()> {
        let mut left = len;
        while left > 0 {
            match splice(pipe, self.write.as_fd(), usize::try_from(left).unwrap_or(usize::MAX >> 1)) {
                // Somebody else reads this pipe: there is no more to take.
                Ok(0) => return Ok(()),
                Ok(moved) => left -= moved as u64,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// How many bytes were taken and not yet thrown away.
    pub fn standing(&self) -> io::Result<u64> {
        pending(self.read.as_fd()).map(|bytes| bytes as u64)
    }

    /// Throws away what stands in the trash.
    pub fn empty(&self) -> io::Result<()> {
        self.discard(self.read.as_fd()).map(drop)
    }

    /// Throws away what stands in a pipe. True: nobody is left to write.
    pub fn discard(&self, pipe: BorrowedFd<'_>) -> io::Result<bool> {
        loop {
            match splice(pipe, self.null.as_fd(), PIPE_SIZE) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_look_leaves_the_pipe_as_it_was() {
        let trash = Trash::private().unwrap();
        let Pipe { read, write } = Pipe::nonblocking(PIPE_SIZE).unwrap();
        let mut write = File::from(write);
        write.write_all(b"hello world").unwrap();
        let mut buffer = [0; 5];
        for _ in 0..3 {
            assert_eq!(trash.look(read.as_fd(), 5).unwrap(), Look::Bytes { len: 5, more: true });
            trash.read(&mut buffer).unwrap();
            assert_eq!(&buffer, b"hello");
        }
        trash.take(read.as_fd(), 6).unwrap();
        assert_eq!(trash.standing().unwrap(), 6);
        trash.empty().unwrap();
        assert_eq!(trash.look(read.as_fd(), 6).unwrap(), Look::Bytes { len: 5, more: false });
        trash.read(&mut buffer).unwrap();
        assert_eq!(&buffer, b"world");
    }

    #[test]
    fn an_empty_pipe_and_a_closed_one_are_told_apart() {
        let trash = Trash::private().unwrap();
        let Pipe { read, write } = Pipe::nonblocking(PIPE_SIZE).unwrap();
        assert_eq!(trash.look(read.as_fd(), 8).unwrap(), Look::Empty);
        drop(write);
        assert_eq!(trash.look(read.as_fd(), 8).unwrap(), Look::Closed);
    }

    #[test]
    fn a_pipe_smaller_than_the_trash_is_crowded_when_it_is_full() {
        let trash = Trash::private().unwrap();
        let Pipe { read, write } = Pipe::nonblocking(8192).unwrap();
        let mut write = File::from(write);
        write.write_all(&[b'x'; 4096]).unwrap();
        assert!(!trash.is_crowded(read.as_fd()).unwrap());
        write.write_all(&[b'x'; 4096]).unwrap();
        assert!(trash.is_crowded(read.as_fd()).unwrap());
        assert_eq!(capacity(trash.write.as_fd()).unwrap(), PIPE_SIZE);
    }

    #[test]
    fn a_pipe_full_of_nearly_empty_buffers_is_crowded() {
        let trash = Trash::private().unwrap();
        let Pipe { read, write } = Pipe::nonblocking(PIPE_SIZE).unwrap();
        let Pipe { read: one, write: feed } = Pipe::nonblocking(4096).unwrap();
        let mut feed = File::from(feed);
        let mut moved = 0;
        while has_room(write.as_fd()).unwrap() {
            assert!(!trash.is_crowded(read.as_fd()).unwrap());
            feed.write_all(b"x").unwrap();
            moved += splice(one.as_fd(), write.as_fd(), 1).unwrap();
        }
        assert!(moved < 1000, "buffers were merged, so this test shows nothing");
        assert!(trash.is_crowded(read.as_fd()).unwrap());
    }
}
