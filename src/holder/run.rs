//! The holder's loop: one epoll over the daemon's socket, every live child, and signals.
//! Owns: what happens on each event, and in which order the daemon hears of it.
//! Never: blocks on anything but epoll, save while a program that is to take its place is asked whether it can; or wakes
//! for anything but an event.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::Flock;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::keeper::{Keeper, Phase};
use super::protocol::{MAX_MESSAGE, Message, Token};
use super::reexec::{self, Upgrade};
use super::spill::Spill;
use super::stall::Stall;
use super::store::Store;
use super::systemd::{self, Systemd};
use super::table::{State, Table};
use super::watchdog::Watchdog;
use crate::sys::pidfd;

/// What an epoll event is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Link,
    Daemon,
    Signals,
    Timer,
    Stall,
    Beat,
    Systemd,
    Spill,
    Proc(Token),
    Report(Token),
}

impl Source {
    /// Tokens are below 2^60, so two bits and a few small numbers fit beside them.
    pub(super) fn to_u64(self) -> u64 {
        match self {
            Source::Link => 0,
            Source::Daemon => 4,
            Source::Signals => 8,
            Source::Timer => 12,
            Source::Stall => 16,
            Source::Beat => 20,
            Source::Systemd => 24,
            Source::Spill => 28,
            Source::Proc(token) => token << 2 | 1,
            Source::Report(token) => token << 2 | 2,
        }
    }

    fn from_u64(data: u64) -> Source {
        match (data & 3, data >> 2) {
            (1, token) => Source::Proc(token),
            (2, token) => Source::Report(token),
            (_, 0) => Source::Link,
            (_, 1) => Source::Daemon,
            (_, 2) => Source::Signals,
            (_, 3) => Source::Timer,
            (_, 4) => Source::Stall,
            (_, 5) => Source::Beat,
            (_, 6) => Source::Systemd,
            _ => Source::Spill,
        }
    }
}

pub struct Holder {
    pub(super) epoll: Epoll,
    signals: SignalFd,
    pub(super) table: Table,
    pub(super) store: Store,
    pub(super) keeper: Keeper,
    pub(super) systemd: Systemd,
    /// /dev/null, the stdin of every child.
    pub(super) null: OwnedFd,
    /// The limits of open files that we were started with, and that children get.
    pub(super) nofile: (u64, u64),
    buffer: Vec<u8>,
    pub(super) terminating: bool,
    /// A child of unknown origin may have died.
    pub(super) orphans: bool,
    /// What is watched of the link, as last told to epoll.
    pub(super) interest: EpollFlags,
    pub(super) lock: Flock<File>,
    /// This program, as found at its start: the file may be another by now.
    pub(super) program: CString,
    /// Its arguments, its own name first.
    pub(super) args: Vec<CString>,
    pub(super) upgrade: Upgrade,
    pub(super) stall: Stall,
    pub(super) watchdog: Watchdog,
    pub(super) spill: Spill,
    /// epoll tells when systemd's socket has room.
    awaits_room: bool,
}

/// What a holder is given at its start.
pub struct Given {
    pub keeper: Keeper,
    pub store: Store,
    pub table: Table,
    pub systemd: Systemd,
    /// The limits of open files that children get.
    pub nofile: (u64, u64),
    pub lock: Flock<File>,
    pub program: CString,
    pub args: Vec<CString>,
    pub terminating: bool,
}

