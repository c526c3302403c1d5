//! TCP connections to ports of this host, with their traffic as the kernel accounts for it.
//! Owns: what a connection is to us, and the fields of tcp_info. Never: judges whether one is idle.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::netlink::{self, Answer, INET_DIAG_INFO, Question, u32_at, u64_at};
use crate::sys::proc_net;

/// A connection as the local end of it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// 0: no process has accepted it yet, or all have closed it.
    pub inode: u64,
    /// SO_COOKIE. 0 where it was read from /proc.
    pub cookie: u64,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub state: TcpState,
    /// Bytes that wait to be read; the peer's FIN counts as one more until it is read.
    pub rqueue: u32,
    /// Bytes that the peer has not acknowledged; our own FIN counts as one more.
    pub wqueue: u32,
    /// The v2 cgroup of the listener it came from, which is not always that of its user. Since Linux 5.8.
    pub cgroup: Option<u64>,
    /// None before it is established, after its last close, and where it was read from /proc.
    pub traffic: Option<Traffic>,
}

/// The states of a connection that `connections` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpState {
    /// The handshake is not complete.
    SynRecv,
    Established,
    /// We have said FIN.
    FinWait1,
    /// And the peer knows.
    FinWait2,
    /// The peer has said FIN, and we have not.
    CloseWait,
    /// Then we have.
    LastAck,
    /// Both have, at the same time.
    Closing,
}

/// From struct tcp_info. Spans are how long ago, in whole ticks of the kernel (4 ms at 250 Hz); one that never happened
/// counts from the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub last_data_sent: Duration,
    pub last_data_recv: Duration,
    /// The last segment that acknowledged anything, one with data included.
    pub last_ack_recv: Duration,
    /// Segments that are on their way.
    pub unacked: u32,
    pub bytes_acked: u64,
    pub bytes_received: u64,
    pub segs_out: u32,
    pub data_segs_in: u32,
    pub data_segs_out: u32,
}

const STATES: [(u8, TcpState); 7] = [
    (1, TcpState::Established),
    (3, TcpState::SynRecv),
    (4, TcpState::FinWait1),
    (5, TcpState::FinWait2),
    (8, TcpState::CloseWait),
    (9, TcpState::LastAck),
    (11, TcpState::Closing),
];

impl TcpState {
    /// By the kernel's number (include/net/tcp_states.h).
    pub fn from_number(number: u8) -> Option<Self> {
        STATES.iter().find(|(known, _)| *known == number).map(|(_, state)| *state)
    }
}

/// Every connection of this network namespace to one of these local ports, v4 and v6.
pub fn connections(ports: &[u16]) -> io::Result<Vec<Connection>> {
    if ports.is_empty() {
        return Ok(Vec::new());
    }
    let states = STATES.iter().fold(0, |mask, (number, _)| mask | 1 << number);
    let mut found = Vec::new();
    let asked = netlink::open().and_then(|netlink| {
        netlink::dump(&netlink, Question { states, ports, info: true }, |answer| found.extend(connection(&answer)))
    });
    let mut found = match asked {
        Ok(()) => found,
        // The tcp_diag module is missing, or a filter forbids it.
        Err(_) => proc_net::connections()?,
    };
    found.retain(|connection| ports.contains(&connection.local.port()));
    Ok(found)
}

fn connection(answer: &Answer<'_>) -> Option<Connection> {
    Some(Connection {
        inode: answer.inode,
        cookie: answer.cookie,
        local: answer.local,
        remote: answer.remote,
        state: TcpState::from_number(answer.state)?,
        rqueue: answer.rqueue,
        wqueue: answer.wqueue,
        cgroup: answer.cgroup(),
        traffic: answer.attribute(INET_DIAG_INFO).and_then(traffic),
    })
}

