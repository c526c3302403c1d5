//! One socket of `listen`, made or removed: as whom, in the place of what, and whose the address is if it is not free.
//! Owns: what may be replaced at a path, and the sentence of each thing that stands in the way.
//! Never: runs on the daemon's task; a path may lie on a file system that has gone away.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::account::Account;
use super::notify;
use crate::model::ids::Run;
use crate::model::listen::Listen;
use crate::sys::listener::{self, Found, Node};
use crate::sys::{identity, inet_diag, open, proc_net};

/// With whose rights the file of a path may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// The app's user alone: nobody with more has asked for it.
    User,
    /// Root's, where the user's do not reach.
    Root,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{holder} has it: stop that, or choose another address")]
    InUse { holder: Holder },
    #[error("somebody has it already: choose another address")]
    Taken,
    #[error("no interface of this host has this address: see ip addr")]
    NoSuchAddress,
    #[error("there is no directory {0}: make it")]
    NoDirectory(String),
    #[error("what is there is no socket: move it away, or choose another path")]
    NotASocket,
    #[error("an old socket of uid {0} is there: remove it, or choose another path")]
    NotOurs(u32),
    #[error("{user} may not make a file in {dir}: give it the right to, or have root start the app")]
    Denied { user: String, dir: String },
    #[error("a symbolic link in {0} is not root's, and root does not follow it: write the path without it")]
    Link(String),
    #[error("{0}")]
    Kernel(io::Error),
}

/// A process that has an address.
#[derive(Debug)]
pub struct Holder {
    pub pid: i32,
    pub program: String,
    /// It is one of our apps.
    pub run: Option<Run>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.program, self.pid)
    }
}

impl Holder {
    /// `base` is the base cgroup's path, by which our own are known.
    fn of(pid: i32, base: Option<&str>) -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let run = base.and_then(|base| notify::run_of(&read("cgroup"), base));
        Self { pid, program: read("comm").trim().to_owned(), run }
    }
}

/// Somebody else's TCP listeners, looked up at most once for all that is to be made.
pub struct Others {
    listeners: OnceCell<Vec<inet_diag::Listener>>,
    base: Option<String>,
}

impl Others {
    /// `base` is the base cgroup's path, by which runs of ours are known.
    pub fn new(base: Option<String>) -> Self {
        Self { listeners: OnceCell::new(), base }
    }

    /// The holder's are ours: an address that it has just been told to close may still be among them.
    fn listeners(&self) -> &[inet_diag::Listener] {
        self.listeners.get_or_init(|| {
            let holder = std::os::unix::process::parent_id().cast_signed();
            let ours: BTreeSet<u64> = proc_net::socket_inodes(holder).into_iter().collect();
            let mut listeners = inet_diag::listeners().unwrap_or_default();
            listeners.retain(|listener| !ours.contains(&listener.inode));
            listeners
        })
    }

    fn trouble(&self, taken: impl Fn(&inet_diag::Listener) -> bool) -> Option<Trouble> {
        let inode = self.listeners().iter().find(|listener| taken(listener))?.inode;
        let trouble = proc_net::process_with_socket(inode)
            .map_or(Trouble::Taken, |pid| Trouble::InUse { holder: Holder::of(pid, self.base.as_deref()) });
        Some(trouble)
    }
}

/// A TCP socket, bound and not yet listening.
pub fn make_tcp(listen: &Listen, others: &Others) -> Result<OwnedFd, Trouble> {
    // A root program that shares its port with everyone of its user (SO_REUSEPORT) would share it with us.
    let taken = |other: &inet_diag::Listener| Listen::Address(other.address).overlaps(listen);
    if let Some(trouble) = others.trouble(taken) {
        return Err(trouble);
    }
    share_tcp(listen, others)
}

/// The same where the app has a socket of that address already.
pub fn share_tcp(listen: &Listen, others: &Others) -> Result<OwnedFd, Trouble> {
    let bound = match listen {
        Listen::Port(port) => listener::bind_port(*port),
        Listen::Address(address) => listener::bind_address(*address),
        Listen::Path(_) => Err(io::ErrorKind::InvalidInput.into()),
    };
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            let likely = |other: &inet_diag::Listener| Some(other.address.port()) == listen.port();
            others.trouble(likely).unwrap_or(Trouble::Taken)
        }
        io::ErrorKind::AddrNotAvailable => Trouble::NoSuchAddress,
        _ => Trouble::Kernel(error),
    })
}

/// A path, taken apart and led to.
struct Place<'a> {
    dir: OwnedFd,
    name: &'a str,
    /// What the socket is bound to; the path itself wherever nobody can make it lead elsewhere meanwhile, since it is
    /// what `ss` shows.
    address: String,
}

fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(parts) => parts,
        None => ("/", path),
    }
}

