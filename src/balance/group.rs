//! The sockets that share one address, and the program of `route.bpf.c` that chooses among them.
//! Owns: the indexes of the sockets, and the routed set.
//! Never: keeps a socket open: a kept copy would keep a dead app's listener alive.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya::maps::{Array, HashMap, MapData, ReusePortSockArray};
use aya::programs::SkReuseport;

use super::kept::{self, Kept};
use super::object::{Loader, Unable};
use crate::sys::bpf;

/// Sockets of one address; the same in route.bpf.c.
const MOST: usize = 512;

/// `struct choice` of route.bpf.c: by hash or in turn, how many, which indexes.
type Choice = [u32; MOST + 2];

/// How the routed sockets take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    RoundRobin,
    /// By the hash of both addresses and ports: a client's connection stays where its 4-tuple puts it.
    Hash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    run: u64,
    cookie: u64,
    routed: bool,
    /// Its socket is in the kernel's array. Of one that an earlier daemon left this is not known.
    placed: bool,
}

/// Why a socket is left to the kernel's own choice.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("more than {MOST} sockets share the address")]
    Full,
    /// ENOTSUPP: MPTCP refuses both the map and the program.
    #[error(
        "it was opened with MPTCP, so the kernel shares it by its own hash, also with instances that are not ready"
    )]
    Multipath,
    /// EBUSY: a socket stands at one place of one array only. Of a program that was lost with the holder, and replaced
    /// just now, the kernel takes the array down behind our back: to be tried again.
    #[error("it is among those of another address already")]
    There,
    #[error("{0}")]
    Kernel(#[from] Unable),
}

pub struct Group {
    program: OwnedFd,
    sockets: ReusePortSockArray<MapData>,
    kept: Array<MapData, [u64; 2]>,
    choices: Array<MapData, Choice>,
    current: Array<MapData, u32>,
    aims: HashMap<MapData, u32, u32>,
    holds: u32,
    turns: Turns,
    members: Vec<Option<Member>>,
}

impl Group {
    /// What is kept of a group, by name.
    pub const NAMES: [&str; 6] = ["route", "sockets", "members", "choices", "current", "aims"];

    /// Also gives what is to be kept.
    pub fn load(loader: &mut Loader, turns: Turns) -> Result<(Self, Kept), Unable> {
        let mut programs = loader.load(aya::include_bytes_aligned!("route.bpf.o"))?;
        let program: &mut SkReuseport =
            programs.program_mut("route").ok_or(Unable::Incomplete("program `route`"))?.try_into()?;
        program.load()?;
        let program = program.fd()?.as_fd().try_clone_to_owned().map_err(kept::refused)?;
        let mut kept = Kept::new();
        kept.insert("route".to_owned(), program.try_clone().map_err(kept::refused)?);
        let group = Self {
            program,
            sockets: kept::take(&mut programs, "sockets", &mut kept)?,
            kept: kept::take(&mut programs, "members", &mut kept)?,
            choices: kept::take(&mut programs, "choices", &mut kept)?,
            current: kept::take(&mut programs, "current", &mut kept)?,
            aims: kept::take(&mut programs, "aims", &mut kept)?,
            holds: 0,
            turns,
            members: Vec::new(),
        };
        Ok((group, kept))
    }

    /// Takes over what an earlier daemon made, but for the sockets that are closed by now.
    pub fn resume(mut kept: Kept, listens: impl Fn(u64) -> bool) -> Result<Self, Unable> {
        let mut group = Self {
            program: kept.remove("route").ok_or(Unable::Incomplete("route"))?,
            sockets: kept::resume(&mut kept, "sockets")?,
            kept: kept::resume(&mut kept, "members")?,
            choices: kept::resume(&mut kept, "choices")?,
            current: kept::resume(&mut kept, "current")?,
            aims: kept::resume(&mut kept, "aims")?,
            holds: 0,
            turns: Turns::RoundRobin,
            members: Vec::new(),
        };
        group.holds = group.current.get(&0, 0)? & 1;
        let choice = group.choices.get(&group.holds, 0)?;
        if choice[0] != 0 {
            group.turns = Turns::Hash;
        }
        let routed = &choice[2..2 + (choice[1] as usize).min(MOST)];
        for index in 0..MOST {
            let [run, cookie] = group.kept.get(&(index as u32), 0)?;
            let member = (run != 0 && listens(cookie)).then(|| Member {
                run,
                cookie,
                routed: routed.contains(&(index as u32)),
                placed: false,
            });
            group.members.push(member);
        }
        let used = group.members.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        group.members.truncate(used);
        // Probes of the daemon that made them are gone.
        let aims: Vec<u32> = group.aims.keys().filter_map(Result::ok).collect();
        aims.into_iter().for_each(|from| drop(group.aims.remove(&from)));
        group.write()?;
        Ok(group)
    }

