//! Wishes: all the core ever asks of the world. Data, so that a test compares them and a log replays them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::exit::Reason;
use crate::model::ids::{AppName, InstanceId, JobId, ProcId, Revision};
use crate::model::quantity::format_span;
use crate::model::request::{Denied, InstanceOutcome, Outcome};
use crate::model::selector::Generation;
use crate::model::signal::Signal;
use crate::model::spec::{AppSpec, StopScope};
use crate::model::time::Wall;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Make a cgroup, start the program, watch for readiness. Answered by `Spawned` or `SpawnFailed`.
    Spawn {
        proc: ProcId,
        revision: Revision,
        spec: Arc<AppSpec>,
    },
    /// Take no new connections to it. Answered by `Drained`, at once where nothing is routed.
    Drain {
        proc: ProcId,
    },
    Signal {
        proc: ProcId,
        signal: Signal,
        scope: StopScope,
    },
    /// SIGKILL to everything in the cgroup. Answered by `Exited` (unless that came before) and `Gone`.
    Kill {
        proc: ProcId,
    },
    /// *Desired* has changed: write it to disk before anything that follows in this list.
    SaveDesired,
    Deny {
        job: JobId,
        denied: Denied,
    },
    /// The request is taken; these instances are concerned.
    Accepted {
        job: JobId,
        instances: Vec<InstanceId>,
    },
    Progress {
        job: JobId,
        outcome: InstanceOutcome,
    },
    Done {
        job: JobId,
        outcome: Outcome,
    },
    /// A life-cycle event for the app's log stream.
    Log {
        proc: ProcId,
        news: News,
    },
    LogInstance {
        instance: InstanceId,
        news: News,
    },
    /// When does a time of `schedule` or `cron_restart`, as this revision has them, come next after a moment? Answered by
    /// `Planned`.
    NextTime {
        app: AppName,
        revision: Revision,
        after: Wall,
    },
    /// The app is deleted; its logs stay.
    Forget {
        app: AppName,
    },
    /// `Shutdown` is complete: no proc is left.
    Exit,
    /// Something that cannot happen did. Logged loudly, fatal in tests.
    Alarm(Alarm),
}

/// What happened, for people. Said in the words of `Display`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    Moved {
        to: Generation,
    },
    Started {
        pid: i32,
        revision: Revision,
    },
    Ready {
        after_ms: u64,
    },
    Stopping {
        signal: Signal,
    },
    Killing {
        why: Reason,
    },
    Exited {
        reason: Reason,
        text: String,
    },
    Restarting {
        after_ms: u64,
        deaths: u32,
    },
    /// `max_restarts` reached.
    GaveUp {
        deaths: u32,
    },
    SpawnFailed {
        why: String,
    },
    StartTimeout {
        after_ms: u64,
    },
    StopTimeout {
        after_ms: u64,
    },
    /// `max_memory_restart` exceeded.
    OverMemory {
        after_ms: u64,
    },
    OldFirst {
        why: String,
    },
    RolledBack {
        to: Revision,
        why: String,
    },
    /// A time of `schedule` or `cron_restart` has come.
    Due,
    /// The one before still goes on.
    Overlap,
    /// It passed unseen, too long ago.
    Missed {
        by_ms: u64,
    },
    /// A job failed as often as `max_restarts` allows.
    GaveUpUntilDue {
        deaths: u32,
    },
    /// It asked for a port that another app has.
    PortTaken {
        port: u16,
        holder: String,
    },
}

/// A surprise the core survived. What it saw, and what it did instead of what it could not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Alarm {
    #[error("{event} for {proc}, which is not known; ignored")]
    UnknownProc { event: String, proc: ProcId },
    #[error("{event} for {proc} in generation {generation}; ignored")]
    Unexpected { event: String, proc: ProcId, generation: String },
}

impl std::fmt::Display for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            News::Moved { to } => write!(f, "moved to {} generation", to.as_str()),
            News::Started { pid, revision } => write!(f, "started, pid {pid}, revision {revision}"),
            News::Ready { after_ms } => write!(f, "ready after {after_ms} ms"),
            News::Stopping { signal } => write!(f, "stopping, sent {signal}"),
            News::Killing { why } => write!(f, "killing ({why})"),
            News::Exited { text, .. } => write!(f, "exited ({text})"),
            News::Restarting { after_ms: 0, deaths } => write!(f, "restarting at once (death {deaths} in a row)"),
            News::Restarting { after_ms, deaths } => write!(f, "restarting in {after_ms} ms (death {deaths} in a row)"),
            News::GaveUp { deaths } => {
                write!(f, "errored: died {deaths} times in a row, not started again until somebody acts")
            }
            News::SpawnFailed { why } => write!(f, "could not start: {why}"),
            News::StartTimeout { after_ms } => write!(f, "not ready within start_timeout ({after_ms} ms)"),
            News::StopTimeout { after_ms } => write!(f, "still there after stop_timeout ({after_ms} ms)"),
            News::OverMemory { after_ms: 0 } => write!(f, "over max_memory_restart, being replaced"),
            News::OverMemory { after_ms } => {
                write!(f, "over max_memory_restart again, to be replaced in {after_ms} ms")
            }
            News::Due => write!(f, "its time has come"),
            News::Overlap => write!(f, "a time is left out: what began at an earlier one still goes on"),
            News::Missed { by_ms } => {
                let by = format_span(Duration::from_secs(by_ms / 1000));
                write!(f, "a time passed {by} ago and nobody saw it: the next one counts")
            }
            News::GaveUpUntilDue { deaths } => write!(f, "failed {deaths} times in a row, waits for its next time"),
            News::OldFirst { why } => write!(f, "replaced old-first: {why}"),
            News::PortTaken { port, holder } => {
                write!(f, "port {port} belongs to app {holder}, and apps do not share ports")
            }
            News::RolledBack { to, why } => write!(f, "brought back revision {to}: {why}"),
        }
    }
}