/// A socket at a path, bound and not yet listening, that belongs to the app's user and group.
pub fn make_path(
    path: &str,
    account: &Account,
    rights: Rights,
    base: Option<&str>,
) -> Result<(OwnedFd, Node), Trouble> {
    let (parent, name) = split(path);
    let denied = || Trouble::Denied { user: account.name.clone(), dir: parent.to_owned() };
    if account.uid != 0 {
        let made = identity::as_user(account.uid, account.gid, &account.groups, || {
            let place = Place { dir: open::open_dir_path(parent)?, name, address: path.to_owned() };
            make_at(&place, account, base)
        });
        match made.map_err(Trouble::Kernel).and_then(|made| made.map_err(|failed| failed.trouble(parent))) {
            Err(Trouble::Kernel(error)) if error.kind() == io::ErrorKind::PermissionDenied => {}
            made => return made,
        }
        if rights == Rights::User {
            return Err(denied());
        }
    }
    let made = open_place(parent, name, path).map_err(Failed::Io).and_then(|place| make_at(&place, account, base));
    made.map_err(|failed| match failed {
        Failed::Io(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => Trouble::Link(parent.to_owned()),
        failed => failed.trouble(parent),
    })
}

/// With root's rights, so only where root has chosen to go.
fn open_place<'a>(parent: &str, name: &'a str, path: &str) -> io::Result<Place<'a>> {
    let chosen = open::open_dir_of_root(parent)?;
    let address = match chosen.steady {
        true => path.to_owned(),
        false => format!("/proc/self/fd/{}/{name}", chosen.dir.as_raw_fd()),
    };
    Ok(Place { dir: chosen.dir, name, address })
}

enum Failed {
    Io(io::Error),
    Told(Trouble),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Io(error)
    }
}

impl Failed {
    fn trouble(self, parent: &str) -> Trouble {
        match self {
            Failed::Told(trouble) => trouble,
            Failed::Io(error) if error.kind() == io::ErrorKind::NotFound => Trouble::NoDirectory(parent.to_owned()),
            Failed::Io(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Trouble::NoDirectory(parent.to_owned())
            }
            Failed::Io(error) => Trouble::Kernel(error),
        }
    }
}

fn make_at(place: &Place<'_>, account: &Account, base: Option<&str>) -> Result<(OwnedFd, Node), Failed> {
    let Place { dir, name, address } = place;
    match listener::look(dir.as_fd(), name, address)? {
        Found::Nothing => {}
        Found::Other => return Err(Failed::Told(Trouble::NotASocket)),
        Found::Live { pid: Some(pid) } => {
            return Err(Failed::Told(Trouble::InUse { holder: Holder::of(pid, base) }));
        }
        Found::Live { pid: None } => return Err(Failed::Told(Trouble::Taken)),
        // Left by a run of ours, or by one before there was stead.
        Found::Stale { uid, .. } if uid == account.uid || uid == 0 => open::unlink(dir.as_fd(), name)?,
        Found::Stale { uid, .. } => return Err(Failed::Told(Trouble::NotOurs(uid))),
    }
    Ok(listener::bind_path(dir.as_fd(), name, address, account.uid, account.gid)?)
}

/// Takes the file of a socket away, if it is still the one that was made. With the rights of its owner, and with root's
/// only where root has chosen to go.
pub fn remove(path: &str, made: Option<Node>) -> io::Result<()> {
    let (parent, name) = split(path);
    let found = match open::open_dir_path(parent) {
        Ok(dir) => listener::socket_at(dir.as_fd(), name)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let Some((node, uid, gid)) = found.filter(|(node, ..)| made.is_none_or(|made| made == *node)) else {
        return Ok(());
    };
    let unlink = |dir: BorrowedFd<'_>| match listener::socket_at(dir, name)? {
        Some((still, ..)) if still == node => open::unlink(dir, name),
        _ => Ok(()),
    };
    if uid != 0 {
        let removed =
            identity::as_user(uid, gid, &[gid], || unlink(open::open_dir_path(parent)?.as_fd())).and_then(|done| done);
        if !removed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            return removed;
        }
    }
    unlink(open::open_dir_of_root(parent)?.dir.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    /// Whatever the host calls them.
    fn nobody() -> Account {
        Account {
            name: "nobody".into(),
            uid: 65534,
            gid: 65534,
            groups: vec![65534],
            home: "/".into(),
            shell: "/bin/sh".into(),
        }
    }

    #[test]
    fn a_path_is_made_with_the_users_rights_and_with_roots_only_if_root_asked() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let base = std::env::temp_dir().join(format!("stead-sockets-{}", std::process::id()));
        let (theirs, roots) = (base.join("theirs"), base.join("roots"));
        for dir in [&theirs, &roots] {
            std::fs::create_dir_all(dir).unwrap();
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        chown(&theirs, Some(65534), None).unwrap();
        let path = |dir: &std::path::Path| dir.join("s").to_str().unwrap().to_owned();
        let make = |path: &str, rights| make_path(path, &nobody(), rights, None);
        let (_, node) = make(&path(&theirs), Rights::User).unwrap();
        let error = make(&path(&roots), Rights::User).unwrap_err();
        assert!(matches!(error, Trouble::Denied { .. }), "{error}");
        let (fd, _) = make(&path(&roots), Rights::Root).unwrap();
        let bound = std::os::unix::net::UnixListener::from(fd).local_addr().unwrap();
        assert_eq!(bound.as_pathname(), Some(roots.join("s").as_path()), "what ss shows is the path itself");
        remove(&path(&theirs), Some(node)).unwrap();
        assert!(!theirs.join("s").exists());
        remove(&path(&roots), Some(node)).unwrap();
        assert!(roots.join("s").exists(), "another file than the one that was made");
        remove(&path(&roots), None).unwrap();
        assert!(!roots.join("s").exists());
        std::fs::remove_dir_all(base).unwrap();
    }
}
