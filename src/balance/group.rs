//! The sockets that share one address, and the program of `route.bpf.c` that chooses among them.
//! Owns: the indexes of the sockets, and the routed set.
//! Never: keeps a socket open: a kept copy would keep a dead app's listener alive.

use std::os::fd::{AsRawFd, BorrowedFd};

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, ReusePortSockArray};
use aya::programs::SkReuseport;

use super::object::{Loader, Unable};

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
    #[error("{0}")]
    Kernel(#[from] Unable),
}

pub struct Group {
    programs: Ebpf,
    sockets: ReusePortSockArray<MapData>,
    choices: Array<MapData, Choice>,
    current: Array<MapData, u32>,
    aims: HashMap<MapData, u32, u32>,
    holds: u32,
    turns: Turns,
    members: Vec<Option<Member>>,
}

impl Group {
    pub fn load(loader: &mut Loader, turns: Turns) -> Result<Self, Unable> {
        let mut programs = loader.load(aya::include_bytes_aligned!("route.bpf.o"))?;
        let program: &mut SkReuseport =
            programs.program_mut("route").ok_or(Unable::Incomplete("program `route`"))?.try_into()?;
        program.load()?;
        let mut map = |name| programs.take_map(name).ok_or(Unable::Incomplete(name));
        Ok(Self {
            sockets: map("sockets")?.try_into()?,
            choices: map("choices")?.try_into()?,
            current: map("current")?.try_into()?,
            aims: map("aims")?.try_into()?,
            programs,
            holds: 0,
            turns,
            members: Vec::new(),
        })
    }

    /// Takes in a listening socket of a run, not routed yet.
    pub fn admit(&mut self, socket: BorrowedFd<'_>, run: u64, cookie: u64) -> Result<(), Refusal> {
        if self.members.iter().flatten().any(|member| member.cookie == cookie) {
            return Ok(());
        }
        let index = match self.members.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.members.len() < MOST => {
                self.members.push(None);
                self.members.len() - 1
            }
            None => return Err(Refusal::Full),
        };
        // Every time: once the last socket of an address is closed, the next one begins a group without a program.
        let program = self.programs.program("route").ok_or(Unable::Incomplete("program `route`"))?;
        let program: &SkReuseport = program.try_into().map_err(Unable::from)?;
        program.attach(socket).map_err(|error| refusal(error.into()))?;
        // The element of a closed socket is empty again by itself.
        self.sockets.set(index as u32, &socket.as_raw_fd(), 0).map_err(|error| refusal(error.into()))?;
        self.members[index] = Some(Member { run, cookie, routed: false });
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
        for slot in &mut self.members {
            if let Some(member) = slot.take_if(|member| gone(member)) {
                changed |= member.routed;
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

fn refusal(error: Unable) -> Refusal {
    /// Linux's own, not of POSIX: include/linux/errno.h.
    const ENOTSUPP: i32 = 524;
    let source: Option<&dyn std::error::Error> = Some(&error);
    let mut cause = source;
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| matches!(io.raw_os_error(), Some(ENOTSUPP | libc::EOPNOTSUPP))) {
            return Refusal::Multipath;
        }
        cause = error.source();
    }
    Refusal::Kernel(error)
}
