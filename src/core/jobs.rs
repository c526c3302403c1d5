//! What people wait for.
//! Owns: which instances each accepted request concerns, what became of them, and when it is done.
//! Never: decides what is done for a request; slots tell it as they settle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use crate::model::ids::{InstanceId, JobId};
use crate::model::request::{InstanceOutcome, InstanceResult, Outcome};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Jobs(BTreeMap<JobId, Job>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Job {
    /// Sorted by instance.
    instances: Vec<(InstanceId, Option<InstanceResult>)>,
    /// How many have no result yet.
    open: usize,
    notes: Vec<String>,
}

impl Jobs {
    /// Takes a request on. It is done when each of `instances` is settled; `finish_empty` ends one that has none.
    pub fn accept(&mut self, job: JobId, mut instances: Vec<InstanceId>, out: &mut Vec<Effect>) {
        instances.sort();
        instances.dedup();
        out.push(Effect::Accepted { job, instances: instances.clone() });
        let open = instances.len();
        let instances = instances.into_iter().map(|instance| (instance, None)).collect();
        self.0.insert(job, Job { instances, open, notes: Vec::new() });
    }

    /// One instance of a job has come to an end; the first result counts.
    pub fn settle(&mut self, job: JobId, instance: &InstanceId, result: InstanceResult, out: &mut Vec<Effect>) {
        let Some(entry) = self.0.get_mut(&job) else { return };
        let Ok(at) = entry.instances.binary_search_by(|(known, _)| known.cmp(instance)) else { return };
        let slot = &mut entry.instances[at].1;
        if slot.is_some() {
            return;
        }
        *slot = Some(result.clone());
        entry.open -= 1;
        out.push(Effect::Progress { job, outcome: InstanceOutcome { instance: instance.clone(), result } });
        self.finish_if_settled(job, out);
    }

    /// Ends a job of which nothing is open; one without instances is never told of a last one.
    pub fn finish_if_settled(&mut self, job: JobId, out: &mut Vec<Effect>) {
        if self.0.get(&job).is_none_or(|entry| entry.open > 0) {
            return;
        }
        let Some(entry) = self.0.remove(&job) else { return };
        let settled = entry.instances.into_iter().filter_map(|(instance, result)| Some((instance, result?)));
        let instances = settled.map(|(instance, result)| InstanceOutcome { instance, result }).collect();
        out.push(Effect::Done { job, outcome: Outcome { instances, notes: entry.notes } });
    }

    /// Something the person should know. False if the job has said so before.
    pub fn note(&mut self, job: JobId, note: &str) -> bool {
        let Some(entry) = self.0.get_mut(&job) else { return false };
        let new = entry.notes.iter().all(|known| known != note);
        if new {
            entry.notes.push(note.to_owned());
        }
        new
    }

    pub fn is_open(&self, job: JobId) -> bool {
        self.0.contains_key(&job)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
