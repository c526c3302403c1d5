//! TCP sockets, asked of the kernel over NETLINK_SOCK_DIAG.
//! Owns: the request, the decoding of its answers, and whose listeners they are.
//! Never: polls. Where netlink is refused, `proc_net` reads what it can of the same from text.

mod connection;
mod netlink;

pub use connection::{Connection, TcpState, Traffic, connections};

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use super::proc_net;
use netlink::Question;

/// One socket in state LISTEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// What `/proc/PID/fd` shows as `socket:[N]`.
    pub inode: u64,
    /// SO_COOKIE: never used again as long as the host is up, unlike an inode. 0 where it was read from /proc.
    pub cookie: u64,
    pub address: SocketAddr,
    /// Connections that wait to be accepted. 0 where it was read from /proc.
    pub queue: u32,
    pub backlog: u32,
    /// The v2 cgroup that the socket was made in, which is not always that of its user. Since Linux 5.8.
    pub cgroup: Option<u64>,
}

const TCP_LISTEN: u32 = 10;

/// Every listening TCP socket of this network namespace, v4 and v6.
pub fn listeners() -> io::Result<Vec<Listener>> {
    let mut found = Vec::new();
    let asked = netlink::open().and_then(|netlink| {
        netlink::dump(&netlink, Question { states: 1 << TCP_LISTEN, ports: &[], info: false }, |answer| {
            found.push(Listener {
                inode: answer.inode,
                cookie: answer.cookie,
                address: answer.local,
                queue: answer.rqueue,
                backlog: answer.wqueue,
                cgroup: answer.cgroup(),
            });
        })
    });
    match asked {
        Ok(()) => Ok(found),
        // The tcp_diag module is missing, or a filter forbids it.
        Err(_) => proc_net::listeners(),
    }
}

/// Those that any of these processes has open.
pub fn listeners_of(pids: &[i32]) -> io::Result<Vec<Listener>> {
    let inodes: BTreeSet<u64> = pids.iter().flat_map(|&pid| proc_net::socket_inodes(pid)).collect();
    if inodes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(listeners()?.into_iter().filter(|listener| inodes.contains(&listener.inode)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_listener_is_found_by_its_process_with_address_and_queue() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let v6 = TcpListener::bind("[::1]:0").ok();
        let _waiting = std::net::TcpStream::connect(v4.local_addr().unwrap()).unwrap();
        let found = listeners_of(&[std::process::id() as i32]).unwrap();
        let ours = found.iter().find(|listener| listener.address == v4.local_addr().unwrap()).unwrap();
        assert_eq!(ours.queue, 1);
        assert_eq!(ours.cookie, cookie(&v4));
        if let Some(v6) = v6 {
            assert!(found.iter().any(|listener| listener.address == v6.local_addr().unwrap()));
        }
    }

    fn cookie(socket: &TcpListener) -> u64 {
        let (mut cookie, mut len) = (0u64, 8u32);
        // SAFETY: SO_COOKIE writes eight bytes to `cookie`, which has as many.
        let done = unsafe {
            let value = (&raw mut cookie).cast();
            libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_COOKIE, value, &raw mut len)
        };
        assert_eq!((done, len), (0, 8));
        cookie
    }

    #[test]
    fn netlink_and_proc_tell_the_same() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let inode = |found: Vec<Listener>| found.iter().find(|found| found.address == address).unwrap().inode;
        assert_eq!(inode(listeners().unwrap()), inode(proc_net::listeners().unwrap()));
    }
}
