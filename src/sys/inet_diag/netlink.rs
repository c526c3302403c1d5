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

/// The attribute of a request that holds a filter, and attributes of an answer (uapi/linux/inet_diag.h).
const INET_DIAG_REQ_BYTECODE: u16 = 1;
pub const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_CGROUP_ID: u16 = 21;

/// Steps of a filter, and the length of one.
const INET_DIAG_BC_JMP: u8 = 1;
const INET_DIAG_BC_S_GE: u8 = 2;
const INET_DIAG_BC_S_LE: u8 = 3;
const STEP: usize = 4;
/// A comparison of a port is followed by a step that holds the port; then comes a jump over the other ports.
const PORT_STEPS: usize = 2 * STEP + 2 * STEP + STEP;
/// The kernel proves a filter sound in quadratic time, so a longer list is left to the caller's own comparison.
const PORTS_MAX: usize = 32;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// A bit for each TCP state, by its number.
    pub states: u32,
    /// Local ports to which the kernel may confine itself; empty: any.
    pub ports: &'a [u16],
    /// With tcp_info.
    pub info: bool,
}

/// One inet_diag_msg.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub state: u8,
    pub local: SocketAddr,
    pub remote: SocketAddr,
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
pub fn dump(netlink: &OwnedFd, question: Question<'_>, mut each: impl FnMut(Answer<'_>)) -> io::Result<()> {
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

fn dump_family(netlink: i32, family: u8, question: Question<'_>, each: &mut impl FnMut(Answer<'_>)) -> io::Result<()> {
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
fn request(family: u8, question: Question<'_>) -> Vec<u8> {
    let mut request = vec![0; REQUEST];
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    request[6..8].copy_from_slice(&flags.to_ne_bytes());
    request[HEADER] = family;
    request[HEADER + 1] = libc::IPPROTO_TCP as u8;
    if question.info {
        request[HEADER + 2] = 1 << (INET_DIAG_INFO - 1);
    }
    request[HEADER + 4..HEADER + 8].copy_from_slice(&question.states.to_ne_bytes());
    if (1..=PORTS_MAX).contains(&question.ports.len()) {
        let filter = filter(question.ports);
        request.extend(((4 + filter.len()) as u16).to_ne_bytes());
        request.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
        request.extend(filter);
    }
    let len = request.len() as u32;
    request[0..4].copy_from_slice(&len.to_ne_bytes());
    request
}

/// "The local port is this one, or that one, or …" as inet_diag_bc_run understands it: a step that is true goes on at
/// its `yes`, else at its `no`, both counted from the step's own begin. A socket is shown if this ends exactly at the
/// end, and not if it ends one step behind it. Ports are compared by `>=` and `<=`, as `==` is younger.
fn filter(ports: &[u16]) -> Vec<u8> {
    let end = ports.len() * PORT_STEPS;
    let mut steps = Vec::with_capacity(end);
    let mut step = |code: u8, yes: usize, no: usize| {
        steps.extend([code, yes as u8]);
        steps.extend((no as u16).to_ne_bytes());
    };
    for (number, port) in ports.iter().enumerate() {
        let at = number * PORT_STEPS;
        let next = if number + 1 < ports.len() { at + PORT_STEPS } else { end + STEP };
        step(INET_DIAG_BC_S_GE, 2 * STEP, next - at);
        step(0, 0, usize::from(*port));
        step(INET_DIAG_BC_S_LE, 2 * STEP, next - (at + 2 * STEP));
        step(0, 0, usize::from(*port));
        step(INET_DIAG_BC_JMP, STEP, end - (at + 4 * STEP));
    }
    steps
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
        state: body[1],
        local: SocketAddr::new(address(8)?, port(4)),
        remote: SocketAddr::new(address(24)?, port(6)),
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

pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_filter_lets_its_ports_through_and_no_others() {
        // As the kernel runs it.
        fn shows(filter: &[u8], port: u16) -> bool {
            let mut at = 0;
            while at < filter.len() {
                let step =
                    |at: usize| (filter[at], usize::from(filter[at + 1]), usize::from(u16_at(filter, at + 2).unwrap()));
                let (code, yes, no) = step(at);
                let holds = match code {
                    INET_DIAG_BC_S_GE => usize::from(port) >= step(at + STEP).2,
                    INET_DIAG_BC_S_LE => usize::from(port) <= step(at + STEP).2,
                    INET_DIAG_BC_JMP => false,
                    other => panic!("step {other}"),
                };
                at += if holds { yes } else { no };
            }
            at == filter.len()
        }
        for ports in [&[80][..], &[80, 443], &[0, 1, 8080, u16::MAX]] {
            let filter = filter(ports);
            for port in [0, 1, 2, 79, 80, 81, 442, 443, 8079, 8080, 8081, u16::MAX - 1, u16::MAX] {
                assert_eq!(shows(&filter, port), ports.contains(&port), "{port} of {ports:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_nothing(bytes: Vec<u8>) {
            let _ = decode(&bytes, &mut |_| {});
            let attributes = &bytes[..];
            if let Some(answer) = answer(&bytes) {
                let _ = answer.cgroup();
                let _ = Answer { attributes, ..answer }.attribute(INET_DIAG_INFO);
            }
        }
    }
}
