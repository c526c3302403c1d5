//! What tasks and threads of the daemon have to say to its loop.
//! Owns: the list. Never: acts on it; the loop and the executor do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;

use super::asks::{Checked, ToPlan};
use super::boot::ToDeploy;
use super::passed::Made;
use super::probe::Aim;
use super::sharing::Socket;
use super::spawn::Prepared;
use super::traffic::Found;
use crate::logs::capture::Report;
use crate::model::ids::Run;

/// News from a task or thread of ours to the loop.
#[derive(Debug)]
pub enum Told {
    /// Identity and environment of a run are known, or cannot be.
    Prepared {
        run: Run,
        prepared: Result<Box<Prepared>, String>,
    },
    /// A probe succeeded, or Node's channel said so.
    Ready {
        run: Run,
    },
    /// A process said READY=1 on the notify socket; `cgroup` is its /proc/PID/cgroup at that moment.
    Notified {
        pid: i32,
        cgroup: String,
    },
    /// The cgroup of a dead main process has become empty.
    Empty {
        run: Run,
    },
    /// The kernel's OOM killer struck in a v1 cgroup.
    OomV1 {
        run: Run,
    },
    OverMemory {
        run: Run,
    },
    /// The sockets of runs that are drained were looked at.
    Sockets(BTreeMap<Run, Found>),
    Log(Report),
    /// It is time for the next attempt of `ready_on = { exec = … }`.
    Probe {
        run: Run,
    },
    /// The kernel has news of apps' sockets.
    Kernel,
    /// It is time to try again to put a socket among those of its address.
    Admit {
        run: Run,
        socket: Socket,
        /// Before the try after this one.
        pause: Duration,
    },
    /// A probe is about to connect.
    Aim {
        run: Run,
        to: SocketAddr,
        answer: oneshot::Sender<Aim>,
    },
    /// It has, from this port, or has given up.
    Aimed {
        from: u16,
    },
    /// Specs were checked on this host; they are deployed, or refused.
    Checked(Box<Checked>),
    /// Sockets were made, or cannot be.
    Made(Box<Made>),
    /// The files of `apps.d` were read, because somebody asked for it.
    Files(Box<ToDeploy>),
    /// Specs that a person wants a plan for.
    ToPlan(Box<ToPlan>),
}
