//! Listening sockets made for others, on TCP addresses and on paths.
//! Owns: their options, the file of a path with its owner and mode, and the look at what stands at one already.
//! Never: decides whose a socket is to be, or accepts a connection.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, getsockopt, setsockopt, sockopt,
};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, fstatat};
use nix::unistd::{Gid, Uid, fchownat};

/// The first port that anybody may bind (ip(7), ip_unprivileged_port_start); 1024 before Linux 4.11.
pub fn unprivileged_port_start() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    text.trim().parse().unwrap_or(1024)
}

/// What the takers of IPv4 connections have to do with an IPv6 socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Families {
    One,
    Both,
}

/// One socket for all addresses of the host: of both families, or IPv4 where the kernel has no IPv6.
pub fn bind_port(port: u16) -> io::Result<OwnedFd> {
    match bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), Families::Both) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), Families::One)
        }
        bound => bound,
    }
}

/// One socket for one address; `[::]` takes IPv6 only, so that it can stand beside 0.0.0.0.
pub fn bind_address(address: SocketAddr) -> io::Result<OwnedFd> {
    bind(address, Families::One)
}

/// Shared: several sockets of the same user may have the address (SO_REUSEPORT).
fn bind(address: SocketAddr, families: Families) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    setsockopt(&fd, sockopt::ReusePort, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &(families == Families::One))?;
    }
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(fd)
}

/// From here on connections wait in its queue, as many as net.core.somaxconn allows.
pub fn listen(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: an open fd and an integer, which the kernel cuts down to its limit.
    match unsafe { libc::listen(fd.as_raw_fd(), libc::c_int::MAX) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Which file a path led to when its socket was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    device: u64,
    inode: u64,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// A file, a directory, a link.
    Other,
    /// A socket that somebody is bound to. `pid` is who called listen(2), where the kernel tells.
    Live {
        pid: Option<i32>,
    },
    /// A socket that nobody is bound to any more.
    Stale {
        node: Node,
        uid: u32,
        gid: u32,
    },
}

/// `name` stands in `dir`; `address` leads to the same, in a form that a socket address can hold.
pub fn look(dir: BorrowedFd<'_>, name: &str, address: &str) -> io::Result<Found> {
    let stat = match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(Found::Nothing),
        stat => stat?,
    };
    if !is_socket(&stat) {
        return Ok(Found::Other);
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match socket::connect(probe.as_raw_fd(), &UnixAddr::new(address)?) {
        Ok(()) => {
            let peer = getsockopt(&probe, sockopt::PeerCredentials).ok();
            Ok(Found::Live { pid: peer.map(|peer| peer.pid()).filter(|pid| *pid > 0) })
        }
        // Its queue is full, or it is no stream socket: somebody has it.
        Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Ok(Found::Live { pid: None }),
        Err(Errno::ECONNREFUSED) => Ok(Found::Stale { node: node_of(&stat), uid: stat.st_uid, gid: stat.st_gid }),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a socket at a free path and gives it to a user and a group, mode 0660. Until then only its maker can connect:
/// the umask takes the rest away.
pub fn bind_path(dir: BorrowedFd<'_>, name: &str, address: &str, uid: u32, gid: u32) -> io::Result<(OwnedFd, Node)> {
    let fd = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::bind(fd.as_raw_fd(), &UnixAddr::new(address)?)?;
    // By an fd of the file itself: whatever its name leads to by now is not touched.
    let file = openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let stat = fstat(&file)?;
    if !is_socket(&stat) {
        return Err(Errno::EEXIST.into());
    }
    fchownat(&file, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::AT_EMPTY_PATH)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    fchmodat(nix::fcntl::AT_FDCWD, path.as_str(), Mode::from_bits_truncate(0o660), FchmodatFlags::FollowSymlink)?;
    Ok((fd, node_of(&stat)))
}

/// The socket at a name, with its owner and group; None if there is none.
pub fn socket_at(dir: BorrowedFd<'_>, name: &str) -> io::Result<Option<(Node, u32, u32)>> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) if is_socket(&stat) => Ok(Some((node_of(&stat), stat.st_uid, stat.st_gid))),
        Ok(_) | Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn is_socket(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFSOCK
}

fn node_of(stat: &FileStat) -> Node {
    Node { device: stat.st_dev, inode: stat.st_ino }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn a_port_without_an_address_takes_both_families_and_several_sockets() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (one, other) = (bind_port(port).unwrap(), bind_port(port).unwrap());
        for fd in [&one, &other] {
            listen(fd).unwrap();
        }
        TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"x").unwrap();
        if let Ok(six) = TcpListener::bind("[::1]:0") {
            drop(six);
            TcpStream::connect(("::1", port)).unwrap();
        }
    }

    #[test]
    fn an_ipv6_address_leaves_ipv4_alone() {
        let Ok(six) = bind_address("[::]:0".parse().unwrap()) else { return };
        let port = TcpListener::from(six.try_clone().unwrap()).local_addr().unwrap().port();
        bind_address(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).unwrap();
    }

    #[test]
    fn a_path_is_nothing_then_live_then_stale() {
        let path = std::env::temp_dir().join(format!("stead-listener-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let dir = std::fs::File::open(&path).unwrap();
        let address = path.join("s").to_str().unwrap().to_owned();
        let look = || look(dir.as_fd(), "s", &address).unwrap();
        assert_eq!(look(), Found::Nothing);
        let (uid, gid) = (Uid::effective().as_raw(), Gid::effective().as_raw());
        let (fd, node) = bind_path(dir.as_fd(), "s", &address, uid, gid).unwrap();
        listen(&fd).unwrap();
        assert_eq!(look(), Found::Live { pid: Some(std::process::id() as i32) });
        let file = std::fs::symlink_metadata(&address).unwrap();
        assert_eq!((file.permissions().mode() & 0o777, file.uid(), file.gid()), (0o660, uid, gid));
        drop(fd);
        assert_eq!(look(), Found::Stale { node, uid, gid });
        assert_eq!(socket_at(dir.as_fd(), "s").unwrap(), Some((node, uid, gid)));
        std::fs::write(path.join("t"), "").unwrap();
        assert_eq!(super::look(dir.as_fd(), "t", &address).unwrap(), Found::Other);
        std::fs::remove_dir_all(path).unwrap();
    }
}
