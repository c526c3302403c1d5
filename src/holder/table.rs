//! The processes that the holder has started, and what it keeps of each.
//! Owns: rows, from clone until the daemon forgets them.
//! Never: makes a system call, or drops an exit that nobody has asked for.
//!
//!     Starting ── exec ──> Running ── death ──> Dead ── Reap ──> Reaped ── Forget ──> (no row)
//!        └── report ──> Failed ── death ──> (no row)

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::plan::{Failure, Plan};
use super::protocol::{Exit, Fds, Row, RowState, Stream, Token};
use crate::sys::clone::Report;

/// Our ends of a process's streams, by `Stream`.
pub type Streams = [Option<Rc<OwnedFd>>; Stream::ALL.len()];

/// One process.
pub struct Proc {
    pub pid: i32,
    /// None once it is reaped: there is nothing left to name.
    pub pidfd: Option<Rc<OwnedFd>>,
    /// By `Stream`: read ends of pipes, the parent's end of the IPC channel.
    pub streams: Streams,
    pub state: State,
    /// Another's child, since a holder before us was killed.
    pub stranger: bool,
}

/// How far it has come.
pub enum State {
    /// The plan is kept to say which step failed.
    Starting {
        plan: Box<Plan>,
        report: Report,
    },
    /// The child has reported, and is about to exit.
    Failed(Failure),
    Running,
    /// A zombie.
    Dead(Exit),
    Reaped(Exit),
}

impl Proc {
    pub fn is_alive(&self) -> bool {
        match self.state {
            State::Starting { .. } | State::Failed(_) | State::Running => true,
            State::Dead(_) | State::Reaped(_) => false,
        }
    }

    pub fn stream(&mut self, stream: Stream) -> &mut Option<Rc<OwnedFd>> {
        &mut self.streams[stream as usize]
    }

    /// What goes to the daemon, and how it is announced.
    pub fn fds(&self) -> (Fds, Vec<Rc<OwnedFd>>) {
        let has = |stream: Stream| self.streams[stream as usize].is_some();
        let kinds = Fds {
            pidfd: self.pidfd.is_some(),
            stdout: has(Stream::Stdout),
            stderr: has(Stream::Stderr),
            ipc: has(Stream::Ipc),
            spilled_out: has(Stream::SpilledOut),
            spilled_err: has(Stream::SpilledErr),
        };
        (kinds, std::iter::once(&self.pidfd).chain(&self.streams).flatten().cloned().collect())
    }
}

/// All of them.
#[derive(Default)]
pub struct Table(pub BTreeMap<Token, Proc>);

impl Table {
    pub fn any_alive(&self) -> bool {
        self.0.values().any(Proc::is_alive)
    }

    /// Whether this is a child that waits for its row to be dealt with, rather than an orphan that came to us.
    pub fn has_pid(&self, pid: i32) -> bool {
        self.0.values().any(|proc| proc.pid == pid && !proc.stranger && !matches!(proc.state, State::Reaped(_)))
    }

    /// As the daemon is told. A failed spawn is not in it: its answer is on the way.
    pub fn rows(&self) -> Vec<Row> {
        let row = |(&token, proc): (&Token, &Proc)| {
            let state = match &proc.state {
                State::Starting { .. } => RowState::Starting,
                State::Failed(_) => return None,
                State::Running => RowState::Running,
                State::Dead(exit) => RowState::Dead(*exit),
                State::Reaped(exit) => RowState::Reaped(*exit),
            };
            Some(Row { token, pid: proc.pid, state, fds: proc.fds().0 })
        };
        self.0.iter().filter_map(row).collect()
    }
}