    /// Takes in a listening socket of a run, not routed yet.
    pub fn admit(&mut self, socket: BorrowedFd<'_>, run: u64, cookie: u64) -> Result<(), Refusal> {
        let known = self.members.iter().position(|member| member.is_some_and(|member| member.cookie == cookie));
        if known.is_some_and(|at| self.members[at].is_some_and(|member| member.placed)) {
            return Ok(());
        }
        let index = match known.or_else(|| self.members.iter().position(Option::is_none)) {
            Some(index) => index,
            None if self.members.len() < MOST => {
                self.members.push(None);
                self.members.len() - 1
            }
            None => return Err(Refusal::Full),
        };
        // Every time: once the last socket of an address is closed, the next one begins a group without a program.
        bpf::attach_to_group(self.program.as_fd(), socket).map_err(refused)?;
        // First whose it will be: it may be the last thing that this daemon does.
        self.kept.set(index as u32, [run, cookie], 0).map_err(Unable::from)?;
        // The element of a closed socket is empty again by itself.
        match self.sockets.set(index as u32, &socket.as_raw_fd(), 0).map_err(|error| refusal(error.into())) {
            // An earlier daemon has put it there.
            Err(Refusal::There) if known.is_some() => {}
            Ok(()) => {}
            Err(why) => {
                self.kept.set(index as u32, [0, 0], 0).map_err(Unable::from)?;
                return Err(why);
            }
        }
        let routed = self.members[index].is_some_and(|member| member.routed);
        self.members[index] = Some(Member { run, cookie, routed, placed: true });
        Ok(())
    }

    /// Lets a run's sockets take new connections, or not.
    pub fn route(&mut self, run: u64, routed: bool) -> Result<(), Unable> {
        let mut changed = false;
        for member in self.members.iter_mut().flatten().filter(|member| member.run == run) {
            changed |= member.routed != routed;
            member.routed = routed;
        }
        if changed { self.write() } else { Ok(()) }
    }

    /// A socket is closed.
    pub fn forget(&mut self, cookie: u64) -> Result<(), Unable> {
        self.remove(|member| member.cookie == cookie)
    }

    /// A run has ended.
    pub fn forget_run(&mut self, run: u64) -> Result<(), Unable> {
        self.remove(|member| member.run == run)
    }

    fn remove(&mut self, gone: impl Fn(&Member) -> bool) -> Result<(), Unable> {
        let mut changed = false;
        for (index, slot) in self.members.iter_mut().enumerate() {
            if let Some(member) = slot.take_if(|member| gone(member)) {
                changed |= member.routed;
                self.kept.set(index as u32, [0, 0], 0)?;
            }
        }
        if changed { self.write() } else { Ok(()) }
    }

    pub fn is_empty(&self) -> bool {
        self.members.iter().all(Option::is_none)
    }

    pub fn has(&self, run: u64) -> bool {
        self.members.iter().flatten().any(|member| member.run == run)
    }

    pub fn is_routed(&self, run: u64) -> bool {
        self.members.iter().flatten().any(|member| member.run == run && member.routed)
    }

    /// A run other than this one takes new connections.
    pub fn routes_beside(&self, run: u64) -> bool {
        self.members.iter().flatten().any(|member| member.run != run && member.routed)
    }

    pub fn set_turns(&mut self, turns: Turns) -> Result<(), Unable> {
        if self.turns == turns {
            return Ok(());
        }
        self.turns = turns;
        self.write()
    }

    /// A connection from this port of a loopback address goes to the run's socket, routed or not.
    pub fn aim(&mut self, from: u16, run: u64) -> Result<bool, Unable> {
        let at = self.members.iter().position(|member| member.is_some_and(|member| member.run == run));
        let Some(at) = at else { return Ok(false) };
        self.aims.insert(u32::from(from), at as u32, 0)?;
        Ok(true)
    }

    pub fn aim_no_more(&mut self, from: u16) {
        // One that is not there is what is wanted.
        let _ = self.aims.remove(&u32::from(from));
    }

    /// Writes the choice that does not hold, then makes it hold: the program never reads half of one.
    fn write(&mut self) -> Result<(), Unable> {
        let mut choice: Choice = [0; MOST + 2];
        choice[0] = u32::from(self.turns == Turns::Hash);
        let routed = |(at, member): (usize, &Option<Member>)| member.filter(|member| member.routed).map(|_| at as u32);
        let mut count = 0;
        for index in self.members.iter().enumerate().filter_map(routed) {
            choice[2 + count] = index;
            count += 1;
        }
        choice[1] = count as u32;
        let other = 1 - self.holds;
        self.choices.set(other, choice, 0)?;
        self.current.set(0, other, 0)?;
        self.holds = other;
        Ok(())
    }
}

fn refused(source: std::io::Error) -> Refusal {
    refusal(Unable::Refused { what: "the program cannot be attached to the socket", source })
}

fn refusal(error: Unable) -> Refusal {
    /// Linux's own, not of POSIX: include/linux/errno.h.
    const ENOTSUPP: i32 = 524;
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            Some(ENOTSUPP | libc::EOPNOTSUPP) => return Refusal::Multipath,
            Some(libc::EBUSY) => return Refusal::There,
            _ => cause = error.source(),
        }
    }
    Refusal::Kernel(error)
}
