//! What people see of an app.
//! Owns: which of its procs speaks for an instance, and the one word that says how it is.
//! Never: measures; figures are joined by whoever shows them.

use std::cmp::Reverse;
use std::sync::Arc;

use super::app::App;
use super::instance::{Instance, Proc, Rest};
use super::state::State;
use crate::model::ids::Id;
use crate::model::selector::Generation;
use crate::model::status::{AppView, InstanceView, ProcView, Status};

impl App {
    /// Built once after each change, and only if somebody looks.
    pub fn view(&self) -> Arc<AppView> {
        Arc::clone(self.view.get_or_init(|| Arc::new(build(self))))
    }
}

fn build(app: &App) -> AppView {
    AppView {
        spec: Arc::clone(&app.desired.spec),
        revision: app.desired.revision,
        instances: app.count(),
        next_time: app.next_time(),
        slots: app.runtime.slots.iter().map(|(slot, instance)| instance_view(app, *slot, instance)).collect(),
    }
}

fn instance_view(app: &App, slot: u32, instance: &Instance) -> InstanceView {
    let mut procs: Vec<&Proc> = instance.procs.iter().collect();
    procs.sort_by_key(|p| (rank(&p.state), Reverse(p.run)));
    let leading = instance.running().or_else(|| instance.incoming());
    let due = instance.queued().filter(|_| instance.running().is_none()).and_then(|p| p.state.deadline());
    InstanceView {
        // A leftover of a scale down by a restored world may lack one; zero is never shown for a slot that is wanted.
        id: app.desired.ids.get(slot as usize).copied().unwrap_or(Id(0)),
        instance: app.instance_id(slot),
        status: status(app, slot, instance),
        procs: procs.into_iter().map(|p| proc_view(app, slot, p)).collect(),
        restarts: instance.restarts,
        restart_reasons: instance.restart_reasons.clone(),
        last_exit: instance.last_exit.clone(),
        outdated: leading.is_some_and(|p| p.revision < app.desired.revision),
        due,
    }
}

fn proc_view(app: &App, slot: u32, proc: &Proc) -> ProcView {
    let child = proc.state.child();
    ProcView {
        proc: app.proc_id(slot, proc.run),
        generation: proc.state.generation(),
        pid: child.map(|c| c.pid),
        started: child.map(|c| c.started),
        revision: proc.revision,
        ready: proc.state.generation() == Generation::Running,
    }
}

/// Running, else new, else the rest.
fn rank(state: &State) -> u8 {
    match state.generation() {
        Generation::Running => 0,
        Generation::New => 1,
        Generation::Queue | Generation::Old | Generation::Marked => 2,
    }
}

fn status(app: &App, slot: u32, instance: &Instance) -> Status {
    // The remains of a dead run do not make an instance "stopping" when it is coming back.
    let leaving =
        instance.procs.iter().any(|p| p.is_alive() && !p.is_incoming() && !matches!(p.state, State::Dead { .. }));
    match (instance.running(), instance.incoming().map(|p| p.state.generation())) {
        (Some(_), _) => Status::Running,
        (None, Some(Generation::Queue)) => {
            if leaving {
                Status::Stopping
            } else {
                Status::Waiting
            }
        }
        (None, Some(_)) => Status::Starting,
        (None, None) => match instance.rest {
            _ if !instance.procs.is_empty() && instance.rest != Rest::Errored => Status::Stopping,
            Rest::Errored => Status::Errored,
            Rest::Resting if app.desired.spec.is_job() && app.wants(slot, false) => Status::Waiting,
            Rest::No | Rest::Resting => Status::Stopped,
        },
    }
}
