//! What holder and daemon say to each other, over one SEQPACKET socket: one message in one packet, fds beside it.
//! Owns: the messages. `codec` turns them into bytes and back: `encode`, and `decode`, which is total.
//! Never: sends or receives; either side does that its own way, with `sys::socket`.
//!
//! The holder begins with `Hello`. Requests are answered in their order. `Exited`, `Terminate` and `Reload` come by
//! themselves; `Exited` of a proc that died while no daemon was there is not sent again: it stands in the inventory. A
//! daemon that asks for the inventory may hear of one exit by both.

use std::os::fd::OwnedFd;

use super::plan::{Failure, Plan};

pub use super::wire::{Malformed, Result};

/// Raised when an old daemon could misunderstand a new holder, or the other way round, and when a plan can have new steps
/// (`Plan::version`): an older holder would refuse it without being able to say of whom. New kinds of message do not: the
/// side that does not know one refuses it.
pub const VERSION: u32 = 4;

/// The oldest that a daemon of this version can work with: what is newer is refused by the holder, and harms nothing.
pub const OLDEST: u32 = 1;

/// The oldest whose holder knows the steps from `MountNamespace` on.
pub const CONFINES: u32 = 4;

/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 1 << 20;

/// Socket buffers that take a few messages of that length, the kernel's overhead included.
pub const SOCKET_BUFFER: usize = 4 << 20;

/// The daemon finds the number of its end of the socket in this variable.
pub const FD_VARIABLE: &str = "STEAD_HOLDER_FD";

/// The holder stores the notify socket, which it binds to `notify` in the runtime directory, under this name.
pub const NOTIFY: &str = "notify";

/// What the daemon calls a process by. Its choice; below `MAX_TOKEN`, and never used twice while its row exists.
pub type Token = u64;
pub const MAX_TOKEN: Token = 1 << 60;

/// How a process ended.
pub use crate::sys::pidfd::Exit;

/// A stream of a proc whose other end the holder keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
    Ipc,
    /// A file of what the holder took out of `Stdout` while there was no daemon: to be read, from its offset on, before what
    /// stands there.
    SpilledOut,
    SpilledErr,
}

impl Stream {
    pub const ALL: [Stream; 5] = [Stream::Stdout, Stream::Stderr, Stream::Ipc, Stream::SpilledOut, Stream::SpilledErr];
}

/// Which fds come with a message. They come in this order: pidfd, then those of `Stream::ALL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fds {
    pub pidfd: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub ipc: bool,
    pub spilled_out: bool,
    pub spilled_err: bool,
}

impl Fds {
    pub(super) fn bits(self) -> u8 {
        let Fds { pidfd, stdout, stderr, ipc, spilled_out, spilled_err } = self;
        let flags = [pidfd, stdout, stderr, ipc, spilled_out, spilled_err];
        flags.iter().enumerate().map(|(at, has)| u8::from(*has) << at).sum()
    }

    pub(super) fn from_bits(bits: u8) -> Result<Fds> {
        if bits > 63 {
            return Err(Malformed("an unknown kind of fd"));
        }
        let has = |bit: u8| bits & (1 << bit) != 0;
        let (spilled_out, spilled_err) = (has(4), has(5));
        Ok(Fds { pidfd: has(0), stdout: has(1), stderr: has(2), ipc: has(3), spilled_out, spilled_err })
    }
}

/// The fds of a proc, as received.
#[derive(Debug, Default)]
pub struct Ends {
    pub pidfd: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    pub ipc: Option<OwnedFd>,
    pub spilled_out: Option<OwnedFd>,
    pub spilled_err: Option<OwnedFd>,
}

