//! The whole of the core's surface.
//! Owns: the apps, and the way of each event to the app it concerns.
//! Never: decides about an app; the modules beside this one do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::app::{App, Which};
use super::deadlines::Deadlines;
use super::effect::{Alarm, Effect, News};
use super::event::Event;
use super::instance::Purpose;
use super::jobs::Jobs;
use super::plan::{self, PlanLine};
use super::requests;
use super::restart;
use super::selection::Apps;
use super::state::{Input, State};
use super::store::Part;
use super::turn::{Numbers, Turn};
use crate::model::ids::{AppName, JobId, ProcId, Revision};
use crate::model::request::{Denied, Request};
use crate::model::spec::AppSpec;
use crate::model::status::{AppView, Snapshot};
use crate::model::time::{Mono, Now, Wall};

/// Everything stead manages on this host.
#[derive(Debug)]
pub struct World {
    pub(super) apps: Apps,
    pub(super) jobs: Jobs,
    pub(super) numbers: Numbers,
    pub(super) closing: bool,
    pub(super) deadlines: Deadlines<Mono>,
    /// The same by the calendar.
    pub(super) times: Deadlines<Wall>,
    /// Apps to be brought into line at once, after a world was made from what was saved.
    pub(super) unsettled: BTreeSet<AppName>,
    /// Apps that something happened to since somebody last asked, and what is left to be said of those that are gone.
    changed: BTreeSet<AppName>,
    gone: BTreeSet<Part>,
    exited: bool,
}

/// One proc the world knows of, for the daemon to compare with what it finds.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownProc<'a> {
    pub proc: ProcId,
    pub revision: Revision,
    pub spec: &'a Arc<AppSpec>,
    pub state: &'a State,
}

impl World {
    /// An empty world. `seed` spreads restart delays; the same events with the same seed have the same effects.
    pub fn new(seed: u64) -> Self {
        Self {
            apps: Apps::new(),
            jobs: Jobs::default(),
            numbers: Numbers::new(seed),
            closing: false,
            deadlines: Deadlines::default(),
            times: Deadlines::default(),
            unsettled: BTreeSet::new(),
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
            exited: false,
        }
    }

