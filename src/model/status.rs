//! What stead says of an instance: the one shape behind `list`, `show`, JSON and D-Bus.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::exit::LastExit;
use super::ids::{Id, InstanceId, ProcId, Revision};
use super::selector::Generation;
use super::spec::AppSpec;
use super::time::Mono;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Starting,
    Running,
    Stopping,
    Stopped,
    /// Down, and coming back after a delay or when there is room.
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
    pub slots: Vec<InstanceView>,
}

/// Everything, at one moment. Published after each step; cheap to hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    pub apps: Vec<Arc<AppView>>,
}
