//! What a deployment would do, without doing it.
//! Owns: the wording of a plan as data. Never: decides on its own; it asks the functions that a deployment asks.

use serde::{Deserialize, Serialize};

use super::admission::{Order, plan_order};
use super::app::App;
use super::instance::Instance;
use super::requests::{Change, check_specs, plan_change, stays_down};
use super::selection::Apps;
use super::up::{Step, Wish, plan_step};
use crate::model::ids::{InstanceId, Revision, Slot};
use crate::model::request::{Denied, Whom};
use crate::model::spec::{AppSpec, Replace};

/// What would become of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLine {
    pub instance: InstanceId,
    pub action: PlanAction,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanAction {
    Start,
    /// `order` is `NewFirst` or `OldFirst`; `why` says what made it old-first, if nobody asked for that.
    Roll {
        from: Revision,
        order: Replace,
        why: Option<String>,
    },
    Unchanged,
    /// It is a job, and waits for its times.
    Schedule,
    /// It is known then, and stays down until somebody starts it.
    Register,
    Stop,
}

pub fn plan(apps: &Apps, specs: &[AppSpec]) -> Result<Vec<PlanLine>, Denied> {
    check_specs(specs)?;
    Ok(specs.iter().flat_map(|spec| plan_app(apps.get(&spec.name), spec)).collect())
}

fn plan_app(app: Option<&App>, spec: &AppSpec) -> Vec<PlanLine> {
    let line = |slot, action| {
        let instance = InstanceId { app: spec.name.clone(), slot: Slot(slot) };
        PlanLine { instance, action }
    };
    let Some(app) = app else {
        let action = match spec {
            AppSpec { autostart: false, .. } => PlanAction::Register,
            spec if spec.is_job() => PlanAction::Schedule,
            _ => PlanAction::Start,
        };
        return (0..spec.instances).map(|slot| line(slot, action.clone())).collect();
    };
    let newest = match plan_change(Some(app), spec) {
        Change::Revision => Revision(app.desired.revision.0 + 1),
        Change::NewApp | Change::None | Change::Count => app.desired.revision,
    };
    let count = if app.desired.spec.instances == spec.instances { app.count() } else { spec.instances };
    let none = Instance::default();
    let of = |slot: u32| app.runtime.slots.get(&slot).unwrap_or(&none);
    let surplus = app.runtime.slots.keys().filter(|slot| **slot >= count);
    let stops = surplus.map(|slot| line(*slot, PlanAction::Stop));
    let down = stays_down(Some(app), spec, Whom::OfTheirFile);
    let left = |slot: u32| down || !spec.autostart && app.desired.down.contains(&slot);
    let same = newest == app.desired.revision;
    let action = |slot: u32| match left(slot) {
        true if same => PlanAction::Unchanged,
        true => PlanAction::Register,
        false => plan_slot(app, slot, of(slot), (newest, spec)),
    };
    (0..count).map(|slot| line(slot, action(slot))).chain(stops).collect()
}

fn plan_slot(app: &App, slot: u32, instance: &Instance, (newest, spec): (Revision, &AppSpec)) -> PlanAction {
    match (plan_step(app, slot, (newest, spec), Wish::Start), instance.running()) {
        (Step::Unchanged, _) => PlanAction::Unchanged,
        (Step::Arm, _) => PlanAction::Schedule,
        (Step::Replace { from }, _) => roll(app, instance, spec, from),
        (Step::Join { .. }, Some(running)) => roll(app, instance, spec, running.revision),
        (Step::Join { .. }, None) | (Step::Start, _) => PlanAction::Start,
    }
}

fn roll(app: &App, instance: &Instance, spec: &AppSpec, from: Revision) -> PlanAction {
    match plan_order(app, instance, spec) {
        Order::NewFirst => PlanAction::Roll { from, order: Replace::NewFirst, why: None },
        Order::OldFirst { why } => PlanAction::Roll { from, order: Replace::OldFirst, why },
    }
}
