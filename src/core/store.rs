//! What of a world is kept, and a world made from it.
//! Owns: the split between *desired*, which is on disk, and *runtime*, which outlives the daemon but not the machine.
//! Never: writes anything anywhere.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::app::{App, AppDesired, AppRuntime};
use super::instance::Instance;
use super::jobs::Jobs;
use super::timer::Timer;
use super::turn::Numbers;
use super::world::World;
use crate::model::ids::{AppName, Id, Revision, Run};
use crate::model::spec::AppSpec;

/// What people asked for. Changes by requests, and once in about a thousand runs to promise the next run numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    pub next_id: Id,
    /// No run up to now has this number or a higher one.
    pub next_run: Run,
    pub apps: BTreeMap<AppName, AppDesired>,
}

/// What is going on. Saved part by part: `World::take_changed` says which have changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Runtime {
    pub head: Head,
    pub apps: BTreeMap<AppName, AppRuntime>,
}

/// The part of *runtime* that belongs to no app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub numbers: Numbers,
    pub jobs: Jobs,
    /// A shutdown is under way.
    pub closing: bool,
}

/// What of *runtime* is saved by itself, so that a step costs no more than what it changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    Head,
    /// The revisions of an app.
    Specs(AppName),
    Slot(AppName, u32),
    /// What an app waits for by the calendar.
    Timer(AppName),
}

/// The value of a part.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Value<'a> {
    Head(Head),
    Specs(&'a BTreeMap<Revision, Arc<AppSpec>>),
    Slot(&'a Instance),
    Timer(&'a Timer),
}

impl Default for Runtime {
    fn default() -> Self {
        let head = Head { numbers: Numbers::new(0), jobs: Jobs::default(), closing: false };
        Self { head, apps: BTreeMap::new() }
    }
}

impl Runtime {
    /// Puts a part in its place, as it was serialized.
    pub fn put<'de, D: Deserializer<'de>>(&mut self, part: Part, value: D) -> Result<(), D::Error> {
        match part {
            Part::Head => self.head = Head::deserialize(value)?,
            Part::Specs(app) => self.apps.entry(app).or_default().specs = Deserialize::deserialize(value)?,
            Part::Timer(app) => self.apps.entry(app).or_default().timer = Some(Timer::deserialize(value)?),
            Part::Slot(app, slot) => {
                let instance = Instance::deserialize(value)?;
                self.apps.entry(app).or_default().slots.insert(slot, instance);
            }
        }
        Ok(())
    }
}

impl World {
    /// A part as it is now. None: it is gone.
    pub fn part(&self, part: &Part) -> Option<Value<'_>> {
        match part {
            Part::Head => Some(Value::Head(self.head())),
            Part::Specs(app) => Some(Value::Specs(&self.apps.get(app)?.runtime.specs)),
            Part::Timer(app) => Some(Value::Timer(self.apps.get(app)?.runtime.timer.as_ref()?)),
            Part::Slot(app, slot) => Some(Value::Slot(self.apps.get(app)?.runtime.slots.get(slot)?)),
        }
    }

    /// Every part there is.
    pub fn parts(&self) -> BTreeSet<Part> {
        let mut parts = BTreeSet::from([Part::Head]);
        for (name, app) in &self.apps {
            parts.insert(Part::Specs(name.clone()));
            parts.extend(app.runtime.timer.iter().map(|_| Part::Timer(name.clone())));
            parts.extend(app.runtime.slots.keys().map(|slot| Part::Slot(name.clone(), *slot)));
        }
        parts
    }

    /// What goes on disk at `Effect::SaveDesired`.
    pub fn desired(&self) -> Desired {
        let Numbers { next_id, runs_saved, .. } = self.numbers;
        let apps = self.apps.iter().map(|(name, app)| (name.clone(), app.desired.clone())).collect();
        Desired { next_id, next_run: runs_saved, apps }
    }

    /// What the holder keeps, before each step's effects are acted on.
    pub fn runtime(&self) -> Runtime {
        let apps = self.apps.iter().map(|(name, app)| (name.clone(), app.runtime.clone())).collect();
        Runtime { head: self.head(), apps }
    }

    fn head(&self) -> Head {
        Head { numbers: self.numbers.clone(), jobs: self.jobs.clone(), closing: self.closing }
    }

    /// A world in which nothing runs yet, as after a boot. Its first deadline is at once: a `Deadline` event then starts
    /// what was up.
    pub fn from_desired(desired: Desired, seed: u64) -> Self {
        let Desired { next_id, next_run, apps } = desired;
        let mut world = World::new(seed);
        world.numbers.next_id = next_id;
        world.numbers.next_run = next_run;
        world.numbers.runs_saved = next_run;
        let kept = apps.into_iter().filter(|(_, desired)| !desired.deleting);
        world.apps = kept.map(|(name, desired)| (name, App::new(desired, AppRuntime::default()))).collect();
        world.index();
        world
    }

    /// The world as it was saved. The two halves may be one step apart, if the daemon died between the two writes; then
    /// the first deadline is at once, to bring what is there into line with what is wanted.
    ///
    /// The daemon then tells what happened while it was away: `Spawned` for what runs and was not known to, `Exited` and
    /// `Gone` for what does not. What it may have died without doing is in `World::outstanding`.
    pub fn restore(desired: Desired, runtime: Runtime) -> Self {
        let Desired { next_id, next_run, apps } = desired;
        let Runtime { head: Head { mut numbers, jobs, closing }, apps: mut runtimes } = runtime;
        numbers.next_id = numbers.next_id.max(next_id);
        numbers.runs_saved = numbers.runs_saved.max(next_run);
        let mut world = World::new(0);
        world.numbers = numbers;
        world.jobs = jobs;
        world.closing = closing;
        world.apps = apps
            .into_iter()
            .map(|(name, desired)| {
                let runtime = runtimes.remove(&name).unwrap_or_default();
                (name, App::new(desired, runtime))
            })
            .collect();
        for (name, runtime) in runtimes {
            world.apps.extend(orphan(runtime).map(|app| (name, app)));
        }
        world.index();
        world
    }

    fn index(&mut self) {
        for (name, app) in &self.apps {
            self.deadlines.set(name, app.next_deadline());
            self.times.set(name, app.next_time());
        }
        let unsettled = self.apps.values().filter(|app| app.is_unsettled(self.closing));
        self.unsettled = unsettled.map(|app| app.name.clone()).collect();
    }
}

/// An app whose deletion reached the disk but not the holder: what is left of it is stopped, then it is forgotten.
fn orphan(runtime: AppRuntime) -> Option<App> {
    let (revision, spec) = runtime.specs.last_key_value().map(|(revision, spec)| (*revision, spec.clone()))?;
    let down = BTreeSet::new();
    let desired = AppDesired { spec, revision, scaled: None, ids: Vec::new(), down, deleting: true };
    let app = App::new(desired, runtime);
    (!app.is_empty()).then_some(app)
}