/// The fields stand where they stood when each was added at the end (uapi/linux/tcp.h), the last of these in Linux 4.6.
/// None from a kernel that has fewer.
fn traffic(info: &[u8]) -> Option<Traffic> {
    let ago = |at: usize| Some(Duration::from_millis(u32_at(info, at)?.into()));
    Some(Traffic {
        unacked: u32_at(info, 24)?,
        last_data_sent: ago(44)?,
        last_data_recv: ago(52)?,
        last_ack_recv: ago(56)?,
        bytes_acked: u64_at(info, 120)?,
        bytes_received: u64_at(info, 128)?,
        segs_out: u32_at(info, 136)?,
        data_segs_in: u32_at(info, 152)?,
        data_segs_out: u32_at(info, 156)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};

    /// A listener, and the connections to it with the nearest end first in the order of `clients`.
    fn seen(listener: &TcpListener, clients: &[&TcpStream]) -> Vec<Connection> {
        let port = listener.local_addr().unwrap().port();
        let found = connections(&[1, port]).unwrap();
        assert!(found.iter().all(|connection| connection.local.port() == port), "{found:#?}");
        let of = |client: &&TcpStream| {
            let remote = client.local_addr().unwrap();
            *found.iter().find(|connection| connection.remote == remote).unwrap()
        };
        clients.iter().map(of).collect()
    }

    fn inodes() -> Vec<u64> {
        proc_net::socket_inodes(std::process::id() as i32)
    }

    #[test]
    fn who_waits_in_the_queue_has_no_inode_and_who_was_accepted_has_one_of_ours() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            let accepted = TcpStream::connect(address).unwrap();
            let (_held, _) = listener.accept().unwrap();
            let queued = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
            let found = seen(&listener, &[&accepted, &queued[0], &queued[1]]);
            assert!(inodes().contains(&found[0].inode));
            assert_eq!((found[1].inode, found[2].inode), (0, 0));
            assert!(found.iter().all(|c| c.state == TcpState::Established && c.local == address && c.cookie != 0));
        }
    }

    #[test]
    fn bytes_and_their_times_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut held, _) = listener.accept().unwrap();
        let fresh = seen(&listener, &[&client])[0].traffic.unwrap();
        assert_eq!((fresh.data_segs_in, fresh.bytes_received, fresh.bytes_acked), (0, 0, 0));

        client.write_all(b"question").unwrap();
        let asked = seen(&listener, &[&client])[0];
        assert_eq!((asked.rqueue, asked.traffic.unwrap().bytes_received), (8, 8));

        held.read_exact(&mut [0; 8]).unwrap();
        // Longer than any kernel's tick.
        std::thread::sleep(Duration::from_millis(30));
        let read = seen(&listener, &[&client])[0];
        assert_eq!(read.rqueue, 0);

        held.write_all(b"answer").unwrap();
        let answered = seen(&listener, &[&client])[0];
        let traffic = answered.traffic.unwrap();
        assert!(traffic.last_data_sent < traffic.last_data_recv, "{traffic:?}");
        assert_eq!((traffic.data_segs_in, traffic.data_segs_out), (1, 1));
        assert_eq!((answered.wqueue, traffic.bytes_acked), (0, 6), "nobody acknowledged it: {answered:?}");
    }

    #[test]
    fn a_fin_counts_among_the_unread_bytes_until_it_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut held, _) = listener.accept().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let closed = seen(&listener, &[&client])[0];
        assert_eq!((closed.state, closed.rqueue), (TcpState::CloseWait, 1));
        assert_eq!(held.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(seen(&listener, &[&client])[0].rqueue, 0);
        held.shutdown(Shutdown::Write).unwrap();
        assert!(connections(&[listener.local_addr().unwrap().port()]).unwrap().is_empty(), "both ends have said FIN");
    }

    #[test]
    fn netlink_and_proc_tell_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_held, _) = listener.accept().unwrap();
        client.write_all(b"question").unwrap();
        let ours = seen(&listener, &[&client])[0];
        let text = proc_net::connections().unwrap();
        let text = text.iter().find(|c| (c.local, c.remote) == (ours.local, ours.remote)).unwrap();
        assert_eq!((text.state, text.rqueue, text.wqueue), (ours.state, ours.rqueue, ours.wqueue));
        assert_eq!((text.inode, text.traffic), (ours.inode, None));
    }

    #[test]
    fn no_port_is_no_question() {
        assert!(connections(&[]).unwrap().is_empty());
        let many: Vec<u16> = (1..200).collect();
        assert!(connections(&many).unwrap().iter().all(|c| c.local.port() < 200));
    }

    proptest! {
        #[test]
        fn garbage_is_nothing(bytes: Vec<u8>, number: u8) {
            let _ = traffic(&bytes);
            let _ = TcpState::from_number(number);
        }
    }
}
