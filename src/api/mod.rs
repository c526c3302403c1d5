//! What every front door sees: submit a request, read a snapshot, follow logs.
//! Owns: the messages between a front door (D-Bus today) and the daemon's one task.
//! Never: decides, acts, or knows who is at the other end.

#![forbid(unsafe_code)]

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

pub use crate::config::raw::{Entry, Node, RawApp, Value};
use crate::model::ids::{InstanceId, JobId};
use crate::model::request::{Denied, InstanceOutcome, Outcome, Request};
use crate::model::selector::Selector;
use crate::model::status::{InstanceDetail, InstanceStatus, Measure, Snapshot};
use crate::model::time::Wall;

/// Who asks. Decides whom apps run as and which keys may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A bad selector, number, signal or option: the message names it.
    #[error("{0}")]
    Argument(String),
    /// A spec that cannot be: every error, one a paragraph.
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Permission(String),
    /// The daemon's own trouble: it goes down, or the disk is full.
    #[error("{0}")]
    Unavailable(String),
}

/// An accepted request, under way.
#[derive(Debug)]
pub struct Job {
    pub id: JobId,
    pub instances: Vec<InstanceId>,
    /// Ends with `JobUpdate::Done`.
    pub updates: mpsc::UnboundedReceiver<JobUpdate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobUpdate {
    Progress(InstanceOutcome),
    Done(Outcome),
}

/// Which lines `stead logs` wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    pub selectors: Vec<Selector>,
    /// How many past lines in all.
    pub lines: u32,
    pub since: Option<Wall>,
    pub follow: bool,
    pub out: bool,
    pub err: bool,
    /// Life-cycle events too.
    pub events: bool,
}

/// One app, whole: `stead show`.
#[derive(Debug, Clone)]
pub struct AppDetail {
    pub name: String,
    pub namespace: String,
    pub revision: u64,
    pub instances_wanted: u32,
    /// The settings by their config keys, env values included: the bus decides who sees them.
    pub spec: Vec<(String, Value)>,
    pub instances: Vec<InstanceDetail>,
}

/// What starting these specs would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLine {
    pub app: String,
    /// None where the line is about the app as a whole.
    pub instance: Option<String>,
    /// `start`, `roll-new-first`, `roll-old-first`, `stop`, `unchanged`.
    pub action: String,
    /// Which settings differ, in words, such as `memory_max: 64M -> 128M`.
    pub why: String,
}

/// One line of `stead doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub level: FindingLevel,
    pub subject: String,
    pub text: String,
    /// What would change it; empty if nothing need be done.
    pub mend: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingLevel {
    Good,
    Note,
    Bad,
}

/// The daemon's mailbox. Each message carries where its answer goes; a dropped answer means the daemon went down.
#[derive(Debug)]
pub enum Ask {
    Submit { request: Request, answer: oneshot::Sender<Result<Job, Refusal>> },
    Deploy { apps: Vec<RawApp>, caller: Caller, answer: oneshot::Sender<Result<Job, Refusal>> },
    Plan { apps: Vec<RawApp>, caller: Caller, answer: oneshot::Sender<Result<Vec<PlanLine>, Refusal>> },
    List { selectors: Vec<Selector>, measure: Measure, answer: oneshot::Sender<Result<Vec<InstanceStatus>, Refusal>> },
    Show { selectors: Vec<Selector>, answer: oneshot::Sender<Result<Vec<AppDetail>, Refusal>> },
    Logs { query: LogQuery, answer: oneshot::Sender<Result<OwnedFd, Refusal>> },
    Save { name: String, answer: oneshot::Sender<Result<u32, Refusal>> },
    Resurrect { name: String, answer: oneshot::Sender<Result<Job, Refusal>> },
    Upgrade { answer: oneshot::Sender<()> },
    Flush { selectors: Vec<Selector>, answer: oneshot::Sender<Result<Vec<String>, Refusal>> },
    Doctor { answer: oneshot::Sender<Vec<Finding>> },
}

/// A front door's grip on the daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl Handle {
    pub fn new(asks: mpsc::Sender<Ask>, snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self { asks, snapshots }
    }

    /// The world as of the last step.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// A receiver that wakes at each change.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    pub async fn submit(&self, request: Request) -> Result<Job, Refusal> {
        self.ask(|answer| Ask::Submit { request, answer }).await?
    }

    /// Resolves the apps with the caller's rights and deploys them, all or none.
    pub async fn deploy(&self, apps: Vec<RawApp>, caller: Caller) -> Result<Job, Refusal> {
        self.ask(|answer| Ask::Deploy { apps, caller, answer }).await?
    }

    pub async fn plan(&self, apps: Vec<RawApp>, caller: Caller) -> Result<Vec<PlanLine>, Refusal> {
        self.ask(|answer| Ask::Plan { apps, caller, answer }).await?
    }

    /// No selector means all, and all may be nothing.
    pub async fn list(&self, selectors: Vec<Selector>, measure: Measure) -> Result<Vec<InstanceStatus>, Refusal> {
        self.ask(|answer| Ask::List { selectors, measure, answer }).await?
    }

    pub async fn show(&self, selectors: Vec<Selector>) -> Result<Vec<AppDetail>, Refusal> {
        self.ask(|answer| Ask::Show { selectors, answer }).await?
    }

    /// The read end of a pipe on which the lines come, framed as `model::logframe` says; closed after the last.
    pub async fn logs(&self, query: LogQuery) -> Result<OwnedFd, Refusal> {
        self.ask(|answer| Ask::Logs { query, answer }).await?
    }

    /// Empties the log files of the selected apps; the answer names the files.
    pub async fn flush(&self, selectors: Vec<Selector>) -> Result<Vec<String>, Refusal> {
        self.ask(|answer| Ask::Flush { selectors, answer }).await?
    }

    /// Keeps what is wanted now under a name; the answer is how many apps that are.
    pub async fn save(&self, name: String) -> Result<u32, Refusal> {
        self.ask(|answer| Ask::Save { name, answer }).await?
    }

    /// Brings up what was up when it was saved.
    pub async fn resurrect(&self, name: String) -> Result<Job, Refusal> {
        self.ask(|answer| Ask::Resurrect { name, answer }).await?
    }

    /// Has the holder replace this daemon, and itself.
    pub async fn upgrade(&self) -> Result<(), Refusal> {
        self.ask(|answer| Ask::Upgrade { answer }).await
    }

    pub async fn doctor(&self) -> Result<Vec<Finding>, Refusal> {
        self.ask(|answer| Ask::Doctor { answer }).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Refusal> {
        let gone = || Refusal::Unavailable("the daemon is going down".to_owned());
        let (answer, answered) = oneshot::channel();
        self.asks.send(ask(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}
