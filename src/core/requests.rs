//! What people ask for.
//! Owns: the check of each request as a whole, and what of *desired* it changes.
//! Never: changes anything of a request that it refuses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::app::{App, AppDesired, AppRuntime};
use super::effect::Effect;
use super::instance::{Goal, Instance, Rest, Waiter};
use super::selection::{Apps, Picked, Reach, Selection, select, select_apps};
use super::state::{Input, State};
use super::turn::Turn;
use super::up::{Wish, bring_up, is_down};
use crate::model::exit::Reason;
use crate::model::ids::{AppName, InstanceId, JobId, ProcId, Revision, Run, Slot};
use crate::model::request::{Denied, INSTANCES_MAX, InstanceResult, Request, ScaleTo, Whom};
use crate::model::selector::{Selector, Target};
use crate::model::signal::Signal;
use crate::model::spec::{AppSpec, StopScope};

/// Takes a request or refuses it. The apps it touched are left to be settled by the caller.
pub fn apply(apps: &mut Apps, job: JobId, request: Request, turn: &mut Turn<'_>) -> Result<BTreeSet<AppName>, Denied> {
    if turn.closing && !matches!(request, Request::Shutdown | Request::Kill { .. }) {
        return Err(Denied::ShuttingDown);
    }
    match request {
        Request::Deploy { specs, whom } => deploy(apps, job, specs, whom, turn),
        Request::Start { selectors } => start(apps, job, &selectors, Wish::Start, turn),
        Request::Restart { selectors } => start(apps, job, &selectors, Wish::Restart, turn),
        Request::Stop { selectors } => take_down(apps, job, &selectors, Input::Stop(Reason::Stopped), turn),
        Request::Kill { selectors } => take_down(apps, job, &selectors, Input::Kill(Reason::Killed), turn),
        Request::Delete { selectors } => delete(apps, job, &selectors, turn),
        Request::Signal { selectors, signal } => send_signal(apps, job, &selectors, signal, turn),
        Request::Scale { app, to } => scale(apps, job, &app, to, turn),
        Request::Reset { selectors } => reset(apps, job, &selectors, turn),
        Request::Shutdown => Ok(shut_down(apps, job, turn)),
    }
}

/// What a deployment of `spec` does to the app's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    NewApp,
    None,
    /// Only the number of instances.
    Count,
    Revision,
}

pub fn plan_change(app: Option<&App>, spec: &AppSpec) -> Change {
    let Some(app) = app else { return Change::NewApp };
    let known = app.desired.spec.as_ref();
    if known == spec {
        return Change::None;
    }
    let counted = AppSpec { instances: known.instances, ..spec.clone() };
    if *known == counted { Change::Count } else { Change::Revision }
}

/// Whether a deployment of `spec` leaves all of the app down, as it is, or as what is new.
pub fn stays_down(app: Option<&App>, spec: &AppSpec, whom: Whom) -> bool {
    whom == Whom::OfTheirFile && !spec.autostart && app.is_none_or(|app| !app.desired.is_wanted_up())
}

/// Whether nobody but a person who names it starts this instance.
pub fn is_left_down(app: &App, slot: u32, whom: Whom) -> bool {
    whom == Whom::OfTheirFile && !app.desired.spec.autostart && app.desired.down.contains(&slot)
}

/// A list of specs that can be deployed as a whole.
pub fn check_specs(specs: &[AppSpec]) -> Result<(), Denied> {
    let mut names = BTreeSet::new();
    for spec in specs {
        if !names.insert(&spec.name) {
            return Err(Denied::Twice(spec.name.clone()));
        }
        check_count(&spec.name, i64::from(spec.instances))?;
    }
    Ok(())
}

fn check_count(app: &AppName, asked: i64) -> Result<u32, Denied> {
    let refused = || Denied::Instances { app: app.clone(), asked, max: INSTANCES_MAX };
    u32::try_from(asked).ok().filter(|count| (1..=INSTANCES_MAX).contains(count)).ok_or_else(refused)
}

