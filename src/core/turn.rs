//! What one step works with, besides the app it concerns.
//! Owns: the numbers handed out, and where effects go. Never: decides anything.

use serde::{Deserialize, Serialize};

use super::effect::{Effect, News};
use super::jitter::Jitter;
use super::jobs::Jobs;
use crate::model::ids::{Id, InstanceId, JobId, ProcId, Run};
use crate::model::request::InstanceResult;
use crate::model::time::Now;

/// Run numbers are promised to the disk this many at a time, so that hardly any respawn has to write there.
const RUNS_RESERVED: u64 = 1024;

/// Numbers that are never handed out twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    pub next_id: Id,
    pub next_run: Run,
    /// What *desired* says: after a loss of *runtime*, numbering goes on from here.
    pub runs_saved: Run,
    pub jitter: Jitter,
}

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self { next_id: Id(0), next_run: Run(1), runs_saved: Run(1), jitter: Jitter::new(seed) }
    }

    pub fn take_id(&mut self) -> Id {
        let id = self.next_id;
        self.next_id = Id(id.0 + 1);
        id
    }
}

/// One step.
pub struct Turn<'a> {
    pub now: Now,
    pub out: &'a mut Vec<Effect>,
    pub jobs: &'a mut Jobs,
    pub numbers: &'a mut Numbers,
    /// *Desired* has changed.
    pub unsaved: &'a mut bool,
    /// `Shutdown` was asked for: nothing starts any more.
    pub closing: bool,
}

impl Turn<'_> {
    pub fn take_run(&mut self) -> Run {
        let run = self.numbers.next_run;
        self.numbers.next_run = Run(run.0 + 1);
        if self.numbers.next_run > self.numbers.runs_saved {
            self.numbers.runs_saved = Run(run.0 + RUNS_RESERVED);
            *self.unsaved = true;
        }
        run
    }

    pub fn log(&mut self, proc: ProcId, news: News) {
        self.out.push(Effect::Log { proc, news });
    }

    pub fn log_instance(&mut self, instance: InstanceId, news: News) {
        self.out.push(Effect::LogInstance { instance, news });
    }

    pub fn tell(&mut self, job: JobId, instance: &InstanceId, result: InstanceResult) {
        self.jobs.settle(job, instance, result, self.out);
    }
}
