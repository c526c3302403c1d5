//! The holder's end of the socket to the daemon.
//! Owns: messages that wait for the daemon to read, and the fds that go with them.
//! Never: blocks, reorders, or drops a message while the daemon lives.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use super::protocol::{Message, SOCKET_BUFFER};
use crate::sys::socket;

/// With so many messages waiting, no request is read: the daemon has to listen before it speaks.
const CROWDED: usize = 1024;

pub struct Link {
    socket: OwnedFd,
    waiting: VecDeque<(Vec<u8>, Vec<Rc<OwnedFd>>)>,
    broken: bool,
}

impl Link {
    /// Both ends: ours, and the one for the daemon.
    pub fn pair() -> io::Result<(Link, OwnedFd)> {
        let (ours, theirs) = socket::packet_pair()?;
        socket::force_buffers(&ours, SOCKET_BUFFER)?;
        socket::force_buffers(&theirs, SOCKET_BUFFER)?;
        Ok((Link { socket: ours, waiting: VecDeque::new(), broken: false }, theirs))
    }

    pub fn send(&mut self, message: &Message, fds: Vec<Rc<OwnedFd>>) {
        let bytes = message.encode();
        if self.waiting.is_empty() && !self.try_send(&bytes, &fds) {
            return;
        }
        self.waiting.push_back((bytes, fds));
    }

    /// Sends what waits, as far as the daemon takes it.
    pub fn flush(&mut self) {
        while let Some((bytes, fds)) = self.waiting.pop_front() {
            if self.try_send(&bytes, &fds) {
                self.waiting.push_front((bytes, fds));
                return;
            }
        }
    }

    /// True if it must wait.
    fn try_send(&mut self, bytes: &[u8], fds: &[Rc<OwnedFd>]) -> bool {
        if self.broken {
            return false;
        }
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
        match socket::send(self.socket.as_fd(), bytes, &fds) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(_) => {
                self.broken = true;
                false
            }
        }
    }

    /// The daemon cannot be spoken to any more, though it may not be dead.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    pub fn wants_to_write(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn wants_to_read(&self) -> bool {
        self.waiting.len() < CROWDED
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
