//! All addresses that apps of this host listen on.
//! Owns: which group a socket belongs to. Never: knows an app; a run is a number.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use super::group::{Group, Refusal, Turns};
use super::kept::Kept;
use super::object::{Loader, Unable};

/// Sockets with the same one share their connections: one reuseport group of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// SO_NETNS_COOKIE.
    pub netns: u64,
    pub address: SocketAddr,
}

impl Place {
    /// As it stands in the name of what is kept of its group: `<netns>/<address>`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.netns, self.address)
    }

    pub fn parse(name: &str) -> Option<Self> {
        let (netns, address) = name.split_once('/')?;
        Some(Self { netns: netns.parse().ok()?, address: address.parse().ok()? })
    }
}

pub struct Routes {
    loader: Loader,
    groups: BTreeMap<Place, Group>,
    /// Groups that are new, and what is to be kept of them; groups that are gone.
    fresh: Vec<(Place, Kept)>,
    gone: Vec<Place>,
}

impl Routes {
    pub fn new(loader: Loader) -> Self {
        Self { loader, groups: BTreeMap::new(), fresh: Vec::new(), gone: Vec::new() }
    }

    /// Takes over a group that an earlier daemon made. `listens` says whether the socket of a cookie is still there.
    pub fn resume(&mut self, place: Place, kept: Kept, listens: impl Fn(u64) -> bool) -> Result<(), Unable> {
        let group = Group::resume(kept, listens)?;
        if group.is_empty() {
            self.gone.push(place)
        } else {
            drop(self.groups.insert(place, group))
        }
        Ok(())
    }

    /// What is to be kept from now on, and what no more, in this order.
    pub fn take_changes(&mut self) -> (Vec<Place>, Vec<(Place, Kept)>) {
        (std::mem::take(&mut self.gone), std::mem::take(&mut self.fresh))
    }

    /// Makes the group of an address, if there is none. It is to be kept before anything is put into it: a socket stands
    /// in one array only, and one that nobody holds any more is in its way until the kernel has cleared it away.
    pub fn open(&mut self, place: Place, turns: Turns) -> Result<(), Unable> {
        if let std::collections::btree_map::Entry::Vacant(free) = self.groups.entry(place) {
            let (group, kept) = Group::load(&mut self.loader, turns)?;
            self.fresh.push((place, kept));
            free.insert(group);
        }
        Ok(())
    }

    /// Takes in a listening socket of a run, at an address that is open. It is routed once the run is.
    pub fn admit(
        &mut self,
        place: Place,
        socket: BorrowedFd<'_>,
        run: u64,
        cookie: u64,
        turns: Turns,
    ) -> Result<(), Refusal> {
        let group = self.groups.get_mut(&place).ok_or(Unable::Incomplete("group"))?;
        group.set_turns(turns)?;
        group.admit(socket, run, cookie)
    }

    /// New connections may go to the run's sockets.
    pub fn route(&mut self, run: u64) -> Result<(), Unable> {
        self.groups.values_mut().try_for_each(|group| group.route(run, true))
    }

    /// No new connections go to the run's sockets, as long as anybody else is routed.
    pub fn unroute(&mut self, run: u64) -> Result<(), Unable> {
        self.groups.values_mut().try_for_each(|group| group.route(run, false))
    }

    /// A socket is closed.
    pub fn forget(&mut self, cookie: u64) -> Result<(), Unable> {
        self.leave(|group| group.forget(cookie))
    }

    /// A run has ended.
    pub fn forget_run(&mut self, run: u64) -> Result<(), Unable> {
        self.leave(|group| group.forget_run(run))
    }

    fn leave(&mut self, leave: impl Fn(&mut Group) -> Result<(), Unable>) -> Result<(), Unable> {
        let done = self.groups.values_mut().try_for_each(leave);
        let empty: Vec<Place> =
            self.groups.iter().filter(|(_, group)| group.is_empty()).map(|(place, _)| *place).collect();
        for place in empty {
            self.groups.remove(&place);
            // One that is not given away yet need not be taken back.
            let fresh = self.fresh.len();
            self.fresh.retain(|(given, _)| *given != place);
            if fresh == self.fresh.len() {
                self.gone.push(place);
            }
        }
        done
    }

    /// Who else takes the new connections of this run. None: it is on no address that is routed.
    pub fn relief(&self, run: u64) -> Option<Relief> {
        let own = || self.groups.values().filter(|group| group.has(run));
        match (own().count(), own().filter(|group| group.routes_beside(run)).count()) {
            (0, _) => None,
            (_, 0) => Some(Relief::Nobody),
            (all, some) if some < all => Some(Relief::Partly),
            _ => Some(Relief::Wholly),
        }
    }

    /// Makes connections from a loopback port reach this run, if it has a socket that `to` leads to.
    pub fn aim(&mut self, from: u16, to: SocketAddr, run: u64) -> Result<bool, Unable> {
        for (_, group) in self.groups.iter_mut().filter(|(place, _)| leads_to(to, place.address)) {
            if group.aim(from, run)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub fn aim_no_more(&mut self, from: u16) {
        self.groups.values_mut().for_each(|group| group.aim_no_more(from));
    }

    /// Some app of ours listens where `to` leads to.
    pub fn is_ours(&self, to: SocketAddr) -> bool {
        self.groups.keys().any(|place| leads_to(to, place.address))
    }
}

/// Whether other runs take the new connections of one that takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relief {
    /// On none of its addresses: they go on coming to it.
    Nobody,
    /// Somebody who is ready has yet to listen on some of them.
    Partly,
    Wholly,
}

/// Whether a connection to one may arrive at a socket bound to the other.
fn leads_to(to: SocketAddr, bound: SocketAddr) -> bool {
    let anywhere = bound.ip().is_unspecified() && (bound.is_ipv6() || to.is_ipv4());
    to.port() == bound.port() && (anywhere || to.ip() == bound.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_leads_to_the_sockets_that_may_take_it() {
        let leads = |to: &str, bound: &str| leads_to(to.parse().unwrap(), bound.parse().unwrap());
        assert!(leads("127.0.0.1:80", "127.0.0.1:80") && leads("127.0.0.1:80", "0.0.0.0:80"));
        assert!(leads("127.0.0.1:80", "[::]:80") && leads("[::1]:80", "[::]:80"));
        assert!(!leads("[::1]:80", "0.0.0.0:80") && !leads("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!leads("127.0.0.1:80", "10.0.0.1:80"));
    }
}