fn deploy(
    apps: &mut Apps,
    job: JobId,
    specs: Vec<AppSpec>,
    whom: Whom,
    turn: &mut Turn<'_>,
) -> Result<BTreeSet<AppName>, Denied> {
    check_specs(&specs)?;
    let names: BTreeSet<AppName> = specs.iter().map(|spec| spec.name.clone()).collect();
    let mut changed = BTreeSet::new();
    for spec in specs {
        let change = plan_change(apps.get(&spec.name), &spec);
        let down = stays_down(apps.get(&spec.name), &spec, whom);
        if change != Change::None {
            *turn.unsaved = true;
            changed.insert(spec.name.clone());
        }
        let app = apps.entry(spec.name.clone()).or_insert_with(|| {
            let spec = Arc::new(spec.clone());
            let desired = AppDesired {
                spec,
                revision: Revision(1),
                scaled: None,
                ids: Vec::new(),
                down: BTreeSet::new(),
                deleting: false,
            };
            App::new(desired, AppRuntime::default())
        });
        *turn.unsaved |= std::mem::take(&mut app.desired.deleting);
        if app.desired.spec.instances != spec.instances {
            app.desired.scaled = None;
        }
        match change {
            Change::NewApp | Change::None => {}
            Change::Count => app.desired.spec = Arc::new(spec),
            Change::Revision => {
                app.desired.revision = Revision(app.desired.revision.0 + 1);
                app.desired.spec = Arc::new(spec);
            }
        }
        app.runtime.specs.insert(app.desired.revision, Arc::clone(&app.desired.spec));
        app.specs_touched = true;
        if down {
            app.desired.down.extend(0..app.desired.count());
        }
    }
    let concerned = names.iter().filter_map(|name| apps.get(name)).flat_map(|app| {
        let leftovers = app.runtime.slots.keys().copied().filter(|slot| *slot >= app.count());
        (0..app.count()).chain(leftovers).map(|slot| app.instance_id(slot)).collect::<Vec<_>>()
    });
    turn.jobs.accept(job, concerned.collect(), turn.out);
    for name in &names {
        let Some(app) = apps.get_mut(name) else { continue };
        for slot in 0..app.count() {
            if is_left_down(app, slot, whom) {
                let known = !changed.contains(name);
                let result = if known { InstanceResult::Unchanged } else { InstanceResult::Registered };
                turn.tell(job, &app.instance_id(slot), result);
                turn.jobs.note(job, &format!("{name} has autostart = false: to start it: stead start {name}"));
                continue;
            }
            bring_up(app, slot, Wish::Start, job, turn);
        }
        let leftovers: Vec<u32> = app.runtime.slots.keys().copied().filter(|slot| *slot >= app.count()).collect();
        for slot in leftovers {
            await_down(app, slot, job, turn);
        }
    }
    Ok(names)
}

fn start(
    apps: &mut Apps,
    job: JobId,
    selectors: &[Selector],
    wish: Wish,
    turn: &mut Turn<'_>,
) -> Result<BTreeSet<AppName>, Denied> {
    let mut selection = select(apps, selectors, Reach::Wanted)?;
    let (all, named): (Vec<Selector>, _) = selectors.iter().cloned().partition(|s| s.target == Target::All);
    if !all.is_empty() {
        // One that waits to be started by its name is not meant by a word for all.
        let named = select(apps, &named, Reach::Wanted)?;
        for (name, slots) in &mut selection {
            let Some(app) = apps.get(name) else { continue };
            let is_named = |slot: &u32| named.get(name).is_some_and(|slots| slots.contains_key(slot));
            slots.retain(|slot, _| is_named(slot) || !is_left_down(app, *slot, Whom::OfTheirFile));
        }
    }
    turn.jobs.accept(job, ids(&selection), turn.out);
    for (name, slots) in &selection {
        let Some(app) = apps.get_mut(name) else { continue };
        for slot in slots.keys() {
            bring_up(app, *slot, wish, job, turn);
        }
    }
    Ok(selection.into_keys().collect())
}

