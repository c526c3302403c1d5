//! The question and the answers of NETLINK_SOCK_DIAG, as bytes.
//! Owns: a dump of TCP sockets: the request, the datagrams of the answer, and the fields that every socket has.
//! Never: knows what a listener or a connection is to us.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
const ANSWER: usize = 72;

/// Attributes of an answer (uapi/linux/inet_diag.h).
pub const INET_DIAG_CGROUP_ID: u16 = 21;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// A bit for each TCP state, by its number.
    pub states: u32,
}

/// One inet_diag_msg.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub local: SocketAddr,
    pub cookie: u64,
    pub rqueue: u32,
    pub wqueue: u32,
    pub inode: u64,
    attributes: &'a [u8],
}

pub fn open() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?)
}

/// Every TCP socket of this network namespace that is asked for, v4 and v6.
pub fn dump(netlink: &OwnedFd, question: Question, mut each: impl FnMut(Answer<'_>)) -> io::Result<()> {
    for family in [libc::AF_INET, libc::AF_INET6] {
        match dump_family(netlink.as_raw_fd(), family as u8, question, &mut each) {
            Ok(()) => {}
            // No IPv6 in this kernel.
            Err(error) if family == libc::AF_INET6 && error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn dump_family(netlink: i32, family: u8, question: Question, each: &mut impl FnMut(Answer<'_>)) -> io::Result<()> {
    send(netlink, &request(family, question), MsgFlags::empty())?;
    let mut buffer = vec![0; 32 << 10];
    loop {
        let len = recv(netlink, &mut buffer, MsgFlags::empty())?;
        if !decode(&buffer[..len], each)? {
            return Ok(());
        }
    }
}

/// nlmsghdr and inet_diag_req_v2, in the host's byte order but for the ports and addresses, which are all zero.
fn request(family: u8, question: Question) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    request[0..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    request[6..8].copy_from_slice(&flags.to_ne_bytes());
    request[HEADER] = family;
    request[HEADER + 1] = libc::IPPROTO_TCP as u8;
    request[HEADER + 4..HEADER + 8].copy_from_slice(&question.states.to_ne_bytes());
    request
}

/// Reads one datagram of answers. False once the last has been read.
fn decode(mut bytes: &[u8], each: &mut impl FnMut(Answer<'_>)) -> io::Result<bool> {
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
            _ => answer(body).into_iter().for_each(&mut *each),
        }
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
    }
    Ok(true)
}

fn answer(body: &[u8]) -> Option<Answer<'_>> {
    if body.len() < ANSWER {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let address = |at: usize| match i32::from(body[0]) {
        libc::AF_INET => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&body[at..at + 4]).ok()?))),
        libc::AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&body[at..at + 16]).ok()?))),
        _ => None,
    };
    Some(Answer {
        local: SocketAddr::new(address(8)?, port(4)),
        // Two words, the lower one first, whatever the host's byte order (sock_diag_save_cookie).
        cookie: u64::from(u32_at(body, 44)?) | u64::from(u32_at(body, 48)?) << 32,
        rqueue: u32_at(body, 56)?,
        wqueue: u32_at(body, 60)?,
        inode: u32_at(body, 68)?.into(),
        attributes: &body[ANSWER..],
    })
}

impl<'a> Answer<'a> {
    pub fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut bytes = self.attributes;
        while let (Some(len), Some(kind)) = (u16_at(bytes, 0), u16_at(bytes, 2)) {
            let len = usize::from(len);
            if len < 4 || len > bytes.len() {
                return None;
            }
            if kind == wanted {
                return Some(&bytes[4..len]);
            }
            bytes = bytes.get(aligned(len)..).unwrap_or_default();
        }
        None
    }

    /// The v2 cgroup that the socket was made in. Since Linux 5.8.
    pub fn cgroup(&self) -> Option<u64> {
        u64_at(self.attribute(INET_DIAG_CGROUP_ID)?, 0)
    }
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
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

    proptest! {
        #[test]
        fn garbage_is_an_error_or_nothing(bytes: Vec<u8>) {
            let _ = decode(&bytes, &mut |_| {});
            let attributes = &bytes[..];
            if let Some(answer) = answer(&bytes) {
                let _ = answer.cgroup();
                let _ = Answer { attributes, ..answer }.attribute(INET_DIAG_CGROUP_ID);
            }
        }
    }
}
