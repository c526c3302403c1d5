//! What people ask of stead, and what they are told.

use serde::{Deserialize, Serialize};

use super::ids::{AppName, InstanceId};
use super::selector::Selector;
use super::signal::Signal;
use super::spec::AppSpec;

/// Something a person asked for that changes the world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Deploys each spec: a new app starts, a changed one is rolled, an equal one gets what is down started.
    /// All or none is taken.
    Deploy {
        specs: Vec<AppSpec>,
        whom: Whom,
    },
    /// Starts what is down, with the settings it has; rolls what is outdated.
    Start {
        selectors: Vec<Selector>,
    },
    Stop {
        selectors: Vec<Selector>,
    },
    /// Rolls everything selected; starts what is down.
    Restart {
        selectors: Vec<Selector>,
    },
    /// SIGKILL to the whole cgroup, and down.
    Kill {
        selectors: Vec<Selector>,
    },
    /// Stops and forgets whole apps.
    Delete {
        selectors: Vec<Selector>,
    },
    Signal {
        selectors: Vec<Selector>,
        signal: Signal,
    },
    Scale {
        app: AppName,
        to: ScaleTo,
    },
    /// Counters and back-off to zero; `errored` becomes `stopped`.
    Reset {
        selectors: Vec<Selector>,
    },
    /// Stops everything, keeping what is wanted for the next start of the daemon.
    Shutdown,
}

/// Which apps of a deployment are started that are down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    /// Those that start with their file (`autostart`).
    OfTheirFile,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScaleTo {
    Count(u32),
    By(i32),
    /// The count of the app's file.
    Configured,
}

/// Why a request was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Denied {
    #[error("nothing matches \"{0}\"")]
    NoMatch(String),
    #[error("no app is named \"{0}\"")]
    NoSuchApp(String),
    #[error("bad pattern \"/{pattern}/\": {why}: write a regular expression between the slashes, as in \"/^api/\"")]
    BadPattern { pattern: String, why: String },
    #[error("\"{0}\" names one instance, and only whole apps can be deleted; to stop it: stead stop {0}")]
    NotAnApp(String),
    #[error("this command takes whole instances, not a generation of them: write \"{}\"", without_generation(.0))]
    Generation(String),
    #[error("app \"{app}\" can have from 1 to {max} instances, not {asked}{}", none_mend(app, *.asked))]
    Instances { app: AppName, asked: i64, max: u32 },
    #[error("stead is shutting down")]
    ShuttingDown,
    #[error("\"{0}\" is given twice")]
    Twice(AppName),
    #[error("{app} runs as {user}, and is managed by {user} and root alone")]
    NotYours { app: AppName, user: String },
}

fn without_generation(selector: &str) -> &str {
    selector.split_once(':').map_or(selector, |(_, rest)| rest)
}

fn none_mend(app: &AppName, asked: i64) -> String {
    if asked == 0 { format!("; to have none of it run: stead stop {app}") } else { String::new() }
}

/// How an accepted request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What became of each instance concerned, in order.
    pub instances: Vec<InstanceOutcome>,
    /// Things the person should know although all went well.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceOutcome {
    pub instance: InstanceId,
    pub result: InstanceResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceResult {
    Started,
    /// It was already as asked.
    Unchanged,
    /// It is a job, and waits for its time.
    Scheduled,
    /// It is known now, and waits for somebody to start it.
    Registered,
    Replaced,
    Stopped,
    Signalled,
    Reset,
    /// Why it did not become what was asked. The instance that ran before, if any, still runs unless `lost`.
    Failed {
        why: String,
    },
    /// A later request changed what is wanted of it.
    Superseded,
}

/// How a failure begins whose run ended before it was ready: there may be last words of it.
pub const ENDED_EARLY: &str = "ended before it was ready";

/// And one whose run was killed at its `start_timeout`.
pub const NOT_READY: &str = "not ready within";

/// The largest number of instances of one app.
pub const INSTANCES_MAX: u32 = 1000;

impl Outcome {
    pub fn failed(&self) -> bool {
        self.instances.iter().any(|i| matches!(i.result, InstanceResult::Failed { .. } | InstanceResult::Superseded))
    }
}
