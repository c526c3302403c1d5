//! Jobs on the bus: a long operation's number and path, and the signals that tell how it goes.
//! Owns: the order of a job's signals (JobNew, any number of JobProgress, JobRemoved last), and the words of results.
//! Never: keeps a job alive or ends one; when the peer leaves, the job goes on in the core and nobody is told.

use zbus::object_server::SignalEmitter;
use zbus::zvariant::{ObjectPath, OwnedObjectPath};

use super::ROOT;
use super::manager::Manager;
use crate::api::{Job, JobUpdate};
use crate::model::ids::JobId;
use crate::model::request::{InstanceOutcome, InstanceResult};

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

/// Tells the peer of a job until it is done, or until the peer or the daemon is gone.
pub(super) async fn announce(mut job: Job, emitter: SignalEmitter<'static>) {
    // A signal that cannot be sent has no reader any more; the job itself is not the bus's to end.
    let _ = announce_all(&mut job, &emitter).await;
}

async fn announce_all(job: &mut Job, emitter: &SignalEmitter<'_>) -> zbus::Result<()> {
    let (id, path) = (job.id.0, path(job.id));
    let instances = job.instances.iter().map(ToString::to_string).collect();
    Manager::job_new(emitter, id, path.as_ref(), instances).await?;
    while let Some(update) = job.updates.recv().await {
        match update {
            JobUpdate::Progress(outcome) => {
                let (result, why) = words(&outcome.result);
                Manager::job_progress(emitter, id, &outcome.instance.to_string(), result, why).await?;
            }
            JobUpdate::Done(outcome) => {
                let result = if outcome.failed() { "failed" } else { "done" };
                let outcomes = outcome.instances.iter().map(triple).collect();
                return Manager::job_removed(emitter, id, path.as_ref(), result, outcomes, outcome.notes).await;
            }
        }
    }
    let notes = vec!["the daemon went down before this was done".to_owned()];
    Manager::job_removed(emitter, id, path.as_ref(), "failed", Vec::new(), notes).await
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
