//! Fds that the daemon leaves with the holder, by name: its memfd, the notify socket, listening sockets, BPF links.
//! Owns: the copies. Never: looks into one.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

#[derive(Default)]
pub struct Store(BTreeMap<String, Rc<OwnedFd>>);

impl Store {
    pub fn put(&mut self, name: String, fd: OwnedFd) -> Rc<OwnedFd> {
        let fd = Rc::new(fd);
        self.0.insert(name, Rc::clone(&fd));
        fd
    }

    pub fn drop(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub fn get(&self, name: &str) -> Option<Rc<OwnedFd>> {
        self.0.get(name).cloned()
    }

    pub fn all(&self) -> impl Iterator<Item = (&str, &OwnedFd)> {
        self.0.iter().map(|(name, fd)| (name.as_str(), &**fd))
    }

    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
