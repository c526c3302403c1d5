//! What every front door sees: submit a request, read a snapshot, follow logs.
//! Owns: the messages between a front door (D-Bus today) and the daemon's one task.
//! Never: decides, acts, or knows who is at the other end.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

pub use crate::config::raw::{Entry, Node, RawApp, Value};
use crate::model::ids::{AppName, InstanceId, JobId};
use crate::model::request::{Denied, InstanceOutcome, Outcome, Request};
use crate::model::selector::Selector;
use crate::model::spec::AppSpec;
use crate::model::status::{InstanceDetail, InstanceStatus, Measure, MetricsFormat, Snapshot};
use crate::model::time::Wall;

/// Who asks. Decides whom apps run as and which keys may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
}

/// Whose apps a request may concern, and an answer may tell of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    Everybody,
    These {
        /// Every app of these users, as the `user` of a spec names them.
        users: BTreeSet<String>,
        /// And these apps, as long as they run as these users: what was allowed of one of them is allowed of no other.
        apps: BTreeMap<AppName, String>,
    },
}

impl Owners {
    pub fn have(&self, spec: &AppSpec) -> bool {
        self.include(&spec.name, &spec.identity.user)
    }

    pub fn include(&self, app: &AppName, user: &str) -> bool {
        match self {
            Self::Everybody => true,
            Self::These { users, apps } => users.contains(user) || apps.get(app).is_some_and(|owner| owner == user),
        }
    }

    /// Whether all apps of a user are among them.
    pub fn are(&self, user: &str) -> bool {
        match self {
            Self::Everybody => true,
            Self::These { users, .. } => users.contains(user),
        }
    }
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

/// What a question is about. No selector means all that there is, and that may be nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub selectors: Vec<Selector>,
    pub owners: Owners,
}

/// A config file's text, as somebody sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// For errors.
    pub name: String,
    pub content: String,
    /// Where relative paths begin: an absolute path.
    pub base_dir: String,
    pub profile: Option<String>,
}

/// One app, whole: `stead show`.
#[derive(Debug, Clone)]
pub struct AppDetail {
    pub name: String,
    pub namespace: String,
    /// Whom it runs as.
    pub user: String,
    pub revision: u64,
    pub instances_wanted: u32,
    /// The settings by their config keys, env values included: the bus decides who sees them.
    pub spec: Vec<(String, Value)>,
    pub instances: Vec<InstanceDetail>,
}

impl AppDetail {
    /// The same without the values of environment variables.
    pub fn without_secrets(mut self) -> Self {
        self.spec.retain(|(key, _)| key != "env");
        self
    }
}

/// What starting these specs would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLine {
    pub app: String,
    /// None where the line is about the app as a whole.
    pub instance: Option<String>,
    /// `start`, `roll-new-first`, `roll-old-first`, `schedule`, `register`, `stop`, `unchanged`.
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
    Submit {
        request: Request,
        owners: Owners,
        answer: oneshot::Sender<Result<Job, Refusal>>,
    },
    Deploy {
        apps: Vec<RawApp>,
        caller: Caller,
        owners: Owners,
        answer: oneshot::Sender<Result<Job, Refusal>>,
    },
    /// The same, of a file's text.
    DeployFile {
        file: File,
        caller: Caller,
        owners: Owners,
        answer: oneshot::Sender<Result<Job, Refusal>>,
    },
    /// What is wrong in a file: nothing, or every error, one a paragraph.
    Check {
        file: File,
        caller: Caller,
        answer: oneshot::Sender<Vec<String>>,
    },
    /// The names of a file's apps, if it is right.
    AppsOf {
        file: File,
        caller: Caller,
        answer: oneshot::Sender<Result<Vec<String>, Refusal>>,
    },
    /// Reads `apps.d` again: what is new there, or has changed, is deployed.
    Reload {
        answer: oneshot::Sender<Result<Job, Refusal>>,
    },
    Plan {
        apps: Vec<RawApp>,
        caller: Caller,
        owners: Owners,
        answer: oneshot::Sender<Result<Vec<PlanLine>, Refusal>>,
    },
    List {
        asked: Asked,
        measure: Measure,
        answer: oneshot::Sender<Result<Vec<InstanceStatus>, Refusal>>,
    },
    Show {
        asked: Asked,
        answer: oneshot::Sender<Result<Vec<AppDetail>, Refusal>>,
    },
    /// Figures of all of them, as machines read them.
    Metrics {
        owners: Owners,
        format: MetricsFormat,
        answer: oneshot::Sender<String>,
    },
    Logs {
        query: LogQuery,
        owners: Owners,
        answer: oneshot::Sender<Result<OwnedFd, Refusal>>,
    },
    Save {
        name: String,
        answer: oneshot::Sender<Result<u32, Refusal>>,
    },
    Resurrect {
        name: String,
        answer: oneshot::Sender<Result<Job, Refusal>>,
    },
    Upgrade {
        answer: oneshot::Sender<()>,
    },
    Flush {
        asked: Asked,
        answer: oneshot::Sender<Result<Vec<String>, Refusal>>,
    },
    Doctor {
        answer: oneshot::Sender<Vec<Finding>>,
    },
    /// The names by which specs may call a user.
    Names {
        caller: Caller,
        answer: oneshot::Sender<BTreeSet<String>>,
    },
}

