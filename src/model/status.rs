//! What stead says of an instance: the one shape behind `list`, `show`, JSON and D-Bus.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::exit::{Exit, LastExit, Reason};
use super::ids::{Id, InstanceId, ProcId, Revision};
use super::selector::Generation;
use super::spec::AppSpec;
use super::time::{Mono, Wall};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Starting,
    Running,
    Stopping,
    Stopped,
    /// Down, and coming back after a delay, at its time, or when there is room.
    Waiting,
    /// Gave up after `max_restarts`; a person must act.
    Errored,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Starting => "starting",
            Status::Running => "running",
            Status::Stopping => "stopping",
            Status::Stopped => "stopped",
            Status::Waiting => "waiting",
            Status::Errored => "errored",
        }
    }

    /// It needs a person.
    pub fn is_trouble(self) -> bool {
        self == Status::Errored
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One proc of an instance that is alive, or queued to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcView {
    pub proc: ProcId,
    pub generation: Generation,
    /// None until it is spawned.
    pub pid: Option<i32>,
    pub started: Option<Mono>,
    pub revision: Revision,
    pub ready: bool,
}

/// One instance as the core sees it, without measured figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    pub id: Id,
    pub instance: InstanceId,
    pub status: Status,
    /// The proc that speaks for the instance: running, else new, else the rest. Others follow, oldest last.
    pub procs: Vec<ProcView>,
    /// Restarts that stead did by itself since the last `reset`.
    pub restarts: u64,
    /// By what they followed: fewer than `restarts` where an earlier version has counted.
    pub restart_reasons: BTreeMap<Reason, u64>,
    pub last_exit: Option<LastExit>,
    /// A newer revision is deployed than the one that runs.
    pub outdated: bool,
    /// When a waiting instance is due.
    pub due: Option<Mono>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AppView {
    pub spec: Arc<AppSpec>,
    pub revision: Revision,
    /// How many instances are wanted: the configured count unless scaled.
    pub instances: u32,
    /// When it is run or restarted by the calendar.
    pub next_time: Option<Wall>,
    pub slots: Vec<InstanceView>,
}

/// Everything, at one moment. Published after each step; cheap to hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    pub apps: Vec<Arc<AppView>>,
}

/// One instance with its measured figures: a row of `stead list`, and, field for field, an object of `list --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    pub id: u32,
    pub app: String,
    /// `api/2`.
    pub instance: String,
    pub namespace: String,
    /// None while nothing runs.
    pub pid: Option<i32>,
    pub status: Status,
    /// None while nothing runs and nothing is queued.
    pub generation: Option<Generation>,
    pub ready: bool,
    pub revision: u64,
    /// It runs older settings than those deployed.
    pub outdated: bool,
    pub uptime_ms: Option<u64>,
    pub restarts: u64,
    pub memory_bytes: Option<u64>,
    pub memory_peak_bytes: Option<u64>,
    /// What it may have: `memory_max`, else `max_memory_restart`.
    pub memory_limit_bytes: Option<u64>,
    /// Of one core, since the last sample at least 500 ms old, else since the start.
    pub cpu_percent: Option<f64>,
    pub tasks: Option<u64>,
    /// TCP ports it listens on, in order.
    pub ports: Vec<u16>,
    /// Below the cgroup mount; None on a host without writable cgroups.
    pub cgroup: Option<String>,
    pub user: String,
    pub last_exit: Option<ExitStatus>,
    /// When `schedule` runs it next, or `cron_restart` restarts it: milliseconds since 1970-01-01 UTC.
    pub next_time: Option<u64>,
    /// What a waiting instance waits for, in words.
    pub waits_for: Option<String>,
}

/// What is measured of each instance for a list: every figure costs a look into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// For names and states.
    Nothing,
    /// Memory, the CPU share and ports: what a table shows. The peak and tasks are not known.
    Brief,
    Full,
}

impl Measure {
    pub fn as_str(self) -> &'static str {
        match self {
            Measure::Nothing => "nothing",
            Measure::Brief => "brief",
            Measure::Full => "full",
        }
    }
}

/// In which words machines are told of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    OpenMetrics,
    /// The text format of Prometheus, which is older: what node_exporter reads from files, and promtool checks.
    Text,
}

impl MetricsFormat {
    pub const ALL: [Self; 2] = [Self::OpenMetrics, Self::Text];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenMetrics => "openmetrics",
            Self::Text => "text",
        }
    }
}

/// How the latest run ended, in the terms of `list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    pub reason: String,
    pub code: Option<i32>,
    pub signal: Option<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub at: u64,
    pub message: Option<String>,
}

impl From<&LastExit> for ExitStatus {
    fn from(last: &LastExit) -> Self {
        let (code, signal) = match last.exit {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal { signal, .. }) => (None, Some(signal.to_string())),
            Some(Exit::Unknown) | None => (None, None),
        };
        let (reason, message) = (last.reason.to_string(), last.message.clone());
        Self { reason, code, signal, at: last.at.0 / 1_000_000, message }
    }
}

/// What a run waits for that takes no new connections, before it is told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// Connections that it has not accepted yet.
    pub queued: u64,
    /// Connections that are not established yet.
    pub handshakes: u64,
    /// Connections on which something is being answered, read or sent.
    pub busy: u64,
    /// Connections on which nothing is going on, but not for long enough yet.
    pub quiet_soon: u64,
    /// When it is told to stop whatever it waits for (`drain_timeout`), in milliseconds from now.
    pub until_ms: u64,
}

/// What `stead show` adds to a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceDetail {
    pub status: InstanceStatus,
    pub memory_anon_bytes: Option<u64>,
    pub memory_file_bytes: Option<u64>,
    pub fds: Option<u64>,
    /// True where figures come from procfs instead of the instance's own cgroup.
    pub sampled: bool,
    /// Every proc of the instance, the speaking one first: `api/2@17 running pid 4711`.
    pub procs: Vec<String>,
    /// Where its log lines go.
    pub log_files: Vec<String>,
    /// When a waiting instance is started again, in milliseconds from now.
    pub due_ms: Option<u64>,
    /// None unless one of its procs is drained.
    pub draining: Option<Draining>,
    /// What a person should know about it, such as why it is replaced old-first.
    pub notes: Vec<String>,
}
