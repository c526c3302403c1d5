//! Jobs on the bus: a long operation's number and path, and the signals that tell how it goes.
//! Owns: the order of a job's signals (JobNew, any number of JobProgress, JobRemoved last), and the words of results.
//! Never: keeps a job alive or ends one; when the peer leaves, the job goes on in the core and nobody is told.

use std::sync::Arc;

use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{ObjectPath, OwnedObjectPath};
use zbus::{Connection, fdo, interface};

use super::ROOT;
use super::gate::{Call, Gate, fdo_error};
use super::manager::Manager;
use crate::api::{Caller, Job, JobUpdate};
use crate::model::ids::JobId;
use crate::model::request::{InstanceOutcome, InstanceResult, Outcome};

/// `/org/stead/Stead1/job/17`.
pub fn path(id: JobId) -> OwnedObjectPath {
    ObjectPath::from_string_unchecked(format!("{ROOT}/job/{id}")).into()
}

/// The number at the end of a job's path.
pub fn id_of(path: &str) -> Option<JobId> {
    path.strip_prefix(ROOT)?.strip_prefix("/job/")?.parse().ok().map(JobId)
}

/// A result's word on the bus, and why where it failed.
pub fn words(result: &InstanceResult) -> (&'static str, &str) {
    match result {
        InstanceResult::Started => ("started", ""),
        InstanceResult::Unchanged => ("unchanged", ""),
        InstanceResult::Scheduled => ("scheduled", ""),
        InstanceResult::Registered => ("registered", ""),
        InstanceResult::Replaced => ("replaced", ""),
        InstanceResult::Stopped => ("stopped", ""),
        InstanceResult::Signalled => ("signalled", ""),
        InstanceResult::Reset => ("reset", ""),
        InstanceResult::Failed { why } => ("failed", why),
        InstanceResult::Superseded => ("superseded", "a later command asked something else of it"),
    }
}

fn triple(outcome: &InstanceOutcome) -> (String, String, String) {
    let (result, why) = words(&outcome.result);
    (outcome.instance.to_string(), result.to_owned(), why.to_owned())
}

/// Tells the peer of a job until it is done, or until the daemon is gone; then there is no outcome.
pub(super) async fn announce(mut job: Job, emitter: SignalEmitter<'static>) -> Option<Outcome> {
    let (id, path) = (job.id.0, path(job.id));
    let instances = job.instances.iter().map(ToString::to_string).collect();
    // A signal that cannot be sent has no reader any more; the job itself is not the bus's to end.
    let mut told = Manager::job_new(&emitter, id, path.as_ref(), instances).await;
    let mut outcome = None;
    while let Some(update) = job.updates.recv().await {
        match update {
            JobUpdate::Progress(progress) if told.is_ok() => {
                let (result, why) = words(&progress.result);
                told = Manager::job_progress(&emitter, id, &progress.instance.to_string(), result, why).await;
            }
            JobUpdate::Progress(_) => {}
            JobUpdate::Done(done) => {
                outcome = Some(done);
                break;
            }
        }
    }
    let (result, outcomes, notes) = match &outcome {
        Some(done) => {
            let result = if done.failed() { "failed" } else { "done" };
            (result, done.instances.iter().map(triple).collect(), done.notes.clone())
        }
        None => ("failed", Vec::new(), vec!["the daemon went down before this was done".to_owned()]),
    };
    let _ = Manager::job_removed(&emitter, id, path.as_ref(), result, outcomes, notes).await;
    let _ = emitter.connection().object_server().remove::<JobObject, _>(path).await;
    outcome
}

/// A job, while it is under way.
#[derive(Debug)]
pub struct JobObject {
    gate: Arc<Gate>,
    id: u64,
    instances: Vec<String>,
    asker: Caller,
}

impl JobObject {
    pub(super) fn new(gate: Arc<Gate>, id: u64, instances: Vec<String>, asker: Caller) -> Self {
        Self { gate, id, instances, asker }
    }
}

/// Puts a job's object where others than its asker may look for it. On the private socket there are none.
pub(super) async fn publish(gate: &Arc<Gate>, connection: &Connection, job: &Job, asker: Caller) {
    if gate.is_private() {
        return;
    }
    let instances = job.instances.iter().map(ToString::to_string).collect();
    let object = JobObject::new(Arc::clone(gate), job.id.0, instances, asker);
    let _ = connection.object_server().at(path(job.id), object).await;
}

/// Something under way.
#[interface(name = "org.stead.Stead1.Job")]
impl JobObject {
    /// Its number, given to no other job.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> u64 {
        self.id
    }

    /// The instances that it concerns, for whoever asked for it, and for root.
    #[zbus(property(emits_changed_signal = "const"))]
    async fn instances(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<Vec<String>> {
        if let Some(header) = &header {
            let person = self.gate.person(Call { connection, header }).await.map_err(fdo_error)?;
            if !person.is_root() && person.caller != self.asker {
                return Err(fdo::Error::AccessDenied("it is somebody else's job".to_owned()));
            }
        }
        Ok(self.instances.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_path_carries_its_number() {
        assert_eq!(path(JobId(17)).as_str(), "/org/stead/Stead1/job/17");
        assert_eq!(id_of("/org/stead/Stead1/job/17"), Some(JobId(17)));
        assert_eq!(id_of("/org/stead/Stead1/jobs/17"), None);
    }
}
