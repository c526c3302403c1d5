//! One slot of an app and the procs it has.
//! Owns: what a slot remembers, and which of its procs is which.
//! Never: decides when a proc may start; `admission` does. Never holds more than one incoming and one running proc.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::restart::Crashes;
use super::state::State;
use crate::model::exit::{LastExit, Reason};
use crate::model::ids::{JobId, Revision, Run};
use crate::model::request::InstanceResult;
use crate::model::time::Mono;

/// A slot: at most one incoming proc (queued or booting), at most one running, any number on their way out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// In the order of their runs, oldest first.
    pub procs: Vec<Proc>,
    pub rest: Rest,
    pub crashes: Crashes,
    /// Restarts by stead itself since the last reset.
    pub restarts: u64,
    /// Those of them that are known by what they followed; an earlier version counted them all together.
    #[serde(default)]
    pub restart_reasons: BTreeMap<Reason, u64>,
    pub last_exit: Option<LastExit>,
    pub waiters: Vec<Waiter>,
}

/// Why a slot that is wanted has no proc.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rest {
    /// No reason: it is to be started.
    #[default]
    No,
    /// Its policy does not start it again, or a person took it out of `errored`.
    Resting,
    Errored,
}

/// One run, from the wish for it to the removal of its cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proc {
    pub run: Run,
    pub revision: Revision,
    pub purpose: Purpose,
    /// It told that it listens on a port it cannot share.
    pub listens: bool,
    /// It told that it listens on a port that others can share.
    #[serde(default)]
    pub serves: bool,
    pub state: State,
}

/// Why a proc is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// A person wants the instance up, and it was down.
    Start,
    /// It died.
    Respawn,
    /// A person wants it in the place of one of revision `from`. A failure ends what is left of that job's roll.
    Roll { from: Revision, job: JobId },
    /// The one that runs has grown past `max_memory_restart`.
    Memory,
    /// Its time has come (`cron_restart`).
    Cron,
}

impl Purpose {
    /// It is there to end a proc that is well.
    pub fn replaces(self) -> bool {
        matches!(self, Purpose::Roll { .. } | Purpose::Memory | Purpose::Cron)
    }

    /// Why the one ends that it takes the place of.
    pub fn reason(self) -> Reason {
        match self {
            Purpose::Memory => Reason::Memory,
            Purpose::Cron => Reason::Cron,
            Purpose::Start | Purpose::Respawn | Purpose::Roll { .. } => Reason::Replaced,
        }
    }

    /// It takes the place of one that runs, by nobody's order but stead's own.
    pub fn renews(self) -> bool {
        matches!(self, Purpose::Memory | Purpose::Cron)
    }
}

/// A job that waits for something of this slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    pub job: JobId,
    pub goal: Goal,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// `run` is ready and everything older is gone.
    Up { run: Run, result: InstanceResult, reached: bool },
    /// Nothing is left in the slot.
    Down,
    /// None of these runs is left.
    Gone(Vec<Run>),
}

impl Instance {
    pub fn running(&self) -> Option<&Proc> {
        self.procs.iter().find(|p| matches!(p.state, State::Running { .. }))
    }

    /// The proc on its way to running.
    pub fn incoming(&self) -> Option<&Proc> {
        self.procs.iter().find(|p| p.is_incoming())
    }

    pub fn queued(&self) -> Option<&Proc> {
        self.procs.iter().find(|p| matches!(p.state, State::Queued { .. }))
    }

    pub fn get(&self, run: Run) -> Option<&Proc> {
        self.procs.iter().find(|p| p.run == run)
    }

    pub fn get_mut(&mut self, run: Run) -> Option<&mut Proc> {
        self.procs.iter_mut().find(|p| p.run == run)
    }

    pub fn remove(&mut self, run: Run) {
        self.procs.retain(|p| p.run != run);
    }

    /// Procs that have, or are about to have, a cgroup.
    pub fn alive(&self) -> usize {
        self.procs.iter().filter(|p| p.is_alive()).count()
    }

    /// The procs that lead somewhere: running, or incoming.
    pub fn is_live_or_coming(&self) -> bool {
        self.procs.iter().any(|p| p.is_incoming() || matches!(p.state, State::Running { .. }))
    }

    pub fn next_deadline(&self) -> Option<Mono> {
        self.procs.iter().filter_map(|p| p.state.deadline()).min()
    }

    /// A queued proc waits for its turn only, no longer for a restart delay.
    pub fn hurry(&mut self) {
        for proc in &mut self.procs {
            if let State::Queued { not_before } = &mut proc.state {
                *not_before = None;
            }
        }
    }

    /// Waiters that have got what they wait for, taken out.
    pub fn take_settled(&mut self) -> Vec<(JobId, InstanceResult)> {
        let procs = &self.procs;
        let settled = |goal: &Goal| match goal {
            Goal::Up { run, reached, .. } => *reached && procs.iter().all(|p| p.run >= *run),
            Goal::Down => procs.is_empty(),
            Goal::Gone(runs) => procs.iter().all(|p| !runs.contains(&p.run)),
        };
        let taken = self.waiters.extract_if(.., |w| settled(&w.goal));
        taken
            .map(|w| match w.goal {
                Goal::Up { result, .. } => (w.job, result),
                Goal::Down | Goal::Gone(_) => (w.job, InstanceResult::Stopped),
            })
            .collect()
    }

    /// Takes out the jobs whose goal is `which`.
    pub fn take_waiters(&mut self, which: impl Fn(&Goal) -> bool) -> Vec<JobId> {
        self.waiters.extract_if(.., |w| which(&w.goal)).map(|w| w.job).collect()
    }
}

impl Proc {
    pub fn is_incoming(&self) -> bool {
        matches!(self.state, State::Queued { .. } | State::Spawning { .. } | State::New { .. })
    }

    pub fn is_alive(&self) -> bool {
        !matches!(self.state, State::Queued { .. })
    }

    /// Which of two procs of a slot is the newer one.
    pub fn age(&self) -> (Revision, Run) {
        (self.revision, self.run)
    }
}