    /// Takes one fact in; appends to `out` what is to be done about it, in order.
    pub fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        let start = out.len();
        let mut unsaved = false;
        let mut touched = BTreeSet::new();
        let Self { apps, jobs, numbers, closing, .. } = self;
        let mut turn = Turn { now, out, jobs, numbers, unsaved: &mut unsaved, closing: *closing };
        let mut asked = None;
        let mut which = Which::All;
        match event {
            Event::Request { job, request } => {
                asked = Some(job);
                touched = take_request(apps, job, request, &mut turn);
            }
            Event::Deadline => {
                touched = std::mem::take(&mut self.unsettled);
                touched.extend(self.deadlines.due(now.mono));
                touched.extend(self.times.due(now.wall));
                for name in &touched {
                    if let Some(app) = apps.get_mut(name) {
                        app.apply_deadlines(&mut turn);
                    }
                }
            }
            Event::ClockSet => {
                let timed = apps.values_mut().filter(|app| app.runtime.timer.is_some());
                for app in timed {
                    app.clock_was_set(&mut turn);
                    app.apply_deadlines(&mut turn);
                    touched.insert(app.name.clone());
                }
            }
            Event::Planned { app, revision, after, at } => {
                if let Some(known) = apps.get_mut(&app) {
                    known.plan_time(revision, after, at);
                    touched.insert(app);
                }
            }
            Event::Spawned { ref proc, .. }
            | Event::SpawnFailed { ref proc, .. }
            | Event::Ready { ref proc }
            | Event::Listens { ref proc }
            | Event::Serves { ref proc }
            | Event::Exited { ref proc, .. }
            | Event::Gone { ref proc }
            | Event::OverMemory { ref proc }
            | Event::Drained { ref proc } => {
                let proc = proc.clone();
                take_fact(apps, &proc, event, &mut turn);
                if !self.unsettled.contains(&proc.instance.app) {
                    which = Which::Slot(proc.instance.slot.0);
                }
                touched.insert(proc.instance.app);
            }
        }
        for name in &touched {
            if let Some(mut forgotten) = settle_app(apps, name, which, &mut turn) {
                let slots =
                    forgotten.runtime.slots.take_touched().into_iter().map(|slot| Part::Slot(name.clone(), slot));
                self.gone.extend(slots);
                self.gone.insert(Part::Specs(name.clone()));
                self.gone.insert(Part::Timer(name.clone()));
            }
        }
        if let Some(job) = asked {
            turn.jobs.finish_if_settled(job, turn.out);
        }
        self.closing = turn.closing;
        if self.closing && !self.exited && self.apps.values().all(App::is_empty) {
            self.exited = true;
            out.push(Effect::Exit);
        }
        for name in touched {
            self.deadlines.set(&name, self.apps.get(&name).and_then(App::next_deadline));
            self.times.set(&name, self.apps.get(&name).and_then(App::next_time));
            self.unsettled.remove(&name);
            self.changed.insert(name);
        }
        if unsaved {
            out.insert(start, Effect::SaveDesired);
        }
    }

    /// When `Event::Deadline` is due. It may be in the past, and stays until that event comes.
    pub fn next_deadline(&self) -> Option<Mono> {
        if self.unsettled.is_empty() { self.deadlines.first() } else { Some(Mono(0)) }
    }

    /// The same by the calendar.
    pub fn next_time(&self) -> Option<Wall> {
        self.times.first()
    }

    /// Everything, as people see it. Only apps that changed since the last call cost anything.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { apps: self.apps.values().map(App::view).collect() }
    }

    /// What a `Deploy` of these specs would do.
    pub fn plan(&self, specs: &[AppSpec]) -> Result<Vec<PlanLine>, Denied> {
        plan::plan(&self.apps, specs)
    }

    /// One app, as people see it.
    pub fn app(&self, name: &AppName) -> Option<Arc<AppView>> {
        self.apps.get(name).map(App::view)
    }

    /// The settings that this proc runs with, or is going to.
    pub fn spec_of(&self, proc: &ProcId) -> Option<&Arc<AppSpec>> {
        let app = self.apps.get(&proc.instance.app)?;
        let revision = app.runtime.slots.get(&proc.instance.slot.0)?.get(proc.run)?.revision;
        Some(app.spec(revision))
    }

    /// The settings of an app at a revision that is still in use, or else the newest.
    pub fn spec_at(&self, app: &AppName, revision: Revision) -> Option<&Arc<AppSpec>> {
        self.apps.get(app).map(|app| app.spec(revision))
    }

    /// Every proc that has, or is about to have, a cgroup.
    pub fn procs(&self) -> impl Iterator<Item = KnownProc<'_>> {
        let slots = self.apps.values().flat_map(|app| app.runtime.slots.iter().map(move |(slot, i)| (app, *slot, i)));
        let procs = slots.flat_map(|(app, slot, i)| i.procs.iter().map(move |p| (app, slot, p)));
        procs.filter(|(_, _, p)| p.is_alive()).map(|(app, slot, p)| KnownProc {
            proc: app.proc_id(slot, p.run),
            revision: p.revision,
            spec: app.spec(p.revision),
            state: &p.state,
        })
    }

    /// What the world waits for, as effects that do no harm when done twice: for a daemon that cannot know whether the
    /// one before it got so far. A `Spawn` is to be skipped if its proc is there already; the answer is owed all the
    /// same. A proc in any other state that has no child yet (`KnownProc::state`) and is not there never ran: tell
    /// `SpawnFailed`. A stop signal is not repeated, since many programs take a second one for impatience;
    /// `stop_timeout` runs.
    pub fn outstanding(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for KnownProc { proc, revision, spec, state } in self.procs() {
            match state {
                State::Spawning { .. } => effects.push(Effect::Spawn { proc, revision, spec: Arc::clone(spec) }),
                State::Draining { .. } => effects.push(Effect::Drain { proc }),
                State::Killing { .. } | State::Dead { .. } => effects.push(Effect::Kill { proc }),
                State::Queued { .. }
                | State::New { .. }
                | State::Running { .. }
                | State::Marked { .. }
                | State::Stopping { .. } => {}
            }
        }
        effects.extend(self.apps.values().filter_map(App::open_question));
        if self.closing && self.apps.values().all(App::is_empty) {
            effects.push(Effect::Exit);
        }
        effects
    }

    /// Whether a job is still waited for.
    pub fn is_open(&self, job: JobId) -> bool {
        self.jobs.is_open(job)
    }

    /// What of *runtime* may have changed since the last call, what is gone included.
    pub fn take_changed(&mut self) -> BTreeSet<Part> {
        let mut parts = std::mem::take(&mut self.gone);
        for name in std::mem::take(&mut self.changed) {
            parts.insert(Part::Head);
            let Some(app) = self.apps.get_mut(&name) else { continue };
            if std::mem::take(&mut app.specs_touched) {
                parts.insert(Part::Specs(name.clone()));
            }
            if std::mem::take(&mut app.timer_touched) {
                parts.insert(Part::Timer(name.clone()));
            }
            parts.extend(app.runtime.slots.take_touched().into_iter().map(|slot| Part::Slot(name.clone(), slot)));
        }
        parts
    }
}

