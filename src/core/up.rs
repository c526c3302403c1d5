//! Bringing one instance up at a person's wish.
//! Owns: what start, restart and deploy mean for a slot in each of its conditions; the same answer serves `plan`.
//! Never: looks at other slots.

use super::app::App;
use super::instance::{Goal, Instance, Proc, Purpose, Rest, Waiter};
use super::state::{Input, State};
use super::turn::Turn;
use crate::model::exit::Reason;
use crate::model::ids::{JobId, Revision, Run};
use crate::model::request::InstanceResult;
use crate::model::spec::AppSpec;

/// What a person wants of an instance that is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Leave it, unless it is outdated.
    Start,
    /// Replace it in any case.
    Restart,
}

/// What that comes to for one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It runs as wished.
    Unchanged,
    /// What is on its way is what is wished for.
    Join {
        run: Run,
    },
    Start,
    Replace {
        from: Revision,
    },
    /// It is a job: from now on it waits for its times.
    Arm,
}

/// What `wish` comes to for a slot of `app` when `newest` is the revision to have, with the settings of `spec`.
pub fn plan_step(app: &App, slot: u32, (newest, spec): (Revision, &AppSpec), wish: Wish) -> Step {
    let none = Instance::default();
    let instance = app.runtime.slots.get(&slot).unwrap_or(&none);
    if spec.is_job() && wish == Wish::Start {
        // Its runs come and go; what counts is whether it waits for the next.
        let timer = app.runtime.timer.as_ref().map(|timer| timer.revision);
        let waits = timer == Some(newest) && !app.desired.down.contains(&slot) && instance.rest != Rest::Errored;
        return if waits && strays(app, instance).is_empty() { Step::Unchanged } else { Step::Arm };
    }
    let running = instance.running();
    match (running, instance.incoming()) {
        (Some(running), _) if wish == Wish::Start && running.revision == newest => Step::Unchanged,
        (_, Some(incoming)) if incoming.revision == newest => Step::Join { run: incoming.run },
        (Some(running), _) => Step::Replace { from: running.revision },
        // Its roll had stopped the one before, which is still what to bring back if this fails too.
        (None, Some(incoming)) => match incoming.purpose {
            Purpose::Roll { from, .. } => Step::Replace { from },
            Purpose::Start | Purpose::Respawn | Purpose::Memory | Purpose::Cron => Step::Start,
        },
        (None, None) => Step::Start,
    }
}

/// Makes it so, and has `job` wait for it.
pub fn bring_up(app: &mut App, slot: u32, wish: Wish, job: JobId, turn: &mut Turn<'_>) {
    let newest = app.desired.revision;
    let step = plan_step(app, slot, (newest, &app.desired.spec), wish);
    if app.desired.down.remove(&slot) {
        *turn.unsaved = true;
    }
    app.tell_waiters(slot, |goal| *goal == Goal::Down, &InstanceResult::Superseded, turn);
    let id = app.instance_id(slot);
    let instance = app.runtime.slots.make(slot);
    let had_one = instance.running().is_some();
    if step != Step::Unchanged {
        instance.rest = Rest::No;
        instance.crashes = Default::default();
    }
    let run = match step {
        Step::Unchanged => return turn.tell(job, &id, InstanceResult::Unchanged),
        Step::Join { run } => {
            if let Some(instance) = app.runtime.slots.get_mut(&slot) {
                instance.hurry();
            }
            run
        }
        Step::Start => {
            drop_incoming(app, slot, turn);
            app.queue(slot, newest, Purpose::Start, None, turn)
        }
        Step::Replace { from } => {
            drop_incoming(app, slot, turn);
            app.queue(slot, newest, Purpose::Roll { from, job }, None, turn)
        }
        Step::Arm => {
            app.runtime.slots.make(slot).rest = Rest::Resting;
            for run in app.runtime.slots.get(&slot).map(|i| strays(app, i)).unwrap_or_default() {
                app.supersede(slot, run, turn);
                app.apply(slot, run, Input::Stop(Reason::Replaced), turn);
            }
            return turn.tell(job, &id, InstanceResult::Scheduled);
        }
    };
    let replaces = had_one || matches!(step, Step::Replace { .. });
    let result = if replaces { InstanceResult::Replaced } else { InstanceResult::Started };
    if let Some(instance) = app.runtime.slots.get_mut(&slot) {
        instance.waiters.push(Waiter { job, goal: Goal::Up { run, result, reached: false } });
    }
}

/// What runs of an app, or is about to, from before it became a job: it would never end.
fn strays(app: &App, instance: &Instance) -> Vec<Run> {
    let stays = |p: &&Proc| p.is_incoming() || matches!(p.state, State::Running { .. });
    let procs = instance.procs.iter().filter(stays).filter(|p| !app.spec(p.revision).is_job());
    procs.map(|p| p.run).collect()
}

/// An incoming proc of a revision that nobody wants any more: not started, or stopped once it has booted.
fn drop_incoming(app: &mut App, slot: u32, turn: &mut Turn<'_>) {
    let incoming = app.runtime.slots.get(&slot).and_then(Instance::incoming).map(|p| p.run);
    if let Some(run) = incoming {
        app.supersede(slot, run, turn);
        app.apply(slot, run, Input::Stop(Reason::Replaced), turn);
    }
}

/// Whether a slot is neither running nor on its way there.
pub fn is_down(instance: &Instance) -> bool {
    !instance.procs.iter().any(|p| match p.state {
        State::Running { .. } | State::Spawning { .. } | State::New { .. } => true,
        // Held back for room only, it is as good as started; one in back-off is what people call down.
        State::Queued { not_before } => not_before.is_none(),
        State::Marked { .. }
        | State::Draining { .. }
        | State::Stopping { .. }
        | State::Killing { .. }
        | State::Dead { .. } => false,
    })
}