fn take_down(
    apps: &mut Apps,
    job: JobId,
    selectors: &[Selector],
    how: Input,
    turn: &mut Turn<'_>,
) -> Result<BTreeSet<AppName>, Denied> {
    let selection = select(apps, selectors, Reach::Everything)?;
    turn.jobs.accept(job, ids(&selection), turn.out);
    for (name, slots) in &selection {
        let Some(app) = apps.get_mut(name) else { continue };
        for (slot, picked) in slots {
            match picked {
                Picked::Whole => {
                    want_down(app, *slot, turn);
                    let kill = matches!(how, Input::Kill(_));
                    let runs = app.runtime.slots.get(slot).map(|i| i.procs.iter().map(|p| p.run).collect::<Vec<_>>());
                    await_down(app, *slot, job, turn);
                    for run in runs.into_iter().flatten().filter(|_| kill) {
                        app.apply(*slot, run, how, turn);
                    }
                }
                Picked::Runs(runs) => take_runs_down(app, *slot, runs, how, job, turn),
            }
        }
    }
    Ok(selection.into_keys().collect())
}

/// Procs picked by generation or pid: the instance is down only if nothing else of it runs or is on its way.
fn take_runs_down(app: &mut App, slot: u32, runs: &BTreeSet<Run>, how: Input, job: JobId, turn: &mut Turn<'_>) {
    let led = app.runtime.slots.get(&slot).is_some_and(Instance::is_live_or_coming);
    for run in runs {
        app.supersede(slot, *run, turn);
        app.apply(slot, *run, how, turn);
    }
    let Some(instance) = app.runtime.slots.get_mut(&slot) else { return };
    instance.waiters.push(Waiter { job, goal: Goal::Gone(runs.iter().copied().collect()) });
    if led && !instance.is_live_or_coming() {
        want_down(app, slot, turn);
    }
}

fn want_down(app: &mut App, slot: u32, turn: &mut Turn<'_>) {
    if slot < app.count() && app.desired.down.insert(slot) {
        *turn.unsaved = true;
    }
    if let Some(instance) = app.runtime.slots.get_mut(&slot) {
        instance.rest = Rest::No;
        instance.crashes = Default::default();
    }
}

/// Has `job` wait until nothing is left in the slot; whoever waits for it to be up waits in vain.
fn await_down(app: &mut App, slot: u32, job: JobId, turn: &mut Turn<'_>) {
    app.tell_waiters(slot, |goal| matches!(goal, Goal::Up { .. }), &InstanceResult::Superseded, turn);
    let id = app.instance_id(slot);
    match app.runtime.slots.get_mut(&slot) {
        Some(instance) if !instance.procs.is_empty() => instance.waiters.push(Waiter { job, goal: Goal::Down }),
        Some(_) | None => turn.tell(job, &id, InstanceResult::Unchanged),
    }
}

fn delete(
    apps: &mut Apps,
    job: JobId,
    selectors: &[Selector],
    turn: &mut Turn<'_>,
) -> Result<BTreeSet<AppName>, Denied> {
    let names = select_apps(apps, selectors)?;
    let slots = names.iter().filter_map(|name| apps.get(name));
    let concerned = slots.flat_map(|app| app.runtime.slots.keys().map(|slot| app.instance_id(*slot)));
    turn.jobs.accept(job, concerned.collect(), turn.out);
    for app in apps.values_mut().filter(|app| names.contains(&app.name)) {
        app.desired.deleting = true;
        *turn.unsaved = true;
        for slot in app.runtime.slots.keys().copied().collect::<Vec<_>>() {
            await_down(app, slot, job, turn);
        }
    }
    Ok(names)
}

fn send_signal(
    apps: &mut Apps,
    job: JobId,
    selectors: &[Selector],
    signal: Signal,
    turn: &mut Turn<'_>,
) -> Result<BTreeSet<AppName>, Denied> {
    let selection = select(apps, selectors, Reach::Everything)?;
    let mut live: Vec<(InstanceId, Run)> = Vec::new();
    for (name, slots) in &selection {
        let Some(app) = apps.get(name) else { continue };
        for (slot, picked) in slots {
            let procs = app.runtime.slots.get(slot).map(|i| i.procs.as_slice()).unwrap_or_default();
            let hears = |state: &State| state.child().is_some() && !matches!(state, State::Dead { .. });
            let chosen = |run: &Run| match picked {
                Picked::Whole => true,
                Picked::Runs(runs) => runs.contains(run),
            };
            let runs = procs.iter().filter(|p| chosen(&p.run) && hears(&p.state)).map(|p| p.run);
            live.extend(runs.map(|run| (app.instance_id(*slot), run)));
        }
    }
    // Of many, those that are down have nothing to hear; but a signal that nobody hears is a failure.
    if live.is_empty() {
        let ids = ids(&selection);
        turn.jobs.accept(job, ids.clone(), turn.out);
        for id in ids {
            turn.tell(job, &id, InstanceResult::Failed { why: "it is not running".to_owned() });
        }
        return Ok(BTreeSet::new());
    }
    turn.jobs.accept(job, live.iter().map(|(id, _)| id.clone()).collect(), turn.out);
    for (instance, run) in live {
        let proc = ProcId { instance: instance.clone(), run };
        turn.out.push(Effect::Signal { proc, signal, scope: StopScope::Main });
        turn.tell(job, &instance, InstanceResult::Signalled);
    }
    Ok(BTreeSet::new())
}

