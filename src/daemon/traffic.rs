//! The sockets of runs that are drained, and of those that take their place.
//! Owns: whose a socket is, by the descriptors of processes. Never: runs on the daemon's task; a look may take
//! milliseconds.
//!
//! The cgroup that the kernel names for a socket is that of who made the listener, which is another run's for a
//! connection that was given from one run to another, and the holder's for a listener that was passed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{AsFd, OwnedFd};

use crate::balance::drain::{Held, Sockets, is_in_doubt};
use crate::model::ids::{AppName, Run};
use crate::sys::cgroup::RunCgroup;
use crate::sys::inet_diag::{self, Connection, Listener, TcpState};
use crate::sys::{pidfd, proc_net, quickack};

/// A run that is drained, or one of its siblings that are not.
#[derive(Debug)]
pub struct Who {
    pub run: Run,
    pub app: AppName,
    pub cgroup: RunCgroup,
    pub cgroup_id: Option<u64>,
    pub pid: Option<i32>,
    pub drained: bool,
}

/// What was found of a run that is drained.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub sockets: Sockets,
    /// Siblings that listen on one of its ports with a socket of their own.
    pub others: Vec<Run>,
}

/// Sockets that a run has open: by inode, the process and the number of a descriptor.
type Open = HashMap<u64, (i32, i32)>;

/// Looks once, for all of them.
pub fn look(who: &[Who]) -> BTreeMap<Run, Found> {
    // In this order: what was in a queue while the listeners were told is counted there, and what had left it by then is
    // among the descriptors.
    let listeners = inet_diag::listeners().unwrap_or_default();
    let drained: Vec<(&Who, Open)> = who.iter().filter(|who| who.drained).map(|who| (who, open(who))).collect();
    let mut ports: BTreeSet<u16> = BTreeSet::new();
    for (_, open) in &drained {
        ports.extend(listeners.iter().filter(|listener| open.contains_key(&listener.inode)).map(port));
    }
    let ports: Vec<u16> = ports.into_iter().collect();
    let connections = inet_diag::connections(&ports).unwrap_or_default();
    let mut found = BTreeMap::new();
    for (who_drained, open) in &drained {
        let own: Vec<Listener> =
            listeners.iter().filter(|listener| open.contains_key(&listener.inode)).copied().collect();
        let ports: BTreeSet<u16> = own.iter().map(port).collect();
        let mut quickacks = Quickacks { open, processes: HashMap::new() };
        let mut sockets = Sockets { listeners: own, ..Sockets::default() };
        for connection in connections.iter().filter(|connection| ports.contains(&connection.local.port())) {
            if connection.state == TcpState::SynRecv {
                sockets.handshakes += 1;
            } else if open.contains_key(&connection.inode) {
                let at_once =
                    if is_in_doubt(connection) { quickacks.ask(connection.inode, connection.cookie) } else { None };
                sockets.connections.push(Held { connection: *connection, at_once });
            }
        }
        let theirs: Vec<&Listener> = listeners
            .iter()
            .filter(|listener| ports.contains(&port(listener)) && !open.contains_key(&listener.inode))
            .collect();
        let siblings: Vec<&Who> = who.iter().filter(|who| !who.drained && who.app == who_drained.app).collect();
        found.insert(who_drained.run, Found { sockets, others: owners(&theirs, &siblings) });
    }
    found
}

/// How many established connections each of these has to the ports it listens on, in order.
pub fn count(who: &[Who]) -> Vec<u64> {
    let listeners = inet_diag::listeners().unwrap_or_default();
    let having = who.iter().map(|who| {
        let open = open(who);
        let ports: BTreeSet<u16> =
            listeners.iter().filter(|listener| open.contains_key(&listener.inode)).map(port).collect();
        (open, ports)
    });
    let having: Vec<(Open, BTreeSet<u16>)> = having.collect();
    let ports: BTreeSet<u16> = having.iter().flat_map(|(_, ports)| ports).copied().collect();
    let ports: Vec<u16> = ports.into_iter().collect();
    let mut connections = inet_diag::connections(&ports).unwrap_or_default();
    connections.retain(|connection| connection.state == TcpState::Established);
    let of = |(open, ports): &(Open, BTreeSet<u16>)| {
        let own =
            |connection: &&Connection| ports.contains(&connection.local.port()) && open.contains_key(&connection.inode);
        connections.iter().filter(own).count() as u64
    };
    having.iter().map(of).collect()
}

fn port(listener: &Listener) -> u16 {
    listener.address.port()
}

/// Which of these have any of the listeners. Descriptors are looked through only if the cgroups of the sockets name
/// nobody.
fn owners(listeners: &[&Listener], siblings: &[&Who]) -> Vec<Run> {
    if listeners.is_empty() {
        return Vec::new();
    }
    let having = |has: &dyn Fn(&Who) -> bool| -> Vec<Run> {
        siblings.iter().filter(|who| has(who)).map(|who| who.run).collect()
    };
    let made = |who: &Who| who.cgroup_id.is_some() && listeners.iter().any(|listener| listener.cgroup == who.cgroup_id);
    let found = having(&made);
    if !found.is_empty() {
        return found;
    }
    having(&|who| {
        let open = open(who);
        listeners.iter().any(|listener| open.contains_key(&listener.inode))
    })
}

