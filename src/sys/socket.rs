//! Unix sockets: packets with fds, and datagrams with their sender's identity.
//! Owns: SCM_RIGHTS and SCM_CREDENTIALS, buffer sizes, taking over an inherited socket.
//! Never: knows what the packets say.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    self, AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, setsockopt,
    sockopt,
};

/// A received packet or datagram.
#[derive(Debug)]
pub struct Received {
    /// 0 is the end of a packet connection.
    pub len: usize,
    pub fds: Vec<OwnedFd>,
    /// Set on sockets with SO_PASSCRED.
    pub sender: Option<Credentials>,
    /// It was longer than the buffer; the rest is lost.
    pub truncated: bool,
}

/// Who sent something, as the kernel saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

/// Two connected ends that keep message boundaries, close-on-exec.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Two connected ends of a byte stream, close-on-exec.
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socket::socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Buffers for this many bytes in flight, over the system's limit where CAP_NET_ADMIN allows it.
pub fn force_buffers(socket: &OwnedFd, bytes: usize) -> io::Result<()> {
    if setsockopt(socket, sockopt::SndBufForce, &bytes).is_err() {
        setsockopt(socket, sockopt::SndBuf, &bytes)?;
    }
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &bytes)?;
    }
    Ok(())
}

/// Sends one message, never blocking: WouldBlock if the peer is behind.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if fds.is_empty() { &rights[..0] } else { &rights[..] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    socket::sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)?;
    Ok(())
}

/// Room for SCM_MAX_FD fds and the credentials, aligned as the kernel's headers must be.
#[repr(C, align(8))]
struct ControlSpace([u8; 1280]);

/// Receives one message, never blocking: WouldBlock if there is none. Fds arrive close-on-exec.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = ControlSpace([0; 1280]);
    let mut iov = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = socket::recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut iov, Some(&mut space.0), flags)?;
    let truncated = message.flags.contains(MsgFlags::MSG_TRUNC);
    let mut received = Received { len: message.bytes, fds: Vec::new(), sender: None, truncated };
    for control in message.cmsgs()? {
        match control {
            // SAFETY: the kernel has just made these fds for us.
            ControlMessageOwned::ScmRights(fds) => {
                received.fds.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
            ControlMessageOwned::ScmCredentials(who) => {
                received.sender = Some(Credentials { pid: who.pid(), uid: who.uid(), gid: who.gid() });
            }
            _ => {}
        }
    }
    Ok(received)
}

/// A datagram socket bound to this path, for anybody to write to; each message comes with its sender's credentials.
/// The path must be free.
pub fn bind_datagram(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::PermissionsExt;
    let fd = socket::socket(
        AddressFamily::Unix,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    setsockopt(&fd, sockopt::PassCred, &true)?;
    socket::bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(fd)
}

/// A non-blocking socket for datagrams to a path, or to an abstract name if it begins with `@`, as in systemd's
/// NOTIFY_SOCKET.
pub fn connect_datagram(to: &Path) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket::socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let address = match to.as_os_str().as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
        _ => UnixAddr::new(to)?,
    };
    socket::connect(fd.as_raw_fd(), &address)?;
    Ok(fd)
}

/// Waits until something can be sent, but not longer than that.
pub fn wait_for_room(socket: BorrowedFd<'_>, limit_ms: u16) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::POLLOUT)];
    matches!(poll(&mut fds, PollTimeout::from(limit_ms)), Ok(1))
}

/// Who is at the other end of a connected socket, as of when it connected.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    let who = socket::getsockopt(&socket, sockopt::PeerCredentials)?;
    Ok(Credentials { pid: who.pid(), uid: who.uid(), gid: who.gid() })
}

/// Fd numbers that `inherited` has handed out.
static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Takes over an fd that the parent left open under this number, and marks it close-on-exec. Once only: EBUSY the second
/// time, EBADF if there is no such fd, EINVAL for a standard stream.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut taken = TAKEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if taken.contains(&number) {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: fcntl answers EBADF for a number that is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    taken.push(number);
    // SAFETY: open, not a standard stream, and given away once; the caller says that its parent left it there.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_message_keeps_its_boundaries_and_brings_its_fds() {
        let (one, other) = packet_pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send(one.as_fd(), b"first", &[file.as_fd(), file.as_fd()]).unwrap();
        send(one.as_fd(), b"second", &[]).unwrap();
        let mut buffer = [0; 64];
        let first = receive(other.as_fd(), &mut buffer).unwrap();
        assert_eq!((first.len, first.fds.len(), first.truncated), (5, 2, false));
        let second = receive(other.as_fd(), &mut buffer[..3]).unwrap();
        assert_eq!((second.len, second.fds.len(), second.truncated), (3, 0, true));
        let empty = receive(other.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        drop(one);
        assert_eq!(receive(other.as_fd(), &mut buffer).unwrap().len, 0);
    }

    #[test]
    fn a_message_of_one_mebibyte_passes_once_the_buffers_are_forced() {
        let (one, other) = packet_pair().unwrap();
        force_buffers(&one, 4 << 20).unwrap();
        let big = vec![7; 1 << 20];
        send(one.as_fd(), &big, &[]).unwrap();
        let mut buffer = vec![0; 1 << 20];
        assert_eq!(receive(other.as_fd(), &mut buffer).unwrap().len, big.len());
        assert_eq!(buffer, big);
    }

    #[test]
    fn a_datagram_says_who_sent_it() {
        let path = std::env::temp_dir().join(format!("stead-notify-{}", std::process::id()));
        let socket = bind_datagram(&path).unwrap();
        send(connect_datagram(&path).unwrap().as_fd(), b"READY=1", &[]).unwrap();
        let mut buffer = [0; 64];
        let received = receive(socket.as_fd(), &mut buffer).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&buffer[..received.len], b"READY=1");
        assert_eq!(received.sender.unwrap().pid, std::process::id() as i32);
    }

    #[test]
    fn an_inherited_fd_is_taken_once() {
        assert_eq!(inherited(2).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(inherited(100_000).unwrap_err().raw_os_error(), Some(libc::EBADF));
        let file = std::fs::File::open("/dev/null").unwrap();
        let number = fcntl(&file, FcntlArg::F_DUPFD(500)).unwrap();
        let owned = inherited(number).unwrap();
        assert_eq!(inherited(number).unwrap_err().raw_os_error(), Some(libc::EBUSY));
        drop(owned);
    }
}
