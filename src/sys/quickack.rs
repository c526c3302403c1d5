//! How the kernel acknowledges what comes in on a connection of another process.
//! Owns: reading TCP_QUICKACK through a copy of the descriptor. Never: keeps the copy, or the peer would not be told of
//! the owner's close.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libc::{c_int, c_void, socklen_t};

use super::pidfd;

/// Whether the kernel acknowledges at once instead of waiting for an answer to send the acknowledgement with (tcp(7),
/// TCP_QUICKACK). It begins to wait when an answer follows soon on what came in, and ceases when no answer came in
/// time, which is at most 200 ms. None if this descriptor is not the connection with this cookie any more.
pub fn acknowledges_at_once(process: BorrowedFd<'_>, fd: i32, cookie: u64) -> io::Result<Option<bool>> {
    let socket = pidfd::copy_fd(process, fd)?;
    if option::<u64>(socket.as_fd(), libc::SOL_SOCKET, libc::SO_COOKIE)? != cookie {
        return Ok(None);
    }
    Ok(Some(option::<c_int>(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_QUICKACK)? != 0))
}

/// A plain integer among the options of a socket.
fn option<T: Copy + Default>(socket: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<T> {
    let mut value = T::default();
    let mut len = size_of::<T>() as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `value`, an integer, for which all bytes are a value.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast::<c_void>(), &raw mut len) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    fn a_question_that_follows_at_once_on_an_answer_and_is_not_answered_ends_the_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (held, _) = listener.accept().unwrap();
        let process = pidfd::open(std::process::id() as i32).unwrap();
        let cookie = option(held.as_fd(), libc::SOL_SOCKET, libc::SO_COOKIE).unwrap();
        let seen = || acknowledges_at_once(process.as_fd(), held.as_raw_fd(), cookie).unwrap();
        let mut buffer = [0; 8];

        // Kernels before 6.0 want to see three answers.
        for _ in 0..4 {
            client.write_all(b"question").unwrap();
            (&held).read_exact(&mut buffer).unwrap();
            (&held).write_all(b"answered").unwrap();
            client.read_exact(&mut buffer).unwrap();
        }
        std::thread::sleep(Duration::from_millis(250));
        assert_eq!(seen(), Some(false));

        client.write_all(b"question").unwrap();
        (&held).read_exact(&mut buffer).unwrap();
        std::thread::sleep(Duration::from_millis(250));
        assert_eq!(seen(), Some(true));

        let other = acknowledges_at_once(process.as_fd(), held.as_raw_fd(), cookie + 1);
        assert_eq!(other.unwrap(), None);
    }
}