fn open(who: &Who) -> Open {
    let mut pids = who.cgroup.procs().unwrap_or_default();
    if pids.is_empty() {
        // A host without cgroups.
        pids.extend(who.pid);
    }
    let sockets = |pid| proc_net::sockets(pid).map(move |(fd, inode)| (inode, (pid, fd)));
    pids.into_iter().flat_map(sockets).collect()
}

/// Asks for TCP_QUICKACK, opening each process once.
struct Quickacks<'a> {
    open: &'a Open,
    processes: HashMap<i32, Option<OwnedFd>>,
}

impl Quickacks<'_> {
    fn ask(&mut self, inode: u64, cookie: u64) -> Option<bool> {
        let (pid, fd) = *self.open.get(&inode)?;
        let process = self.processes.entry(pid).or_insert_with(|| pidfd::open(pid).ok()).as_ref()?;
        quickack::acknowledges_at_once(process.as_fd(), fd, cookie).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::drain::{Paused, Verdict, Wait, verdict};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    fn me(run: u64, drained: bool) -> Who {
        Who {
            run: Run(run),
            app: AppName::parse("api").unwrap(),
            cgroup: RunCgroup::default(),
            cgroup_id: None,
            pid: Some(std::process::id() as i32),
            drained,
        }
    }

    /// What is found of this process, confined to one port, as other tests have sockets too.
    fn found(port: u16) -> Sockets {
        let mut sockets = look(&[me(1, true)]).remove(&Run(1)).unwrap().sockets;
        sockets.listeners.retain(|listener| listener.address.port() == port);
        sockets.connections.retain(|held| held.connection.local.port() == port);
        sockets.handshakes = 0;
        sockets
    }

    fn exchange(client: &mut TcpStream, server: &mut TcpStream) {
        let mut buffer = [0; 8];
        client.write_all(b"question").unwrap();
        server.read_exact(&mut buffer).unwrap();
        server.write_all(b"answered").unwrap();
        client.read_exact(&mut buffer).unwrap();
    }

    #[test]
    fn a_queue_an_open_question_and_an_idle_connection_are_told_apart_by_real_sockets() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wait = |age: u64| match verdict(&found(address.port()), Duration::from_millis(age), &mut Paused::new()) {
            Verdict::Done => None,
            Verdict::Wait(Wait { queued, busy, quiet_soon, .. }) => Some((queued, busy, quiet_soon)),
        };
        assert_eq!(wait(0), None);
        let mut talking = TcpStream::connect(address).unwrap();
        assert_eq!(wait(0), Some((1, 0, 0)));
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(wait(0), Some((0, 0, 1)));
        assert!(count(&[me(1, false)])[0] >= 1);

        // A slow answer, quick ones, and the next question at once.
        talking.write_all(b"question").unwrap();
        server.read_exact(&mut [0; 8]).unwrap();
        assert_eq!(wait(0), Some((0, 1, 0)));
        std::thread::sleep(Duration::from_millis(100));
        server.write_all(b"answered").unwrap();
        talking.read_exact(&mut [0; 8]).unwrap();
        for _ in 0..10 {
            exchange(&mut talking, &mut server);
        }
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(wait(1000), None, "it is idle: {:#?}", found(address.port()));
        exchange(&mut talking, &mut server);
        talking.write_all(b"question").unwrap();
        server.read_exact(&mut [0; 8]).unwrap();
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(wait(1000), Some((0, 1, 0)), "it has a question: {:#?}", found(address.port()));
        server.write_all(b"answered").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(wait(1000), None, "it is idle: {:#?}", found(address.port()));
    }

    #[test]
    fn a_sibling_takes_over_with_a_socket_of_its_own_only() {
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Both are this process, so each has the very same sockets.
        let found = look(&[me(1, true), me(2, false)]);
        assert!(!found[&Run(1)].sockets.listeners.is_empty());
        assert_eq!(found[&Run(1)].others, []);
        let listener = |inode, cgroup| {
            let address = "127.0.0.1:80".parse().unwrap();
            Listener { inode, cookie: inode, address, queue: 0, backlog: 128, cgroup }
        };
        let sibling = Who { cgroup_id: Some(7), pid: None, ..me(2, false) };
        assert_eq!(owners(&[&listener(1, Some(7))], &[&sibling]), [Run(2)]);
        assert_eq!(owners(&[&listener(1, Some(8))], &[&sibling]), []);
        let inode = found[&Run(1)].sockets.listeners[0].inode;
        assert_eq!(owners(&[&listener(inode, Some(8))], &[&sibling, &me(3, false)]), [Run(3)]);
    }
}
