//! Puts together what people are shown of an instance: what the core knows, and what was measured.
//! Owns: the meaning of each field of a row. Never: measures, selects or formats.

use std::time::Duration;

use super::measure::Measured;
use crate::model::quantity::rough_span;
use crate::model::selector::Generation;
use crate::model::status::{
    AppView, Draining, ExitStatus, InstanceDetail, InstanceStatus, InstanceView, ProcView, Status,
};
use crate::model::time::{Now, Wall};

/// A row without what is measured.
pub fn row(app: &AppView, slot: &InstanceView, now: Now) -> InstanceStatus {
    let speaker = slot.procs.first();
    let live = speaker.filter(|proc| proc.pid.is_some());
    let limits = &app.spec.limits;
    InstanceStatus {
        id: slot.id.0,
        app: app.spec.name.to_string(),
        instance: slot.instance.to_string(),
        namespace: app.spec.namespace.clone(),
        pid: live.and_then(|proc| proc.pid),
        status: slot.status,
        generation: speaker.map(|proc| proc.generation),
        ready: speaker.is_some_and(|proc| proc.ready),
        revision: speaker.map_or(app.revision, |proc| proc.revision).0,
        outdated: slot.outdated,
        uptime_ms: live.and_then(|proc| proc.started).map(|started| millis(now.mono.since(started))),
        restarts: slot.restarts,
        memory_bytes: None,
        memory_peak_bytes: None,
        memory_limit_bytes: limits.memory_max.or(limits.max_memory_restart).map(|bytes| bytes.0),
        cpu_percent: None,
        tasks: None,
        ports: Vec::new(),
        cgroup: None,
        user: app.spec.identity.user.clone(),
        last_exit: slot.last_exit.as_ref().map(ExitStatus::from),
        next_time: next_time(app, slot).map(|at| at.0 / 1_000_000),
        waits_for: waits_for(app, slot, now),
    }
}

/// By the calendar nothing happens to what a person has stopped, or must look after.
fn next_time(app: &AppView, slot: &InstanceView) -> Option<Wall> {
    app.next_time.filter(|_| !matches!(slot.status, Status::Stopped | Status::Errored))
}

fn waits_for(app: &AppView, slot: &InstanceView, now: Now) -> Option<String> {
    if slot.status != Status::Waiting {
        return None;
    }
    if slot.procs.is_empty() {
        return Some(match next_time(app, slot) {
            Some(Wall(at)) => {
                format!("its next time, in {}", rough_span(Duration::from_nanos(at.saturating_sub(now.wall.0))))
            }
            None => "its next time, which is not known".to_owned(),
        });
    }
    slot.due.map(|due| format!("its restart, in {}", rough_span(due.since(now.mono))))
}

/// The row with what was measured.
pub fn filled(row: InstanceStatus, measured: Measured) -> InstanceStatus {
    let Measured { figures, ports, cgroup } = measured;
    InstanceStatus {
        memory_bytes: figures.map(|f| f.memory_bytes),
        memory_peak_bytes: figures.and_then(|f| f.memory_peak_bytes),
        cpu_percent: figures.map(|f| (f.cpu_percent * 10.0).round() / 10.0),
        tasks: figures.and_then(|f| f.tasks),
        ports,
        cgroup,
        ..row
    }
}

pub fn detail(
    app: &AppView,
    slot: &InstanceView,
    now: Now,
    measured: Measured,
    log_files: Vec<String>,
    draining: Option<Draining>,
    notes: Vec<String>,
) -> InstanceDetail {
    let figures = measured.figures;
    InstanceDetail {
        status: filled(row(app, slot, now), measured),
        memory_anon_bytes: figures.and_then(|f| f.anon),
        memory_file_bytes: figures.and_then(|f| f.file),
        fds: figures.and_then(|f| f.fds),
        sampled: figures.is_some_and(|f| f.sampled),
        procs: slot.procs.iter().map(proc_line).collect(),
        log_files,
        due_ms: slot.due.map(|due| millis(due.since(now.mono))),
        draining,
        notes,
    }
}

fn proc_line(proc: &ProcView) -> String {
    let pid = proc.pid.map_or_else(|| "not spawned".to_owned(), |pid| format!("pid {pid}"));
    let ready = if proc.ready || proc.generation == Generation::Queue { "" } else { ", not ready" };
    format!("{} {} {pid}, revision {}{ready}", proc.proc, proc.generation.as_str(), proc.revision)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
