//! Sockets as /proc shows them.
//! Owns: the parser of /proc/net/tcp and tcp6, and the sockets of a process.
//! Never: is the first choice: the kernel writes out every connection to show a few sockets, without their traffic.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::inet_diag::{Connection, Listener, TcpState};

const TCP_LISTEN: u8 = 10;

/// Every listening TCP socket of this network namespace.
pub fn listeners() -> io::Result<Vec<Listener>> {
    lines(|line| {
        let address = line.local;
        let listens = line.state == TCP_LISTEN;
        listens.then_some(Listener { inode: line.inode, cookie: 0, address, queue: 0, backlog: 0, cgroup: None })
    })
}

/// Every TCP connection of this network namespace.
pub fn connections() -> io::Result<Vec<Connection>> {
    lines(|line| {
        Some(Connection {
            inode: line.inode,
            cookie: 0,
            local: line.local,
            remote: line.remote,
            state: TcpState::from_number(line.state)?,
            rqueue: line.rqueue,
            wqueue: line.wqueue,
            cgroup: None,
            traffic: None,
        })
    })
}

fn lines<T>(wanted: impl Fn(Line) -> Option<T>) -> io::Result<Vec<T>> {
    let read = |text: String| text.lines().filter_map(parse).filter_map(&wanted).collect::<Vec<T>>();
    let mut found = read(fs::read_to_string("/proc/net/tcp")?);
    match fs::read_to_string("/proc/net/tcp6") {
        Ok(text) => found.extend(read(text)),
        // No IPv6 in this kernel.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    rqueue: u32,
    wqueue: u32,
    inode: u64,
}

fn parse(line: &str) -> Option<Line> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state, queues) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (wqueue, rqueue) = queues.split_once(':')?;
    Some(Line {
        local: parse_end(local)?,
        remote: parse_end(remote)?,
        state: u8::from_str_radix(state, 16).ok()?,
        rqueue: u32::from_str_radix(rqueue, 16).ok()?,
        wqueue: u32::from_str_radix(wqueue, 16).ok()?,
        inode: fields.nth(4)?.parse().ok()?,
    })
}

#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn parse_for_fuzzing(line: &str) {
    let _ = parse(line);
}

fn parse_end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    Some(SocketAddr::new(parse_address(address)?, u16::from_str_radix(port, 16).ok()?))
}

/// Words of 32 bits, each printed as a number of the host's byte order although it holds network order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    if !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0; 16];
    let words = hex.len() / 8;
    if !hex.len().is_multiple_of(8) || words > 4 {
        return None;
    }
    for word in 0..words {
        let value = u32::from_str_radix(&hex[word * 8..word * 8 + 8], 16).ok()?;
        bytes[word * 4..word * 4 + 4].copy_from_slice(&value.to_ne_bytes());
    }
    match words {
        1 => Some(IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))),
        4 => Some(IpAddr::V6(Ipv6Addr::from(bytes))),
        _ => None,
    }
}

/// The inodes of the sockets that a process has open. None of a process that is gone.
pub fn socket_inodes(pid: i32) -> Vec<u64> {
    sockets(pid).map(|(_, inode)| inode).collect()
}

/// The descriptors of a process that are sockets, in order.
pub fn socket_fds(pid: i32) -> Vec<i32> {
    let mut fds: Vec<i32> = sockets(pid).map(|(fd, _)| fd).collect();
    fds.sort_unstable();
    fds
}

/// The descriptors of a process that are sockets, each with the socket's inode. None of a process that is gone.
pub fn sockets(pid: i32) -> impl Iterator<Item = (i32, u64)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let target = fs::read_link(entry.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, inode))
    })
}

/// Some process that has this socket open. A search of all of them, for when something has gone wrong.
pub fn process_with_socket(inode: u64) -> Option<i32> {
    let processes = fs::read_dir("/proc").ok()?;
    let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| socket_inodes(*pid).contains(&inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_a_socket_with_its_state_and_queues() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000002:00000001 00:00000000 00000000  1000        0 26157 1 0";
        let socket = parse(line).unwrap();
        assert_eq!((socket.inode, socket.state, socket.wqueue, socket.rqueue), (26157, TCP_LISTEN, 2, 1));
        if cfg!(target_endian = "little") {
            assert_eq!(socket.local, "127.0.0.1:8080".parse().unwrap());
        }
        let six =
            "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 01 0:0 00:0 0 0 0 9 1";
        if cfg!(target_endian = "little") {
            assert_eq!(parse(six).unwrap().local, "[::1]:80".parse().unwrap());
        }
        assert_eq!(parse("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"), None);
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line: String) {
            let _ = parse(&line);
            let _ = parse_address(&line);
        }
    }
}