fn take_request(apps: &mut Apps, job: JobId, request: Request, turn: &mut Turn<'_>) -> BTreeSet<AppName> {
    match requests::apply(apps, job, request, turn) {
        Ok(touched) => touched,
        Err(denied) => {
            turn.out.push(Effect::Deny { job, denied });
            BTreeSet::new()
        }
    }
}

fn take_fact(apps: &mut Apps, proc: &ProcId, event: Event, turn: &mut Turn<'_>) {
    let (slot, run) = (proc.instance.slot.0, proc.run);
    let known = |app: &&mut App| app.runtime.slots.get(&slot).is_some_and(|i| i.get(run).is_some());
    let Some(app) = apps.get_mut(&proc.instance.app).filter(known) else {
        return take_stray(proc, &event, turn);
    };
    match event {
        Event::Spawned { pid, .. } => app.apply(slot, run, Input::Spawned(pid), turn),
        Event::SpawnFailed { why, .. } => app.apply_spawn_failed(slot, run, why, turn),
        Event::Ready { .. } => app.apply(slot, run, Input::Ready, turn),
        Event::Exited { exit, oom, .. } => app.apply(slot, run, Input::Exited { exit, oom }, turn),
        Event::Gone { .. } => app.apply(slot, run, Input::Gone, turn),
        Event::Drained { .. } => app.apply(slot, run, Input::Drained, turn),
        Event::Listens { .. } => {
            if let Some(proc) = app.runtime.slots.get_mut(&slot).and_then(|i| i.get_mut(run)) {
                proc.listens = true;
            }
        }
        Event::Serves { .. } => {
            if let Some(proc) = app.runtime.slots.get_mut(&slot).and_then(|i| i.get_mut(run)) {
                proc.serves = true;
            }
        }
        Event::OverMemory { .. } => replace_for_memory(app, slot, proc, turn),
        // They name no proc; `step` has taken them.
        Event::Request { .. } | Event::Planned { .. } | Event::ClockSet | Event::Deadline => {}
    }
}

/// Only a proc that is to stay is replaced; one that boots is judged when it is ready, since the daemon checks then.
fn replace_for_memory(app: &mut App, slot: u32, proc: &ProcId, turn: &mut Turn<'_>) {
    let Some(instance) = app.runtime.slots.get(&slot) else { return };
    let Some(running) = instance.running().filter(|p| p.run == proc.run) else { return };
    if instance.incoming().is_none() && app.wants(slot, turn.closing) {
        let revision = running.revision;
        let up = running.state.child().map_or(Duration::ZERO, |child| turn.now.mono.since(child.started));
        let Some(instance) = app.runtime.slots.get_mut(&slot) else { return };
        let after = restart::next_replacement(&mut instance.crashes, up, &mut turn.numbers.jitter);
        let not_before = (!after.is_zero()).then(|| turn.now.mono + after);
        turn.log(proc.clone(), News::OverMemory { after_ms: after.as_millis() as u64 });
        app.queue(slot, revision, Purpose::Memory, not_before, turn);
    }
}

/// News of a proc that is gone. What a proc does and what is done to it travel on different ways, so some of it may
/// arrive after `Gone`; its birth and its death may not.
fn take_stray(proc: &ProcId, event: &Event, turn: &mut Turn<'_>) {
    let name = match event {
        Event::Ready { .. } | Event::Listens { .. } | Event::Serves { .. } => return,
        Event::OverMemory { .. } | Event::Drained { .. } => return,
        Event::Request { .. } | Event::Planned { .. } | Event::ClockSet | Event::Deadline => return,
        Event::Spawned { .. } => "Spawned",
        Event::SpawnFailed { .. } => "SpawnFailed",
        Event::Exited { .. } => "Exited",
        Event::Gone { .. } => "Gone",
    };
    turn.out.push(Effect::Alarm(Alarm::UnknownProc { event: name.to_owned(), proc: proc.clone() }));
}

/// Gives an app back that was to be deleted and is empty now.
fn settle_app(apps: &mut Apps, name: &AppName, which: Which, turn: &mut Turn<'_>) -> Option<App> {
    let app = apps.get_mut(name)?;
    app.settle(which, turn);
    if !app.desired.deleting || !app.is_empty() {
        return None;
    }
    turn.out.push(Effect::Forget { app: name.clone() });
    *turn.unsaved = true;
    let mut app = apps.remove(name)?;
    app.runtime.slots.retain(|_, _| false);
    Some(app)
}