impl Ends {
    /// Sorts the fds that came with a message by what the message says of them.
    pub fn sort(kinds: Fds, fds: Vec<OwnedFd>) -> Result<Ends> {
        let mut fds = fds.into_iter();
        let mut next = |wanted: bool| {
            if !wanted {
                return Ok(None);
            }
            fds.next().map(Some).ok_or(Malformed("fewer fds than it says"))
        };
        let ends = Ends {
            pidfd: next(kinds.pidfd)?,
            stdout: next(kinds.stdout)?,
            stderr: next(kinds.stderr)?,
            ipc: next(kinds.ipc)?,
            spilled_out: next(kinds.spilled_out)?,
            spilled_err: next(kinds.spilled_err)?,
        };
        if fds.next().is_some() { Err(Malformed("more fds than it says")) } else { Ok(ends) }
    }
}

/// From the daemon to the holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Answered by `Spawned` or `SpawnFailed`, once exec has gone one way or the other.
    Spawn { token: Token, plan: Box<Plan> },
    /// To the process itself. No answer if it was sent.
    Signal { token: Token, signal: i32 },
    /// To its process group, for hosts without cgroups: its plan has `Setsid`. No answer if it was sent. The group
    /// can be reached until `Reap`.
    SignalGroup { token: Token, signal: i32 },
    /// The exit has been dealt with: let the zombie go. Its streams stay. No answer.
    Reap { token: Token },
    /// Drop the row and every fd of it, reaping what is dead. Refused while it lives. No answer.
    Forget { token: Token },
    /// Drop the holder's copy of this end. No answer.
    DropStream { token: Token, stream: Stream },
    /// Answered by `Taken`, with copies of the fds.
    Take { token: Token },
    /// Answered by one or more `Inventory`.
    Inventory,
    /// Keep the fd that comes with this, in the place of what had the name. No answer.
    Store { name: String },
    /// Close it. No answer.
    Drop { name: String },
    /// Answered by `Fetched`.
    Fetch { name: String },
    /// The daemon serves its clients: tell systemd. No answer.
    Serving,
    /// Replace the daemon, and then the holder, by the programs on disk; no process of the table is touched. No answer:
    /// the daemon is killed, or nothing happens and the holder's log says why. Since version 2.
    Upgrade,
    /// The answer to `Ping`.
    Pong,
    /// All processes are gone: let the daemon exit, then exit. Refused while one is alive.
    Quit,
}

/// From the holder to the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Hello {
        version: u32,
    },
    /// exec succeeded. The fds come with it.
    Spawned {
        token: Token,
        pid: i32,
        fds: Fds,
    },
    /// It never ran, and nothing of it is left.
    SpawnFailed {
        token: Token,
        failure: Failure,
    },
    /// It is a zombie until `Reap`.
    Exited {
        token: Token,
        exit: Exit,
    },
    Taken {
        token: Token,
        fds: Fds,
    },
    Inventory {
        rows: Vec<Row>,
        stored: Vec<String>,
        last: bool,
    },
    /// With the fd, if there is one of this name.
    Fetched {
        name: String,
        found: bool,
    },
    /// Somebody wants all to stop: SIGTERM or SIGINT came. The daemon stops everything, then says `Quit`.
    Terminate,
    /// SIGHUP came. Of a holder of version 1; a newer one replaces itself and the daemon.
    Reload,
    /// Whether the daemon is well: answered by `Pong` within the watchdog's time. Since version 3.
    Ping,
    /// A request was not carried out.
    Refused {
        token: Option<Token>,
        why: Refusal,
    },
}

/// One process that the holder knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub token: Token,
    pub pid: i32,
    pub state: RowState,
    pub fds: Fds,
}

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// Between clone and exec: `Spawned` or `SpawnFailed` is still to come.
    Starting,
    Running,
    /// A zombie.
    Dead(Exit),
    /// Its streams are all that is left.
    Reaped(Exit),
}

/// Why a request was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the message is malformed")]
    Malformed,
    #[error("no process has this token")]
    UnknownToken,
    #[error("another process has this token, or it is too large")]
    TokenTaken,
    #[error("the process is alive")]
    Alive,
    #[error("the message must come with exactly one fd")]
    NoFd,
    #[error("errno {0}")]
    Errno(i32),
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
