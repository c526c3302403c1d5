//! Listening sockets of other processes.
//! Owns: finding one by its cookie and looking at it through a copy of its descriptor.
//! Never: keeps the copy; the caller drops it at once, or a dead app's listener would stay open.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::{c_int, c_void, socklen_t};
use nix::sys::socket::{SockaddrStorage, getsockname};

use super::{pidfd, proc_net};

/// A copy of a listening socket, and what it is.
#[derive(Debug)]
pub struct Listening {
    pub fd: OwnedFd,
    pub address: SocketAddr,
    /// SO_NETNS_COOKIE: which network namespace it is in.
    pub netns: u64,
    /// It may share its address with others.
    pub reuses_port: bool,
}

/// The socket with this cookie among the descriptors of these processes. None: they have no such socket any more.
pub fn find(pids: &[i32], cookie: u64) -> io::Result<Option<Listening>> {
    for pid in pids {
        // Between the list of pids and this, one may have ended; the cookie tells if its number is somebody else's now.
        let Ok(process) = pidfd::open(*pid) else { continue };
        // The newest descriptor is the likeliest.
        for number in proc_net::socket_fds(*pid).into_iter().rev() {
            let Ok(fd) = pidfd::copy_fd(process.as_fd(), number) else { continue };
            if option(fd.as_fd(), libc::SO_COOKIE) == Ok(cookie) {
                return look(fd).map(Some);
            }
        }
    }
    Ok(None)
}

fn look(fd: OwnedFd) -> io::Result<Listening> {
    let name: SockaddrStorage = getsockname(fd.as_raw_fd())?;
    let address = match (name.as_sockaddr_in(), name.as_sockaddr_in6()) {
        (Some(v4), _) => SocketAddr::V4((*v4).into()),
        (_, Some(v6)) => SocketAddr::V6((*v6).into()),
        _ => return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    };
    let netns = option(fd.as_fd(), libc::SO_NETNS_COOKIE).map_err(io::Error::from_raw_os_error)?;
    let reuses_port = option::<c_int>(fd.as_fd(), libc::SO_REUSEPORT).map_err(io::Error::from_raw_os_error)? != 0;
    Ok(Listening { fd, address, netns, reuses_port })
}

/// A plain integer among the options of level SOL_SOCKET (socket(7)), or an errno.
fn option<T: Copy + Default>(socket: BorrowedFd<'_>, name: c_int) -> Result<T, i32> {
    let mut value = T::default();
    let mut len = size_of::<T>() as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `value`, an integer, for which all bytes are a value.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw mut value).cast::<c_void>(), &raw mut len)
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_socket_is_found_by_its_cookie_and_described() {
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let cookie = |socket: &TcpListener| option::<u64>(socket.as_fd(), libc::SO_COOKIE).unwrap();
        assert_ne!(cookie(&one), cookie(&other));
        let me = std::process::id() as i32;
        let found = find(&[me], cookie(&one)).unwrap().unwrap();
        assert_eq!(found.address, one.local_addr().unwrap());
        assert!(!found.reuses_port);
        assert_ne!(found.netns, 0);
        assert!(find(&[me, i32::MAX], u64::MAX).unwrap().is_none());
    }
}
