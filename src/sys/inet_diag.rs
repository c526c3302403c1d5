//! Listening TCP sockets, asked of the kernel over NETLINK_SOCK_DIAG.
//! Owns: the request, the decoding of its answers, and whose sockets they are.
//! Never: polls. Where netlink is refused, `proc_net` reads the same from text, without cgroup ids and queues.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use super::proc_net;

/// One socket in state LISTEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// What `/proc/PID/fd` shows as `socket:[N]`.
    pub inode: u64,
    pub address: SocketAddr,
    /// Connections that wait to be accepted. 0 where it was read from /proc.
    pub queue: u32,
    pub backlog: u32,
    /// The v2 cgroup that the socket was made in, which is not always that of its user. Since Linux 5.8.
    pub cgroup: Option<u64>,
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const TCP_LISTEN: u32 = 10;
const INET_DIAG_CGROUP_ID: u16 = 21;
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
const ANSWER: usize = 72;

/// Every listening TCP socket of this network namespace, v4 and v6.
pub fn listeners() -> io::Result<Vec<Listener>> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let netlink = match socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag) {
        Ok(netlink) => netlink,
        Err(_) => return proc_net::listeners(),
    };
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        match dump(netlink.as_raw_fd(), family as u8, &mut found) {
            Ok(()) => {}
            // No IPv6 in this kernel.
            Err(error) if family == libc::AF_INET6 && error.raw_os_error() == Some(libc::ENOENT) => {}
            // The tcp_diag module is missing, or a filter forbids it.
            Err(_) => return proc_net::listeners(),
        }
    }
    Ok(found)
}

/// Those that any of these processes has open.
pub fn listeners_of(pids: &[i32]) -> io::Result<Vec<Listener>> {
    let inodes: BTreeSet<u64> = pids.iter().flat_map(|&pid| proc_net::socket_inodes(pid)).collect();
    if inodes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(listeners()?.into_iter().filter(|listener| inodes.contains(&listener.inode)).collect())
}

fn dump(netlink: i32, family: u8, found: &mut Vec<Listener>) -> io::Result<()> {
    send(netlink, &request(family), MsgFlags::empty())?;
    let mut buffer = vec![0; 32 << 10];
    loop {
        let len = recv(netlink, &mut buffer, MsgFlags::empty())?;
        if !decode(&buffer[..len], found)? {
            return Ok(());
        }
    }
}

/// nlmsghdr and inet_diag_req_v2, in the host's byte order but for the ports and addresses, which are all zero.
fn request(family: u8) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    request[0..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    request[6..8].copy_from_slice(&flags.to_ne_bytes());
    request[HEADER] = family;
    request[HEADER + 1] = libc::IPPROTO_TCP as u8;
    request[HEADER + 4..HEADER + 8].copy_from_slice(&(1u32 << TCP_LISTEN).to_ne_bytes());
    request
}

/// Reads one datagram of answers. False once the last has been read.
fn decode(mut bytes: &[u8], found: &mut Vec<Listener>) -> io::Result<bool> {
    while let (Some(len), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        let len = len as usize;
        if len < HEADER || len > bytes.len() {
            return Err(io::Error::from_raw_os_error(libc::EBADMSG));
        }
        let body = &bytes[HEADER..len];
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(false),
            libc::NLMSG_ERROR => {
                let errno = u32_at(body, 0).map_or(libc::EBADMSG, |negative| (negative as i32).wrapping_neg());
                return Err(io::Error::from_raw_os_error(errno));
            }
            _ => found.extend(listener(body)),
        }
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
    }
    Ok(true)
}

/// One inet_diag_msg and its attributes.
fn listener(body: &[u8]) -> Option<Listener> {
    if body.len() < ANSWER {
        return None;
    }
    let port = u16::from_be_bytes([body[4], body[5]]);
    let address = match i32::from(body[0]) {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&body[8..12]).ok()?)),
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&body[8..24]).ok()?)),
        _ => return None,
    };
    Some(Listener {
        inode: u32_at(body, 68)?.into(),
        address: SocketAddr::new(address, port),
        queue: u32_at(body, 56)?,
        backlog: u32_at(body, 60)?,
        cgroup: attribute(&body[ANSWER..], INET_DIAG_CGROUP_ID),
    })
}

fn attribute(mut bytes: &[u8], wanted: u16) -> Option<u64> {
    while let (Some(len), Some(kind)) = (u16_at(bytes, 0), u16_at(bytes, 2)) {
        let len = usize::from(len);
        if len < 4 || len > bytes.len() {
            return None;
        }
        if kind == wanted {
            return Some(u64::from_ne_bytes(bytes[4..len].try_into().ok()?));
        }
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
    }
    None
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_found_by_its_process_with_address_and_queue() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let v6 = TcpListener::bind("[::1]:0").ok();
        let _waiting = std::net::TcpStream::connect(v4.local_addr().unwrap()).unwrap();
        let found = listeners_of(&[std::process::id() as i32]).unwrap();
        let ours = found.iter().find(|listener| listener.address == v4.local_addr().unwrap()).unwrap();
        assert_eq!(ours.queue, 1);
        if let Some(v6) = v6 {
            assert!(found.iter().any(|listener| listener.address == v6.local_addr().unwrap()));
        }
    }

    #[test]
    fn netlink_and_proc_tell_the_same() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let inode = |found: Vec<Listener>| found.iter().find(|found| found.address == address).unwrap().inode;
        assert_eq!(inode(listeners().unwrap()), inode(proc_net::listeners().unwrap()));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_nothing(bytes: Vec<u8>) {
            let _ = decode(&bytes, &mut Vec::new());
            let _ = listener(&bytes);
            let _ = attribute(&bytes, INET_DIAG_CGROUP_ID);
        }
    }
}