/// How much the daemon says in its own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// A front door's grip on the daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    log_level: watch::Sender<LogLevel>,
}

impl Handle {
    /// Whoever has the receiver of `log_level` does what is sent there.
    pub fn new(
        asks: mpsc::Sender<Ask>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        log_level: watch::Sender<LogLevel>,
    ) -> Self {
        Self { asks, snapshots, log_level }
    }

    pub fn log_level(&self) -> LogLevel {
        *self.log_level.borrow()
    }

    pub fn set_log_level(&self, level: LogLevel) {
        self.log_level.send_replace(level);
    }

    /// The world as of the last step.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// A receiver that wakes at each change.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    pub async fn submit(&self, request: Request, owners: Owners) -> Result<Job, Refusal> {
        self.ask(|answer| Ask::Submit { request, owners, answer }).await?
    }

    /// Resolves the apps with the caller's rights and deploys them, all or none.
    pub async fn deploy(&self, apps: Vec<RawApp>, caller: Caller, owners: Owners) -> Result<Job, Refusal> {
        self.ask(|answer| Ask::Deploy { apps, caller, owners, answer }).await?
    }

    pub async fn deploy_file(&self, file: File, caller: Caller, owners: Owners) -> Result<Job, Refusal> {
        self.ask(|answer| Ask::DeployFile { file, caller, owners, answer }).await?
    }

    pub async fn check(&self, file: File, caller: Caller) -> Result<Vec<String>, Refusal> {
        self.ask(|answer| Ask::Check { file, caller, answer }).await
    }

    pub async fn apps_of(&self, file: File, caller: Caller) -> Result<Vec<String>, Refusal> {
        self.ask(|answer| Ask::AppsOf { file, caller, answer }).await?
    }

    pub async fn reload(&self) -> Result<Job, Refusal> {
        self.ask(|answer| Ask::Reload { answer }).await?
    }

    pub async fn plan(&self, apps: Vec<RawApp>, caller: Caller, owners: Owners) -> Result<Vec<PlanLine>, Refusal> {
        self.ask(|answer| Ask::Plan { apps, caller, owners, answer }).await?
    }

    pub async fn list(&self, asked: Asked, measure: Measure) -> Result<Vec<InstanceStatus>, Refusal> {
        self.ask(|answer| Ask::List { asked, measure, answer }).await?
    }

    pub async fn show(&self, asked: Asked) -> Result<Vec<AppDetail>, Refusal> {
        self.ask(|answer| Ask::Show { asked, answer }).await?
    }

    pub async fn metrics(&self, owners: Owners, format: MetricsFormat) -> Result<String, Refusal> {
        self.ask(|answer| Ask::Metrics { owners, format, answer }).await
    }

    /// The read end of a pipe on which the lines come, framed as `model::logframe` says; closed after the last.
    pub async fn logs(&self, query: LogQuery, owners: Owners) -> Result<OwnedFd, Refusal> {
        self.ask(|answer| Ask::Logs { query, owners, answer }).await?
    }

    /// Empties the log files of the selected apps; the answer names the files.
    pub async fn flush(&self, asked: Asked) -> Result<Vec<String>, Refusal> {
        self.ask(|answer| Ask::Flush { asked, answer }).await?
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

    /// The names by which specs may call the caller: one, and the number.
    pub async fn names(&self, caller: Caller) -> Result<BTreeSet<String>, Refusal> {
        self.ask(|answer| Ask::Names { caller, answer }).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Refusal> {
        let gone = || Refusal::Unavailable("the daemon is going down".to_owned());
        let (answer, answered) = oneshot::channel();
        self.asks.send(ask(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_of_one_app_is_allowed_of_no_other_and_not_of_its_successor() {
        let name = |name| AppName::parse(name).unwrap();
        let apps = BTreeMap::from([(name("shop"), "www".to_owned())]);
        let owners = Owners::These { users: BTreeSet::from(["ann".to_owned()]), apps };
        assert!(owners.include(&name("mine"), "ann") && owners.include(&name("shop"), "www"));
        assert!(!owners.include(&name("db"), "www") && !owners.include(&name("shop"), "root"));
        assert!(!owners.are("www"));
    }
}
