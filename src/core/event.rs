//! Facts: all that ever reaches the core, besides the time.

use serde::{Deserialize, Serialize};

use crate::model::exit::Exit;
use crate::model::ids::{AppName, JobId, ProcId, Revision};
use crate::model::request::Request;
use crate::model::time::Wall;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Somebody asks. Answered by `Effect::Deny` in the same step, or by `Effect::Accepted` and later `Effect::Done`.
    Request { job: JobId, request: Request },
    /// The program runs: execve(2) succeeded.
    Spawned { proc: ProcId, pid: i32 },
    /// It never ran; nothing of it is left, its cgroup included. Also the answer to a `Kill` or to a question after
    /// the daemon's own death, for a proc that was never started.
    SpawnFailed { proc: ProcId, why: String },
    /// What `ready_on` asks for was seen. May overtake `Spawned`, and may come late: after `Exited` or `Gone` it says
    /// nothing, as do the others that do not come from the holder (`Listens`, `Serves`, `OverMemory`, `Drained`).
    Ready { proc: ProcId },
    /// The proc listens on a stream port that cannot be shared with a second proc on this host, so it can only be
    /// replaced old-first. Told once, at any time.
    Listens { proc: ProcId },
    /// The proc listens on a stream port that a second proc can share. Told at least once, at any time.
    Serves { proc: ProcId },
    /// The main process is dead; others of its cgroup may live. They are killed without being asked for.
    Exited { proc: ProcId, exit: Exit, oom: bool },
    /// The cgroup is empty and removed. The last event of a proc.
    Gone { proc: ProcId },
    /// `max_memory_restart` is exceeded by memory that counts.
    OverMemory { proc: ProcId },
    /// No connection is left, or `drain_timeout` need not be waited for.
    Drained { proc: ProcId },
    /// The answer to `NextTime`. None: no time comes any more, or nobody can tell.
    Planned { app: AppName, revision: Revision, after: Wall, at: Option<Wall> },
    /// The host's clock was set, or the host has slept.
    ClockSet,
    /// The time `World::next_deadline` named has come, or that of `World::next_time`.
    Deadline,
}