fn scale(
    apps: &mut Apps,
    job: JobId,
    name: &AppName,
    to: ScaleTo,
    turn: &mut Turn<'_>,
) -> Result<BTreeSet<AppName>, Denied> {
    let known = apps.get_mut(name).filter(|app| !app.desired.deleting);
    let app = known.ok_or_else(|| Denied::NoSuchApp(name.to_string()))?;
    let scaled = match to {
        ScaleTo::Count(count) => Some(check_count(name, i64::from(count))?),
        ScaleTo::By(by) => Some(check_count(name, i64::from(app.count()) + i64::from(by))?),
        ScaleTo::Configured => None,
    };
    if app.desired.scaled != scaled {
        app.desired.scaled = scaled;
        *turn.unsaved = true;
    }
    let count = app.count();
    let down = |slot: &u32| app.runtime.slots.get(slot).is_none_or(is_down);
    let missing: Vec<u32> = (0..count).filter(down).collect();
    let surplus: Vec<u32> = app.runtime.slots.keys().copied().filter(|slot| *slot >= count).collect();
    let concerned = missing.iter().chain(&surplus).map(|slot| app.instance_id(*slot)).collect();
    turn.jobs.accept(job, concerned, turn.out);
    for slot in missing {
        bring_up(app, slot, Wish::Start, job, turn);
    }
    for slot in surplus {
        await_down(app, slot, job, turn);
    }
    Ok(BTreeSet::from([name.clone()]))
}

fn reset(
    apps: &mut Apps,
    job: JobId,
    selectors: &[Selector],
    turn: &mut Turn<'_>,
) -> Result<BTreeSet<AppName>, Denied> {
    let selection = select(apps, selectors, Reach::Wanted)?;
    turn.jobs.accept(job, ids(&selection), turn.out);
    for (name, slots) in &selection {
        let Some(app) = apps.get_mut(name) else { continue };
        for slot in slots.keys() {
            let id = app.instance_id(*slot);
            let Some(instance) = app.runtime.slots.get_mut(slot) else { continue };
            instance.crashes = Default::default();
            instance.restarts = 0;
            instance.restart_reasons.clear();
            if instance.rest == Rest::Errored {
                instance.rest = Rest::Resting;
            }
            turn.tell(job, &id, InstanceResult::Reset);
        }
    }
    Ok(selection.into_keys().collect())
}

fn shut_down(apps: &mut Apps, job: JobId, turn: &mut Turn<'_>) -> BTreeSet<AppName> {
    turn.closing = true;
    let populated = |app: &App| {
        let slots = app.runtime.slots.iter().filter(|(_, i)| !i.procs.is_empty());
        slots.map(|(slot, _)| app.instance_id(*slot)).collect::<Vec<_>>()
    };
    let concerned: Vec<InstanceId> = apps.values().flat_map(populated).collect();
    turn.jobs.accept(job, concerned.clone(), turn.out);
    for InstanceId { app, slot: Slot(slot) } in concerned {
        if let Some(app) = apps.get_mut(&app) {
            await_down(app, slot, job, turn);
        }
    }
    apps.keys().cloned().collect()
}

fn ids(selection: &Selection) -> Vec<InstanceId> {
    let slots = selection.iter().flat_map(|(app, slots)| slots.keys().map(move |slot| (app, slot)));
    slots.map(|(app, slot)| InstanceId { app: app.clone(), slot: Slot(*slot) }).collect()
}