impl Holder {
    /// Sets up the loop. Blocks the signals that it reads, in this thread, which is the only one.
    pub fn new(given: Given) -> io::Result<Holder> {
        let Given { keeper, store, table, systemd, nofile, lock, program, args, terminating } = given;
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            mask.add(signal);
        }
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, Source::Signals.to_u64()))?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into();
        let owed = table.0.values().filter(|proc| matches!(proc.state, State::Dead(_))).count();
        let holder = Holder {
            epoll,
            signals,
            table,
            store,
            keeper,
            systemd,
            null,
            nofile,
            // Zeroed pages that are not there until a message needs them.
            buffer: vec![0; MAX_MESSAGE],
            terminating,
            // One may have died while nobody was there to hear of it.
            orphans: true,
            interest: EpollFlags::empty(),
            lock,
            program,
            args,
            upgrade: Upgrade::No,
            stall: Stall::from_environment(owed),
            watchdog: Watchdog::from_environment(),
            spill: Spill::default(),
            awaits_room: false,
        };
        for (token, proc) in &holder.table.0 {
            if let (State::Running, Some(pidfd)) = (&proc.state, &proc.pidfd) {
                holder.watch(pidfd.as_fd(), Source::Proc(*token))?;
            }
        }
        Ok(holder)
    }

    /// Runs until the daemon has said Quit. The number is for exit(2).
    pub fn run(mut self) -> Result<u8, String> {
        self.start_daemon()?;
        self.wind_watchdog();
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.epoll.wait(&mut events, self.patience()) {
                Ok(0) => {
                    self.restart_daemon();
                    continue;
                }
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => return Err(format!("epoll: {}", errno.desc())),
            };
            for event in &events[..count] {
                if let Some(code) = self.on_event(Source::from_u64(event.data()), event.events())? {
                    self.systemd.finish();
                    return Ok(code);
                }
            }
            self.watch_link();
            self.watch_stall();
            self.watch_systemd();
            self.watch_spill();
            self.go_on_with_upgrade();
        }
    }

    pub(super) fn watch(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, source.to_u64()))?)
    }

    /// A message for the daemon, if there is one to hear it. If not, the next asks for the inventory.
    pub(super) fn tell(&mut self, message: &Message) {
        self.tell_with(message, Vec::new());
    }

    pub(super) fn tell_with(&mut self, message: &Message, fds: Vec<std::rc::Rc<OwnedFd>>) {
        if let Some(running) = &mut self.keeper.running {
            running.link.send(message, fds);
        }
    }

    fn on_event(&mut self, source: Source, flags: EpollFlags) -> Result<Option<u8>, String> {
        match source {
            Source::Link => drop(self.on_link(flags)),
            Source::Daemon => return self.on_daemon_death(),
            Source::Signals => return self.on_signals(),
            Source::Timer => return self.on_timer(),
            Source::Stall => self.on_stall(),
            Source::Beat => self.on_beat(),
            Source::Spill => self.on_spill(),
            Source::Systemd => self.systemd.flush(),
            Source::Proc(token) => self.on_proc(token),
            Source::Report(token) => self.on_report(token),
        }
        Ok(None)
    }

    /// Takes requests. True if there may be more than one turn's worth.
    pub(super) fn on_link(&mut self, flags: EpollFlags) -> bool {
        let Some(running) = &mut self.keeper.running else { return false };
        if flags.contains(EpollFlags::EPOLLOUT) {
            running.link.flush();
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut more = true;
        // A burst, then the children have their turn.
        for _ in 0..32 {
            let Some(running) = &mut self.keeper.running else { break };
            more = running.link.wants_to_read();
            if !more {
                break;
            }
            match crate::sys::socket::receive(running.link.as_fd(), &mut buffer) {
                Ok(received) if received.len > 0 => {
                    let bytes = if received.truncated { &[] } else { &buffer[..received.len] };
                    self.on_request(bytes, received.fds);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    // It hung up. If that was its death we hear of it next; if not, it is one that we cannot use.
                    let _ = self.epoll.delete(running.link.as_fd());
                    // One that has said farewell is clearing up.
                    if self.keeper.phase != Phase::Leaving {
                        self.keeper.kill();
                    }
                    more = false;
                    break;
                }
            }
        }
        self.buffer = buffer;
        more
    }

    fn watch_link(&mut self) {
        let Some(running) = &mut self.keeper.running else { return };
        if running.link.is_broken() {
            self.keeper.kill();
            return;
        }
        let mut interest = EpollFlags::empty();
        interest.set(EpollFlags::EPOLLIN, running.link.wants_to_read());
        interest.set(EpollFlags::EPOLLOUT, running.link.wants_to_write());
        if interest != self.interest {
            self.interest = interest;
            let mut event = EpollEvent::new(interest, Source::Link.to_u64());
            let _ = self.epoll.modify(running.link.as_fd(), &mut event);
        }
    }

    /// Has epoll tell of room in systemd's socket while something waits for it.
    fn watch_systemd(&mut self) {
        let Some(socket) = self.systemd.socket() else { return };
        match (self.systemd.has_waiting(), self.awaits_room) {
            (true, false) => {
                let event = EpollEvent::new(EpollFlags::EPOLLOUT, Source::Systemd.to_u64());
                self.awaits_room = self.epoll.add(socket, event).is_ok();
            }
            (false, true) => self.awaits_room = self.epoll.delete(socket).is_err(),
            _ => {}
        }
    }

    fn on_signals(&mut self) -> Result<Option<u8>, String> {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match info.ssi_signo as i32 {
                libc::SIGCHLD => self.orphans = true,
                libc::SIGHUP => self.ask_for_upgrade(),
                _ => {
                    self.terminating = true;
                    self.systemd.stopping();
                    if self.keeper.running.is_none() && self.table.0.is_empty() {
                        return Ok(Some(0));
                    }
                    self.tell(&Message::Terminate);
                }
            }
        }
        self.reap_orphans();
        Ok(None)
    }

    /// Descendants whose own parent died come to us, the subreaper, and are of no interest once dead. A zombie that the
    /// daemon has not dealt with yet hides those behind it; they are looked for again when it is reaped.
    pub(super) fn reap_orphans(&mut self) {
        while self.orphans {
            match pidfd::peek_any() {
                Ok(Some(pid)) if self.is_known(pid) => return,
                Ok(Some(pid)) => {
                    let _ = pidfd::reap_pid(pid);
                }
                Ok(None) | Err(_) => self.orphans = false,
            }
        }
    }

    fn is_known(&self, pid: i32) -> bool {
        self.keeper.running.as_ref().is_some_and(|running| running.child.pid == pid) || self.table.has_pid(pid)
    }
}

/// The environment that the daemon gets: ours, but for what is between systemd and us.
pub fn daemon_environment() -> Vec<CString> {
    environment(|name| !systemd::VARIABLES.iter().any(|hidden| name == *hidden) && name != reexec::VARIABLE)
}

pub(super) fn environment(keep: impl Fn(&std::ffi::OsStr) -> bool) -> Vec<CString> {
    use std::os::unix::ffi::OsStrExt;
    std::env::vars_os()
        .filter(|(name, _)| keep(name))
        .filter_map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect()
}
