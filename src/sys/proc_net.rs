//! Sockets as /proc shows them.
//! Owns: the parser of /proc/net/tcp and tcp6, and the socket inodes of a process.
//! Never: is the first choice: the kernel writes out every connection to show a few listeners.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::inet_diag::Listener;

/// Every listening TCP socket of this network namespace.
pub fn listeners() -> io::Result<Vec<Listener>> {
    let mut found: Vec<Listener> = fs::read_to_string("/proc/net/tcp")?.lines().filter_map(parse).collect();
    match fs::read_to_string("/proc/net/tcp6") {
        Ok(text) => found.extend(text.lines().filter_map(parse)),
        // No IPv6 in this kernel.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// One line, if it is a listener.
fn parse(line: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let &[_, local, _, "0A", _, _, _, _, _, inode, ..] = &fields[..] else { return None };
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Listener {
        inode: inode.parse().ok()?,
        cookie: 0,
        address: SocketAddr::new(parse_address(address)?, port),
        queue: 0,
        backlog: 0,
        cgroup: None,
    })
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

fn sockets(pid: i32) -> impl Iterator<Item = (i32, u64)> {
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
    fn a_line_in_state_listen_is_a_listener() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 26157 1 0";
        let listener = parse(line).unwrap();
        assert_eq!(listener.inode, 26157);
        if cfg!(target_endian = "little") {
            assert_eq!(listener.address, "127.0.0.1:8080".parse().unwrap());
        }
        let six =
            "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 9 1";
        if cfg!(target_endian = "little") {
            assert_eq!(parse(six).unwrap().address, "[::1]:80".parse().unwrap());
        }
        assert_eq!(parse(&line.replace(" 0A ", " 01 ")), None);
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line: String) {
            let _ = parse(&line);
            let _ = parse_address(&line);
        }
    }
}
