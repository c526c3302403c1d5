//! How a job begins and is told of.
//! Owns: the way from a call to a job, and to the answer that its caller waits for.

use std::sync::Arc;

use zbus::object_server::SignalEmitter;
use zbus::zvariant::OwnedObjectPath;

use super::error::{Error, ErrorKind};
use super::gate::{Call, Gate};
use super::job;
use crate::api::Job;
use crate::model::request::{InstanceResult, Outcome, Request};
use crate::model::selector::Selector;

/// What is to be done, and to what.
pub(super) struct Acting {
    pub verb: &'static str,
    /// The answer comes when it is done.
    pub wait: bool,
    pub selectors: Vec<Selector>,
}

/// Begins what the caller may have done.
pub(super) async fn begin(
    gate: &Arc<Gate>,
    call: Call<'_>,
    Acting { verb, wait, selectors }: Acting,
    request: impl FnOnce(Vec<Selector>) -> Request,
) -> Result<OwnedObjectPath, Error> {
    let (_, owners) = gate.manage(call, verb, &selectors).await?;
    let job = gate.handle.submit(request(selectors), owners).await?;
    follow(gate, call, job, wait).await
}

/// Tells whoever called of the job, until it is over.
pub(super) async fn follow(gate: &Arc<Gate>, call: Call<'_>, job: Job, wait: bool) -> Result<OwnedObjectPath, Error> {
    let unavailable = |error: zbus::Error| Error { kind: ErrorKind::Unavailable, text: error.to_string() };
    let mut emitter = SignalEmitter::new(call.connection, super::ROOT).map_err(unavailable)?;
    // On the system bus the asker alone is told: what an app is called is not everyone's business.
    if let Some(sender) = call.header.sender() {
        emitter = emitter.set_destination(sender.to_owned().into());
    }
    let path = job::path(job.id);
    let asker = gate.person(call).await?.caller;
    job::publish(gate, call.connection, &job, asker).await;
    let told = job::announce(job, emitter.into_owned());
    if wait {
        failed(told.await)?;
    } else {
        tokio::spawn(told);
    }
    Ok(path)
}

fn failed(outcome: Option<Outcome>) -> Result<(), Error> {
    let error = |text| Error { kind: ErrorKind::JobFailed, text };
    let outcome = outcome.ok_or_else(|| error("the daemon went down before this was done".to_owned()))?;
    let why = outcome.instances.iter().filter_map(|one| match &one.result {
        InstanceResult::Failed { .. } | InstanceResult::Superseded => {
            Some(format!("{}: {}", one.instance, job::words(&one.result).1))
        }
        _ => None,
    });
    let why: Vec<String> = why.collect();
    if why.is_empty() { Ok(()) } else { Err(error(why.join("\n"))) }
}
